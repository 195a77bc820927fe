"""An installed bundle: the folder of its configs, weights and documents, its options, and a run of its inference."""

from __future__ import annotations

import json
import runpy
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from mrsikit.io.errors import InputError
from mrsikit.runtime.options import RunOptions

WHEEL_FOLDER = "bundle"
"""Folder of a package in which a wheel holds the files of the bundle, see ``tools/wheel_contents.py``."""

REFERENCE = "reference_"
"""Start of the names of the configs of published methods."""


def bundle_root(package: str) -> Path:
    """Find the folder of a bundle by the name of its package, which is not imported.

    A checkout and a zip hold the package in the bundle's folder. A wheel holds the bundle's files in the package.

    Args:
        package: name of the package, which is that of the bundle.

    Returns:
        The folder with ``configs/inference.json``.

    Raises:
        InputError: the package is not installed, or has no bundle.

    Example:
        >>> (bundle_root("mrsi_inpainting") / "configs" / "inference.json").is_file()
        True
    """
    inside = _package_folder(package)
    for folder in (inside / WHEEL_FOLDER, inside.parent):
        if (folder / "configs" / "inference.json").is_file():
            return folder
    raise InputError(f"{package}: its configs were not installed with it; install mrsikit again")


def _package_folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(f"{package}: is not installed; install mrsikit again")
    return Path(spec.origin).parent


def reference_methods(bundle: Path) -> list[str]:
    """Return the names of the published methods of a bundle: NAME of each ``configs/reference_NAME.json``.

    Each such config is laid over ``inference.json``. It holds ``reference``, its own name, which the record keeps.

    Args:
        bundle: folder of the bundle.

    Example:
        >>> reference_methods(bundle_root("mrsi_gan_super_resolution"))
        ['li']
    """
    return sorted(path.stem.removeprefix(REFERENCE) for path in (bundle / "configs").glob(f"{REFERENCE}*.json"))


def split_method(bundle: Path, options: Sequence[str]) -> tuple[str | None, list[str]]:
    """Take ``--method NAME`` out of the options, where NAME is a published method.

    Another value of ``--method`` stays, because a bundle may have an option of that name.

    Args:
        bundle: folder of the bundle.
        options: words of the command line.

    Returns:
        The published method, or None; the other words.

    Raises:
        InputError: the bundle knows no such method.
    """
    names, found, rest = reference_methods(bundle), None, list(options)
    for position in reversed(range(len(rest))):
        name, equals, value = rest[position].partition("=")
        if name != "--method":
            continue
        words = 1 if equals else 2
        value = value if equals else "".join(rest[position + 1 : position + 2])
        if value in names:
            found = found or value
            del rest[position : position + words]
        elif names and "method" not in options_model(bundle).model_fields:
            raise InputError(f"--method {value}: is no published method of this bundle; give {', '.join(names)}")
    return found, rest


def options_model(bundle: Path, method: str | None = None) -> type[RunOptions]:
    """Import the options model of a bundle, which its inference config names.

    Its module is loaded by its file: importing the bundle's package imports torch and MONAI, which takes seconds.

    Args:
        bundle: folder of the bundle.
        method: a published method, which may have options of its own.
    """
    configs = [json.loads(path.read_text(encoding="utf-8")) for path in _configs(bundle, method)]
    target = configs[-1].get("options#_target_") or configs[0]["options"]["_target_"]
    module, name, _ = target.rsplit(".", maxsplit=2)  # package.options.Model.model_construct
    if module in sys.modules:
        return getattr(sys.modules[module], name)
    package, _, stem = module.partition(".")
    loaded = ModuleType(module)
    try:
        sys.modules[module] = loaded  # pydantic looks its names up there
        SourceFileLoader(module, str(_package_folder(package) / f"{stem}.py")).exec_module(loaded)
        return getattr(loaded, name)
    finally:
        del sys.modules[module]  # or the package, imported later, would lack it


def _configs(bundle: Path, method: str | None) -> list[Path]:
    """Return the inference config of a bundle, and that of a published method, which is laid over it."""
    names = ["inference", *([f"{REFERENCE}{method}"] if method else [])]
    return [bundle / "configs" / f"{name}.json" for name in names]


def run_inference(package: str, options: Sequence[str]) -> None:
    """Run the inference of a bundle in this process, by MONAI's own command.

    Args:
        package: name of the package, which is that of the bundle.
        options: words of the command line, such as ``--dataset_dir IN --output_dir OUT``. ``--method NAME`` takes a
            published method, see :func:`reference_methods`.

    Raises:
        InputError: the bundle is not installed.
        SystemExit: with code 1, if the bundle refuses an option or an input; with code 0 after a dry run.
    """
    root = bundle_root(package)
    try:
        method, options = split_method(root, options)
    except InputError as error:
        raise SystemExit(str(error)) from None
    files = [str(path) for path in _configs(root, method)]
    line = ["run", "--config_file", str(files) if method else files[0], "--bundle_root", str(root), *options]
    # MONAI warns of every config that it runs; this one was installed with its code.
    warnings.filterwarnings("ignore", message="parsing config_file")
    sys.argv = ["mrsikit", *line]
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
