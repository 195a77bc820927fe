"""Brain outline of a metabolite map, and the rule of thumb that a zero inside the brain is a failed voxel."""

import numpy as np
from scipy import ndimage
from skimage.morphology import isotropic_closing


def brain_outline(map: np.ndarray, radius: int = 3) -> np.ndarray:
    """Outline the brain on a metabolite map: binary closing of ``map > 0``, then filling of enclosed holes.

    The closing uses a disc or ball. It treats the field of view as continuing empty beyond the border, so it does not
    erode a brain that reaches the border. Holes are filled in 2D for a slice and in 3D for a volume.

    Args:
        map: ``(X, Y)`` or ``(X, Y, Z)``; a NaN does not count as above zero.
        radius: radius of the closing, in voxels.

    Returns:
        Boolean mask of the map's shape.
    """
    signal = np.asarray(map) > 0
    if not signal.any():
        return signal
    flat = signal.reshape([size for size in signal.shape if size > 1])
    closed = isotropic_closing(np.pad(flat, radius + 1), radius)
    inner = (slice(radius + 1, -radius - 1),) * flat.ndim
    return ndimage.binary_fill_holes(closed[inner]).reshape(signal.shape)


def zero_rule(map: np.ndarray, radius: int = 3) -> np.ndarray:
    """Mark every zero, NaN or infinity inside the brain outline as missing.

    Published pipelines use this rule. It mistakes the zeros of a ventricle for missing voxels, and it cannot detect a
    missing rim or slab, which lies outside the outline.

    Args:
        map: ``(X, Y)`` or ``(X, Y, Z)``.
        radius: radius of the closing that gives the outline, in voxels.

    Returns:
        Boolean mask of the map's shape, True where a voxel counts as missing.
    """
    map = np.asarray(map)
    return brain_outline(map, radius) & ((map == 0) | ~np.isfinite(map))
