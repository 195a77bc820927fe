"""Excited volume: recognise a map of tissue that PRESS or semi-LASER selected, by its straight outline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from skimage.filters import threshold_otsu

ROUNDNESS = 0.2
"""An outline is straight if its corners lack less than 0.2 x what those of an ellipse lack. Chosen on virtual brains
and BrainWeb 1, so low that a brain without its rim or a slab is no box. Over half of the boxes in noise are missed."""

FEWEST = 20
"""Fewest voxels of an outline whose shape can be told."""

FEWEST_SIDE = 5.0
"""Shortest side of an excited volume whose shape can be told, in voxels."""

ALIGNED = 1.05
"""A rectangle along the axes of the matrix is preferred if its area is at most 1.05 x the smallest one's."""

THIN = 0.2
"""An outermost row of a rectangle counts as outside if less than a fifth of it holds signal."""

FILLED, EMPTY = 0.6, 0.2
"""Signal must fill at least 0.6 of the rectangle, and at most 0.2 of the slice beside it."""

HALF = 0.5
"""In noise, signal is what exceeds half of its typical value: there lies the edge of a blurred box."""

BLUR = 0.7
"""Standard deviation of the Gaussian that averages noise before that, in voxels."""

NEAR = np.ones((3, 3))
POINTS = (np.stack(np.meshgrid(*[(np.arange(12) + 0.5) / 12] * 2, indexing="ij"), -1)).reshape(-1, 2)
BEYOND_ELLIPSE = float(((POINTS**2).sum(1) > 1).mean())


@dataclass(frozen=True)
class Rectangle:
    """Smallest rectangle around the signal of a slice.

    Attributes:
        axes: (2, 2), unit vectors along the sides, one a row.
        low, high: (2,), first and last voxel centre along each axis, in voxels.
        roundness: what the roundest but one of its corners inside the matrix lacks (the roundest, of one or two), over
            what the corner of an ellipse lacks.
    """

    axes: np.ndarray
    low: np.ndarray
    high: np.ndarray
    roundness: float

    @property
    def straight(self) -> bool:
        """Whether the outline has the corners of a box."""
        return self.roundness < ROUNDNESS and bool((self.high - self.low + 1 >= FEWEST_SIDE).all())

    def mask(self, shape: tuple[int, ...]) -> np.ndarray:
        """Voxels (X, Y) whose centre lies in the rectangle."""
        return _within(_coordinates(shape, self.axes), self.low, self.high)


def excited_volume(maps: np.ndarray) -> np.ndarray | None:
    """Find the excited volume of a map whose outline is a box.

    PRESS and semi-LASER excite a box. Tissue outside it was never measured, so its zeros are no failed fits. The
    outline is compared with its smallest rectangle, in the slices together and in each alone. The rectangle may be
    turned and may be cut by the matrix. A box fills its corners; a brain does not. Where the background holds noise,
    signal is what exceeds half of the typical signal.

    Args:
        maps: (M, X, Y[, Z]), finite, zero where nothing was measured; all of one session. Voxels are square in plane.

    Returns:
        (X, Y[, Z]), True within the box; None if the outline is not that of a box, or if the box fills the matrix.
    """
    magnitude = np.abs(maps).reshape(*maps.shape[:3], -1)
    for signal in (magnitude > 0, _above_noise(magnitude)):
        common = signal[signal.any((1, 2, 3))]
        if not len(common):
            return None
        found = _box(common.mean(0) >= 0.5)
        if found is not None:  # the background holds no noise
            return found.reshape(maps.shape[1:]) if 0 < found.sum() < found.size else None
    return None


def _above_noise(magnitude: np.ndarray) -> np.ndarray:
    """Voxels (M, X, Y, Z) above half of the typical signal of each map, after slight smoothing in plane."""
    out = np.zeros(magnitude.shape, bool)
    for m, values in enumerate(magnitude):
        smooth = ndimage.gaussian_filter(values, (BLUR, BLUR, 0))
        positive = smooth[smooth > 0]
        if len(positive) < FEWEST:
            continue
        positive = np.minimum(positive, np.percentile(positive, 95))
        if positive.max() > positive.min():
            out[m] = smooth > HALF * np.median(positive[positive > threshold_otsu(positive)])
    return out


def _box(signal: np.ndarray) -> np.ndarray | None:
    """Box (X, Y, Z) of a mask of signal, common to the slices or else one rectangle a slice.

    Returns:
        True within the box, nowhere True if the outline is none; None if signal has no outline inside the matrix.
    """
    box = np.zeros(signal.shape, bool)
    filled = [z for z in range(signal.shape[2]) if signal[..., z].sum() >= FEWEST]
    if not filled:
        return None
    common = _rectangle(signal[..., filled].mean(2) >= 0.5)
    if common is not None and common.straight:
        box[..., filled] = common.mask(signal.shape[:2])[..., None]
        return box
    each = {z: rectangle for z in filled if (rectangle := _rectangle(signal[..., z])) is not None}
    if 2 * sum(rectangle.straight for rectangle in each.values()) > len(filled):
        for z, rectangle in each.items():
            box[..., z] = rectangle.mask(signal.shape[:2])
    return box if each or common is not None else None


def _rectangle(signal: np.ndarray) -> Rectangle | None:
    """Smallest rectangle around the largest piece of signal (X, Y), without its thin outermost rows.

    None if none of its corners lies inside the matrix, or if signal lies beside it.
    """
    whole = signal
    for _ in range(2):  # voxels with few neighbours are noise
        signal = signal & (ndimage.convolve(signal.astype(int), NEAR.astype(int), mode="nearest") > 3)
    pieces, _ = ndimage.label(ndimage.binary_dilation(signal, NEAR), NEAR)
    sizes = np.bincount(pieces[signal], minlength=1)
    if len(sizes) < 2:
        return None
    signal = signal & (pieces == sizes.argmax())
    for _ in range(2):
        found = _tightest(signal)
        if found is None:
            return None
        axes, low, high = found
        at = _coordinates(signal.shape, axes)
        for axis, end in ((0, low), (0, high), (1, low), (1, high)):
            row = _within(at, low, high) & (np.abs(at[..., axis] - end[axis]) < 0.5)
            if row.any() and signal[row].mean() < THIN:
                end[axis] += 1 if end is low else -1
        signal = signal & _within(at, low, high)
    found = _tightest(signal)
    if found is None:
        return None
    inside = _within(_coordinates(signal.shape, found[0]), *found[1:])
    if signal[inside].mean() < FILLED or (not inside.all() and whole[~inside].mean() > EMPTY):
        return None
    roundness = _roundness(signal, *found)
    return None if roundness is None else Rectangle(*found, roundness)


def _tightest(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Axes, low and high end of the smallest rectangle around signal (X, Y); a side lies along one of its hull's."""
    points = np.argwhere(signal)
    if len(points) < FEWEST:
        return None
    try:
        hull = ConvexHull(points)
    except QhullError:
        return None
    corners = points[hull.vertices]
    found = [(axes, *_ends(corners @ axes.T)) for axes in _turned(hull)]
    areas = [float(np.prod(high - low + 1)) for _, low, high in found]
    best = int(np.argmin(areas))
    return found[0 if areas[0] <= ALIGNED * areas[best] else best]


def _turned(hull: ConvexHull) -> Iterator[np.ndarray]:
    yield np.eye(2)
    for x, y in hull.equations[:, :2]:
        yield np.array([[x, y], [-y, x]])


def _ends(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return at.min(0).astype(float), at.max(0).astype(float)


def _coordinates(shape: tuple[int, ...], axes: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.indices(shape), 0, -1) @ axes.T


def _within(at: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.all((at > low - 0.3) & (at < high + 0.3), axis=-1)


def _roundness(signal: np.ndarray, axes: np.ndarray, low: np.ndarray, high: np.ndarray) -> float | None:
    hull = ConvexHull(np.argwhere(signal))
    last = np.array(signal.shape) - 1
    centre, half = (low + high) / 2, (high - low) / 2
    lacking = []
    at = _coordinates(signal.shape, axes) - centre
    border = np.pad(np.zeros(last - 1, bool), 1, constant_values=True)
    for corner in np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)]):
        # Beyond a side that the matrix cuts lies nothing that would tell a box from a brain.
        beyond = np.array([half * (1, 0.5) + (1, 0), half * (0.5, 1) + (0, 1)])
        cut = not _within((centre + corner * beyond) @ axes, np.zeros(2), last).all()
        if cut and (signal & border & (at * corner >= 0).all(-1)).any():
            continue
        points = (centre + corner * POINTS * half) @ axes
        inside = (points @ hull.equations[:, :2].T + hull.equations[:, 2] <= 1e-6).all(1)
        lacking.append(1 - float(inside.mean()))
    if not lacking:
        return None
    # One corner of four may be lost; a brain cut by a slab has two round ones.
    return sorted(lacking)[-2 if len(lacking) > 2 else -1] / BEYOND_ELLIPSE
