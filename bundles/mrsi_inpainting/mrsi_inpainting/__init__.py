"""Find and fill the failed voxels of metabolite maps."""

from mrsi_inpainting.predict import Inpainted, predict

__all__ = ["Inpainted", "predict"]
