"""Zeros that are fluid and not failed voxels, by the other maps of the session or by a map of the fluid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrsikit.restoration.brain_mask import brain_outline

FEWEST_MAPS = 2
"""Maps with data that must share a zero; one alone may have failed."""

OUTERMOST = 2
"""Voxels below the outline of the head that count as its rim."""

SURE = 0.9
"""Probability of being missing from which a zero of all maps is filled all the same; chosen on BrainWeb 1."""

CSF = "csf"
"""Companion: fraction of each voxel that is fluid."""

MOSTLY = 0.5
"""Fraction of fluid from which a zero is that of fluid."""


def common_zeros(known: NDArray[np.bool_], axis: int = 2) -> NDArray[np.bool_]:
    """Mark the voxels that no map of a session knows and that signal encloses: ventricles, cysts, cavities.

    Connected voxels that touch the outside of the head or its two outermost voxels are left out: there a lost rim or
    sinus cannot be told from the outside. Volumes are judged slice by slice, because their first and last slices cut
    ventricles.

    Args:
        known: (M, X, Y[, Z]), True where a map of the session has a value.
        axis: axis of space, 0 to 2, across the slices of a volume.

    Returns:
        (X, Y[, Z]), all False for fewer than :data:`FEWEST_MAPS` maps with data.
    """
    signal: NDArray[np.bool_] = np.any(known, axis=0)
    out = np.zeros_like(signal)
    if sum(map.any() for map in known) < FEWEST_MAPS:
        return out
    flat = signal.ndim == 2
    planes, slices = (array[None] if flat else np.moveaxis(array, axis, 0) for array in (signal, out))
    for plane, found in zip(planes, slices, strict=True):
        inner = ndimage.binary_erosion(brain_outline(plane), iterations=OUTERMOST)
        numbers, _ = ndimage.label(~plane)
        found[...] = ~plane & ~np.isin(numbers, numbers[~inner])
    return out
