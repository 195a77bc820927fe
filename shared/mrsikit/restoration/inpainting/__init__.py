"""Classical methods for filling missing voxels, the alternatives to a network.

Every method is ``fill(map, missing, *, brain=None) -> filled map``. It takes numpy arrays and returns a float32 numpy
array, in 2D or 3D, and leaves observed voxels bit-identical. A config names a method by this package
(``mrsikit.restoration.inpainting.biharmonic``), which exports the functions. Kriging takes voxel sizes and bounds too.
"""

from collections.abc import Callable

import numpy as np

from mrsikit.restoration.inpainting.biharmonic import biharmonic
from mrsikit.restoration.inpainting.dct import dct
from mrsikit.restoration.inpainting.gaussian import gaussian
from mrsikit.restoration.inpainting.interpolation import cubic, linear, nearest
from mrsikit.restoration.inpainting.kriging import kriging
from mrsikit.restoration.inpainting.mean import mean

FILLS: dict[str, Callable[..., np.ndarray]] = {
    "nearest": nearest,
    "linear": linear,
    "cubic": cubic,
    "biharmonic": biharmonic,
    "dct": dct,
    "gaussian": gaussian,
    "mean": mean,
    "kriging": kriging,
}

__all__ = ["FILLS", *FILLS]
