r"""Smooth metabolite maps along the tissue that an MRI shows, and keep what only the metabolites show.

For every metabolite, with the single-voxel estimates :math:`s` and their standard deviations :math:`\sigma`, the smooth
map :math:`a` is the one that gives

.. math:: \min_a \sum_v \frac{(a_v - s_v)^2}{\sigma_v^2} + c \sum_{v \sim u} w_{vu} \frac{(a_v - a_u)^2}{\sigma_{vu}^2}

over the neighbours :math:`u` of each voxel :math:`v`. The weights of the PRECISE-DMI paper (Eq. 5) come from the MRI
alone, :math:`w = \min(1/(r_v - r_u)^2, w_\mathrm{max})`, and erase a lesion that only the metabolites show. The robust
weights are a Gaussian of the MRI's difference, divided by :math:`(1 + 4 d^2 / \kappa^2)^2`, where :math:`d` is the
difference of the metabolites in standard deviations. So the prior has no effect where the data contradict it. The
robust weights depend on the smooth map, so they are found by iteration.

Everything is in units of the noise, so one strength serves every data set. In a volume, a voxel has up to 26 neighbours
instead of 8. If the voxels have more than 8 on average, the neighbours share the strength. Otherwise they would outvote
a small lesion.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import cg

logger = logging.getLogger(__name__)

FIRST_WIDTH, FIRST_STRENGTH = 1.0, 0.3
"""Width (relative to the prior's) and strength of the first pass, which only finds the metabolites' differences."""

METABOLITES = 3
"""Number of metabolites that the squared difference is scaled to, so that kappa does not depend on their number."""


@dataclass(frozen=True, kw_only=True)
class RobustPrior:
    """Smooth maps with an MRI by the robust weights.

    Attributes:
        strength: c of the equation above, for 8 neighbours; 0 returns the maps as they are.
        mri_width: standard deviation of the Gaussian, in units of the MRI's range (0 to 1).
        kappa: difference of the metabolites, in standard deviations, from which on the prior loses its effect.
        iterations: number of times that the weights are found anew.
    """

    strength: float = 1.0
    mri_width: float = 0.1
    kappa: float = 2.25
    iterations: int = 8

    def __call__(
        self, maps: NDArray[np.float64], sd: NDArray[np.float64], mri: NDArray[np.float64], mask: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Smooth maps.

        Args:
            maps: (X, Y[, Z], K) single-voxel estimates.
            sd: (X, Y[, Z], K) their standard deviations.
            mri: (X, Y[, Z]) on the same grid, 0 to 1.
            mask: (X, Y[, Z]) the voxels to smooth; all others stay as they are.

        Returns:
            (X, Y[, Z], K) smooth maps.
        """
        if self.strength == 0 or not mask.any():
            return maps.copy()
        pairs, change = neighbours(mri, mask)
        strength = self.strength * min(1.0, 8 * int(mask.sum()) / max(1, 2 * len(pairs)))
        values, spread = maps[mask], sd[mask]
        shared = _shared(spread, pairs)
        gaussian = np.exp(-0.5 * (change / (FIRST_WIDTH * self.mri_width)) ** 2)
        smooth = solve(values, spread, pairs, gaussian, FIRST_STRENGTH)
        weights = np.exp(-0.5 * (change / self.mri_width) ** 2)
        for _ in range(self.iterations):
            step = (smooth[pairs[:, 0]] - smooth[pairs[:, 1]]) / shared
            distance = (step**2).sum(1) * (METABOLITES / step.shape[1])
            smooth = solve(values, spread, pairs, weights / (1 + 4 * distance / self.kappa**2) ** 2, strength)
        out = maps.copy()
        out[mask] = smooth
        return out


def neighbours(mri: NDArray[np.float64], mask: NDArray[np.bool_]) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Find the pairs of voxels of the mask that touch, at a corner too.

    Args:
        mri: (X, Y[, Z]).
        mask: (X, Y[, Z]).

    Returns:
        (P, 2) numbers of the voxels in the order of ``mri[mask]``, each pair once; (P,) differences of the MRI.
    """
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(mask.sum())
    pairs = []
    for step in itertools.product((-1, 0, 1), repeat=mask.ndim):
        if step <= (0,) * mask.ndim:
            continue
        here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, mask.shape, strict=True))
        there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, mask.shape, strict=True))
        both = (number[here] >= 0) & (number[there] >= 0)
        pairs.append(np.stack([number[here][both], number[there][both]], 1))
    numbers = np.concatenate(pairs)
    level = mri[mask]
    return numbers, level[numbers[:, 0]] - level[numbers[:, 1]]


def _shared(sd: NDArray[np.float64], pairs: NDArray[np.int_]) -> NDArray[np.float64]:
    """Standard deviation (P, K) of each pair of voxels: the root mean square of the two voxels'."""
    return np.sqrt((sd[pairs[:, 0]] ** 2 + sd[pairs[:, 1]] ** 2) / 2)


def solve(
    values: NDArray[np.float64],
    sd: NDArray[np.float64],
    pairs: NDArray[np.int_],
    weights: NDArray[np.float64],
    strength: float,
) -> NDArray[np.float64]:
    """Minimise the sum above for given weights.

    Args:
        values: (N, K) single-voxel estimates.
        sd: (N, K) their standard deviations.
        pairs: (P, 2) numbers of neighbours, each pair once.
        weights: (P,) w of each pair.
        strength: c.

    Returns:
        (N, K) smooth values.
    """
    count = len(values)
    shared = _shared(sd, pairs)
    out = np.empty_like(values)
    i, j = pairs.T
    for k in range(values.shape[1]):
        pull = strength * weights / shared[:, k] ** 2
        trust = 1.0 / sd[:, k] ** 2
        diagonal = trust + np.bincount(i, pull, count) + np.bincount(j, pull, count)
        off_diagonal = sparse.coo_matrix((-pull, (i, j)), shape=(count, count))
        matrix = (off_diagonal + off_diagonal.T + sparse.diags(diagonal)).tocsr()
        jacobi = sparse.diags(1.0 / diagonal)
        out[:, k], failed = cg(matrix, trust * values[:, k], x0=values[:, k], rtol=1e-6, maxiter=1000, M=jacobi)
        if failed:
            logger.warning("the smoothing of %d voxels did not converge in %d steps", count, failed)
    return out
