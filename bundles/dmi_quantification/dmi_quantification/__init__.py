"""Deuterium FIDs to metabolite maps: batched least squares at the Cramér-Rao bound, with a robust MRI prior.

MONAI and torch take seconds to import, so a name is imported from its module when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmi_quantification.prediction import Quantified, predict

__all__ = ["Quantified", "predict"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("dmi_quantification.prediction"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
