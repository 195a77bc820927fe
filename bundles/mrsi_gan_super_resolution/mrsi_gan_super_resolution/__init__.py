"""Sharpen metabolite maps, slices or whole brains, by networks and along an MRI by non-local means."""

from mrsi_gan_super_resolution.predict import predict
from mrsikit.super_resolution.predict import SuperResolved

__all__ = ["SuperResolved", "predict"]
