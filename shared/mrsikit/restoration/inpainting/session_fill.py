"""Fill a map from itself and from the other maps of its session, by what does best on voxels hidden for a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import nnls
from threadpoolctl import threadpool_limits

from mrsikit.restoration.inpainting.biharmonic import biharmonic
from mrsikit.restoration.inpainting.gaussian import gaussian
from mrsikit.restoration.inpainting.kriging import (
    NEIGHBOURS,
    KrigingWeights,
    SquareRoot,
    fit_covariance,
    kriging_weights,
)
from mrsikit.restoration.inpainting.matched_residuals import Innovations, local_slope
from mrsikit.restoration.inpainting.ratio_kriging import RatioKriging

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Strength of the prior for equal weights of kriging and network, in hidden voxels.
PRIOR_WEIGHT = 5.0
#: Hidden voxels below which the check decides nothing.
FEWEST_HIDDEN = 30
#: Half width, in standard deviations, of the interval that is calibrated, and the share that it must hold.
Z90, HELD = 1.645, 0.9
#: Factor of the standard deviation of voxels that are not like those of the check.
WIDER = 2.0
#: Strength of the prior that the errors go with the model's standard deviation, in voxels of the check.
PRIOR_SIZE = 20.0
#: Parts of the check's clusters; what is learnt from the others is tried on each.
PARTS = 4
#: Quantiles of the check's voxels between which a voxel is like them.
ALIKE = (0.01, 0.99)
#: Depth below the surface of the map from which voxels are alike, and size of an axis that has a surface, in voxels.
DEEP, FEWEST_DEEP = 3.0, 8
#: Distance, in voxels, at which known voxels say whether the other maps help there.
REACH = 2.2
#: Data voxels from which each of these known voxels is predicted; more change nothing.
FEW_NEIGHBOURS = 16
MATCHED, KRIGING, NETWORK, BIHARMONIC, GAUSSIAN = "matched residuals", "kriging", "network", "biharmonic", "gaussian"
RATIO = "ratio kriging"
#: Candidates that need the other maps.
FROM_OTHERS = (MATCHED, RATIO)
#: Other maps, those whose innovations go best with the map's, to which the ratio is kriged.
MOST_RATIOS = 4
FILLED = "their weighted mean"
#: Key of the record: how each other map's innovations go with those of the map; 0 where the two say nothing together.
CORRELATION = "correlation with the other maps"
#: Key of the record of a state: measured value, result and standard deviation (N,) of the hidden voxels.
HIDDEN = "hidden voxels"


@dataclass(frozen=True, kw_only=True)
class SessionMap:
    """One map and what is known with it; arrays are (X, Y[, Z]).

    Attributes:
        values: the map; what is not data does not count.
        data: True where the map is known.
        spacing: voxel size along each axis, mm.
        bounds: standard deviation of each voxel's noise in the map's unit, such as the absolute Cramér-Rao bound; None:
            the same everywhere.
        others: (K, X, Y[, Z]) other maps of the session, NaN where they are not known; MRIs of the head come last.
        mris: number of MRIs among the others. There is no ratio to an MRI, and it helps only where a map is known too.
    """

    values: Array
    data: Mask
    spacing: Sequence[float]
    bounds: Array | None = None
    others: Array | None = None
    mris: int = 0


@dataclass
class Filled:
    """The filled voxels, in the order of ``numpy.argwhere`` of the targets.

    Attributes:
        values: (T,) in the map's unit.
        sd: (T,) standard deviation; 1.645 of it hold nine of ten measured values of voxels like those of the check.
        calibrated: (T,) True where the voxel is like those of the check.
        record: what the check found, for the record of the run.
    """

    values: Array
    sd: Array
    calibrated: Mask
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Predicted:
    """Candidates for some voxels (N,), and what is needed to judge them."""

    by_name: dict[str, Array]
    scale: dict[str, Array]  # standard deviation by kriging, and what is left of it with the other maps
    innovations: Array  # (N, K), NaN where another map is not known
    root: Array  # kriging of the root
    features: Array  # (N, F)
    own: Array  # (N,) innovation of the map itself, NaN where it is not known

    def rows(self, chosen: Mask) -> _Predicted:
        """Return the prediction of some of the voxels."""
        by_name, scale = ({name: array[chosen] for name, array in d.items()} for d in (self.by_name, self.scale))
        arrays = (array[chosen] for array in (self.innovations, self.root, self.features, self.own))
        return _Predicted(by_name, scale, *arrays)


class _Model:
    """Covariance of the map, and the other maps made complete where this one is known."""

    def __init__(self, map: SessionMap, targets: Mask) -> None:
        self.map = map
        self.sides = np.asarray(map.spacing, float)
        self.root = SquareRoot.of(map.values[map.data])
        self.shown = np.where(map.data, self.root(np.where(map.data, map.values, 0.0)), 0.0)
        self.noise = None if map.bounds is None else self.root.deviation(map.values, map.bounds)
        self.covariance = fit_covariance(self.shown, map.data, self.sides, bounds=self.noise)
        others = np.empty((0, *map.data.shape)) if map.others is None else np.asarray(map.others, float)
        roots = [SquareRoot.of(other[np.isfinite(other)])(other) for other in others]
        self.others = np.array(roots).reshape(-1, *map.data.shape)
        self.known = np.isfinite(self.others)
        for root, known in zip(self.others, self.known, strict=True):
            if known.any() and np.ptp(root[known]) <= 1e-6 * np.abs(root[known]).max():
                known[:] = False  # a constant tells nothing; its innovations would be rounding errors
        # Where another map failed, its value is needed only as one of the neighbours of a target.
        self.complete = np.array(
            [gaussian(np.where(ok, x, 0), ~ok, brain=np.ones_like(ok)) for x, ok in zip(roots, self.known, strict=True)]
        ).reshape(self.others.shape)
        # How near a voxel lies to the surface of the map, beyond which there are no data; a few slices have none.
        wide = [int(size >= FEWEST_DEEP) for size in map.data.shape]
        below = ndimage.distance_transform_edt(np.pad(map.data | targets, [(n, n) for n in wide]))
        self.depth = np.log(np.minimum(below, DEEP) + 1)[tuple(slice(n, -n or None) for n in wide)]

    def weights(self, data: Mask, targets: Mask, neighbours: int = NEIGHBOURS) -> KrigingWeights:
        noise = self.covariance.noise(None if self.noise is None else self.noise[data], int(data.sum()))
        return kriging_weights(
            self.covariance, np.argwhere(data), np.argwhere(targets), self.sides, noise=noise, neighbours=neighbours
        )

    def innovations(self, weights: KrigingWeights, data: Mask, targets: Mask) -> Array:
        """Return the innovations (N, K) of the other maps."""
        predicted = weights.predict(self.complete[:, data].T)
        return np.where(self.known[:, targets], self.others[:, targets], np.nan).T - predicted

    def predict(self, data: Mask, targets: Mask, network: Array | None) -> _Predicted:
        """Return the candidates for the targets from the data, all that need no other map."""
        weights = self.weights(data, targets)
        known = self.shown[data]
        root = weights.predict(known).clip(known.min(), known.max())
        values = np.where(data, self.map.values, 0.0)
        by_name = {KRIGING: self.root.inverse(root)}
        by_name[BIHARMONIC] = biharmonic(values, ~data, brain=data | targets)[targets].astype(float)
        by_name[GAUSSIAN] = gaussian(values, ~data, brain=np.ones_like(data))[targets].astype(float)
        if network is not None:
            filled, network_sd = np.asarray(network, float)[:, targets]
            by_name[NETWORK] = filled
        if self.root.used:  # maps that are never negative, as those of non-negative fits, stay so
            by_name = {name: values.clip(0) for name, values in by_name.items()}
        nearest = weights.index[:, :8]
        columns = [np.log(weights.variance), root, np.log(known[nearest].std(1) + 0.01 * known.std() + 1e-30)]
        columns.append(self.depth[targets])
        if network is not None:
            columns.append(np.log(network_sd + 1e-30))
        if self.noise is not None:
            columns.append(self.noise[data][nearest].mean(1))
        return _Predicted(
            by_name,
            {KRIGING: np.sqrt(weights.variance + self.covariance.nugget)},
            self.innovations(weights, data, targets),
            root,
            np.stack(columns, 1),
            np.where(self.map.data[targets], self.shown[targets] - root, np.nan),
        )

    def ratios(self, numbers: Sequence[int]) -> dict[int, RatioKriging]:
        """Return how the ratio of this map to some others varies, by their numbers; without those that have none."""
        if self.map.others is None or not self.root.used:
            return {}
        others = np.where(self.known, self.map.others, np.nan)
        values, data, bounds = self.map.values, self.map.data, self.map.bounds
        fits = {k: RatioKriging.fit(values, data, others[k], self.sides, bounds=bounds) for k in numbers}
        return {k: fit for k, fit in fits.items() if fit is not None}

    def ratio_innovations(
        self,
        data: Mask,
        targets: Mask,
        root: Array,
        fields: Mapping[int, RatioKriging],
        neighbours: int = NEIGHBOURS,
    ) -> Array:
        """Return the innovations (N, 1 + K) that kriging the ratios gives, in logarithms.

        The first is that of the map itself, value over kriging; then those of the product of ratio and other map, over
        kriging. NaN where there is none.

        Args:
            data: voxels that may be used.
            targets: the voxels.
            root: (N,) kriging of the root.
            fields: ratios by the number of the other map.
            neighbours: number of data voxels for each target.
        """
        out = np.full((len(root), 1 + len(self.others)), np.nan)
        if fields:
            kriged = self.logarithm(self.root.inverse(root))
            out[:, 0] = np.where(self.map.data[targets], self.logarithm(self.map.values[targets]) - kriged, np.nan)
            for k, field in fields.items():
                out[:, 1 + k] = self.logarithm(field.predict(data, targets, neighbours)) - kriged
        return out

    def logarithm(self, values: Array) -> Array:
        """Return the logarithm of values, which count as at least a thousandth of the map's median."""
        return np.log(np.maximum(values, 1e-3 * np.median(self.map.values[self.map.data]) + 1e-30))

    def around(self, data: Mask, targets: Mask, fields: Mapping[int, RatioKriging]) -> tuple[Array, dict[str, Array]]:
        """Return positions (N, A) of the data around the targets and, by candidate, innovations (N, 1 + K) there."""
        near = data & ndimage.binary_dilation(targets, iterations=2)
        if not near.any():
            return np.zeros((0, data.ndim)), {}
        weights = self.weights(data, near, FEW_NEIGHBOURS)
        root = weights.predict(self.shown[data])
        matched = np.c_[self.shown[near] - root, self.innovations(weights, data, near)]
        return np.argwhere(near) * self.sides, {
            MATCHED: matched,
            RATIO: self.ratio_innovations(data, near, root, fields, FEW_NEIGHBOURS),
        }

    def from_others(
        self,
        name: str,
        found: _Predicted,
        innovations: Array,
        model: Innovations,
        around: tuple[Array, dict[str, Array]],
        data: Mask,
        places: NDArray[np.intp],
    ) -> tuple[Array, Array]:
        """Return a candidate that needs the other maps (N,), in the map's unit, and its standard deviation, of roots.

        Args:
            name: of the candidate.
            found: the voxels (N,), without this candidate.
            innovations: (N, K) those of the other maps there.
            model: how the innovations of the maps go together.
            around: known voxels around them, see :meth:`around`.
            data: known voxels.
            places: (N, A) of the voxels.
        """
        correction, rest = model.predict(innovations)
        slope = np.ones(len(correction))
        if len(around[0]):
            reach = REACH * float(self.sides.mean())
            slope = local_slope(model, around[0], around[1][name], places * self.sides, reach)
        known = self.shown[data]
        # Innovations of ratios are logarithms of values, whose roots change by half as much.
        correction *= slope
        root = found.root + correction if name == MATCHED else found.root * np.exp(correction / 2)
        values = self.root.inverse(root.clip(known.min(), known.max()))
        return values, found.scale[KRIGING] * np.sqrt(1 - slope * (1 - rest))

    def beyond(self, found: _Predicted, check: _Check) -> Array:
        """Return the mean (N,) of kriging and network, each weighted by the inverse of its error's variance.

        Kriging's grows with the distance from the data, as its equations say, times a factor. The network's is the same
        everywhere. The check gives both.
        """
        wanted = self.root(check.truth)
        kriged, other = (self.root(check.candidate(name)) for name in (KRIGING, NETWORK))
        scale = np.concatenate([predicted.scale[KRIGING] for predicted in check.predicted])
        factor, variance = np.mean((kriged - wanted) ** 2 / scale**2), np.mean((other - wanted) ** 2)
        share = variance / np.maximum(variance + factor * found.scale[KRIGING] ** 2, 1e-30)
        return share * found.by_name[KRIGING] + (1 - share) * found.by_name[NETWORK]

    def unchecked(self, found: _Predicted, network: Array | None, targets: Mask) -> tuple[Array, Array]:
        """Return the mean of kriging and network, and its standard deviation, which grows where the two differ."""
        weights = _before(found.by_name)
        values = _mean(found.by_name, weights)
        by_name = {KRIGING: self.in_unit(found.scale[KRIGING], found.by_name[KRIGING])}
        if network is not None:
            by_name[NETWORK] = np.asarray(network[1], float)[targets]
        off = {name: by_name[name] ** 2 + (found.by_name[name] - values) ** 2 for name in weights}
        sd = np.sqrt(_mean(off, weights))
        # One known voxel says nothing of the spread.
        return values, sd if self.map.data.sum() > 1 else np.maximum(sd, np.abs(values))

    def in_unit(self, sd: Array, values: Array) -> Array:
        """Return a standard deviation of the roots in the unit of the values."""
        return sd * (2 * self.root(values) + sd) if self.root.used else sd


@dataclass(frozen=True)
class _Check:
    """Known voxels that were hidden, N in all folds: the candidates, the truth and the cluster of each.

    Attributes:
        folds: masks without a voxel in common.
        predicted: the candidates of each fold.
        truth: (N,) measured values.
        clusters: (N,) number of the connected cluster.
    """

    folds: list[Mask]
    predicted: list[_Predicted]
    truth: Array
    clusters: NDArray[np.intp]

    @classmethod
    def of(cls, model: _Model, hidden: Sequence[Mask], network_hidden: Sequence[Array]) -> _Check:
        data, taken = model.map.data, np.zeros_like(model.map.data)
        folds: list[Mask] = []
        predicted = []
        for k, mask in enumerate(hidden):
            mask, taken = mask & data & ~taken, taken | mask  # a voxel that is hidden twice counts once
            if mask.any():
                folds.append(mask)
                predicted.append(model.predict(data & ~mask, mask, network_hidden[k] if len(network_hidden) else None))
        truth = np.concatenate([model.map.values[mask] for mask in folds]) if folds else np.zeros(0)
        return cls(folds, predicted, truth, _cluster_numbers(folds))

    def candidate(self, name: str) -> Array:
        """Return what a candidate makes of all hidden voxels (N,)."""
        return np.concatenate([predicted.by_name[name] for predicted in self.predicted])

    @property
    def parts(self) -> NDArray[np.intp]:
        """Part (N,) of the clusters to which each voxel belongs; what the others teach is tried on it."""
        return self.clusters % PARTS

    @property
    def features(self) -> Array:
        """Features (N, F)."""
        return np.concatenate([predicted.features for predicted in self.predicted])


class _FromOthers:
    """What the other maps tell of the targets and of the hidden voxels, as learnt on the hidden voxels."""

    def __init__(self, model: _Model, check: _Check, found: _Predicted, targets: Mask) -> None:
        self.model, self.check = model, check
        data = model.map.data
        rows = np.concatenate([np.c_[predicted.own, predicted.innovations] for predicted in check.predicted])
        together = Innovations.fit(rows, model.map.mris)
        self.correlation = together.correlation[0, 1:]
        of_maps = self.correlation[: len(self.correlation) - model.map.mris]
        fields = model.ratios([int(k) for k in np.argsort(-of_maps)[:MOST_RATIOS]])
        self.names = FROM_OTHERS if fields else (MATCHED,)
        # Innovations of the hidden voxels (N, 1 + K) of each fold, by candidate.
        self.rows = [
            {
                MATCHED: np.c_[whole.own, whole.innovations],
                RATIO: model.ratio_innovations(data & ~mask, mask, whole.root, fields),
            }
            for whole, mask in zip(check.predicted, check.folds, strict=True)
        ]
        all_rows = {name: np.concatenate([rows[name] for rows in self.rows]) for name in self.names}
        around, places = model.around(data, targets, fields), np.argwhere(targets)
        innovations = {
            MATCHED: found.innovations,
            RATIO: model.ratio_innovations(data, targets, found.root, fields)[:, 1:],
        }
        for name in self.names:
            found.by_name[name], found.scale[name] = model.from_others(
                name, found, innovations[name], Innovations.fit(all_rows[name], model.map.mris), around, data, places
            )
        # What the other parts say of the innovations serves every state of the other maps.
        parts = np.unique(check.parts)
        self.learnt = {
            (n, k): Innovations.fit(all_rows[n][check.parts != k], model.map.mris) for n in self.names for k in parts
        }
        self.around = [model.around(data & ~mask, mask, fields) for mask in check.folds]

    def hide_like(self, patterns: Mask) -> None:
        """Add the candidates to the check, with other maps known as in the rows of patterns (T, K)."""
        rng, first = np.random.default_rng(len(self.check.truth)), 0
        folds = zip(self.check.predicted, self.check.folds, self.around, self.rows, strict=True)
        for whole, mask, around, rows in folds:
            count = len(whole.own)
            part, places, data = self.check.parts[first : first + count], np.argwhere(mask), self.model.map.data & ~mask
            drawn = patterns[rng.integers(len(patterns), size=count)]
            for name in self.names:
                innovations = np.where(drawn, rows[name][:, 1:], np.nan)
                values, scale = np.zeros(count), np.zeros(count)
                for k in np.unique(part):
                    here = part == k
                    values[here], scale[here] = self.model.from_others(
                        name, whole.rows(here), innovations[here], self.learnt[name, k], around, data, places[here]
                    )
                whole.by_name[name], whole.scale[name] = values, scale
            first += count


# Thousands of small systems of equations: several threads of BLAS wait for each other at every one.
@threadpool_limits.wrap(limits=1, user_api="blas")
def fill_from_session(
    map: SessionMap,
    targets: Mask,
    *,
    hidden: Sequence[Mask] = (),
    network: Array | None = None,
    network_hidden: Sequence[Array] = (),
) -> Filled:
    """Fill the missing voxels of a map by the mean of candidates that does best where known voxels were hidden.

    The candidates are kriging, biharmonic, Gaussian and the network's fill, and matched residuals and ratio kriging
    where other maps of the session are known. Their weights are not negative and sum to 1; the check gives them by
    least squares, drawn towards equal ones of kriging and network, for voxels that all, some or none of the other
    maps know. Farther from the known voxels than those of the check, the mean of kriging and network, weighted by
    their errors, takes the place of all candidates but the network and those that use the other maps. The interval
    is that of the errors in the check. Without a check, kriging and network count alike.

    Args:
        map: the map and the others of its session.
        targets: (X, Y[, Z]), True where the map is to be filled.
        hidden: known voxels that were hidden, one mask a fold; none: no check.
        network: (2, X, Y[, Z]), the network's fill of the map and its standard deviation.
        network_hidden: the same of the map without the hidden voxels, one a fold.

    Returns:
        The filled voxels.

    Raises:
        ValueError: there is the network's fill of the map, but not of every fold.
    """
    if network is not None and len(network_hidden) < len(hidden):
        raise ValueError(f"the network filled {len(network_hidden)} of {len(hidden)} folds; give it for every fold")
    targets = targets & ~map.data
    if not targets.any():
        return Filled(np.zeros(0), np.zeros(0), np.zeros(0, bool), {"checked on": 0})
    model = _Model(map, targets)
    found = model.predict(map.data, targets, network)
    check = _Check.of(model, hidden, network_hidden if network is not None else ())
    record: dict[str, Any] = {"checked on": len(check.truth)}
    if len(check.truth) < FEWEST_HIDDEN:
        values, sd = model.unchecked(found, network, targets)
        return Filled(values, _above_zero(WIDER * sd, values), np.zeros(len(values), bool), record)
    record["clusters"] = int(check.clusters.max()) + 1
    names = list(found.by_name)
    states, patterns = _states(model, targets)
    others = _FromOthers(model, check, found, targets) if (states != "none").any() else None
    if others is not None:
        record[CORRELATION] = [round(float(value), 2) for value in others.correlation]
    alike = _alike(check.features, found.features)
    # Beyond all known voxels, such as at a lost rim, the check has nothing alike, and kriging only extends the map.
    beyond = found.features[:, 0] > np.quantile(check.features[:, 0], ALIKE[1])
    extended = model.beyond(found, check) if NETWORK in names else found.by_name[KRIGING]
    values, sd = np.zeros(int(targets.sum())), np.zeros(int(targets.sum()))
    for state in np.unique(states):
        rows = states == state
        used = list(names)
        if state != "none" and others is not None:
            others.hide_like(patterns[rows])
            used += others.names
        errors = {name: check.candidate(name) - check.truth for name in used}
        weights, errors[FILLED] = _weigh(errors, check.parts)
        at_check = _scale(model, check.predicted, weights, errors[FILLED] + check.truth)
        ratio = np.abs(errors[FILLED]) / at_check
        size_at_check, size = _relative_size(ratio, check.features, found.features, check.parts)
        factor, effective = _width(ratio / size_at_check, check.clusters)
        kept = {name: weights[name] for name in weights if name == NETWORK or name not in names}
        inside = _mean(found.by_name, weights)
        outside = _mean(found.by_name, kept) + (1 - sum(kept.values())) * extended
        estimate = np.where(beyond, outside, inside)
        values[rows] = estimate[rows]
        sd[rows] = (factor / Z90 * size * _scale(model, [found], weights, estimate))[rows]
        tried = errors[FILLED] + check.truth
        record[str(state)] = _summary(errors, weights, check.truth, effective, int(rows.sum())) | {
            HIDDEN: [check.truth, tried, factor / Z90 * size_at_check * at_check]
        }
    return Filled(values, _above_zero(np.where(alike, sd, WIDER * sd), values), alike, record)


def _above_zero(sd: Array, values: Array) -> Array:
    """Return the standard deviation, never 0, which would say that the voxel was measured."""
    return np.maximum(sd, 1e-6 * np.abs(values))


def _mean(by_name: Mapping[str, Array], weights: Mapping[str, float]) -> Array:
    """Return the sum of the candidates times their weights."""
    return np.sum([weight * by_name[name] for name, weight in weights.items()], 0)


def _scale(model: _Model, predicted: Sequence[_Predicted], weights: Mapping[str, float], values: Array) -> Array:
    """Return the standard deviation of the weighted mean before calibration, in the map's unit."""
    others = {name: weights[name] for name in FROM_OTHERS if weights.get(name)}
    parts = [
        p.scale[KRIGING] + sum(weight * (p.scale[name] - p.scale[KRIGING]) for name, weight in others.items())
        for p in predicted
    ]
    return model.in_unit(np.concatenate(parts), values)


def _weigh(errors: Mapping[str, Array], part: NDArray[np.intp]) -> tuple[dict[str, float], Array]:
    """Return the candidates' weights, and the errors (N,) of their mean in each part by the weights of the others."""
    tried = np.zeros(len(part))
    weights = _weights(errors)
    for k in np.unique(part):
        here, rest = part == k, part != k
        learnt = _weights({name: error[rest] for name, error in errors.items()}) if rest.any() else weights
        tried[here] = _mean({name: error[here] for name, error in errors.items()}, learnt)
    return weights, tried


def _weights(errors: Mapping[str, Array]) -> dict[str, float]:
    """Return weights, not negative and of sum 1, that make the squared error of the candidates' mean small."""
    before = _before(errors)
    mean = _mean(errors, before)
    usual = np.sqrt((mean**2).mean()) + 1e-30
    gains = np.stack([mean - error for error in errors.values()], 1) / usual
    pull = np.sqrt(PRIOR_WEIGHT) * np.eye(len(errors))
    share, _ = nnls(np.r_[gains, pull], np.r_[mean / usual, np.zeros(len(errors))])
    share /= max(share.sum(), 1.0)
    rest = 1.0 - float(share.sum())
    return {name: float(w) + rest * before.get(name, 0.0) for name, w in zip(errors, share, strict=True)}


def _before(candidates: Mapping[str, Array]) -> dict[str, float]:
    """Return the weights before the check: kriging and, if there is one, the network alike."""
    known = [name for name in (KRIGING, NETWORK) if name in candidates]
    return dict.fromkeys(known, 1 / len(known))


def _states(model: _Model, targets: Mask) -> tuple[NDArray[np.str_], Mask]:
    """Return of each target whether all, some or none of the other maps know it, and which maps and MRIs do (T, K)."""
    known = model.known[:, targets].T
    maps = known[:, : known.shape[1] - model.map.mris]
    count, most = maps.sum(1), max(maps.shape[1], 1)
    return np.where(count == 0, "none", np.where(count == most, "all", "some")), known


def _cluster_numbers(folds: Sequence[Mask]) -> NDArray[np.intp]:
    """Number the connected clusters of hidden voxels of each fold, one number for each voxel."""
    numbers, first = [], 0
    for mask in folds:
        labels, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
        numbers.append(labels[mask] - 1 + first)
        first += count
    return np.concatenate(numbers) if numbers else np.zeros(0, int)


def _relative_size(ratio: Array, features: Array, targets: Array, part: NDArray[np.intp]) -> tuple[Array, Array]:
    """Fit how the errors' size, over their standard deviation by the model, goes with the features (log-linear).

    Returns:
        The size at the check's voxels (N,), each from a fit to the other parts, and, within the range of the features,
        at the targets (T,).
    """
    middle, width = features.mean(0), features.std(0) + 1e-30
    x, wanted = (features - middle) / width, ((targets - middle) / width)
    size = np.log(np.maximum(ratio, max(0.05 * float(np.median(ratio)), 1e-30)))

    def slopes(rows: Mask) -> Array:
        few = x[rows]
        return np.linalg.solve(few.T @ few + PRIOR_SIZE * np.eye(x.shape[1]), few.T @ (size[rows] - size[rows].mean()))

    at_check = np.ones(len(x))
    for k in np.unique(part):
        if (part != k).any():
            at_check[part == k] = np.exp(x[part == k] @ slopes(part != k))
    return at_check, np.exp(wanted.clip(x.min(0), x.max(0)) @ slopes(np.ones(len(x), bool)))


def _width(ratio: Array, clusters: NDArray[np.intp]) -> tuple[float, float]:
    """Return the factor of the standard deviation that holds nine of ten errors, and the effective number of voxels.

    Args:
        ratio: (N,) error over standard deviation.
        clusters: (N,) number of the cluster.
    """
    count = len(ratio)
    inside = ratio <= np.quantile(ratio, HELD)
    by_cluster, size = np.bincount(clusters, inside - inside.mean()), np.bincount(clusters)
    between, variance = (by_cluster**2).sum(), count * inside.var()
    effective = float(np.clip(count * variance / max(between, 1e-12), len(size) / 2, count))
    rank = min(np.ceil((effective + 1) * HELD) / effective, 1.0)
    return float(np.quantile(ratio, rank)), effective


def _alike(check: Array, targets: Array) -> Mask:
    """Tell which targets (T, F) lie within the range of the check's voxels (N, F) in every feature."""
    low, high = np.quantile(check, ALIKE, axis=0)
    return ((targets >= low) & (targets <= high)).all(1)


def _summary(
    errors: Mapping[str, Array], weights: Mapping[str, float], truth: Array, effective: float, count: int
) -> dict[str, Any]:
    """Summarise the check of one state for the record: errors over the variance of the hidden voxels."""
    spread = max(float(truth.var()), 1e-30)
    relative = {name: round(float((error**2).mean()) / spread, 4) for name, error in errors.items()}
    shares = {name: round(weight, 3) for name, weight in weights.items()}
    return {"voxels": count, "weights": shares, "n_eff": round(effective, 1), "error / variance": relative}
