"""Classical fills of missing voxels, which a user would pick instead of a network.

Every fill is ``fill(map, missing, *, brain=None) -> filled map``: numpy in, float32 numpy out, 2D or 3D, observed
voxels bit-identical. Name them in a config by the package (``mrsikit.restoration.inpainting.biharmonic``), which
exports the functions.
"""

from collections.abc import Callable

import numpy as np

from mrsikit.restoration.inpainting.biharmonic import biharmonic
from mrsikit.restoration.inpainting.dct import dct
from mrsikit.restoration.inpainting.gaussian import gaussian
from mrsikit.restoration.inpainting.interpolation import cubic, linear, nearest
from mrsikit.restoration.inpainting.mean import mean

FILLS: dict[str, Callable[..., np.ndarray]] = {
    "nearest": nearest,
    "linear": linear,
    "cubic": cubic,
    "biharmonic": biharmonic,
    "dct": dct,
    "gaussian": gaussian,
    "mean": mean,
}

__all__ = ["FILLS", *FILLS]
