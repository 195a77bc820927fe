"""The rule of thumb of published pipelines: inside the brain a zero is a failed voxel."""

import numpy as np
from scipy import ndimage
from skimage.morphology import isotropic_closing


def brain_outline(map: np.ndarray, radius: int = 3) -> np.ndarray:
    """The brain as seen on a metabolite map: binary closing of ``map > 0``, holes filled.

    The closing is by a disc or ball, as if the field of view went on beyond the border with nothing in it, so a brain
    that reaches the border is not eroded there. Holes are filled in 2D for a slice, in 3D for a volume.

    Args:
        map: ``(X, Y)`` or ``(X, Y, Z)``; a NaN is not above zero.
        radius: of the closing, in voxels.

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
    """Call every zero, NaN or infinity inside the brain outline missing.

    It takes a ventricle's zeros for holes, and cannot see a lost rim or slab, which lies outside the outline.

    Args:
        map: ``(X, Y)`` or ``(X, Y, Z)``.
        radius: of the closing that gives the outline, in voxels.

    Returns:
        Boolean mask of the map's shape, True where the voxel is judged missing.
    """
    map = np.asarray(map)
    return brain_outline(map, radius) & ((map == 0) | ~np.isfinite(map))
