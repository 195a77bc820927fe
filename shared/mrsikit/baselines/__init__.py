"""What a user would pick instead of a network: classical fills of missing voxels, and the rule that finds them.

Every fill is ``fill(map, missing, *, brain=None) -> filled map``: numpy in, float32 numpy out, 2D or 3D, observed
voxels bit-identical. In a config name them by the package (``mrsikit.baselines.biharmonic``): it exports the functions.
"""

from collections.abc import Callable

import numpy as np

from mrsikit.baselines.biharmonic import biharmonic
from mrsikit.baselines.dct import dct
from mrsikit.baselines.gaussian import gaussian
from mrsikit.baselines.interpolation import cubic, linear, nearest
from mrsikit.baselines.mean import mean
from mrsikit.baselines.zero_rule import brain_outline, zero_rule

FILLS: dict[str, Callable[..., np.ndarray]] = {
    "nearest": nearest,
    "linear": linear,
    "cubic": cubic,
    "biharmonic": biharmonic,
    "dct": dct,
    "gaussian": gaussian,
    "mean": mean,
}

__all__ = ["FILLS", "brain_outline", "zero_rule", *FILLS]
