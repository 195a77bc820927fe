"""Fill a map from itself and from the other maps of its session, by what does best on voxels hidden for a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrsikit.restoration.inpainting.biharmonic import biharmonic
from mrsikit.restoration.inpainting.gaussian import gaussian
from mrsikit.restoration.inpainting.kriging import KrigingWeights, SquareRoot, fit_covariance, kriging_weights
from mrsikit.restoration.inpainting.matched_residuals import Innovations, local_slope

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Kriging is taken unless another choice has a smaller squared error by so many standard errors, over clusters. At lost
#: rims of a virtual brain (BrainWeb 1) a half was better than one, and no worse on a measured session (PD_01 of
#: Oryx-MRSI).
CLEARLY = 0.5
#: Hidden voxels below which the check decides nothing.
FEWEST_HIDDEN = 30
#: Half width, in standard deviations, of the interval that is calibrated, and the share that it must hold.
Z90, HELD = 1.645, 0.9
#: Factor of the standard deviation of voxels that are not like those of the check.
WIDER = 2.0
#: Strength of the prior that the errors go with the model's standard deviation, in voxels of the check.
PRIOR_SIZE = 20.0
#: Parts of the check's clusters; the size of each part's errors is predicted from the others.
SIZE_PARTS = 4
#: Quantiles of the check's voxels between which a voxel is like them.
ALIKE = (0.01, 0.99)
#: Distance, in voxels, at which known voxels say whether the other maps help there.
REACH = 2.2
MATCHED, KRIGING, NETWORK = "matched residuals", "kriging", "network"
BLEND = "kriging and network by their errors"

ALONE: dict[str, tuple[str, ...]] = {
    KRIGING: (KRIGING,),
    NETWORK: (NETWORK,),
    "biharmonic": ("biharmonic",),
    "gaussian": ("gaussian",),
    BLEND: (BLEND,),
    "mean of all": (KRIGING, NETWORK, "biharmonic", "gaussian"),
}
"""What may fill a voxel that no other map knows: the mean of these candidates."""

TOGETHER: dict[str, tuple[str, ...]] = {**ALONE, MATCHED: (MATCHED,), "mean of kriging and matched": (KRIGING, MATCHED)}
"""What may fill a voxel that other maps know."""


@dataclass(frozen=True, kw_only=True)
class SessionMap:
    """One map and what is known with it; arrays are (X, Y[, Z]).

    Attributes:
        values: the map; what is not data does not count.
        data: True where the map is known.
        spacing: voxel size along each axis, mm.
        bounds: standard deviation of each voxel's noise in the map's unit, such as the absolute Cramér-Rao bound; None:
            the same everywhere.
        others: (K, X, Y[, Z]) other maps of the session, NaN where they are not known.
    """

    values: Array
    data: Mask
    spacing: Sequence[float]
    bounds: Array | None = None
    others: Array | None = None


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


class _Model:
    """Covariance of the map, and the other maps made complete where this one is known."""

    def __init__(self, map: SessionMap) -> None:
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

    def weights(self, data: Mask, targets: Mask) -> KrigingWeights:
        noise = self.covariance.noise(None if self.noise is None else self.noise[data], int(data.sum()))
        places = np.argwhere(data) * self.sides
        return kriging_weights(self.covariance, places, np.argwhere(targets) * self.sides, noise=noise)

    def innovations(self, weights: KrigingWeights, data: Mask, targets: Mask) -> Array:
        """Return the innovations (N, K) of the other maps."""
        predicted = weights.predict(self.complete[:, data].T)
        return np.where(self.known[:, targets], self.others[:, targets], np.nan).T - predicted

    def predict(self, data: Mask, targets: Mask, network: Array | None) -> _Predicted:
        """Return the candidates for the targets from the data, all but the matched residuals."""
        weights = self.weights(data, targets)
        known = self.shown[data]
        root = weights.predict(known).clip(known.min(), known.max())
        values = np.where(data, self.map.values, 0.0)
        by_name = {KRIGING: self.root.inverse(root)}
        by_name["biharmonic"] = biharmonic(values, ~data, brain=data | targets)[targets].astype(float)
        by_name["gaussian"] = gaussian(values, ~data, brain=np.ones_like(data))[targets].astype(float)
        if network is not None:
            filled, network_sd = np.asarray(network, float)[:, targets]
            # If the measured values are never negative (non-negative fits), the filled ones must not be either.
            by_name[NETWORK] = filled.clip(0) if self.root.used else filled
        nearest = weights.index[:, :8]
        columns = [np.log(weights.variance), root, np.log(known[nearest].std(1) + 0.01 * known.std() + 1e-30)]
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

    def around(self, data: Mask, targets: Mask) -> tuple[Array, Array]:
        """Return the positions (N, A) of the data around the targets and their innovations (N, 1 + K) in all maps."""
        near = data & ndimage.binary_dilation(targets, iterations=2)
        if not near.any():
            return np.zeros((0, data.ndim)), np.zeros((0, 1 + len(self.others)))
        weights = self.weights(data, near)
        own = self.shown[near] - weights.predict(self.shown[data])
        return np.argwhere(near) * self.sides, np.c_[own, self.innovations(weights, data, near)]

    def add_matched(
        self, found: _Predicted, model: Innovations, around: tuple[Array, Array], data: Mask, targets: Mask
    ) -> None:
        """Add the matched residuals and their standard deviation to the candidates."""
        correction, rest = model.predict(found.innovations)
        slope = np.ones(len(correction))
        if len(around[0]):
            reach = REACH * float(self.sides.mean())
            slope = local_slope(model, *around, np.argwhere(targets) * self.sides, reach)
        known = self.shown[data]
        matched = (found.root + slope * correction).clip(known.min(), known.max())
        found.by_name[MATCHED] = self.root.inverse(matched)
        found.scale[MATCHED] = found.scale[KRIGING] * np.sqrt(1 - slope * (1 - rest))

    def add_blend(self, predictions: Sequence[_Predicted], checks: Sequence[_Predicted], truth: Array) -> None:
        """Add the mean of kriging and network, each weighted by the inverse of its error's variance.

        Kriging's grows with the distance from the data, as its equations say, times a factor. The network's is the same
        everywhere. The check gives both.
        """
        wanted = self.root(truth)
        kriged, other = (np.concatenate([self.root(c.by_name[name]) for c in checks]) for name in (KRIGING, NETWORK))
        scale = np.concatenate([check.scale[KRIGING] for check in checks])
        factor, variance = np.mean((kriged - wanted) ** 2 / scale**2), np.mean((other - wanted) ** 2)
        for found in predictions:
            share = variance / np.maximum(variance + factor * found.scale[KRIGING] ** 2, 1e-30)
            found.by_name[BLEND] = share * found.by_name[KRIGING] + (1 - share) * found.by_name[NETWORK]
            found.scale[BLEND] = np.sqrt(share * factor) * found.scale[KRIGING]

    def in_unit(self, found: _Predicted, names: Sequence[str]) -> tuple[Array, Array]:
        """Return the mean of candidates and its standard deviation before calibration, in the map's unit."""
        values = np.mean([found.by_name[name] for name in names], 0)
        sd = np.min([found.scale.get(name, found.scale[KRIGING]) for name in names], 0)
        return values, sd * (2 * self.root(values) + sd) if self.root.used else sd


def fill_from_session(
    map: SessionMap,
    targets: Mask,
    *,
    hidden: Sequence[Mask] = (),
    network: Array | None = None,
    network_hidden: Sequence[Array] = (),
) -> Filled:
    """Fill the missing voxels of a map by the candidate that does best where known voxels were hidden.

    The candidates are kriging, biharmonic, Gaussian and the network's fill, and matched residuals where other maps of
    the session are known. Kriging is taken unless another choice is better by half a standard error over the hidden
    clusters, for voxels that all, some or none of the other maps know. Voxels farther from the known ones than those of
    the check get the mean of kriging and network, weighted by their errors, unless the network alone was best. The
    interval is that of the errors in the check.

    Args:
        map: the map and the others of its session.
        targets: (X, Y[, Z]), True where the map is to be filled.
        hidden: known voxels that were hidden, one mask a fold; none: no check.
        network: (2, X, Y[, Z]), the network's fill of the map and its standard deviation.
        network_hidden: the same of the map without the hidden voxels, one a fold.

    Returns:
        The filled voxels.
    """
    targets = targets & ~map.data
    model = _Model(map)
    found = model.predict(map.data, targets, network)
    folds = [mask & map.data for mask in hidden]
    checks = [
        model.predict(map.data & ~mask, mask, network_hidden[k] if k < len(network_hidden) else None)
        for k, mask in enumerate(folds)
        if mask.any()
    ]
    folds = [mask for mask in folds if mask.any()]
    truth = np.concatenate([map.values[mask] for mask in folds]) if folds else np.zeros(0)
    if len(truth) < FEWEST_HIDDEN:
        values, sd = model.in_unit(found, (KRIGING,))
        sd = sd if map.data.sum() > 1 else np.maximum(sd, np.abs(values))  # one voxel says nothing of the spread
        sd = np.maximum(sd, 1e-6 * np.abs(values))  # never 0, which would say that the voxel was measured
        return Filled(values, WIDER * sd, np.zeros(len(values), bool), {"checked on": len(truth)})
    clusters = _cluster_numbers(folds)
    states, patterns = _states(model, targets)
    record: dict[str, Any] = {"checked on": len(truth), "clusters": int(clusters.max()) + 1}
    values, sd = np.zeros(int(targets.sum())), np.zeros(int(targets.sum()))
    if all(NETWORK in prediction.by_name for prediction in (found, *checks)):
        model.add_blend((found, *checks), checks, truth)
    features = np.concatenate([check.features for check in checks])
    alike = _alike(features, found.features)
    # Beyond all known voxels, such as at a lost rim, the check has nothing alike, and kriging only extends the map.
    beyond = found.features[:, 0] > np.quantile(features[:, 0], ALIKE[1])
    if (states != "none").any():
        innovations = [np.c_[check.own, check.innovations] for check in checks]
        places = [np.flatnonzero(mask) for mask in folds]
        together = Innovations.fit(np.concatenate(innovations))
        model.add_matched(found, together, model.around(map.data, targets), map.data, targets)
        # What the other folds say of the innovations serves every state of the other maps.
        together_rows, where = np.concatenate(innovations), np.concatenate(places)
        models = []
        for here in places:
            rest = together_rows[~np.isin(where, here)]
            models.append(Innovations.fit(rest) if len(rest) >= FEWEST_HIDDEN else together)
        surroundings = [model.around(map.data & ~mask, mask) for mask in folds]
    for state in np.unique(states):
        rows = states == state
        if state != "none":
            rng = np.random.default_rng(len(truth))
            for k, (check, mask) in enumerate(zip(checks, folds, strict=True)):
                kept = np.where(_drawn(patterns[rows], len(check.own), rng), check.innovations, np.nan)
                partly = _Predicted(check.by_name, check.scale, kept, check.root, check.features, check.own)
                model.add_matched(partly, models[k], surroundings[k], map.data & ~mask, mask)
        choices = TOGETHER if state != "none" else ALONE
        errors, scales = {}, {}
        for name, parts in choices.items():
            if all(part in check.by_name for check in checks for part in parts):
                pairs = [model.in_unit(check, parts) for check in checks]
                errors[name] = np.concatenate([value for value, _ in pairs]) - truth
                scales[name] = np.concatenate([scale for _, scale in pairs])
        chosen = _choose(errors, clusters)
        ratio = np.abs(errors[chosen]) / scales[chosen]
        at_check, at_targets = _relative_size(ratio, features, found.features, clusters)
        factor, effective = _width(ratio / at_check, clusters, int(np.any(folds, 0).sum()))
        estimate, scale = model.in_unit(found, choices[chosen])
        values[rows], sd[rows] = estimate[rows], factor / Z90 * (scale * at_targets)[rows]
        if chosen != NETWORK and MATCHED not in choices[chosen] and BLEND in found.by_name:
            values[rows & beyond] = found.by_name[BLEND][rows & beyond]
        record[state] = _summary(errors, chosen, truth, effective, int(rows.sum()))
    # Never 0, which would say that the voxel was measured.
    sd = np.maximum(np.where(alike, sd, WIDER * sd), 1e-6 * np.abs(values))
    return Filled(values, sd, alike, record)


def _states(model: _Model, targets: Mask) -> tuple[NDArray[np.str_], Mask]:
    """Return of each target whether all, some or none of the other maps know it, and which (T, K)."""
    known = model.known[:, targets].T
    count, most = known.sum(1), max(known.shape[1], 1)
    return np.where(count == 0, "none", np.where(count == most, "all", "some")), known


def _drawn(patterns: Mask, count: int, rng: np.random.Generator) -> Mask:
    """Draw for each hidden voxel which other maps a missing voxel of this state has."""
    return patterns[rng.integers(len(patterns), size=count)]


def _cluster_numbers(folds: Sequence[Mask]) -> NDArray[np.intp]:
    """Number the connected clusters of hidden voxels, one number for each; folds that overlap share a cluster."""
    anywhere = np.any(folds, 0)
    labels, _ = ndimage.label(anywhere, np.ones((3,) * anywhere.ndim))
    return np.concatenate([labels[mask] - 1 for mask in folds])


def _choose(errors: Mapping[str, Array], clusters: NDArray[np.intp]) -> str:
    """Return the choice that is better than kriging by most, if by CLEARLY standard errors over the clusters."""
    chosen, most = KRIGING, 0.0
    for name, error in errors.items():
        gain = errors[KRIGING] ** 2 - error**2
        by_cluster = np.bincount(clusters, gain - gain.mean())
        standard_error = np.sqrt((by_cluster**2).sum()) / len(gain)
        if gain.mean() > max(most, CLEARLY * standard_error):
            chosen, most = name, float(gain.mean())
    return chosen


def _relative_size(ratio: Array, features: Array, targets: Array, clusters: NDArray[np.intp]) -> tuple[Array, Array]:
    """Fit how the errors' size, over their standard deviation by the model, goes with the features (log-linear).

    Returns:
        The size at the check's voxels (N,), each from a fit to other clusters, and, within the range of the features,
        at the targets (T,).
    """
    middle, width = features.mean(0), features.std(0) + 1e-30
    x, wanted = (features - middle) / width, ((targets - middle) / width)
    size = np.log(np.maximum(ratio, max(0.05 * float(np.median(ratio)), 1e-30)))

    def slopes(rows: Mask) -> Array:
        few = x[rows]
        return np.linalg.solve(few.T @ few + PRIOR_SIZE * np.eye(x.shape[1]), few.T @ (size[rows] - size[rows].mean()))

    at_check, part = np.ones(len(x)), clusters % SIZE_PARTS
    for k in np.unique(part):
        if (part != k).any():
            at_check[part == k] = np.exp(x[part == k] @ slopes(part != k))
    return at_check, np.exp(wanted.clip(x.min(0), x.max(0)) @ slopes(np.ones(len(x), bool)))


def _width(ratio: Array, clusters: NDArray[np.intp], different: int) -> tuple[float, float]:
    """Return the factor of the standard deviation that holds nine of ten errors, and the effective number of voxels.

    Args:
        ratio: (N,) error over standard deviation.
        clusters: (N,) number of the cluster.
        different: number of voxels, of which some were hidden more than once.
    """
    count = len(ratio)
    inside = ratio <= np.quantile(ratio, HELD)
    by_cluster, size = np.bincount(clusters, inside - inside.mean()), np.bincount(clusters)
    between, variance = (by_cluster**2).sum(), count * inside.var()
    effective = float(np.clip(count * variance / max(between, 1e-12), len(size) / 2, different))
    rank = min(np.ceil((effective + 1) * HELD) / effective, 1.0)
    return float(np.quantile(ratio, rank)), effective


def _alike(check: Array, targets: Array) -> Mask:
    """Tell which targets (T, F) lie within the range of the check's voxels (N, F) in every feature."""
    low, high = np.quantile(check, ALIKE, axis=0)
    return ((targets >= low) & (targets <= high)).all(1)


def _summary(errors: Mapping[str, Array], chosen: str, truth: Array, effective: float, count: int) -> dict[str, Any]:
    """Summarise the check of one state for the record: errors over the variance of the hidden voxels."""
    spread = max(float(truth.var()), 1e-30)
    relative = {name: round(float((error**2).mean()) / spread, 4) for name, error in errors.items()}
    return {"voxels": count, "filled by": chosen, "n_eff": round(effective, 1), "error / variance": relative}
