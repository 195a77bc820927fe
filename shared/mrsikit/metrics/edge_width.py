"""How sharp an image is at a known border: the width of the mean profile across it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

RANGE = (0.1, 0.9)
"""Shares of the step between which the width is measured."""

BIN = 0.5
"""Voxels of one point of the profile."""

FEWEST = 8
"""Voxels a point of the profile must have."""


def edge_width(image: NDArray[np.floating], region: NDArray[np.bool_], *, reach: float = 5.0) -> float:
    """Distance over which an image goes from a tenth to nine tenths of its step at a region's border.

    Voxels are averaged by their distance from the border, on both sides, to one profile: so noise and single
    irregularities count little. Its plateaus are the means of the outer third on either side. A step blurred by a
    Gaussian of standard deviation s has a width of 2.56 s.

    Args:
        image: (X, Y[, Z]), any unit.
        region: same shape, the true region; the border is its outline.
        reach: voxels from the border, on either side, that the profile covers.

    Returns:
        Voxels; NaN where the region has no such inside or outside, or the image no step there.
    """
    if not region.any() or region.all():
        return float("nan")
    inside, outside = (ndimage.distance_transform_edt(part) for part in (region, ~region))
    # a voxel next to the border is half a voxel from it
    signed = np.where(region, inside - 0.5, 0.5 - outside)
    edges = np.arange(-reach, reach + BIN / 2, BIN)
    place = np.digitize(signed, edges) - 1
    near = (place >= 0) & (place < len(edges) - 1)
    count = np.bincount(place[near], minlength=len(edges) - 1)
    profile = np.bincount(place[near], image[near], len(edges) - 1) / np.maximum(count, 1)
    at = np.bincount(place[near], signed[near], len(edges) - 1) / np.maximum(count, 1)
    filled = count >= FEWEST
    at, profile = at[filled], profile[filled]
    low, high = profile[at < -reach * 2 / 3], profile[at > reach * 2 / 3]
    if not low.size or not high.size or abs(high.mean() - low.mean()) <= 1e-6 * abs(profile).max():
        return float("nan")
    share = (profile - low.mean()) / (high.mean() - low.mean())
    ends = [_crossing(at, share, level) for level in RANGE]
    return float(ends[1] - ends[0]) if ends[1] > ends[0] else float("nan")


def _crossing(at: np.ndarray, share: np.ndarray, level: float) -> float:
    """Where a profile crosses a level nearest to the border; NaN where it does not."""
    after = np.flatnonzero((share[:-1] < level) & (share[1:] >= level))
    if not after.size:
        return float("nan")
    k = after[np.abs(at[after]).argmin()]
    return float(at[k] + (level - share[k]) / (share[k + 1] - share[k]) * (at[k + 1] - at[k]))
