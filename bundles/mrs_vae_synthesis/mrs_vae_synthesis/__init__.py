"""Synthetic MR spectra: whole sessions with noise, phases and frequency shifts from a variational autoencoder.

MONAI and torch take seconds to import, so a name is imported from its module when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mrs_vae_synthesis.prediction import Synthesised, predict

__all__ = ["Synthesised", "predict"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("mrs_vae_synthesis.prediction"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
