"""Kriging: the best linear prediction of a missing voxel, with covariance and noise read off the map itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from mrsikit.restoration.brain_mask import brain_outline
from mrsikit.restoration.inpainting.fill_missing import fill_missing

#: Data voxels, the nearest ones, from which a missing voxel is predicted.
NEIGHBOURS = 40
#: Data voxels below which no covariance is fitted.
FEWEST_DATA = 40
LIKELIHOOD_VOXELS, PREDECESSORS, MOST_ORDERED = 600, 15, 20000
#: Smoothness of the Matérn correlations that are tried. The field of 1/2 is too rough for every map tried.
SMOOTHNESS = (1.5, 2.5)
#: Prior standard deviation of the logarithm of a correlation length about the mean of the axes.
ANISOTROPY_SD = 0.5
#: Prior mean and standard deviation of the logarithm of the noise's share of the variance.
LOG_NUGGET, LOG_NUGGET_SD = -3.0, 2.0
#: Missing voxels that are predicted at once, so that their systems of equations fit into memory.
AT_ONCE = 2000


def matern(distance: NDArray[np.float64], smoothness: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matérn correlation at a distance in units of the correlation length, for a smoothness of 3/2 or 5/2.

    Returns:
        The correlation, and minus its derivative by the distance, over the distance.
    """
    scaled = math.sqrt(2 * smoothness) * distance
    decay, linear = np.exp(-scaled), 1 + scaled
    if smoothness == 1.5:
        return linear * decay, 3 * decay
    return (linear + scaled**2 / 3) * decay, 5 / 3 * linear * decay


@dataclass(frozen=True, kw_only=True)
class Covariance:
    r"""Covariance of a map: :math:`c(d) = \sigma^2 \rho_\nu(|d / l|)` plus uncorrelated noise.

    Attributes:
        sill: variance :math:`\sigma^2` of the correlated part, in the map's unit squared.
        nugget: variance of the noise, same unit.
        lengths: correlation length l along each axis, in the unit of the spacing.
        smoothness: :math:`\nu` of the Matérn correlation: 3/2 or 5/2.
        bound_factor: variance of the noise over the squared bounds, if the map has bounds; it adds to the nugget.
    """

    sill: float
    nugget: float
    lengths: tuple[float, ...]
    smoothness: float
    bound_factor: float = 0.0

    def noise(self, bounds: NDArray[np.float64] | None, count: int) -> NDArray[np.float64]:
        """Return the variance of the noise of each data voxel (count,) from its bound, if there are bounds."""
        flat = np.full(count, self.nugget)
        return flat if bounds is None else flat + self.bound_factor * bounds**2

    def by_offset(self, spacing: NDArray[np.float64], reach: Sequence[int]) -> NDArray[np.float64]:
        """Return the covariance, without noise, of two voxels by the offset between them.

        Args:
            spacing: (A,) voxel size along each axis.
            reach: largest offset along each axis, in voxels.

        Returns:
            (2 reach + 1, ...) along each axis, from the most negative offset to the most positive one.
        """
        steps = [
            np.arange(-n, n + 1) * side / length for n, side, length in zip(reach, spacing, self.lengths, strict=True)
        ]
        distance = np.sqrt(sum(step**2 for step in np.meshgrid(*steps, indexing="ij", sparse=True)))
        return self.sill * matern(distance, self.smoothness)[0]


def fit_covariance(
    values: NDArray[np.float64],
    data: NDArray[np.bool_],
    spacing: Sequence[float] | NDArray[np.float64],
    *,
    bounds: NDArray[np.float64] | None = None,
    seed: int = 0,
) -> Covariance:
    r"""Fit a covariance to a map by maximum likelihood.

    The likelihood is that of some 600 voxels, each predicted from 15 near ones that come before it in a random order
    (Vecchia's approximation). The errors follow Student's distribution with 4 degrees of freedom, so that a few broken
    fits do not decide. Weak priors draw the lengths along the axes together, and the noise to a twentieth.

    On measured maps this halves the error of a fit to the variogram, which sees pairs at a few distances only.

    Args:
        values: map (X, Y[, Z]), or its square root.
        data: same shape, True where the value was measured.
        spacing: voxel size along each axis.
        bounds: same shape, standard deviation of each voxel's noise, such as the absolute Cramér-Rao bound; the noise
            is this times a factor that is fitted too. None: the noise is the same in all voxels.
        seed: seed of the random order and of the choice of voxels.

    Returns:
        The covariance. A map of too few voxels or of one value gets a length of two voxels, and little noise.

    References:
        Vecchia 1988, doi:10.1111/j.2517-6161.1988.tb01729.x.
    """
    places, known = np.argwhere(data) * np.asarray(spacing, float), values[data].astype(float)
    spread = float(known.std())
    if len(known) < FEWEST_DATA or spread == 0:
        length = (2.0 * float(min(spacing)),) * values.ndim
        return Covariance(sill=max(spread**2, 1e-12), nugget=0.01 * spread**2, lengths=length, smoothness=1.5)
    rng = np.random.default_rng(seed)
    index = _predecessors(places, rng)
    points = places[index]
    apart = (points[:, :, None] - points[:, None]) ** 2
    standard = ((known - np.median(known)) / spread)[index]
    noise = None if bounds is None else (bounds[data] / spread)[index] ** 2
    axes, middle = values.ndim, float(np.mean(spacing))
    best: tuple[float, NDArray[np.float64], float] = (np.inf, np.zeros(0), 1.5)
    limits = [(-4.0, 4.0), (-12.0, 1.0)]
    limits += [(float(np.log(0.2 * side)), float(np.log(40 * side))) for side in spacing]
    limits += [(-4.0, 2.5)] if noise is not None else []
    start = np.r_[0.0, -3.0, np.full(axes, np.log(3 * middle)), np.zeros(int(noise is not None))]
    for smoothness in SMOOTHNESS:
        fit = minimize(
            _negative_log_likelihood,
            start,
            args=(apart, standard, noise, smoothness),
            jac=True,
            method="L-BFGS-B",
            bounds=limits,
            options={"maxiter": 40, "ftol": 1e-6},
        )
        start = fit.x
        if fit.fun < best[0]:
            best = float(fit.fun), fit.x, smoothness
    _, p, smoothness = best
    return Covariance(
        sill=float(np.exp(p[0])) * spread**2,
        nugget=float(np.exp(p[1])) * spread**2,
        lengths=tuple(float(n) for n in np.exp(p[2 : 2 + axes])),
        smoothness=smoothness,
        bound_factor=float(np.exp(p[-1])) if noise is not None else 0.0,
    )


def _predecessors(places: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Return rows of a voxel and its nearest predecessors in a random order, (voxels, 1 + PREDECESSORS)."""
    order = rng.permutation(len(places))[:MOST_ORDERED]
    ordered, rows = places[order], []
    for position in np.linspace(PREDECESSORS + 5, len(order) - 1, LIKELIHOOD_VOXELS).astype(int):
        apart = ordered[:position] - ordered[position]
        nearest = np.argpartition(np.einsum("na,na->n", apart, apart), PREDECESSORS - 1)[:PREDECESSORS]
        rows.append(np.r_[order[position], order[nearest]])
    return np.unique(np.array(rows), axis=0)


def _negative_log_likelihood(
    p: NDArray[np.float64],
    apart: NDArray[np.float64],
    values: NDArray[np.float64],
    noise: NDArray[np.float64] | None,
    smoothness: float,
) -> tuple[float, NDArray[np.float64]]:
    r"""Negative logarithm of likelihood times prior, and its gradient.

    Each voxel is predicted by ordinary kriging: weights w solve A w = b, with the covariances A among its predecessors
    and b with them, and a row for the weights' sum of 1. The derivatives of the error's variance v and of the error e
    follow from w and from u, the solution of A u = y for the predecessors' values y:

    .. math:: dv = dc - 2 w^T db + w^T dA w, \qquad de = -u^T db + u^T dA w

    Args:
        p: logarithms of sill, nugget, lengths (A,) and, if there are bounds, of the bounds' factor.
        apart: (N, 1 + K, 1 + K, A) squared distances among a voxel and its predecessors along each axis.
        values: (N, 1 + K) theirs.
        noise: (N, 1 + K) squared bounds, if there are any.
        smoothness: of the Matérn correlation.
    """
    count, size = values.shape
    axes = apart.shape[-1]
    sill, lengths = np.exp(p[0]), p[2 : 2 + axes]
    correlation, decay = matern(np.sqrt(apart @ np.exp(-2 * lengths)), smoothness)
    covariance = sill * correlation
    diagonal = np.arange(size)
    covariance[:, diagonal, diagonal] += np.exp(p[1]) + 1e-6
    if noise is not None:
        covariance[:, diagonal, diagonal] += np.exp(p[-1]) * noise
    # The voxel itself comes first; its place in the system is taken by the row for the sum of the weights.
    system, right = covariance.copy(), np.zeros((count, size, 2))
    system[:, 0, :], system[:, :, 0], system[:, 0, 0] = 1.0, 1.0, 0.0
    right[:, 0, 0], right[:, 1:, 0], right[:, 1:, 1] = 1.0, covariance[:, 0, 1:], values[:, 1:]
    solution = np.linalg.solve(system, right)
    variance = np.maximum(covariance[:, 0, 0] - (solution[..., 0] * right[..., 0]).sum(1), 1e-6)
    weights, dual = solution[:, 1:, 0], solution[:, 1:, 1]
    error = values[:, 0] - (weights * values[:, 1:]).sum(1)
    tail = error**2 / variance / 4
    anisotropy = (lengths - lengths.mean()) / ANISOTROPY_SD
    nugget = (p[1] - LOG_NUGGET) / LOG_NUGGET_SD
    loss = (np.log(variance) / 2 + 2.5 * np.log1p(tail)).sum() + (nugget**2 + (anisotropy**2).sum()) / 2
    # Derivative by each entry of the covariance: outer products of these combinations of 1, w and u.
    by_error = 1.25 * error / variance / (1 + tail)
    by_variance = 0.5 / variance - 2.5 * tail / (1 + tail) / variance
    w, u = np.concatenate([np.ones((count, 1)), -weights], 1), np.concatenate([np.zeros((count, 1)), -dual], 1)
    by_entry = (by_error[:, None] * u + by_variance[:, None] * w)[:, :, None] * w[:, None, :]
    by_diagonal = by_entry[:, diagonal, diagonal]
    by_length = np.tensordot(by_entry * decay, apart, 3) * sill * np.exp(-2 * lengths) + anisotropy / ANISOTROPY_SD
    by_sill = sill * np.vdot(by_entry, correlation)
    gradient = [by_sill, np.exp(p[1]) * by_diagonal.sum() + nugget / LOG_NUGGET_SD, *by_length]
    if noise is not None:
        loss += p[-1] ** 2 / 2
        gradient.append(np.exp(p[-1]) * (by_diagonal * noise).sum() + p[-1])
    return float(loss), np.array(gradient)


@dataclass(frozen=True)
class KrigingWeights:
    """Weights of the data for each target voxel.

    Attributes:
        index: (N, K) positions in the list of the data voxels.
        weights: (N, K), which sum to 1.
        variance: (N,) variance of the prediction's error, without the noise of a measurement in that voxel.
    """

    index: NDArray[np.intp]
    weights: NDArray[np.float64]
    variance: NDArray[np.float64]

    def predict(self, data: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the prediction (N,) from the values of all data voxels, or (N, C) from those (D, C) of C maps."""
        if data.ndim == 1:
            return np.einsum("nk,nk->n", self.weights, data[self.index])
        return np.einsum("nk,nkc->nc", self.weights, data[self.index])


def kriging_weights(
    covariance: Covariance,
    data: NDArray[np.intp],
    targets: NDArray[np.intp],
    spacing: Sequence[float] | NDArray[np.float64],
    *,
    noise: NDArray[np.float64] | None = None,
    neighbours: int = NEIGHBOURS,
) -> KrigingWeights:
    """Solve the ordinary kriging equations of each target from its nearest data.

    Args:
        covariance: covariance of the map.
        data: (D, A) indices of the data voxels.
        targets: (N, A) indices of the targets. A target that is a data voxel is predicted without itself.
        spacing: (A,) voxel size along each axis, in the unit of the covariance's lengths.
        noise: (D,) variance of the noise of each data voxel; None: the covariance's nugget everywhere.
        neighbours: number of data voxels for each target.
    """
    spacing = np.asarray(spacing, float)
    # Many data are as near as each other. Rounded lengths choose the same ones whatever the rounding errors of the map.
    lengths = np.asarray(covariance.lengths)
    lengths = np.maximum(np.round(lengths / lengths.min(), 1), 1.0)
    tree = cKDTree(data * spacing / lengths)
    count = min(neighbours, len(data) - 1) if len(data) > 1 else 1
    distance, index = tree.query(targets * spacing / lengths, k=min(count + 1, len(data)))
    distance, index = distance.reshape(len(targets), -1), index.reshape(len(targets), -1)
    if index.shape[1] > count:  # leave out the target itself, else the farthest
        own = distance[:, :1] < 1e-9
        index = np.where(own, index[:, 1:], index[:, :-1])
    noise = np.full(len(data), covariance.nugget) if noise is None else noise
    weights, variance = np.empty(index.shape), np.empty(len(targets))
    count = index.shape[1]
    diagonal = np.arange(count)
    for start in range(0, len(targets), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        offsets = data[index[part]] - targets[part][:, None]
        # The voxels lie on a lattice, so a covariance depends on the offset alone. The table holds one for each offset.
        reach = np.maximum(np.ptp(offsets, axis=1).max(0), np.abs(offsets).max((0, 1)))
        table = covariance.by_offset(spacing, reach)
        number = offsets @ (np.array(table.strides) // table.itemsize)
        table = table.ravel()
        middle = len(table) // 2
        system = np.ones((len(offsets), count + 1, count + 1))
        system[:, :count, :count] = table[number[:, :, None] - number[:, None, :] + middle]
        system[:, diagonal, diagonal] += noise[index[part]] + 1e-6 * covariance.sill
        system[:, count, count] = 0
        right = np.ones((len(offsets), count + 1, 1))
        right[:, :count, 0] = table[number + middle]
        solution = np.linalg.solve(system, right)
        weights[part] = solution[:, :count, 0]
        variance[part] = covariance.sill - (solution * right)[..., 0].sum(1)
    return KrigingWeights(index, weights, np.maximum(variance, 1e-9 * covariance.sill))


def kriging(
    map: np.ndarray,
    missing: np.ndarray,
    *,
    brain: np.ndarray | None = None,
    spacing: Sequence[float] | NDArray[np.float64] | None = None,
    bounds: np.ndarray | None = None,
) -> np.ndarray:
    """Fill with the best linear unbiased prediction from the nearest 40 data voxels.

    Covariance and noise are fitted to this map, so that no setting has to be chosen. A map without negative values is
    predicted as its square root: that makes the spread of measured maps more even. The result stays within the range of
    the data.

    Args:
        map: ``(X, Y)`` or ``(X, Y, Z)``, any unit.
        missing: same shape, True where missing; NaN and infinity in the map count as missing too.
        brain: same shape. If given, observed voxels inside it are the data, and missing voxels outside become 0.
            Otherwise the observed voxels inside the outline of the map are.
        spacing: voxel size along each axis; 1 by default.
        bounds: same shape, standard deviation of each voxel's noise in the map's unit, such as the absolute Cramér-Rao
            bound, which says how far each voxel can be trusted; None: all alike.

    Returns:
        Filled map, float32, observed voxels bit-identical.

    Raises:
        ValueError: the map is not 2D or 3D, or the shapes differ.

    References:
        Cressie 1993, Statistics for Spatial Data, doi:10.1002/9781119115151.
    """
    shape = np.shape(map)
    sides = np.ones(len(shape)) if spacing is None else np.asarray(spacing, float)[: len(shape)]
    sides = sides[np.array(shape) > 1] if len(shape) == 3 and 1 in shape else sides
    scale = float(np.abs(np.asarray(map)[np.isfinite(map) & ~np.asarray(missing, bool)]).max(initial=0.0)) or 1.0

    def estimate(values: np.ndarray, data: np.ndarray, target: np.ndarray) -> np.ndarray:
        data = data if brain is not None else data & brain_outline(np.abs(values))
        result = np.zeros(values.shape)
        if data.sum() < 2:
            result[target] = values[data].mean() if data.any() else 0.0
            return result
        root = SquareRoot.of(values[data])
        noise = None if bounds is None else root.deviation(values, np.reshape(bounds, values.shape) / scale)
        shown = root(values)
        covariance = fit_covariance(shown, data, sides, bounds=noise)
        weights = kriging_weights(
            covariance,
            np.argwhere(data),
            np.argwhere(target),
            sides,
            noise=covariance.noise(None if noise is None else noise[data], int(data.sum())),
        )
        known = shown[data]
        result[target] = root.inverse(weights.predict(known).clip(known.min(), known.max()))
        return result

    return fill_missing(map, missing, brain, estimate)


@dataclass(frozen=True)
class SquareRoot:
    """Square root of a map without negative values; a map with negative values is left as it is.

    Attributes:
        used: whether values are replaced by their roots.
    """

    used: bool

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> SquareRoot:
        """Choose by the values of the data."""
        return cls(bool((values >= 0).all()))

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the roots of values."""
        return np.sqrt(np.maximum(values, 0.0)) if self.used else np.asarray(values, float)

    def inverse(self, roots: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values of roots."""
        return np.maximum(roots, 0.0) ** 2 if self.used else roots

    def deviation(self, values: NDArray[np.float64], sd: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard deviation of the roots of values that have the standard deviation ``sd``."""
        return sd / (2 * self(values) + np.sqrt(np.maximum(sd, 1e-12))) if self.used else sd
