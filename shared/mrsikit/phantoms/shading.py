"""What multiplies a measured metabolite map beside its tissues: coils, transmit field, signal loss, and texture."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from mrsikit.phantoms.fields import waves


def as_measured(image: Tensor, brain: Tensor, spacing: float, rng: np.random.Generator) -> Tensor:
    """Let a map of tissues look like a measured one.

    Physics: the fluid's edges are blurred by the acquisition and by motion. Receive coils around the head and the
    transmit field shade the map. Near the sinuses and the skull base the field is uneven and signal is lost.
    Concentrations vary within a tissue over short and long distances, which no MRI shows. Some maps end at the sides of
    an excited box.

    Drawn: blur in 60 %, SD U(0, 3) mm; sensitivities of 2 to 12 coils on a ring, to the power U(0, 1); transmit field
    1 + U(-0.3, 0.3) (1 - 2 r^2 / R^2); in 40 %, one to three places at the rim of SD U(6, 25) mm where U(0.3, 0.95) of
    the signal is lost; logarithm of the concentration, SD U(0, 0.35) correlated over U(5, 15) mm and U(0, 0.4) over
    U(15, 50) mm; a factor per voxel, SD U(0, 0.08); a box in 15 %.

    Args:
        image: (X, Y) map, any unit.
        brain: (X, Y) bool, inside the skull.
        spacing: side of a voxel in mm.
        rng: random generator.

    Returns:
        (X, Y), float32, same unit; the map as it is if there is no brain.
    """
    if not brain.any():
        return image
    inside, values = brain.numpy(), image.numpy().astype(float)
    if rng.random() < 0.6:
        values = ndimage.gaussian_filter(values, rng.uniform(0, 3) / spacing)
    places = np.argwhere(inside)
    centre, radius = places.mean(0), np.ptp(places, axis=0).max() / 2
    rows, columns = (np.asarray(index) for index in np.indices(values.shape))
    values *= _coils(rows, columns, centre, radius, rng) ** rng.uniform(0, 1)
    squared = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / radius**2
    values *= 1 + rng.uniform(-0.3, 0.3) * (1 - 2 * squared.clip(max=1.5))
    if rng.random() < 0.4:
        rim = np.argwhere(inside & ~ndimage.binary_erosion(inside, iterations=3))
        for place in rim[rng.integers(len(rim), size=rng.integers(1, 4))]:
            away = ((rows - place[0]) ** 2 + (columns - place[1]) ** 2) * spacing**2
            values *= 1 - rng.uniform(0.3, 0.95) * np.exp(-away / (2 * rng.uniform(6, 25) ** 2))
    for spread, length in ((0.35, (5, 15)), (0.4, (15, 50))):
        step = rng.uniform(*length) / spacing
        values *= np.exp(
            rng.uniform(0, spread) * waves(values.shape, [max(3, round(n / step)) for n in inside.shape], rng)
        )
    values *= (1 + rng.uniform(0, 0.08) * rng.standard_normal(values.shape)).clip(min=0)
    if rng.random() < 0.15:
        values *= _box(inside, rng)
    return torch.from_numpy(values.astype(np.float32))


def _coils(
    rows: np.ndarray, columns: np.ndarray, centre: np.ndarray, radius: float, rng: np.random.Generator
) -> np.ndarray:
    """Sum of the sensitivities of coils at 1.3 radii, which fall off with the square of the distance; mean 1."""
    total = np.zeros(rows.shape)
    for angle in rng.uniform(0, 2 * np.pi, rng.integers(2, 13)):
        x, y = centre + 1.3 * radius * np.array([np.cos(angle), np.sin(angle)])
        total += rng.uniform(0.3, 1) / (((rows - x) ** 2 + (columns - y) ** 2) / radius**2 + 0.3)
    return total / total.mean()


def _box(inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rectangle that holds 45 to 85 % of the brain's extent along each axis, at a random place in it."""
    box = np.ones(inside.shape, bool)
    for axis in (0, 1):
        there = np.flatnonzero(inside.any(1 - axis))
        length = round(rng.uniform(0.45, 0.85) * len(there))
        start = int(there[0] + rng.integers(len(there) - length + 1))
        kept = np.zeros(inside.shape[axis], bool)
        kept[start : start + length] = True
        box &= kept[:, None] if axis == 0 else kept[None]
    return box
