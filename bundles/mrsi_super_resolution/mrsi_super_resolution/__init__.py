"""Super-resolution of metabolite maps with data consistency, with or without an MRI."""

from mrsi_super_resolution.predict import predict
from mrsikit.super_resolution.predict import SuperResolved

__all__ = ["SuperResolved", "predict"]
