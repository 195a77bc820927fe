"""Patterns of missing voxels in metabolite maps: the published protocol and patterns seen in practice.

Every function returns a bool array of the map's shape, True where the voxel is missing. ``brain`` is the mask of the
voxels with signal; ``fraction`` is a share of these voxels (0-1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage


def algorithm1(
    brain: np.ndarray,
    fraction: float,
    rng: np.random.Generator,
    *,
    sizes: tuple[int, int] = (1, 3),
    count: str = "unique",
    placement: str = "algorithm1",
) -> np.ndarray:
    """Remove clusters of 1-3 voxels per side by Algorithm 1 of Pham 2025 (mask-free MRSI inpainting).

    As printed, the algorithm counts every write, so that overlaps lower the share that is really removed (10-11 % for a
    requested 15 %). It draws the radius uniformly, which concentrates the clusters at the centre, and it never places
    a cluster outside the largest inscribed sphere.

    Args:
        brain: (X, Y) or (X, Y, Z) bool.
        fraction: share to remove, 0-1.
        rng: random generator.
        sizes: smallest and largest side of a cluster in voxels.
        count: "unique": remove exactly the requested share; "writes": count as printed.
        placement: "algorithm1": place the clusters as printed; "uniform": any brain voxel can be a cluster's centre.

    Raises:
        ValueError: the count or the placement is unknown.
    """
    if count not in ("unique", "writes") or placement not in ("algorithm1", "uniform"):
        raise ValueError(
            f"count must be unique or writes, placement algorithm1 or uniform, not {count!r}, {placement!r}"
        )
    missing = np.zeros(brain.shape, bool)
    wanted = int(fraction * brain.sum())
    occupied = np.nonzero(brain)
    if wanted == 0:
        return missing
    low, high = np.array([i.min() for i in occupied]), np.array([i.max() for i in occupied])
    centre, radius = (low + high) / 2, ((high - low) / 2).min()
    candidates = np.stack(occupied, 1)
    removed = 0
    attempts = 0
    while removed < wanted:
        attempts += 1
        size = int(rng.integers(sizes[0], sizes[1] + 1))
        # The printed sampler does not leave its sphere; once the sphere is full, "unique" must take any brain voxel.
        if placement == "uniform" or attempts > 50 * wanted:
            point = candidates[rng.integers(len(candidates))]
        else:
            point = np.floor(centre + rng.uniform(0, radius) * _direction(rng, brain.ndim)).astype(int)
        if not brain[tuple(point)]:
            continue
        start = point - size // 2
        for offset in np.ndindex(*(size,) * brain.ndim):
            voxel = tuple(start + offset)
            if any(v < 0 or v >= n for v, n in zip(voxel, brain.shape, strict=True)):
                continue
            if count == "writes" or (brain[voxel] and not missing[voxel]):
                removed += 1
            missing[voxel] = brain[voxel]
            if removed >= wanted:
                break
    return missing


def _direction(rng: np.random.Generator, ndim: int) -> np.ndarray:
    """Draw a unit vector by the angles of Algorithm 1 (in 3D concentrated at the poles, as printed)."""
    theta = rng.uniform(0, 2 * np.pi)
    if ndim == 2:
        return np.array([np.cos(theta), np.sin(theta)])
    phi = rng.uniform(0, np.pi)
    return np.array([np.sin(phi) * np.cos(theta), np.sin(phi) * np.sin(theta), np.cos(phi)])


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
