"""Masks of lesions with random outlines, independent of the anatomy, to be shown in one image and not in another."""

from __future__ import annotations

import numpy as np
import torch
from skimage.draw import polygon2mask
from torch import Tensor

from mrsikit.phantoms.fields import waves

RADII = (1.2, 8.0)
"""Smallest and largest radius (voxels) of a disc of about the lesion's size; the radius is log-uniform."""

FINER = 3
"""Sample points along each axis of a voxel for a sharp outline."""

REACH = 3.0
"""Distance from the centre, in radii, within which a sharp outline is drawn; the rare parts beyond are cut off."""


def lesion(shape: tuple[int, ...], inside: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw the mask of a lesion of random size and kind.

    Half of the lesions are blobs with an edge of U(0.2, 0.5) voxels or wider. The others have an edge as sharp as the
    grid allows. These are ragged lesions, which may fall into pieces, or polygons of 3 to 12 corners at U(0.35, 1.7)
    times the radius. A network trained on blobs alone leaves sharp, angular lesions blurred.

    Args:
        shape: (X, Y).
        inside: (X, Y) bool, where the centre may lie.
        rng: random generator.

    Returns:
        (X, Y) float32: the fraction of each voxel that the lesion occupies; 0 everywhere if ``inside`` is empty.
    """
    places = inside.nonzero()
    if len(places) == 0:
        return torch.zeros(shape)
    centre = places[rng.integers(len(places))].numpy()
    radius = float(np.exp(rng.uniform(*np.log(RADII))))
    if rng.random() < 0.5:
        return torch.from_numpy(_blob(shape, centre, radius, rng))
    # A sharp lesion is drawn in a window around it; its centre may lie anywhere within the central voxel.
    side = 2 * int(np.ceil(REACH * radius)) + 3
    window = _sharp(side, radius, rng)
    padded = np.pad(np.zeros(shape, np.float32), side)
    low = centre + side - side // 2
    padded[low[0] : low[0] + side, low[1] : low[1] + side] = window
    return torch.from_numpy(padded[side:-side, side:-side].copy())


def _blob(shape: tuple[int, ...], centre: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Draw an ellipse with a wavy edge, sharp or soft."""
    along, across = _turned(np.arange(shape[0]) - centre[0], np.arange(shape[1]) - centre[1], rng, stretch=1.8)
    step = max(2.0, rng.uniform(0.7, 1.4) * radius)
    ripple = waves(shape, [max(3, round(n / step)) for n in shape], rng)
    distance = np.hypot(along, across) * np.clip(1 + rng.uniform(0, 0.4) * ripple, 0.5, 2)
    edge = rng.uniform(0.2, 0.5) if rng.random() < 0.6 else rng.uniform(0.5, 0.5 * radius + 0.5)
    return (1 / (1 + np.exp(np.clip((distance - radius) / edge, -30, 30)))).astype(np.float32)


def _sharp(side: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a ragged lesion or a polygon in a window (side, side), off its centre by up to half a voxel."""
    points = (np.arange(side * FINER) + 0.5) / FINER - side / 2
    x, y = (points + rng.uniform(-0.5, 0.5) for _ in range(2))
    if rng.random() < 0.5:
        along, across = _turned(x, y, rng, stretch=2.5)
        knots = max(3, round(side / (rng.uniform(0.3, 1.0) * radius)))
        distance = np.hypot(along, across) / radius
        inside = distance + rng.uniform(0.1, 0.7) * waves(along.shape, [knots] * 2, rng) < 1
    else:
        corners = int(rng.integers(3, 13))
        angles, reach = np.sort(rng.uniform(0, 2 * np.pi, corners)), radius * rng.uniform(0.35, 1.7, corners)
        corner = np.stack([reach * np.cos(angles) - x[0], reach * np.sin(angles) - y[0]], 1) * FINER
        inside = polygon2mask((len(x), len(y)), corner)
    return inside.astype(np.float32).reshape(side, FINER, side, FINER).mean((1, 3))


def _turned(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, *, stretch: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotate and scale coordinates at random, so that a circle in them is an ellipse of axis ratio up to ``stretch``.

    Args:
        x: (X,) coordinates along the first axis.
        y: (Y,) coordinates along the second axis.
        rng: random generator.
        stretch: largest ratio of the axes of the ellipse.

    Returns:
        The coordinates (X, Y) along and across the ellipse.
    """
    turn, root = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1.0, stretch))
    along = x[:, None] * np.cos(turn) + y[None] * np.sin(turn)
    across = -x[:, None] * np.sin(turn) + y[None] * np.cos(turn)
    return along / root, across * root
