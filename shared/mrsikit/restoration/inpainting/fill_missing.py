"""Common steps of all classical methods: check the input, select the data, scale, and keep the observed voxels."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

#: ``(values, data, target) -> estimate``, all of one shape. ``values`` is float64 with a maximum magnitude of 1, and
#: zero outside the mask ``data``. ``target`` is True where the estimate is needed. Neither mask is empty.
Estimator = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def fill_missing(map: np.ndarray, missing: np.ndarray, brain: np.ndarray | None, estimate: Estimator) -> np.ndarray:
    """Replace the missing voxels of a map by an estimate and keep all others bit-identical.

    The map is scaled to unit maximum before the estimate, so that tolerances inside the libraries do not depend on the
    map's unit. Singleton axes are dropped, so that ``(X, Y, 1)`` is treated as a slice.

    Args:
        map: metabolite map, ``(X, Y)`` or ``(X, Y, Z)``, any unit; NaN and infinity count as missing.
        missing: same shape, True where the voxel is missing.
        brain: same shape, True inside the brain, or None. If given, only observed voxels inside it are data, and
            missing voxels outside become 0. Otherwise every observed voxel is data, including zeros outside the head.
        estimate: function that computes the estimate; its values outside ``target`` are ignored.

    Returns:
        The filled map, float32, without NaN or infinity. If there are no data, the missing voxels become 0.

    Raises:
        ValueError: the map is not 2D or 3D, or the shapes differ.
    """
    values = np.array(map, dtype=np.float32)
    missing = np.asarray(missing, dtype=bool) | ~np.isfinite(values)
    if values.ndim not in (2, 3):
        raise ValueError(f"a map of 2 or 3 dimensions is needed, got shape {values.shape}")
    if missing.shape != values.shape:
        raise ValueError(f"missing has shape {missing.shape}, the map {values.shape}")
    inside = np.ones(values.shape, dtype=bool) if brain is None else np.asarray(brain, dtype=bool)
    if inside.shape != values.shape:
        raise ValueError(f"brain has shape {inside.shape}, the map {values.shape}")

    data = ~missing & inside
    target = missing & inside
    known = values[data].astype(np.float64)
    values[missing] = 0.0
    scale = float(np.abs(known).max(initial=0.0))
    if scale == 0.0 or not target.any():  # the data are empty or all zero, or there is nothing to estimate
        return values

    unit = np.zeros(values.shape)
    unit[data] = known / scale
    shape = tuple(size for size in values.shape if size > 1)
    if len(shape) < 2:  # keep a single row two- or three-dimensional
        shape = values.shape
    estimated = estimate(unit.reshape(shape), data.reshape(shape), target.reshape(shape)).reshape(values.shape)
    values[target] = estimated[target] * scale
    return values


def nearest_data(values: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Return at every voxel the value of the nearest data voxel (Euclidean, in voxels); ``data`` must not be empty."""
    indices = ndimage.distance_transform_edt(~data, return_distances=False, return_indices=True)
    return values[tuple(indices)]
