"""Sharpen metabolite maps, with or without an MRI, and never against what was measured."""

from mrsi_super_resolution.predict import predict
from mrsikit.super_resolution.predict import SuperResolved

__all__ = ["SuperResolved", "predict"]
