"""Options of a run, which ``mrsi_gan_super_resolution`` extends."""

from mrsikit.super_resolution.options import SuperResolutionOptions

__all__ = ["SuperResolutionOptions"]
