"""An installed bundle: the folder of its configs, weights and documents, and a run of its inference."""

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


def options_model(bundle: Path) -> type[RunOptions]:
    """Import the options model of a bundle, which its inference config names.

    Its module is loaded by its file: importing the bundle's package imports torch and MONAI, which takes seconds.

    Args:
        bundle: folder of the bundle.
    """
    config = json.loads((bundle / "configs" / "inference.json").read_text(encoding="utf-8"))
    module, name, _ = config["options"]["_target_"].rsplit(".", maxsplit=2)  # package.options.Model.model_construct
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


def run_inference(package: str, options: Sequence[str]) -> None:
    """Run the inference of a bundle in this process, by MONAI's own command.

    Args:
        package: name of the package, which is that of the bundle.
        options: words of the command line, such as ``--dataset_dir IN --output_dir OUT``.

    Raises:
        InputError: the bundle is not installed.
        SystemExit: with code 1, if the bundle refuses an option or an input; with code 0 after a dry run.
    """
    root = bundle_root(package)
    line = ["run", "--config_file", str(root / "configs" / "inference.json"), "--bundle_root", str(root), *options]
    # MONAI warns of every config that it runs; this one was installed with its code.
    warnings.filterwarnings("ignore", message="parsing config_file")
    sys.argv = ["mrsikit", *line]
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
