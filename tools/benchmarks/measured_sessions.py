"""Really measured sessions: voxels hidden in one map, while the other maps are known, failed too, or not given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmark import Context
from mrsi_inpainting import predict
from mrsi_inpainting.fit_quality import FitQuality
from mrsi_inpainting.network import Inpainter
from mrsikit.metrics.calibration import Z90
from mrsikit.restoration.inpainting import FILLS, kriging
from mrsikit.restoration.inpainting.kriging import SquareRoot, fit_covariance, kriging_weights
from mrsikit.runtime.bundles import bundle_root
from mrsikit.runtime.pipeline import BundlePipeline, channel_first
from result_tables import Table

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

FOLDER = "oryx_human_mrsi_3t"
DEVELOPMENT, REPORTED = "PD_01", "K_01"
"""Choices were made on the first subject; the second is reported."""
METABOLITES = {
    "NAA": "NAA_NAAG",
    "Cr": "Cr_PCr",
    "Cho": "GPC_PCh",
    "Glx": "Glu_Gln",
    "Ins": "Ins",
    "lipid": "MM20_Lip20",
}
MASKS, SHARE, MAX_CRLB, MAX_FWHM, FEWEST, FEWEST_TESTED = 40, 0.15, 20.0, 0.1, 60, 100
KNOWN, FAILED, ALONE = "other maps known", "other maps failed as they do", "each map by itself"
OURS, NETWORK_ALONE, PEER = "ours", "network of this bundle alone", "kriging"
REFERENCE, RATIO_TO_CR = "Cr", "the same as a ratio to Cr"
HOLD = "90 % intervals hold, where calibrated"
HOLD_WITH_NOISE = "the same, with the noise of what is asked back"
PSEUDO, FEWEST_PSEUDO = "pseudo-failures: bounds of 10 to 20 %", 20
RULES, NOISE, RULE_REPEATS = ("percent", "absolute"), (2.0, 3.0), 10
HIGH_BOUNDS, ERASED = "bounds above 20 %, noise x {:g}", "lesion of 0.35 x NAA: bias / contrast"
WIDTHS, BY_WIDTH, SURPRISE = (0.06, 0.08, 0.1, np.inf), "by linewidth", "squared error / variance expected"
REGIONS = 30
"""Places of a lesion."""


@dataclass(frozen=True)
class Session:
    """The maps of one subject (X, Y, Z), with where they are well fitted and their bounds in percent."""

    values: dict[str, Array]
    good: dict[str, Mask]
    bounds: dict[str, Array]
    affine: Array

    @property
    def spacing(self) -> Array:
        """Voxel size, mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def tested(self) -> list[str]:
        """Names of the maps that are asked back: those with enough well-fitted voxels."""
        return [name for name in self.values if self.good[name].sum() >= FEWEST_TESTED]

    def others(self, name: str) -> Array:
        """Other maps (X, Y, Z, K), NaN where they failed."""
        return np.stack([np.where(self.good[n], self.values[n], np.nan) for n in self.values if n != name], -1)


def linewidths(folder: Path, subject: str) -> Array:
    """Read the linewidths (X, Y, Z), ppm."""
    image: Any = nib.load(folder / f"{subject}_fwhm.nii.gz")
    return np.asarray(image.get_fdata())


def load_session(folder: Path, subject: str, *, max_fwhm: float = MAX_FWHM) -> Session:
    """Read the maps of which enough voxels are well fitted."""
    values, good, bounds = {}, {}, {}
    affine, width = np.eye(4), linewidths(folder, subject)
    for name, stem in METABOLITES.items():
        image: Any = nib.load(folder / f"{subject}_{stem}.nii.gz")
        affine = image.affine
        map = np.nan_to_num(image.get_fdata())
        bound: Any = nib.load(folder / f"{subject}_{stem}_crlb.nii.gz")
        percent = np.nan_to_num(bound.get_fdata())
        fitted = (map > 0) & (percent > 0) & (percent <= MAX_CRLB) & (width <= max_fwhm)
        if fitted.sum() >= FEWEST:
            fitted &= map < 2 * np.percentile(map[fitted], 99)
            values[name], good[name], bounds[name] = map, fitted, percent
    return Session(values, good, bounds, affine)


def cubes(where: Mask, share: float, rng: np.random.Generator) -> Mask:
    """Draw boxes that cover a share of the voxels, in boxes of side 1 to 3."""
    hidden, places = np.zeros_like(where), np.argwhere(where)
    while hidden.sum() < share * where.sum():
        start, side = places[rng.integers(len(places))], rng.integers(1, 4, 3)
        side[2] = 1 if where.shape[2] < 6 else side[2]
        hidden[tuple(slice(a, a + b) for a, b in zip(start, side, strict=True))] = True
        hidden &= where
    return hidden


def failed_as_they_do(session: Session, name: str, hidden: Mask, rng: np.random.Generator) -> Array:
    """Other maps (X, Y, Z, K) that fail in each hidden voxel as in a voxel where this map really failed."""
    others = session.others(name)
    anywhere = np.any(list(session.good.values()), 0)
    failed = np.isnan(others)[anywhere & ~session.good[name]]
    if not len(failed):
        return others
    drawn = failed[rng.integers(len(failed), size=int(hidden.sum()))]
    others[hidden] = np.where(drawn, np.nan, others[hidden])
    return others


def fills(session: Session, name: str, hidden: Mask, others: Array | None) -> dict[str, tuple[Array, Array, Mask]]:
    """Fill of every method, with its standard deviation and where it is calibrated (0 where it says neither)."""
    good, values = session.good[name], session.values[name]
    spoilt = np.where(good & ~hidden, values, 0)
    bounds = np.where(good, session.bounds[name], 0)
    nothing, never = np.zeros(values.shape), np.zeros(values.shape, bool)
    out = predict(spoilt, missing=hidden, brain=good, crlb=bounds, others=others, affine=session.affine)
    found = {OURS: (out.inpainted.astype(float), out.uncertainty.astype(float), out.calibrated)}
    if others is None:
        for method, fill in FILLS.items():
            if method in ("biharmonic", "gaussian", "dct", "mean"):
                found[method] = fill(spoilt, ~(good & ~hidden), brain=np.ones_like(good)), nothing, never
        found[NETWORK_ALONE] = network_fill(spoilt, hidden, good, session.affine), nothing, never
    amount = bounds / 100 * values
    found[PEER] = kriging(spoilt, hidden, brain=good, spacing=session.spacing, bounds=amount), nothing, never
    return found


def network_fill(spoilt: Array, hidden: Mask, brain: Mask, affine: Array) -> Array:
    """Fill by the bundle's network alone, as version 0.1.0 did."""
    pipeline = BundlePipeline(bundle_root("mrsi_inpainting"), check=False)
    data = {"image": spoilt, "missing": hidden, "brain": brain}
    item = pipeline.before({key: channel_first(np.asarray(array, float), affine) for key, array in data.items()})
    layers = pipeline.network(item["image"][None].as_tensor())[0].detach().numpy()  # slices: (3 Z, X, Y)
    assert isinstance(pipeline.network, Inpainter)
    return np.where(hidden, np.moveaxis(layers[::3], 0, -1), spoilt)


def measure_sessions(context: Context, subjects: Sequence[str] = (DEVELOPMENT, REPORTED)) -> None:
    """Rows of the subjects, each condition and each map: error, its ratio to kriging's, and what intervals hold."""
    masks = 2 if context.quick else MASKS
    for subject in subjects:
        session = load_session(context.data / FOLDER, subject)
        tested = session.tested()
        errors: dict[tuple[str, str, str], list[float]] = {}
        ratios: dict[tuple[str, str, str], list[float]] = {}
        held: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for name in tqdm(tested, desc=subject, unit="map"):
            good, values = session.good[name], session.values[name]
            for mask in range(masks):
                rng = np.random.default_rng([context.seed, mask])
                hidden = cubes(good, SHARE, rng)
                truth, spread = values[hidden], values[good].var()
                given = {
                    KNOWN: session.others(name),
                    FAILED: failed_as_they_do(session, name, hidden, rng),
                    ALONE: None,
                }
                for condition, others in given.items():
                    for method, (filled, sd, calibrated) in fills(session, name, hidden, others).items():
                        error = float(((filled[hidden] - truth) ** 2).mean() / spread)
                        errors.setdefault((condition, name, method), []).append(error)
                        if name != REFERENCE and REFERENCE in session.values and method in (OURS, PEER):
                            both = hidden & session.good[REFERENCE]
                            off = (filled - values)[both] / session.values[REFERENCE][both]
                            ratios.setdefault((condition, name, method), []).append(float((off**2).mean()))
                        if method == OURS:
                            inside = np.abs(filled[hidden] - truth) <= Z90 * sd[hidden]
                            marked = calibrated[hidden]
                            share = inside[marked].mean() if marked.any() else np.nan
                            held.setdefault((condition, name), []).append((float(share), float(marked.mean())))
        for (condition, name, method), found in errors.items():
            where = f"{subject}, {name}"
            context.add(where, condition, method, "MSE / variance", found)
            if method != PEER:
                context.add_ratio(where, condition, method, "MSE / kriging", found, errors[condition, name, PEER])
        for (condition, name, method), found in ratios.items():
            if method == OURS:
                where, peer = f"{subject}, {name}", ratios[condition, name, PEER]
                context.add_ratio(where, condition, OURS, RATIO_TO_CR, found, peer)
        for (condition, name), shares in held.items():
            where = f"{subject}, {name}"
            context.add(where, condition, OURS, HOLD, [a for a, _ in shares])
            context.add(where, condition, OURS, "share calibrated", [b for _, b in shares])
        _tumours(context, subject, session, 2 if context.quick else REGIONS)


def measure_pseudo_failures(context: Context, subject: str) -> None:
    """Voxels of a bound of 10 to 20 % count as failed in all maps, and what was measured in them is asked back.

    To see whether noise is why they lie outside the interval, it is also widened: by as much as the variance of their
    noise, as the bounds tell, exceeds that of the sound voxels.
    """
    session = load_session(context.data / FOLDER, subject)
    tested = session.tested()
    sound = {name: good & (session.bounds[name] <= MAX_CRLB / 2) for name, good in session.good.items()}
    strict = Session(session.values, sound, session.bounds, session.affine)
    for name in tested:
        hidden = session.good[name] & ~sound[name]
        if sound[name].sum() < FEWEST or hidden.sum() < FEWEST_PSEUDO:
            continue
        truth, spread = session.values[name][hidden], session.values[name][session.good[name]].var()
        tried = Session(session.values, {**sound, name: session.good[name]}, session.bounds, session.affine)
        found = fills(tried, name, hidden, strict.others(name))
        where = f"{subject}, {name}"
        squared = {method: (filled[hidden] - truth) ** 2 / spread for method, (filled, _, _) in found.items()}
        for method, error in squared.items():
            context.add(where, PSEUDO, method, "MSE / variance", list(error))
        context.add_ratio(where, PSEUDO, OURS, "MSE / kriging", list(squared[OURS]), list(squared[PEER]))
        filled, sd, calibrated = found[OURS]
        noise = (session.bounds[name] / 100 * session.values[name]) ** 2
        extra = np.maximum(noise[hidden] - np.median(noise[sound[name]]), 0)
        marked = calibrated[hidden]
        for metric, variance in ((HOLD, sd[hidden] ** 2), (HOLD_WITH_NOISE, sd[hidden] ** 2 + extra)):
            inside = np.abs(filled[hidden] - truth) <= Z90 * np.sqrt(variance)
            context.add(where, PSEUDO, OURS, metric, list(inside[marked].astype(float)))
        context.add(where, PSEUDO, OURS, "share calibrated", list(marked.astype(float)))


LESIONS = {"tumour": {"NAA": 0.5, "Cr": 0.8, "Cho": 1.8}, "NAA alone": {"NAA": 0.5}}


def _tumours(context: Context, subject: str, session: Session, count: int) -> None:
    """A lesion of 3x3 voxels of which half is lost in one map: bias of the filled mean, in units of the contrast."""
    both = np.all([session.good[name] for name in ("NAA", "Cr", "Cho")], 0)
    places = [
        (x, y, z) for x, y, z in np.argwhere(both) if both[max(x - 1, 0) : x + 2, max(y - 1, 0) : y + 2, z].sum() == 9
    ]
    rng = np.random.default_rng([context.seed, 7])
    for kind, factors in LESIONS.items():
        bias: dict[tuple[str, str], list[float]] = {}
        for k in np.random.default_rng(context.seed).permutation(len(places))[:count]:
            x, y, z = places[k]
            lesion, lost = np.zeros_like(both), np.zeros_like(both)
            lesion[x - 1 : x + 2, y - 1 : y + 2, z] = True
            lost[lesion] = rng.permutation(9) < 5
            changed = {n: np.where(lesion, factors.get(n, 1.0), 1.0) * v for n, v in session.values.items()}
            with_lesion = Session(changed, session.good, session.bounds, session.affine)
            for name in ("NAA", "Cr", "Cho"):
                if kind == "NAA alone" and name == "NAA":
                    continue
                before = session.values[name][lost].mean()
                contrast = abs(factors.get(name, 0.0) - 1) * before
                for method, (filled, _, _) in fills(with_lesion, name, lost, with_lesion.others(name)).items():
                    found = float((filled[lost] - changed[name][lost]).mean() / contrast)
                    bias.setdefault((name, method), []).append(found)
        for (name, method), biases in bias.items():
            context.add(f"{subject}, {name}", f"lesion: {kind}", method, "bias / contrast", biases)


def noisier(session: Session, factor: float, rng: np.random.Generator) -> Session:
    """The same session with ``factor`` times the noise that its bounds tell, and the bounds of that."""
    values, bounds = {}, {}
    for name, map in session.values.items():
        amount = session.bounds[name] / 100 * map
        noisy = map + np.sqrt(factor**2 - 1) * amount * rng.standard_normal(map.shape)
        values[name] = np.where(session.good[name], np.maximum(noisy, 0), 0)
        percent = 100 * factor * amount / np.maximum(values[name], 1e-9)
        bounds[name] = np.where(session.good[name], np.minimum(percent, 999), 0)
    return Session(values, session.good, bounds, session.affine)


def measure_rules(context: Context, subject: str) -> None:
    """What to do with a bound above 20 %: fill the voxel, or keep it if its bound is low in the map's unit.

    The session is given more noise, as its bounds tell. What was measured before is asked back in the voxels whose
    bound now exceeds 20 %. So is the mean of a lesion of 3x3 voxels with 0.35 x NAA, of which nothing is marked lost.
    """
    session = load_session(context.data / FOLDER, subject)
    metabolites: list[str] = [name for name in ("NAA", "Cr", "Cho") if name in session.values]
    both = np.all([session.good[name] for name in metabolites], 0)
    places = [(x, y, z) for x, y, z in np.argwhere(both) if both[x - 1 : x + 2, y - 1 : y + 2, z].sum() == 9]
    for factor in NOISE:
        condition = HIGH_BOUNDS.format(factor)
        errors: dict[tuple[str, str, str], list[float]] = {}
        for repeat in tqdm(range(2 if context.quick else RULE_REPEATS), desc=f"{subject}, {condition}", unit="session"):
            rng = np.random.default_rng([context.seed, repeat, 23])
            measured = noisier(session, factor, rng)
            x, y, z = places[rng.integers(len(places))]
            lesion = np.zeros_like(both)
            lesion[x - 1 : x + 2, y - 1 : y + 2, z] = True
            sick = dict(session.values)
            sick["NAA"] = np.where(lesion, 0.35, 1.0) * sick["NAA"]
            amount = {name: session.bounds[name] / 100 * map for name, map in session.values.items()}
            bounds = {name: 100 * amount[name] / np.maximum(sick[name], 1e-9) for name in sick}
            tumour = noisier(Session(sick, session.good, bounds, session.affine), factor, rng)
            for rule in RULES:
                for name in metabolites:
                    truth, good = session.values[name], session.good[name]
                    high = good & (measured.bounds[name] > MAX_CRLB)
                    found = by_rule(measured, name, rule)
                    off = (found - truth)[high]
                    error, bias = (off**2).mean() / truth[good].var(), off.mean() / np.median(truth[good])
                    errors.setdefault((name, "MSE / variance", rule), []).append(float(error))
                    errors.setdefault((name, "bias / median", rule), []).append(float(bias))
                found = by_rule(tumour, "NAA", rule)
                bias = (found - sick["NAA"])[lesion].mean() / (0.65 * session.values["NAA"][lesion].mean())
                errors.setdefault(("NAA", ERASED, rule), []).append(float(bias))
        for (name, metric, rule), values in errors.items():
            context.add(f"{subject}, {name}", condition, f"--rule {rule}", metric, values)


def by_rule(session: Session, name: str, rule: str) -> Array:
    """Fill a map of a session, with the others as they stand in files beside it."""
    known = []
    for other, map in session.values.items():
        if other != name:
            bounds = {"crlb": torch.from_numpy(session.bounds[other][None])}
            good = FitQuality(max_crlb=MAX_CRLB, rule=rule).good(torch.from_numpy(map[None]), bounds)
            known.append(np.where(good[0].numpy(), map, np.nan))
    return predict(
        session.values[name], crlb=session.bounds[name], brain=session.good[name], others=np.stack(known, -1),
        affine=session.affine, rule=rule,
    ).inpainted.astype(float)  # fmt: skip


def measure_linewidths(context: Context, subject: str) -> None:
    """How far each well-fitted voxel lies from what kriging predicts from the others, by the linewidth of its fit."""
    folder = context.data / FOLDER
    session, width = load_session(folder, subject, max_fwhm=np.inf), linewidths(folder, subject)
    for name, good in session.good.items():
        values = session.values[name]
        root = SquareRoot.of(values[good])
        shown = np.where(good, root(np.where(good, values, 0)), 0)
        bounds = root.deviation(values, session.bounds[name] / 100 * values)
        covariance = fit_covariance(shown, good, session.spacing, bounds=bounds)
        noise, places = covariance.noise(bounds[good], int(good.sum())), np.argwhere(good)
        weights = kriging_weights(covariance, places, places, session.spacing, noise=noise)
        squared = (shown[good] - weights.predict(shown[good])) ** 2 / (weights.variance + noise)
        for low, high in zip((0, *WIDTHS), WIDTHS, strict=False):
            chosen = (width[good] > low) & (width[good] <= high)
            title = f"{low:g} to {high:g} ppm" if high < np.inf else f"above {low:g} ppm"
            if chosen.any():
                context.add(f"{subject}, {name}", BY_WIDTH, title, SURPRISE, list(squared[chosen]))


SUBJECTS = (DEVELOPMENT, REPORTED)
PARTS = {f"measured session {name}": partial(measure_sessions, subjects=[name]) for name in SUBJECTS} | {
    f"{title} {name}": partial(measure, subject=name)
    for title, measure in (
        ("pseudo-failures", measure_pseudo_failures),
        ("rules for bounds", measure_rules),
        ("linewidths", measure_linewidths),
    )
    for name in SUBJECTS
}
RATIO = {"MSE / variance": "%.3f", "MSE / kriging": "%.2f"}
OF_CR = {RATIO_TO_CR: "%.2f"}
INTERVALS = {HOLD: "%.2f", "share calibrated": "%.2f"}
TABLES = [
    Table(
        f"Measured sessions: {condition}", condition, {**RATIO, **OF_CR, **INTERVALS},
        "Human 3 T sessions of Oryx-MRSI: PD_01 for development, K_01 reported. 15 % of a map's well-fitted voxels "
        "(bound up to 20 %, linewidth up to 0.1 ppm) are hidden in boxes of 1 to 3 voxels a side, over 40 masks. "
        "All methods know which voxels are missing.",
    )
    for condition in (KNOWN, FAILED, ALONE)
] + [
    Table(
        f"Measured sessions, a lesion of 3x3 voxels, half of it lost in one map: {kind}", f"lesion: {kind}",
        {"bias / contrast": "%.3f"},
        "Bias of the filled mean over the lesion's contrast in that map; over the map's level where it has no lesion.",
    )
    for kind in LESIONS
] + [
    Table(
        f"Measured sessions: {HIGH_BOUNDS.format(factor)}", HIGH_BOUNDS.format(factor),
        {"MSE / variance": "%.3f", "bias / median": "%.2f", ERASED: "%.2f"},
        "The session with more noise, as its bounds tell. What was measured before is asked back in the voxels whose "
        "bound now exceeds 20 %, and in a lesion of 3x3 voxels of which nothing is marked lost. 10 draws of the noise.",
    )
    for factor in NOISE
] + [
    Table(
        "Measured sessions: how far a fit lies from its neighbours, by its linewidth", BY_WIDTH, {SURPRISE: "%.1f"},
        "Each well-fitted voxel (bound of 20 % or less) is predicted from the others by kriging. 1: as far off as the "
        "map's covariance and the bounds tell. Intervals are over voxels.",
    ),
    Table(
        "Measured sessions: voxels of a bound of 10 to 20 %, taken for failed in all maps", PSEUDO,
        {**RATIO, **INTERVALS, HOLD_WITH_NOISE: "%.2f"},
        "What was measured in these voxels is asked back. The last column widens the interval by as much as their "
        "noise, by the bounds, exceeds that of the others. Intervals are over voxels.",
    ),
]  # fmt: skip
