r"""Find out whether maps were interpolated, and from which matrix.

Every linear interpolation along an axis, whether nearest, linear, cubic or zero filling in k-space, makes N values of n
measured ones. So the lines along that axis span n dimensions: a matrix of lines has n singular values, and the others
are zero but for rounding. Noise does not change that, because it was interpolated too. Lines that were measured at N
places have noise in all N dimensions. Interpolated maps are often cut by a mask afterwards. Therefore the lines are cut
to the longest stretch that enough of them spend in tissue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

SUPPORT = 0.1
"""Voxels above 0.1 x a map's maximum count as tissue."""

SHORTEST = 8
"""Fewest voxels of a stretch from which the matrix can be told."""

SPARE = 1.25
"""Lines per voxel of the stretch: with fewer, the smallest singular values of a full matrix approach zero."""

MOST_LINES = 1000
"""Number of lines that are enough."""

LAST = 8
"""The smallest eighth of the singular values, at least two, shows what the other dimensions hold."""

EMPTY, ALMOST_EMPTY = 1e-4, 1e-3
"""Largest root mean square of these singular values per voxel, relative to that of the map, in interpolated maps. Maps
of 12 bits or resliced ones may exceed the first. Measured maps reach the second only if their noise is below a
thousandth of the signal."""

FALL, WITHIN = 14.0, 3
"""In almost empty maps the singular values must fall 14-fold within three of them, as at the end of what was measured.
Without noise, those of a head fall 11-fold at most. All chosen on virtual subjects and BrainWeb 1."""

ROUGH = 0.4
"""In the upper half of the frequencies that interpolated maps lack, their differences hold less than 0.4 x the mean
power of all frequencies."""

STILL, CHANGED = 0.25, 0.5
"""After nearest-neighbour interpolation, at least a quarter of the steps change nothing, and the others at least half
of the lines."""

FEWEST = 4
"""Fewest measured voxels: a map that needs fewer is a drawing, such as an even disc."""

OVERLAP = 1.5
"""A stretch inside the map depends on 1.5 more measured values than its length says, as its ends overlap others."""


def sampled_matrix(maps: NDArray[np.floating | np.complexfloating], support: float = SUPPORT) -> list[int]:
    """Find the axes along which maps were interpolated.

    A map made at the measured matrix and then smoothed strongly is named too: its outer k-space is as empty.

    Args:
        maps: (M, X, Y, Z) on one grid, real or complex; NaN, infinity and zero were not measured.
        support: share of a map's maximum above which a voxel is used.

    Returns:
        For each axis the approximate number of voxels that were measured, if at least half of the maps that can be
        judged were interpolated along it; 0 if not, or if none can be judged.
    """
    if maps.size == 0:
        return [0, 0, 0]
    finite = np.where(np.isfinite(maps), maps, 0)
    finite = finite / (np.abs(finite).max() or 1.0)
    found: list[list[int]] = [[], [], []]
    for values in map(_without_background, finite):
        tissue = np.abs(values) > support * np.abs(values).max()
        for axis in range(3):
            lines, all_lines = _lines(values, tissue, axis), _lines(values, values != 0, axis)
            if lines is not None and all_lines is not None:
                count = _measured(all_lines, maps.shape[1 + axis]) if _is_empty(lines) else 0
                share = count / maps.shape[1 + axis]
                plausible = count >= FEWEST and (_is_smooth(lines, share) or _is_blocks(lines))
                found[axis].append(count if plausible else 0)
    out = []
    for counts in found:
        named = [count for count in counts if count > 0]
        out.append(round(float(np.median(named))) if named and 2 * len(named) >= len(counts) else 0)
    return out


def interpolated_in_words(sampled: Sequence[int], shape: Sequence[int]) -> str:
    """Say from which matrix voxels of some shape were interpolated, as :func:`sampled_matrix` found it."""
    measured = " x ".join(str(int(n) or size) for n, size in zip(sampled, shape, strict=False))
    given = " x ".join(str(size) for size in shape)
    return f"the {given} voxels look interpolated from about {measured}, or were smoothed (outer k-space is empty)"


def _without_background(values: NDArray) -> NDArray:
    """Set the value that all corners share, such as -1, to zero: it was not measured."""
    corners = values[np.ix_(*([0, -1],) * 3)]
    return np.where(values == corners.flat[0], 0, values) if (corners == corners.flat[0]).all() else values


def _lines(values: NDArray, tissue: NDArray, axis: int) -> NDArray | None:
    """The longest stretch (W, L) along an axis that L lines spend in tissue, L at least :data:`SPARE` x W."""
    values, tissue = (np.moveaxis(part, axis, 0).reshape(part.shape[axis], -1) for part in (values, tissue))
    every = -(-np.count_nonzero(tissue.any(0)) // MOST_LINES) or 1
    kept = np.flatnonzero(tissue.any(0))[::every]
    values, tissue = values[:, kept], tissue[:, kept]
    before = np.concatenate([np.zeros((1, len(kept)), int), tissue.cumsum(0)])
    for width in range(len(values), SHORTEST - 1, -1):
        within = before[width:] - before[:-width] == width
        start = int(within.sum(1).argmax())
        if within[start].sum() >= SPARE * width:
            return values[start : start + width, within[start]]
    return None


def _singular_values(lines: NDArray) -> NDArray:
    """Singular values (W,) of lines (W, L), in units of their root mean square."""
    values = np.linalg.svd(lines, compute_uv=False)
    return values / np.sqrt(np.mean(values**2))


def _falls(values: NDArray) -> NDArray:
    """Logarithm of the fall of singular values (W,) within :data:`WITHIN` of them; 0 at the first, of the mean."""
    logs = np.log(np.maximum(values, EMPTY))
    falls = logs[:-WITHIN] - logs[WITHIN:]
    falls[: max(1, len(values) // LAST)] = 0
    return falls


def _is_smooth(lines: NDArray, share: float) -> bool:
    """Whether lines (W, L) lack the upper half of the frequencies beyond those of a measured ``share`` of the voxels.

    A drawing may have few singular values, such as a disc with a lesion, but its edges have all frequencies.
    """
    power = np.abs(fft.dct(np.diff(lines, axis=0), axis=0, norm="ortho")) ** 2
    upper = power[math.ceil((1 + share) / 2 * len(power)) :]
    return len(upper) > 0 and bool(upper.mean() < ROUGH * power.mean())


def _is_blocks(lines: NDArray) -> bool:
    """Whether lines (W, L) consist of blocks of equal values, at the same places in all lines."""
    changed = (np.diff(lines, axis=0) != 0).mean(1)
    return bool((changed == 0).mean() >= STILL and (changed[changed > 0] >= CHANGED).all())


def _is_empty(lines: NDArray) -> bool:
    """Whether lines (W, L) have singular values that hold nothing."""
    values = _singular_values(lines)
    rest = float(np.sqrt(np.mean(values[-max(2, len(values) // LAST) :] ** 2)))
    return rest < EMPTY or (rest < ALMOST_EMPTY and bool(_falls(values).max() > np.log(FALL)))


def _measured(lines: NDArray, size: int) -> int:
    """Number of measured voxels of an axis of ``size`` voxels, from interpolated lines (W, L) along it."""
    values = np.maximum(_singular_values(lines), EMPTY)
    edge = int(_falls(values).argmax())
    count = int((values > np.sqrt(values[edge] * values[edge + WITHIN])).sum())
    inside = len(values) < size
    return min(size - 1, round((count - OVERLAP * inside) * size / len(values)))
