"""Deuterium FIDs to metabolite maps: batched least squares at the Cramér-Rao bound, with a robust MRI prior."""

from dmi_quantification.predict import Quantified, predict

__all__ = ["Quantified", "predict"]
