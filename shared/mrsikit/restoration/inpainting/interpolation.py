"""Interpolation from the observed voxels around the missing ones: nearest neighbour, linear, cubic."""

from functools import partial

import numpy as np
from scipy import ndimage
from scipy.interpolate import griddata
from scipy.spatial import QhullError

from mrsikit.restoration.inpainting.fill_missing import fill_missing, nearest_data

#: Only data within 3 voxels of a missing voxel are used; data farther away hardly change either interpolant.
REACH = 3


def nearest(map: np.ndarray, missing: np.ndarray, *, brain: np.ndarray | None = None) -> np.ndarray:
    """Give each missing voxel the value of the nearest observed one (Euclidean distance in voxels).

    Args:
        map: ``(X, Y)`` or ``(X, Y, Z)``, any unit.
        missing: same shape, True where missing; NaN and infinity in the map count as missing too.
        brain: same shape. If given, only observed voxels inside it are data, and missing voxels outside become 0.
            Otherwise zeros outside the head are observed values like any others.

    Returns:
        Filled map, float32, observed voxels bit-identical.

    Raises:
        ValueError: the map is not 2D or 3D, or the shapes differ.
    """
    return fill_missing(map, missing, brain, lambda values, data, target: nearest_data(values, data))


def linear(map: np.ndarray, missing: np.ndarray, *, brain: np.ndarray | None = None) -> np.ndarray:
    """Interpolate linearly on the Delaunay triangulation of the observed voxels nearby (`scipy` ``griddata``).

    Outside the convex hull of those voxels there is no linear interpolant; there the nearest observed value is used.
    Arguments, return value and errors are those of `nearest`.
    """
    return fill_missing(map, missing, brain, partial(_griddata, method="linear"))


def cubic(map: np.ndarray, missing: np.ndarray, *, brain: np.ndarray | None = None) -> np.ndarray:
    """Interpolate with the piecewise cubic Clough-Tocher surface through the observed voxels nearby.

    `scipy` has this surface in 2D only, so a 3D map is interpolated slice by slice along its last axis. Outside the
    convex hull, and in a slice with too few data, the nearest observed value (in 3D) is used. The surface can overshoot
    the observed range. Arguments, return value and errors are those of `nearest`.
    """
    return fill_missing(map, missing, brain, _cubic)


def _cubic(values: np.ndarray, data: np.ndarray, target: np.ndarray) -> np.ndarray:
    if values.ndim != 3:
        return _griddata(values, data, target, method="cubic")
    estimate = nearest_data(values, data)
    for z in np.flatnonzero(data.any((0, 1)) & target.any((0, 1))):
        surface = _interpolant(values[..., z], data[..., z], target[..., z], "cubic")
        estimate[..., z] = np.where(np.isnan(surface), estimate[..., z], surface)
    return estimate


def _griddata(values: np.ndarray, data: np.ndarray, target: np.ndarray, *, method: str) -> np.ndarray:
    interpolant = _interpolant(values, data, target, method)
    return np.where(np.isnan(interpolant), nearest_data(values, data), interpolant)


def _interpolant(values: np.ndarray, data: np.ndarray, target: np.ndarray, method: str) -> np.ndarray:
    """Run `griddata` at the target voxels; NaN elsewhere, outside the convex hull, and without a triangulation."""
    result = np.full(values.shape, np.nan)
    near = data & (ndimage.distance_transform_edt(~target) <= REACH)
    if np.count_nonzero(near) <= values.ndim:
        return result
    try:
        result[target] = griddata(np.argwhere(near), values[near], np.argwhere(target), method=method)
    except QhullError:  # all data lie on one line or plane
        result[:] = np.nan
    return result
