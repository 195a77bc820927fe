"""Brain mean: the baseline that a method must beat to show that it knows anything about the anatomy."""

import numpy as np

from mrsikit.restoration.inpainting.fill_missing import fill_missing


def mean(map: np.ndarray, missing: np.ndarray, *, brain: np.ndarray | None = None) -> np.ndarray:
    """Give every missing voxel the mean of the observed brain.

    Args:
        map: ``(X, Y)`` or ``(X, Y, Z)``, any unit.
        missing: same shape, True where missing; NaN and infinity in the map count as missing too.
        brain: same shape. If given, the mean is over all observed voxels inside it, including the zeros of CSF, and
            missing voxels outside become 0. Otherwise the mean is over the nonzero observed voxels.

    Returns:
        Filled map, float32, observed voxels bit-identical.

    Raises:
        ValueError: the map is not 2D or 3D, or the shapes differ.
    """

    def estimate(values: np.ndarray, data: np.ndarray, target: np.ndarray) -> np.ndarray:
        counted = data if brain is not None else data & (values != 0)
        return np.full(values.shape, values[counted].mean())

    return fill_missing(map, missing, brain, estimate)
