"""Which voxels of a metabolite map fail: the published protocol and the patterns seen in practice.

Every function returns a boolean array of the map's shape, True where the voxel is lost. ``brain`` is where the map has
signal; "fraction" is a share of the brain's voxels.
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
    """Clusters of 1-3 voxels a side, as Algorithm 1 of Pham 2025 (mask-free MRSI inpainting) draws them.

    As printed, the algorithm counts writes, so that overlaps lower the share really lost (15 % asked, 10-11 % lost); it
    draws the radius uniformly, which crowds holes at the centre, and never leaves the largest inscribed sphere.

    Args:
        brain: (X, Y) or (X, Y, Z) bool.
        fraction: share to remove, 0-1.
        rng: source of the draws.
        sizes: smallest and largest side of a cluster in voxels.
        count: "unique" removes exactly what is asked for; "writes" as printed.
        placement: "algorithm1" as printed; "uniform": any brain voxel can be a cluster's centre.

    Raises:
        ValueError: for an unknown count or placement.
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
        # The printed sampler cannot reach outside its sphere; once that is full, "unique" must take any voxel.
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
    """Unit vector by Algorithm 1's angles (crowded at the poles in 3D, as printed)."""
    theta = rng.uniform(0, 2 * np.pi)
    if ndim == 2:
        return np.array([np.cos(theta), np.sin(theta)])
    phi = rng.uniform(0, np.pi)
    return np.array([np.sin(phi) * np.cos(theta), np.sin(phi) * np.sin(theta), np.cos(phi)])


def clusters(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Clusters of 1-3 voxels a side anywhere in the brain; exactly the asked share."""
    return algorithm1(brain, fraction, rng, placement="uniform")


def singles(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Single failed fits at random places."""
    chosen = rng.permutation(np.flatnonzero(brain))[: int(fraction * brain.sum())]
    missing = np.zeros(brain.shape, bool)
    missing.flat[chosen] = True
    return missing


def rim(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Tissue next to the skull lost to lipids, deeper on one side than on the other."""
    depth = ndimage.distance_transform_edt(np.pad(_filled(brain), 1))[(slice(1, -1),) * brain.ndim]
    return _lowest(depth * np.exp(0.8 * _waves(brain.shape, rng)), brain, int(fraction * brain.sum()))


def slab(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Everything beyond a plane: the edge of the excitation slab, or a saturation band."""
    normal = rng.standard_normal(brain.ndim)
    if brain.ndim == 3:
        normal *= (0.4, 0.4, 1.0)
    coordinates = np.tensordot(normal / np.linalg.norm(normal), np.indices(brain.shape), 1)
    return _lowest(coordinates + 0.7 * _waves(brain.shape, rng), brain, int(fraction * brain.sum()))


def sinus(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """A blob at the brain's surface where the field is spoilt (frontal sinus, ear canals), anywhere along the rim."""
    outline = _filled(brain)
    surface = outline & ~ndimage.binary_erosion(outline)
    points = np.argwhere(surface)
    centre = points[rng.integers(len(points))]
    axes = rng.uniform(0.7, 1.4, brain.ndim)
    offsets = np.indices(brain.shape) - centre.reshape(-1, *[1] * brain.ndim)
    distance = np.sqrt(np.tensordot(1 / axes**2, offsets**2, 1))
    return _lowest(distance * np.exp(0.15 * _waves(brain.shape, rng)), brain, int(fraction * brain.sum()))


def _lowest(score: np.ndarray, brain: np.ndarray, wanted: int) -> np.ndarray:
    """The asked number of brain voxels, those of lowest score."""
    inside = np.flatnonzero(brain)
    missing = np.zeros(brain.shape, bool)
    missing.flat[inside[np.argsort(score.flat[inside], kind="stable")[:wanted]]] = True
    return missing


def _waves(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Smooth unit-variance noise, correlated over about a sixth of the matrix."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), [max(1.0, n / 12) for n in shape])
    return noise / max(noise.std(), 1e-12)


def _filled(brain: np.ndarray) -> np.ndarray:
    """Brain with sulci and ventricles closed."""
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
    """Several patterns at once, in random proportion; exactly the asked share of the brain.

    Where patterns overlap, the rest is made up of single voxels, or without a scattered pattern next to what is lost.
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
