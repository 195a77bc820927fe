"""Super-resolution of metabolite maps with data consistency, with or without an MRI.

MONAI and torch take seconds to import, so a name is imported from its module when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mrsi_super_resolution.prediction import predict
    from mrsikit.super_resolution.predict import SuperResolved

__all__ = ["SuperResolved", "predict"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("mrsi_super_resolution.prediction"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
