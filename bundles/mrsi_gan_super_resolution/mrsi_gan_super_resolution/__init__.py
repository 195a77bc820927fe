"""Super-resolution of metabolite maps, slices or volumes, by networks and MRI-guided non-local means."""

from mrsi_gan_super_resolution.predict import predict
from mrsikit.super_resolution.predict import SuperResolved

__all__ = ["SuperResolved", "predict"]
