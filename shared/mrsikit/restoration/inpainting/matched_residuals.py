"""Matched residuals: what the other maps of a session tell of a voxel that is missing in one of them.

The maps of a session share shading, partial volume and outline. The same kriging weights, from the same known voxels,
predict a missing voxel in every map. Where another map was measured there, its *innovation*, value minus prediction, is
known. From voxels that are known in all maps one learns how the innovations go together, and so what to add to the
prediction of the map with the missing voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

#: Innovations count up to so many robust standard deviations; what lies beyond counts as much.
CLIPPED = 3.0
#: A map or MRI whose innovation the other maps contradict by so many standard deviations gets no weight at this voxel.
CONTRADICTED = 2.5
#: An innovation that no other map can confirm gets no weight beyond so many standard deviations.
ALONE = 6.0
#: Prior of the local slope: as if so many voxels of usual innovations had shown it to be 1.
PRIOR_VOXELS = 1.0
#: Share by which correlations are shrunk towards 0.
SHRINKAGE = 0.02
#: Voxels known in both maps below which their correlation counts as 0.
FEWEST_TOGETHER = 30


def robust_sd(values: NDArray[np.float64]) -> float:
    """Standard deviation of normal values of the same median absolute deviation from 0; 0 without values."""
    return float(1.4826 * np.median(np.abs(values))) if values.size else 0.0


@dataclass(frozen=True)
class Innovations:
    """How the innovations of a session's maps go together.

    Attributes:
        scale: (1 + K,) robust standard deviation of each map's innovations, the map with missing voxels first.
        correlation: (1 + K, 1 + K).
        mris: number of MRIs of the head among the other maps; they come last.
    """

    scale: NDArray[np.float64]
    correlation: NDArray[np.float64]
    mris: int = 0

    @classmethod
    def fit(cls, innovations: NDArray[np.float64], mris: int = 0) -> Innovations:
        """Fit to the innovations (N, 1 + K) of voxels, the last ones those of MRIs; NaN where a map has no value."""
        count = innovations.shape[1]
        scale = np.array([robust_sd(column[np.isfinite(column)]) for column in innovations.T])
        with np.errstate(invalid="ignore", divide="ignore"):
            standard = np.clip(innovations / scale, -CLIPPED, CLIPPED)
        correlation = np.eye(count)
        for a in range(count):
            for b in range(a):
                both = np.isfinite(standard[:, a]) & np.isfinite(standard[:, b])
                if both.sum() >= FEWEST_TOGETHER:
                    x, y = standard[both, a], standard[both, b]
                    correlation[a, b] = correlation[b, a] = (x @ y) / max(np.sqrt((x @ x) * (y @ y)), 1e-30)
        values, vectors = np.linalg.eigh((1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(count))
        correlation = vectors @ np.diag(values.clip(SHRINKAGE)) @ vectors.T
        size = np.sqrt(np.diag(correlation))
        return cls(scale, correlation / size / size[:, None], mris)

    def predict(self, others: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict the innovations of the first map from those (N, K) of the others, NaN where there is none.

        A map whose innovation the others contradict counts as not measured: a lesion changes one metabolite alone.
        An MRI counts only where a map is known too and does not contradict it: a lesion of the MRI need not be one of
        the metabolites.

        Returns:
            The prediction (N,), 0 where no other map helps, and the share of the variance that remains (N,).
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            standard = others / self.scale[1:]
        standard = np.where(np.isfinite(standard), standard, np.nan)
        known = self._agreeing(standard)
        predicted, rest = np.zeros(len(others)), np.ones(len(others))
        for pattern, rows in _patterns(known):
            if pattern.any():
                chosen = np.flatnonzero(pattern) + 1
                slope = np.linalg.solve(self.correlation[np.ix_(chosen, chosen)], self.correlation[chosen, 0])
                clipped = standard[rows][:, pattern].clip(-2 * CLIPPED, 2 * CLIPPED)
                predicted[rows] = clipped @ slope * self.scale[0]
                rest[rows] = max(1 - float(slope @ self.correlation[chosen, 0]), 0.02)
        return predicted, rest

    def _agreeing(self, standard: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which of the other maps (N, K) have a say in each voxel: known, and not contradicted by the others.

        Where one alone is known, a value far off may be a lesion or an artefact of that map: it has no say. The maps
        agree among themselves, whatever the MRIs show. Then they judge the MRIs.
        """
        maps = standard[:, : standard.shape[1] - self.mris]
        known = np.isfinite(maps)
        changed = np.arange(len(known))
        while len(changed):
            contradicted = self._most_contradicted(maps[changed], known[changed])
            known[changed] &= ~contradicted
            changed = changed[contradicted.any(1)]
        return np.c_[known, self._confirmed(standard, known)]

    def _confirmed(self, standard: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which MRIs, the last columns of standard (N, K), go with the maps that have a say (N, K - mris)."""
        out = np.zeros((len(known), self.mris), bool)
        mris = np.arange(known.shape[1], known.shape[1] + self.mris)
        clipped = standard.clip(-2 * CLIPPED, 2 * CLIPPED)
        for pattern, rows in _patterns(known):
            if self.mris and pattern.any():
                chosen = np.flatnonzero(pattern)
                shared = self.correlation[np.ix_(chosen + 1, mris + 1)]
                slope = np.linalg.solve(self.correlation[np.ix_(chosen + 1, chosen + 1)], shared)
                misfit = np.abs(clipped[np.ix_(rows, mris)] - clipped[np.ix_(rows, chosen)] @ slope)
                out[rows] = misfit <= CONTRADICTED * np.sqrt(1 - (slope * shared).sum(0))
        return out

    def _most_contradicted(self, standard: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark at each voxel the map that the others contradict most, and those that they contradict as much."""
        out = np.zeros(known.shape, bool)
        for pattern, rows in _patterns(known):
            chosen = np.flatnonzero(pattern)
            if len(chosen) < 2:
                out[np.ix_(rows, chosen)] = np.abs(standard[rows][:, chosen]) > ALONE
                continue
            precision = np.linalg.inv(self.correlation[np.ix_(chosen + 1, chosen + 1)])
            # Value minus its prediction from the others, over that difference's standard deviation. Clipped, so that
            # maps that all lie far off the same way, as at the edge of a box, do not contradict each other.
            clipped = standard[rows][:, chosen].clip(-CLIPPED, CLIPPED)
            misfit = np.abs(clipped @ precision) / np.sqrt(np.diag(precision))
            worst = misfit >= 0.9 * misfit.max(1, keepdims=True)
            out[np.ix_(rows, chosen)] = worst & (misfit > CONTRADICTED)
        return out


def _patterns(known: NDArray[np.bool_]) -> list[tuple[NDArray[np.bool_], NDArray[np.intp]]]:
    """Return each different row of a mask (N, K), and the positions of its rows."""
    patterns, number = np.unique(known, axis=0, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(number.ravel(), minlength=len(patterns)))[:-1]
    return list(zip(patterns, np.split(order, ends), strict=True)) if len(known) else []


def local_slope(
    model: Innovations,
    places: NDArray[np.float64],
    innovations: NDArray[np.float64],
    targets: NDArray[np.float64],
    reach: float,
) -> NDArray[np.float64]:
    r"""How far the prediction from the other maps holds around each target: from 0, not at all, to 1, as everywhere.

    .. math:: a = \frac{\lambda s^2 + \sum_i w_i y_i m_i}{\lambda s^2 + \sum_i w_i m_i^2}

    over the known voxels i around the target, with their innovation y, its prediction m from the other maps, weights w
    that fall with the distance, and s the usual size of m.

    Args:
        model: how the innovations go together.
        places: (N, A) positions of known voxels.
        innovations: (N, 1 + K) theirs, each predicted without itself.
        targets: (T, A) positions.
        reach: distance at which a known voxel still counts.

    Returns:
        a, (T,).
    """
    predicted, _ = model.predict(innovations[:, 1:])
    own = innovations[:, 0]
    usual = max(robust_sd(predicted[np.isfinite(innovations[:, 1:]).any(1)]), 1e-12)
    limit = 3 * usual + np.abs(own).clip(max=3 * model.scale[0])
    predicted = predicted.clip(-limit, limit)
    near = cKDTree(places).query_ball_point(targets, reach)
    target = np.repeat(np.arange(len(targets)), [len(index) for index in near])
    index = np.concatenate([*near, []]).astype(int)
    weight = np.exp(-2 * ((places[index] - targets[target]) ** 2).sum(1) / reach**2)
    before, count = PRIOR_VOXELS * usual**2, len(targets)
    above = before + np.bincount(target, weight * own[index] * predicted[index], count)
    slope = above / (before + np.bincount(target, weight * predicted[index] ** 2, count))
    return slope.clip(0.0, 1.0)
