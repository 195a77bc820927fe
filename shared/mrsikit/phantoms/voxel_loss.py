"""Patterns of missing voxels in metabolite maps, as they occur in practice.

Every function returns a bool array of the map's shape, True where the voxel is missing. ``brain`` is the mask of the
voxels with signal; ``fraction`` is a share of these voxels (0-1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from mrsikit.phantoms.algorithm1 import algorithm1


def clusters(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Remove clusters of 1-3 voxels per side anywhere in the brain; exactly the requested share."""
    return algorithm1(brain, fraction, rng, placement="uniform")


def singles(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Remove single voxels at random places, as isolated failed fits."""
    chosen = rng.permutation(np.flatnonzero(brain))[: int(fraction * brain.sum())]
    missing = np.zeros(brain.shape, bool)
    missing.flat[chosen] = True
    return missing


def rim(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Remove tissue next to the skull, as lipid signals do, to a depth that varies along the rim."""
    depth = ndimage.distance_transform_edt(np.pad(_filled(brain), 1))[(slice(1, -1),) * brain.ndim]
    return _lowest(depth * np.exp(0.8 * _waves(brain.shape, rng)), brain, int(fraction * brain.sum()))


def slab(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Remove everything beyond a wavy plane, as at the edge of the excitation slab or in a saturation band."""
    normal = rng.standard_normal(brain.ndim)
    if brain.ndim == 3:
        normal *= (0.4, 0.4, 1.0)
    coordinates = np.tensordot(normal / np.linalg.norm(normal), np.indices(brain.shape), 1)
    return _lowest(coordinates + 0.7 * _waves(brain.shape, rng), brain, int(fraction * brain.sum()))


def sinus(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Remove a blob at the brain's surface, as where air (frontal sinus, ear canals) distorts the field."""
    outline = _filled(brain)
    surface = outline & ~ndimage.binary_erosion(outline)
    points = np.argwhere(surface)
    centre = points[rng.integers(len(points))]
    axes = rng.uniform(0.7, 1.4, brain.ndim)
    offsets = np.indices(brain.shape) - centre.reshape(-1, *[1] * brain.ndim)
    distance = np.sqrt(np.tensordot(1 / axes**2, offsets**2, 1))
    return _lowest(distance * np.exp(0.15 * _waves(brain.shape, rng)), brain, int(fraction * brain.sum()))


def _lowest(score: np.ndarray, brain: np.ndarray, wanted: int) -> np.ndarray:
    """Mask of the ``wanted`` brain voxels with the lowest score."""
    inside = np.flatnonzero(brain)
    missing = np.zeros(brain.shape, bool)
    missing.flat[inside[np.argsort(score.flat[inside], kind="stable")[:wanted]]] = True
    return missing


def _waves(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Smooth unit-variance noise, correlated over about a sixth of the matrix."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), [max(1.0, n / 12) for n in shape])
    return noise / max(noise.std(), 1e-12)


def _filled(brain: np.ndarray) -> np.ndarray:
    """Brain mask with closed sulci and filled ventricles."""
    padded = np.pad(brain, 3)
    closed = ndimage.binary_closing(padded, iterations=2)
    return ndimage.binary_fill_holes(closed)[(slice(3, -3),) * brain.ndim]


PATTERNS: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "clusters": clusters,
    "singles": singles,
    "rim": rim,
    "slab": slab,
    "sinus": sinus,
}


def mixed(
    brain: np.ndarray,
    fraction: float,
    rng: np.random.Generator,
    *,
    patterns: tuple[str, ...] = ("clusters", "rim", "slab", "singles"),
) -> np.ndarray:
    """Remove voxels in several patterns at once, in random proportions; exactly the requested share of the brain.

    Voxels still lacking after overlaps are added at random places or, if neither "clusters" nor "singles" is among the
    patterns, next to the voxels that are already missing.
    """
    missing = np.zeros(brain.shape, bool)
    wanted = int(fraction * brain.sum())
    shares = rng.dirichlet(np.ones(len(patterns))) * fraction
    for name, share in zip(patterns, shares, strict=True):
        left = brain & ~missing
        if left.any():
            missing |= PATTERNS[name](left if name in ("clusters", "singles") else brain, share, rng) & brain
    rest = wanted - int(missing.sum())
    if rest > 0 and missing.any() and not {"clusters", "singles"} & set(patterns):
        missing |= _lowest(ndimage.distance_transform_edt(~missing), brain & ~missing, rest)
    elif rest > 0:
        missing.flat[rng.permutation(np.flatnonzero(brain & ~missing))[:rest]] = True
    return missing
