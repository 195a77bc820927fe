"""The options of a run, which ``mrsi_gan_super_resolution`` has too."""

from mrsikit.super_resolution.options import SuperResolutionOptions

__all__ = ["SuperResolutionOptions"]
