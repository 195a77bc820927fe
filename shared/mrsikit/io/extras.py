"""Packages that only some work needs: the extras of pyproject.toml."""

from importlib import import_module
from typing import Any

from mrsikit.io.errors import InputError


def import_extra(module: str, *, package: str, purpose: str, extra: str) -> Any:
    """Import a module of a package that a plain install does not bring.

    Args:
        module: dotted name, for example ``nilearn.datasets``.
        package: name of the package to install, for example ``nilearn``.
        purpose: what needs it, in the plural: ``virtual subjects``.
        extra: of mrsikit, which brings the package.

    Returns:
        The module.

    Raises:
        InputError: the package is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise  # the package is there, and something that it needs itself is not
        message = f"{package} is not installed: {purpose} need it; pip install 'mrsikit[{extra}]'"
        raise InputError(message) from error
