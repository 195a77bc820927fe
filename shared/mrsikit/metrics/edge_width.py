"""Sharpness of an image at a known border: the width of the mean profile across it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

RANGE = (0.1, 0.9)
"""Fractions of the step between which the width is measured."""

BIN = 0.5
"""Width of one bin of the profile (voxels)."""

FEWEST = 8
"""Fewest voxels that a bin of the profile must have."""


def edge_width(image: NDArray[np.floating], region: NDArray[np.bool_], *, reach: float = 5.0) -> float:
    """Distance over which an image rises from 10 % to 90 % of its step at the border of a region.

    Voxels are averaged by their distance from the border to one profile across it, so noise and single irregularities
    have little effect. The plateaus of the profile are the means of its outer third on either side. A step blurred by a
    Gaussian of standard deviation s has a width of 2.56 s.

    Args:
        image: (X, Y[, Z]), any unit.
        region: same shape, the true region; the border is its outline.
        reach: distance from the border that the profile covers on either side (voxels).

    Returns:
        Width in voxels; NaN if the inside or the outside of the region does not reach the plateaus, or the image has no
        step at the border.
    """
    if not region.any() or region.all():
        return float("nan")
    inside, outside = (ndimage.distance_transform_edt(part) for part in (region, ~region))
    # the centre of a voxel next to the border is half a voxel from it
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
    """Position at which a profile rises through a level, nearest to the border; NaN if it does not."""
    after = np.flatnonzero((share[:-1] < level) & (share[1:] >= level))
    if not after.size:
        return float("nan")
    k = after[np.abs(at[after]).argmin()]
    return float(at[k] + (level - share[k]) / (share[k + 1] - share[k]) * (at[k + 1] - at[k]))
