"""Algorithm 1 of Pham 2025: how the published training data lose voxels.

:mod:`mrsikit.transforms.algorithm1` applies it to virtual subjects.
"""

from __future__ import annotations

import numpy as np


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
