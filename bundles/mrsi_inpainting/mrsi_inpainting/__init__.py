"""Find and fill the failed voxels of metabolite maps.

MONAI and torch take seconds to import, so a name is imported from its module when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mrsi_inpainting.prediction import Inpainted, predict

__all__ = ["Inpainted", "predict"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("mrsi_inpainting.prediction"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
