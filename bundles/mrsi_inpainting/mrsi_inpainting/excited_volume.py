r"""Excited volume: recognise a map of tissue that PRESS or semi-LASER selected, by its straight outline.

The signal of a slice is fitted twice, by a blurred box and by a blurred ellipse. Both are superellipses,

.. math:: |u / a|^p + |v / b|^p \le 1, \qquad p = 8 \text{ or } 2,

with free centre, sides, angle and blur. The outline is that of a box if the box fits better. Voxels that failed inside
do not count, and neither does what the matrix cuts off. In millimetres, an outline too short for a head is more likely
a box.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import least_squares
from scipy.spatial import ConvexHull, QhullError
from skimage.filters import threshold_otsu
from skimage.morphology import convex_hull_image, reconstruction

ELLIPSE, BOX = 2.0, 8.0
"""Exponents of the two superellipses."""

BOX_GAIN, BOX_GAIN_SHORT, UNSURE_GAIN = 0.2, 0.05, -0.05
"""An outline is that of a box from this gain on, if it may be a head's or is too short for one; below it, down to the
third, the two cannot be told apart. The gain is log(misfit of the ellipse / misfit of the box). Chosen on virtual
brains and BrainWeb 1."""

HEAD = 130.0
"""Shortest outline (mm) that may well be a whole section of an adult's brain: shorter ones are cut or near the vertex.
In a field of view that holds no such outline, lengths say nothing. Chosen as the gains."""

FEWEST = 12
"""Fewest voxels of an outline whose shape can be told."""

FULL, BLUR = 0.8, 0.7
"""Signal counts fully from 0.8 x its typical value, found after a Gaussian blur of this standard deviation (voxels)."""

MARGIN = 0.25
"""Depth (voxels) in the box from which a zero counts as failed: its sides are not known better. On BrainWeb 1 nothing
is filled where less than a fifth of a voxel was excited (0.1 % of the box without this margin), and 0.1 % of the box
where less than half was (0.2 %). Of the failed voxels 0.82 are found (0.84)."""

THIN = 0.4
"""A slice counts if it holds at least 0.4 x as much signal as the fullest one."""

ZEROS = 0.05
"""Share of zeros outside the signal's hull below which the background is noise, and the zeros are failed voxels."""

FINEST = 20
"""Longest outline in voxels that is fitted as it is; longer ones are averaged in blocks first."""

NEAR = np.ones((3, 3), bool)


@dataclass(frozen=True)
class ExcitedVolume:
    """Voxels outside which nothing was measured.

    Attributes:
        mask: (X, Y[, Z]), bool: the box or, if not certain, the convex hull of the signal.
        certain: whether the outline is that of a box. If not, it may as well be a head's.
    """

    mask: np.ndarray
    certain: bool


@dataclass(frozen=True)
class Outline:
    """Fit of a superellipse: parameters (centre 2, log half sides 2, angle in radians, log blur) and its misfit."""

    parameters: np.ndarray
    misfit: float

    def sides(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Position over the half sides: (2, ...), within -1 to 1 in the box."""
        return _sides(self.parameters, x, y)

    def depth(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Depth below the nearest side of the box, in voxels; negative outside."""
        half = np.exp(self.parameters[2:4]).reshape(2, *[1] * x.ndim)
        return (half * (1 - np.abs(self.sides(x, y)))).min(0)

    def corners(self, shape: tuple[int, ...]) -> int:
        """Number of the box's corners inside a matrix, to half a voxel."""
        cx, cy, *logs, angle, _ = self.parameters
        half = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)]) * np.exp(logs) @ _axes(angle) + (cx, cy)
        return int(((half > -1) & (half < np.array(shape[:2]))).all(1).sum())


def excited_volume(maps: np.ndarray, spacing: float | None = None) -> ExcitedVolume | None:
    """Find the excited volume of maps whose outline is, or may be, a box.

    PRESS and semi-LASER excite a box. Tissue outside it was never measured, so its zeros are no failed fits. The box
    may be turned in plane and may be cut by the matrix.

    Args:
        maps: (M, X, Y[, Z]), finite, zero where nothing was measured; all of one session.
        spacing: voxel size in plane (mm), if it is known.

    Returns:
        The excited volume; None if the outline is a head's, if signal fills the matrix, or if the outline may be either
        and the background holds noise, so that its zeros are failed voxels.
    """
    volume = np.abs(maps).reshape(*maps.shape[:3], -1)
    members = [m for m in map(_membership, volume) if m is not None]
    if not members:
        return None
    member = np.mean(members, 0)
    filled = (member > 0.5).sum((0, 1))
    slices = filled >= max(FEWEST, THIN * filled.max())
    if not slices.any():
        return None
    plane = _closed(np.median(member[..., slices], -1))
    signal = _largest(plane > 0.5)
    if signal.sum() < FEWEST or _fills(signal):
        return None
    box, ellipse = (_fitted(plane, signal, exponent) for exponent in (BOX, ELLIPSE))
    if box is None or ellipse is None:
        return None
    gain = np.log((ellipse.misfit + 1e-4) / (box.misfit + 1e-4))
    length = None if spacing is None or spacing * max(plane.shape) < HEAD else spacing * _length(signal)
    short = length is not None and length < HEAD
    certain = bool(gain > (BOX_GAIN_SHORT if short else BOX_GAIN)) and box.corners(plane.shape) >= 2
    if not certain and gain < UNSURE_GAIN and not short:
        return None
    first, last = np.flatnonzero(slices)[[0, -1]]
    inside = np.zeros(member.shape, bool)
    if certain:
        depth = box.depth(*np.indices(plane.shape))[..., None]
        within = (depth >= MARGIN) | signal[..., None] | ((depth >= 0) & (volume != 0).all(0))
        inside[..., first : last + 1] = within[..., first : last + 1]
    else:
        for z in range(first, last + 1):
            inside[..., z] = _hull(_largest(_closed(member[..., z]) > 0.5) if slices[z] else signal)
        if not inside.all() and (volume[:, ~inside] == 0).mean() < ZEROS:
            return None
    return ExcitedVolume(inside.reshape(maps.shape[1:]), certain) if 0 < inside.sum() < inside.size else None


def _membership(values: np.ndarray) -> np.ndarray | None:
    """Signal (X, Y, Z) over its typical value, at most 1; None where there is no signal."""
    smooth = ndimage.gaussian_filter(values, (BLUR, BLUR, 0))
    positive = smooth[smooth > 0]
    if len(positive) < FEWEST:
        return None
    top = np.sort(positive)[-max(FEWEST, len(positive) // 100)]  # artefacts are brighter
    limited = np.minimum(smooth, top)
    typical = np.median(limited[limited > threshold_otsu(limited.ravel())]) if limited.min() < top else top
    return np.minimum(values / (FULL * typical), 1)


def _closed(plane: np.ndarray) -> np.ndarray:
    """Close notches of a voxel and enclosed holes."""
    closed = ndimage.grey_closing(np.pad(plane, 3, mode="edge"), footprint=NEAR)[3:-3, 3:-3]
    seed = closed.copy()
    seed[1:-1, 1:-1] = closed.max()
    return reconstruction(seed, closed, method="erosion")


def _largest(signal: np.ndarray) -> np.ndarray:
    """Largest piece of a mask (X, Y), without threads of one voxel."""
    opened = ndimage.binary_opening(np.pad(signal, 2, mode="edge"), np.ones((2, 2)))[2:-2, 2:-2] & signal
    pieces, count = ndimage.label(opened, NEAR)
    return pieces == np.bincount(pieces[pieces > 0]).argmax() if count else opened


def _hull(signal: np.ndarray) -> np.ndarray:
    return convex_hull_image(signal) if signal.any() else signal


def _fills(signal: np.ndarray) -> bool:
    """Whether signal reaches all four edges of the matrix, so that little of its outline shows."""
    edges = (signal[0], signal[-1], signal[:, 0], signal[:, -1])
    return all(edge.any() for edge in edges) and signal.mean() > 0.9


def _length(signal: np.ndarray) -> float:
    """Longest distance across a mask, in voxels."""
    points = np.argwhere(signal ^ ndimage.binary_erosion(signal))
    return float(np.sqrt(((points[:, None] - points) ** 2).sum(-1).max())) + 1


def _fitted(plane: np.ndarray, signal: np.ndarray, exponent: float) -> Outline | None:
    """Fit a superellipse to a plane (X, Y) of membership; None if ``signal`` is a line."""
    low, high = np.maximum(np.argwhere(signal).min(0) - 4, 0), np.argwhere(signal).max(0) + 5
    crop = (slice(low[0], high[0]), slice(low[1], high[1]))
    block = max(1, round(max(np.ptp(np.argwhere(signal), axis=0) + 1) / FINEST))
    x, y, wanted = (_averaged(a[crop], block).ravel() for a in (*np.indices(plane.shape).astype(float), plane))

    def misfit(parameters: np.ndarray) -> np.ndarray:
        return _superellipse(parameters, x, y, exponent) - wanted

    lower = np.array([-np.inf, -np.inf, np.log(1.5), np.log(1.5), -np.inf, np.log(0.15)])
    upper = np.array([np.inf, np.inf, np.log(200.0), np.log(200.0), np.inf, np.log(1.2 * block)])
    starts = sorted((np.clip(s, lower, upper) for s in _starts(signal)), key=lambda s: np.abs(misfit(s)).sum())
    fits = [
        least_squares(misfit, s, bounds=(lower, upper), loss="soft_l1", f_scale=0.3,
                      x_scale=[1, 1, 0.1, 0.1, 0.1, 0.5], max_nfev=25)
        for s in starts[:2]
    ]  # fmt: skip
    best = min(fits, key=lambda f: f.cost, default=None)
    return None if best is None else Outline(best.x, float(best.cost) / len(wanted))


def _averaged(values: np.ndarray, block: int) -> np.ndarray:
    x, y = (n // block for n in values.shape)
    return values[: x * block, : y * block].reshape(x, block, y, block).mean((1, 3))


def _starts(signal: np.ndarray) -> Iterator[np.ndarray]:
    """Parameters of rectangles around a mask: along the matrix, the smallest one's, the principal axes, and between."""
    points = np.argwhere(signal).astype(float)
    try:
        hull = ConvexHull(points)
    except QhullError:
        return
    spread = np.linalg.eigh(np.cov(points.T))[1][:, 1]
    principal = float(np.arctan2(spread[1], spread[0]))
    along = np.arctan2(hull.equations[:, 1], hull.equations[:, 0])
    areas = [np.prod(np.ptp(points[hull.vertices] @ _axes(a).T, axis=0) + 1) for a in along]
    for angle in (0.0, float(along[np.argmin(areas)]), principal, principal + np.pi / 4):
        at = points @ _axes(angle).T
        centre = (at.min(0) + at.max(0)) / 2 @ _axes(angle)
        yield np.array([*centre, *np.log((np.ptp(at, axis=0) + 1) / 2), angle, np.log(0.4)])


def _axes(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s], [-s, c]])


def _sides(parameters: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    cx, cy, log_a, log_b, angle, _ = parameters
    (c, s), _ = _axes(angle)
    return np.stack([(c * (x - cx) + s * (y - cy)) / np.exp(log_a), (c * (y - cy) - s * (x - cx)) / np.exp(log_b)])


def _superellipse(parameters: np.ndarray, x: np.ndarray, y: np.ndarray, exponent: float) -> np.ndarray:
    """Blurred superellipse: about 1 inside, 0.5 on the outline, to first order in the distance from it."""
    u, v = np.abs(_sides(parameters, x, y)) + 1e-6
    largest = np.maximum(u, v)
    radius = largest * ((u / largest) ** exponent + (v / largest) ** exponent) ** (1 / exponent)
    steepness = np.hypot(
        (u / radius) ** (exponent - 1) / np.exp(parameters[2]), (v / radius) ** (exponent - 1) / np.exp(parameters[3])
    )
    distance = (1 - radius) / np.maximum(steepness, 1e-6)
    return 1 / (1 + np.exp(-np.clip(distance / np.exp(parameters[5]), -30, 30)))
