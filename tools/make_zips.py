"""Pack every bundle into a zip, and the Python packages into a wheel.

Usage::

    python tools/make_zips.py    # writes mrsikit-<version>-py3-none-any.whl and <bundle>_v<version>.zip to dist/

A user then needs no checkout: ``pip install mrsikit-<version>-py3-none-any.whl``, then ``mrsikit fill IN OUT``. The
wheel holds the configs of every bundle and the weights that they load for inference (``wheel_contents.py``).

A zip holds one bundle's folder: configs, all weights, documents, licence, and the bundle's own package. There
``python -m monai.bundle run --config_file configs/inference.json --dataset_dir IN --output_dir OUT`` runs the weights
with the code that was released with them, whatever wheel is installed later. Files left by a training are not packed.
The same files give the same bytes.
"""

import argparse
import json
import logging
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

logger = logging.getLogger("make_zips")

REPOSITORY = Path(__file__).resolve().parents[1]
# Files of a bundle, relative to its folder; {name} is the bundle's name.
CONTENTS = ("LICENSE", "configs/*.json", "configs/*.conf", "docs/**/*", "models/*.pt", "{name}/**/*.py")
FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold


def bundle_files(bundle: Path) -> list[Path]:
    """Files of a bundle that go into the zip, sorted."""
    files = {path for pattern in CONTENTS for path in bundle.glob(pattern.format(name=bundle.name)) if path.is_file()}
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(bundle).parts))


def make_zip(bundle: Path, output: Path) -> Path:
    """Pack one bundle.

    Args:
        bundle: folder of the bundle.
        output: folder for the zip.

    Returns:
        Path of the zip, ``<bundle>_v<version>.zip``; the bundle is its only top-level folder.
    """
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"{bundle.name}_v{metadata['version']}.zip"
    unfinished = target.with_suffix(".tmp")
    with zipfile.ZipFile(unfinished, "w") as archive:
        for path in bundle_files(bundle):
            entry = zipfile.ZipInfo(f"{bundle.name}/{path.relative_to(bundle).as_posix()}", FIXED_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, on every system, so that the permissions below apply
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    unfinished.replace(target)
    return target


def make_wheel(output: Path) -> Path:
    """Build the wheel of mrsikit and of every bundle's own package.

    Args:
        output: folder for the wheel.

    Raises:
        RuntimeError: the build fails; the message holds hatchling's error.
    """
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(output.resolve())]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"the wheel could not be built: {result.stderr.strip()}")
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return output / f"mrsikit-{version}-py3-none-any.whl"


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack the bundles named on the command line, or all, and the wheel."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("bundles", nargs="*", type=Path, help="folders of bundles (default: all in bundles/)")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "dist", help="folder to write to (default: dist/)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)

    bundles = options.bundles or sorted(path for path in (REPOSITORY / "bundles").iterdir() if path.is_dir())
    packed = [make_wheel(options.output)]
    packed += [make_zip(bundle.resolve(), options.output) for bundle in tqdm(bundles, desc="zips", leave=False)]
    for path in packed:
        logger.info("%s  %.1f MB", path, path.stat().st_size / 2**20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
