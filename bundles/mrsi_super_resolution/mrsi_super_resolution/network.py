"""Network of ``models/model.pt``, which both super-resolution bundles share."""

from mrsikit.super_resolution.network import SuperResolution

__all__ = ["SuperResolution"]
