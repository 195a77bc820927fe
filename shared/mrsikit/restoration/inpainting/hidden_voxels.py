"""Hide known voxels as those that are missing are hidden, to see how well they are filled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: Share of the known voxels that one fold hides, at most.
HIDDEN_SHARE = 0.12
#: Places that are tried for each cluster, half of them moved, the others moved or mirrored; the likest one is taken.
TRIES = 24
#: Voxels by which a mirrored cluster is moved, at most.
JITTER = 2
#: Missing voxels below which clusters of 1 to 3 voxels a side are hidden instead.
FEWEST_MISSING = 5


def hide(
    data: NDArray[np.bool_],
    missing: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    values: NDArray[np.float64] | None = None,
    avoid: NDArray[np.bool_] | None = None,
    share: float = HIDDEN_SHARE,
) -> NDArray[np.bool_]:
    """Hide known voxels in clusters of the shape of the missing ones, near to where those lie.

    Each connected cluster of missing voxels is moved to a random place, by up to twice its extent and at least a
    fifth of the map, or mirrored about the middle of the map, so that a lost rim comes upon another rim. Of several
    places the one is taken where most of it falls on known voxels that lie as near to the outside and, if the map's
    values are given, whose neighbours have as high a rank. If voxels are missing in the signal and the rest is noise,
    signal is hidden, not noise.

    Args:
        data: (X, Y[, Z]), True where the map is known.
        missing: same shape, True where it is missing.
        rng: source of all random draws.
        values: the map, same shape; what is not data does not count.
        avoid: same shape, True where nothing is hidden, such as the voxels that another fold hides.
        share: largest share of the known voxels that is hidden.

    Returns:
        Same shape, True where a known voxel is hidden.
    """
    hidden = np.zeros_like(data)
    wanted = int(share * data.sum())
    clusters = _clusters(missing) if missing.sum() >= FEWEST_MISSING else []
    free, count = data.copy() if avoid is None else data & ~avoid, 0
    places = np.argwhere(free)
    if not len(places):
        return hidden
    limit = np.array(data.shape) - 1
    # Share of the surroundings that belongs to the outside, of which nothing is known.
    outside = ndimage.uniform_filter((~(data | missing)).astype(float), 3, mode="constant", cval=1.0)
    ranks = np.full(data.shape, np.nan)
    if values is not None:
        ranks[data] = np.argsort(np.argsort(values[data])) / data.sum()
    middle2 = np.rint(2 * np.argwhere(data | missing).mean(0)).astype(int)
    for turn in range(10 * wanted):
        if count >= wanted:
            break
        if clusters:
            # Large clusters in turn with the others, or a map of many small ones and a slab would hide no slab.
            cluster = clusters[turn % len(clusters)] if turn < len(clusters) else clusters[rng.integers(len(clusters))]
        else:
            side = np.minimum(rng.integers(1, 4, data.ndim), np.where(np.array(data.shape) < 6, 1, 3))
            cluster = np.argwhere(np.ones(side, bool)) + places[rng.integers(len(places))]
        moved = _moved(cluster, free, outside, ranks, middle2, rng) if clusters else cluster[(cluster <= limit).all(1)]
        few = moved[free[tuple(moved.T)]][: wanted - count]
        hidden[tuple(few.T)], free[tuple(few.T)] = True, False
        count += len(few)
    return hidden


def _clusters(missing: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    labels, count = ndimage.label(missing, np.ones((3,) * missing.ndim))
    clusters = [np.argwhere(labels == k + 1) for k in range(min(count, 200))]
    return sorted(clusters, key=len, reverse=True)


def _moved(
    cluster: NDArray[np.intp],
    free: NDArray[np.bool_],
    outside: NDArray[np.float64],
    ranks: NDArray[np.float64],
    middle2: NDArray[np.intp],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Return the cluster (N, A) at the place, of those tried, where most of it is free and the surroundings are alike.

    The ranks, NaN where nothing is known, count around the cluster only: what is hidden must not choose its place.
    ``middle2`` is twice the middle about which the cluster is mirrored.
    """
    limit = np.array(free.shape) - 1
    extent = np.maximum(2 * (np.ptp(cluster, 0) + 1), (limit + 1) // 5) * (limit > 0)
    mirrored = rng.random((TRIES, 1, len(limit))) < 0.5
    mirrored[: TRIES // 2] = False
    farthest = np.where(mirrored.any(-1, keepdims=True), JITTER * (limit > 0), extent)
    offset = rng.integers(-farthest, farthest + 1)
    places = np.where(mirrored, middle2 - cluster, cluster) + offset
    within = np.all((places >= 0) & (places <= limit), -1)
    at = tuple(np.moveaxis(places.clip(0, limit), -1, 0))
    fits = free[at] & within
    count = fits.sum(1)
    alike = 1 - np.abs((outside[at] * fits).sum(1) / np.maximum(count, 1) - outside[tuple(cluster.T)].mean())
    around = _around(cluster, free.ndim)
    higher = _mean_rank(ranks, np.where(mirrored, middle2 - around, around) + offset) - _mean_rank(ranks, around)
    alike *= 1 - np.abs(np.nan_to_num(higher))
    best = int(np.argmax(count * alike))
    return places[best][within[best]]


def _around(cluster: NDArray[np.intp], axes: int) -> NDArray[np.intp]:
    """Return the voxels (N, A) that touch the cluster."""
    low = cluster.min(0) - 1
    inside = np.zeros(np.ptp(cluster, 0) + 3, bool)
    inside[tuple((cluster - low).T)] = True
    return np.argwhere(ndimage.binary_dilation(inside, np.ones((3,) * axes)) & ~inside) + low


def _mean_rank(ranks: NDArray[np.float64], places: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the mean of what is known at the places (..., N, A), NaN where nothing is."""
    limit = np.array(ranks.shape) - 1
    found = ranks[tuple(np.moveaxis(places.clip(0, limit), -1, 0))]
    known = np.isfinite(found) & np.all((places >= 0) & (places <= limit), -1)
    count = known.sum(-1)
    return np.where(count > 0, np.where(known, found, 0).sum(-1) / np.maximum(count, 1), np.nan)
