"""Statistics of labelled regions: mean, median and standard deviation of a metabolite map in each region.

A voxel of the map belongs to the region whose label lies at its centre. Voxels at the border of a region also hold
signal from the other side of the border; that partial volume is not corrected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrsikit.io.errors import InputError

BORDER = 6
"""Decimals of a place in voxels that count; less is the rounding of affines."""


class RegionStatistics(NamedTuple):
    """One region of one map, or of the ratio of two maps.

    Attributes:
        label: number of the region, above 0.
        name: name of the region; empty if it has none.
        voxels: voxels of the region that have a value; the statistics are over these.
        zeros: further voxels of the region where the map is 0, which means not measured or not filled. For a ratio,
            also those whose denominator is not above 0.
        undefined: further voxels of the region where the map, or the denominator, is NaN or infinite.
        mean: mean of the values in the map's unit; NaN for a region without voxels, as the next two.
        median: their median.
        sd: their standard deviation, ``numpy.std`` with its default ``ddof=0``.
        share_imputed: share of the voxels that were filled, not measured; None: not known, or no voxels.
        share_not_calibrated: share of the voxels that were filled and are unlike those that checked the fill; None:
            not known, or no voxels.
    """

    label: int
    name: str
    voxels: int
    zeros: int
    undefined: int
    mean: float
    median: float
    sd: float
    share_imputed: float | None
    share_not_calibrated: float | None


def region_statistics(
    values: NDArray[Any],
    labels: NDArray[Any],
    *,
    affine: NDArray[Any] | None = None,
    label_affine: NDArray[Any] | None = None,
    denominator: NDArray[Any] | None = None,
    imputed: NDArray[Any] | None = None,
    calibrated: NDArray[Any] | None = None,
    names: Mapping[int, str] | None = None,
) -> list[RegionStatistics]:
    """Compute the statistics of a map, or of the voxel-wise ratio of two maps, in each labelled region.

    Args:
        values: map (X, Y) or (X, Y, Z) of one metabolite, any unit.
        labels: whole numbers (X', Y'[, Z']), 0 for no region, on any grid. See :func:`labels_on_grid`.
        affine: (4, 4) of the map, voxel to mm; None: the labels lie on the map's grid.
        label_affine: (4, 4) of the labels, voxel to mm; None: the labels lie on the map's grid.
        denominator: map of the shape of ``values``. The statistics are then those of ``values / denominator``, over
            the voxels where the denominator is above 0.
        imputed: of the same shape, 1 where the value was filled, not measured (``<stem>_holes``).
        calibrated: of the same shape, 1 where a filled voxel is like those that checked the fill
            (``<stem>_calibrated``). For a ratio, both arrays state what holds for the two maps together.
        names: names of the labels. A named label without a voxel on the map is listed, too.

    Returns:
        One entry for each label in ``labels`` or ``names``, in ascending order.

    Raises:
        InputError: the arrays do not fit together, or ``labels`` holds other values than whole numbers from 0 on.

    Example:
        >>> values = np.array([[2.0, 4.0], [0.0, 9.0]])
        >>> region = region_statistics(values, np.array([[1, 1], [1, 2]]), names={1: "frontal"})[0]
        >>> region.name, region.voxels, region.zeros, region.mean
        ('frontal', 2, 1, 3.0)
    """
    map_values = np.asarray(values, np.float64)
    if map_values.ndim not in (2, 3):
        raise InputError(f"values is of shape {map_values.shape}; give the map of one metabolite, (X, Y) or (X, Y, Z)")
    others = {"denominator": denominator, "imputed": imputed, "calibrated": calibrated}
    for what, other in others.items():
        if other is not None and np.shape(other) != map_values.shape:
            raise InputError(f"{what} is of shape {np.shape(other)}; the map has {map_values.shape}")
    if (affine is None) != (label_affine is None):
        raise InputError("give both affine and label_affine, or neither for labels on the map's grid")
    whole = whole_labels(labels)
    if affine is not None and label_affine is not None:
        on_map = labels_on_grid(whole, label_affine, map_values.shape, affine)
    elif whole.shape == map_values.shape:
        on_map = whole
    else:
        raise InputError(f"labels is of shape {whole.shape}; the map has {map_values.shape}: give their affines")
    defined, zero = np.isfinite(map_values), map_values == 0
    if denominator is not None:
        below = np.asarray(denominator, np.float64)
        defined &= np.isfinite(below)
        zero |= below <= 0
        map_values = np.divide(map_values, below, out=np.zeros_like(map_values), where=defined & ~zero)
    filled = None if imputed is None else np.asarray(imputed) > 0
    unlike = None if filled is None or calibrated is None else filled & ~(np.asarray(calibrated) > 0)
    names = names or {}
    out = []
    for label in sorted(({int(label) for label in np.unique(whole)} | set(names)) - {0}):
        here = on_map == label
        counted = here & defined & ~zero
        inside = map_values[counted]
        mean, median, sd = (
            (float(np.mean(inside)), float(np.median(inside)), float(np.std(inside))) if inside.size else (np.nan,) * 3
        )
        out.append(
            RegionStatistics(
                label=label,
                name=names.get(label, ""),
                voxels=int(inside.size),
                zeros=int((here & defined & zero).sum()),
                undefined=int((here & ~defined).sum()),
                mean=mean,
                median=median,
                sd=sd,
                share_imputed=_share(filled, counted),
                share_not_calibrated=_share(unlike, counted),
            )
        )
    return out


def whole_labels(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return labels as whole numbers (X, Y[, Z]); axes of length one after the third are left out.

    Raises:
        InputError: a value is no whole number from 0 on, or there are more than three axes.
    """
    values = np.asarray(labels)
    if values.ndim > 3 and set(values.shape[3:]) == {1}:
        values = values.reshape(values.shape[:3])
    if values.ndim not in (2, 3):
        raise InputError(f"labels are of shape {values.shape}; give one image, (X, Y) or (X, Y, Z)")
    if not np.isfinite(values).all() or (values < 0).any() or (values != np.floor(values)).any():
        raise InputError("labels hold other values than whole numbers from 0 on; give one number for each region")
    return values.astype(np.int64)


def labels_on_grid(
    labels: NDArray[Any], label_affine: NDArray[Any], shape: tuple[int, ...], affine: NDArray[Any]
) -> NDArray[np.int64]:
    """Return the label at the centre of each voxel of a map: the nearest voxel of the label image, 0 outside it.

    Where a centre lies on the border between two label voxels, the one with the higher index counts.

    Args:
        labels: whole numbers (X', Y'[, Z']), 0 for no region.
        label_affine: (4, 4) of the labels, voxel to mm.
        shape: shape of the map, (X, Y) or (X, Y, Z).
        affine: (4, 4) of the map, voxel to mm.

    Returns:
        Labels of the given shape.
    """
    whole = np.asarray(labels)
    places = _places(np.indices((*shape, 1)[:3]).reshape(3, -1), affine, label_affine)
    volume = whole.reshape((*whole.shape, 1)[:3])
    near = ndimage.map_coordinates(volume, places, order=0, mode="grid-constant", cval=0)
    return near.reshape(shape).astype(np.int64)


def shares_on_grid(
    labels: NDArray[Any], label_affine: NDArray[Any], shape: tuple[int, ...], affine: NDArray[Any]
) -> dict[int, float]:
    """Return for each label the share of its volume that lies on the grid of a map, by the centres of its voxels.

    Args:
        labels: as of :func:`labels_on_grid`, and so are the other arguments.
        label_affine: (4, 4).
        shape: shape of the map.
        affine: (4, 4).
    """
    whole = np.asarray(labels)
    volume = whole.reshape((*whole.shape, 1)[:3])
    marked = np.nonzero(volume)
    places = _places(np.stack(marked), label_affine, affine)
    size = np.array((*shape, 1)[:3])[:, None]
    inside = ((places >= -0.5) & (places <= size - 0.5)).all(0)
    found, which = np.unique(volume[marked], return_inverse=True)
    shares = np.bincount(which, weights=inside, minlength=len(found)) / np.bincount(which, minlength=len(found))
    return {int(label): float(share) for label, share in zip(found, shares, strict=True)}


def _places(centres: NDArray[Any], affine: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Return where the centres (3, N) of voxels of a grid lie in voxels of another grid, (3, N)."""
    to_other = np.linalg.solve(np.asarray(other, float), np.asarray(affine, float))
    return np.round(to_other[:3, :3] @ centres + to_other[:3, 3:], BORDER)


def _share(marked: NDArray[np.bool_] | None, counted: NDArray[np.bool_]) -> float | None:
    return float(marked[counted].mean()) if marked is not None and counted.any() else None
