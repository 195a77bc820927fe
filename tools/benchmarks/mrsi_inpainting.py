"""Filling failed voxels: brains the networks never saw, every pattern, noise, matrix, and really measured maps."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import ndimage
from tqdm import tqdm

from benchmark import REPOSITORY, Context, peak_memory
from benchmarks import excited_volumes, measured_sessions, pham_measure
from benchmarks import file_names as names
from benchmarks.carbon13 import carbon13_maps
from benchmarks.measured_sessions import NETWORK_ALONE
from mrsi_inpainting import predict
from mrsi_inpainting.reference_pham import PhamUNet
from mrsikit.metrics.calibration import error_rank_correlation, interval_coverage
from mrsikit.metrics.image_quality import mse, ssim
from mrsikit.metrics.missing_voxels import filled_fraction, missing_voxel_detection, tumour_margin
from mrsikit.phantoms import anatomy as anatomies
from mrsikit.phantoms.algorithm1 import algorithm1
from mrsikit.phantoms.metabolites import TUMOUR_WEIGHTS, weighted_map
from mrsikit.phantoms.subject import Grid, VirtualSubject
from mrsikit.phantoms.voxel_loss import PATTERNS, clusters, mixed, singles
from mrsikit.restoration.brain_mask import brain_outline, zero_rule
from mrsikit.restoration.inpainting import FILLS
from result_tables import Column, Headline, Sweep, Table, Target, find

SETS = ("BrainWeb 2", "BrainWeb 5", "glioma")
DEVELOPMENT = "BrainWeb 1"
"""What was chosen on a brain (the threshold, the calibration's share) was chosen on this one; no result."""
MODELS = REPOSITORY / "bundles" / "mrsi_inpainting" / "models"
SMOOTH = ("biharmonic", "dct", "gaussian")
CLASSICAL = (*SMOOTH, "mean")
PEERS_ON_MEASURED = (*CLASSICAL, "linear", "kriging")
INTERPOLATION = ("cubic", "linear", "nearest")
FREE, FREE_BRAIN = "ours, mask-free", "ours, mask-free, brain mask"
WRONG = f"{FREE}, --wrong_threshold 0.9"
GIVEN, GIVEN_BRAIN = "ours, mask given", "ours, mask and brain given"
UNCHECKED = f"{GIVEN_BRAIN}, --check false"
LINES = {"biharmonic": "C0:", "biharmonic, brain mask": "C1--", FREE_BRAIN: "C2-", GIVEN: "C3-."}


@dataclass(frozen=True)
class Case:
    """One map with what was made missing.

    Attributes:
        clean: (X, Y[, Z]) truth, maximum 1.
        measured: the map as measured, before voxels were lost.
        missing: bool.
        brain: bool, inside the skull.
        tumour: bool.
    """

    clean: np.ndarray
    measured: np.ndarray
    missing: np.ndarray
    brain: np.ndarray
    tumour: np.ndarray

    @property
    def spoilt(self) -> np.ndarray:
        """The map with zeros in the holes."""
        return np.where(self.missing, 0, self.measured).astype(np.float32)

    @property
    def ventricles(self) -> np.ndarray:
        """Voxels of no tissue inside the outline of the clean map."""
        return brain_outline(self.clean) & (self.clean == 0)

    @property
    def deep(self) -> np.ndarray:
        """Over 4 voxels below the outline, where no notch of the outline is taken for a ventricle."""
        return ndimage.distance_transform_edt(brain_outline(self.clean)) > 4


def load_anatomy(name: str, data: Path) -> anatomies.Anatomy:
    """Anatomy of a set by its name."""
    if name == "glioma":
        folder = data / "glioma_tcga_lgg" / "TCGA-DU-7294"
        return anatomies.from_t1(folder / "TCGA-DU-7294_t1_bet.nii.gz", tumour=folder / "simple.nii.gz")
    return anatomies.from_brainweb(data / "brainweb" / f"brainweb_fuzzy_{name.split()[-1]}.mat")


def clean_maps(
    anatomy: anatomies.Anatomy, count: int, rng: np.random.Generator, *, matrix: int = 64, volumes: bool = False
) -> list[Case]:
    """Maps by the paper's weights, nothing missing yet.

    BrainWeb brains get a drawn tumour in two of three maps; the glioma keeps its own.
    """
    cases = []
    heights = np.linspace(-25, 55, count) + rng.uniform(-1, 1, count)
    for k in range(count):
        own = anatomy.tumour is not None
        tumours = 0 if own or k % 3 == 0 else 1
        subject = VirtualSubject(int(rng.integers(2**31)), anatomy=anatomy, tumours=tumours, deform=False)
        spacing = 220.0 / matrix
        if volumes:
            grid = Grid((matrix,) * 3, (spacing,) * 3, subsamples=(2, 2, 2))
        else:
            height = float(heights[k])
            if tumours and k % 3 == 1:
                height = float(subject.tumours.tumours[0].centre[2])
            grid = Grid((matrix, matrix), (spacing, spacing), (0.0, 0.0, height), 5.0, (2, 2, 2))
        tissues = subject.tissues(grid)
        clean = weighted_map(tissues, float(rng.choice(TUMOUR_WEIGHTS))).numpy()
        brain, tumour = tissues.brain.numpy() > 0.5, tissues.tumour.numpy() > 0.5
        if (clean > 0).mean() > 0.05:
            cases.append(Case(clean, clean, np.zeros(clean.shape, bool), brain | (clean > 0), tumour))
    return cases


def spoil(
    cases: Sequence[Case], draw: Callable[..., np.ndarray], fraction: float, rng: np.random.Generator
) -> list[Case]:
    """Remove ``fraction`` of the voxels that have signal."""
    return [replace(c, missing=draw(c.clean > 0, fraction, rng)) for c in cases]


def noisy(cases: Sequence[Case], snr: float, rng: np.random.Generator) -> list[Case]:
    """Add Gaussian noise of SD mean signal / ``snr`` wherever there is signal."""
    out = []
    for c in cases:
        sd = c.clean[c.clean > 0].mean() / snr
        noise = sd * rng.standard_normal(c.clean.shape) * (c.clean > 0)
        out.append(replace(c, measured=(c.clean + noise).astype(np.float32)))
    return out


@dataclass(frozen=True)
class Filled:
    """One method's answer to one case; ``filled_mask`` and ``sd`` only where the method gives them."""

    values: np.ndarray
    filled_mask: np.ndarray
    sd: np.ndarray | None = None


def ours(cases: Sequence[Case], *, given: bool, brain: bool, **options: Any) -> list[Filled]:
    """Our network and check through the bundle's own pipeline, each map by itself."""
    return [_ours_one(c, given, brain, **options) for c in cases]


def _ours_one(case: Case, given: bool, brain: bool, **options: Any) -> Filled:
    missing, inside = case.missing if given else None, case.brain if brain else None
    out = predict(case.spoilt, missing=missing, brain=inside, **options)
    return Filled(out.inpainted, out.holes, out.uncertainty)


def classical(cases: Sequence[Case], name: str, *, brain: bool = False, zero: bool = False) -> list[Filled]:
    """A classical method with the true mask, or under the zero rule: every zero of the outline or brain is missing."""
    out = []
    for c in cases:
        filled_mask = c.missing
        if zero:
            filled_mask = c.brain & (c.spoilt == 0) if brain else zero_rule(c.spoilt)
        out.append(Filled(FILLS[name](c.spoilt, filled_mask, brain=c.brain if brain else None), filled_mask))
    return out


def missing_voxel_errors(cases: Sequence[Case], filled: Sequence[Filled], where: str = "holes") -> list[float]:
    """Mean squared error in each case's holes, or in those at a tumour's margin."""
    out = []
    for c, f in zip(cases, filled, strict=True):
        region = c.missing & tumour_margin(c.tumour) if where == "margin" else c.missing
        out.append(float(np.mean((f.values - c.clean)[region] ** 2)) if region.any() else float("nan"))
    return out


def record(
    context: Context,
    set_: str,
    condition: str,
    cases: Sequence[Case],
    results: dict[str, list[Filled]],
    extra: bool = True,
) -> None:
    """Rows of every method on the same cases: errors, ratios to biharmonic, detection, whole-image measures."""
    reference = missing_voxel_errors(cases, results["biharmonic"])
    masked = missing_voxel_errors(cases, results["biharmonic, brain mask"])
    better = min(reference, masked, key=np.mean)
    margin = missing_voxel_errors(cases, results["biharmonic"], "margin")
    for method, filled in results.items():
        errors = missing_voxel_errors(cases, filled)
        context.add(set_, condition, method, "hole MSE", errors)
        context.add_ratio(set_, condition, method, "hole MSE / biharmonic", errors, reference)
        context.add_ratio(set_, condition, method, "hole MSE / better biharmonic", errors, better)
        context.add_typical_ratio(set_, condition, method, "typical ratio", errors, reference)
        variances = [float(c.clean[c.clean > 0].var()) for c in cases]
        relative = [e / v if v > 0 else float("nan") for e, v in zip(errors, variances, strict=True)]
        context.add(set_, condition, method, "hole MSE / variance", relative)
        if not extra:
            continue
        at_margin = missing_voxel_errors(cases, filled, "margin")
        context.add(set_, condition, method, "margin MSE", at_margin)
        context.add_ratio(set_, condition, method, "margin MSE / biharmonic", at_margin, margin)
        pairs = list(zip(cases, filled, strict=True))
        tensors = [
            (torch.from_numpy(f.values)[None, None].float(), torch.from_numpy(c.clean)[None, None]) for c, f in pairs
        ]
        context.add(set_, condition, method, "whole-image MSE", [float(mse(p, t)) for p, t in tensors])
        context.add(
            set_, condition, method, "whole-image SSIM", [float(ssim(p, t, data_range=1.0)) for p, t in tensors]
        )
        if "free" in method or "zero" in method:
            _record_found(context, set_, condition, method, pairs)
        if filled[0].sd is not None:
            _record_uncertainty(context, set_, condition, method, pairs)


def _record_found(
    context: Context, set_: str, condition: str, method: str, pairs: Sequence[tuple[Case, Filled]]
) -> None:
    found = [missing_voxel_detection(f.filled_mask, c.missing) for c, f in pairs]
    context.add(set_, condition, method, "recall", [float(r) for r, _ in found])
    context.add(set_, condition, method, "precision", [float(p) for _, p in found])
    regions = [filled_fraction(f.filled_mask, c.ventricles & ~c.missing) for c, f in pairs]
    context.add(set_, condition, method, "ventricles filled", [float(v) for v in regions])
    deep = [filled_fraction(f.filled_mask, c.ventricles & c.deep & ~c.missing) for c, f in pairs]
    context.add(set_, condition, method, "deep ventricles filled", [float(v) for v in deep])


def _record_uncertainty(
    context: Context, set_: str, condition: str, method: str, pairs: Sequence[tuple[Case, Filled]]
) -> None:
    inside = [c.missing & f.filled_mask for c, f in pairs]
    covered = [
        interval_coverage((f.values - c.clean)[i], f.sd[i])  # type: ignore[index]
        for (c, f), i in zip(pairs, inside, strict=True)
    ]
    context.add(set_, condition, method, "coverage of 90 % interval", covered)
    error = np.concatenate([(f.values - c.clean)[i] for (c, f), i in zip(pairs, inside, strict=True)])
    sd = np.concatenate([f.sd[i] for (c, f), i in zip(pairs, inside, strict=True)])  # type: ignore[index]
    context.add(set_, condition, method, "rank correlation of SD and error", [error_rank_correlation(error, sd)])


def nothing(cases: Sequence[Case]) -> list[Filled]:
    """Leave the map as it is."""
    return [Filled(c.spoilt, np.zeros_like(c.missing)) for c in cases]


def all_methods(cases: Sequence[Case], *, interpolation: bool = True) -> dict[str, list[Filled]]:
    """Every method on the same cases."""
    results = {name: classical(cases, name) for name in CLASSICAL + (INTERPOLATION if interpolation else ())}
    results["biharmonic, brain mask"] = classical(cases, "biharmonic", brain=True)
    results["dct, brain mask"] = classical(cases, "dct", brain=True)
    results["gaussian, brain mask"] = classical(cases, "gaussian", brain=True)
    results["biharmonic, zero rule"] = classical(cases, "biharmonic", zero=True)
    results["biharmonic, zeros in the brain mask"] = classical(cases, "biharmonic", brain=True, zero=True)
    results["doing nothing"] = nothing(cases)
    results[FREE] = ours(cases, given=False, brain=False)
    results[FREE_BRAIN] = ours(cases, given=False, brain=True)
    results[GIVEN] = ours(cases, given=True, brain=False)
    results[GIVEN_BRAIN] = ours(cases, given=True, brain=True)
    return results


def pham_networks(cases: Sequence[Case]) -> dict[str, list[Filled]]:
    """The paper's U-Nets, where their weights are; (X, Y) maps of a multiple of 16."""
    out = {}
    for name in ("progressive", "direct"):
        path = MODELS / f"model_paper_{name}.pt"
        if cases[0].clean.ndim == 2 and path.is_file():
            network = PhamUNet(spatial_dims=2)
            network.load_state_dict(torch.load(path, weights_only=True))
            network.eval()
            with torch.no_grad():
                maps = network(torch.from_numpy(np.stack([c.spoilt for c in cases]))[:, None])[:, 0].numpy()
            out[f"paper's U-Net, {name}"] = [Filled(m, np.zeros(m.shape, bool)) for m in maps]
    return out


def measure(context: Context) -> None:
    """Fill the context's rows and draw the pictures that need the maps themselves."""
    slices, volumes = (6, 1) if context.quick else (36, 4)
    _develop(context, slices)
    pictures: dict[str, Any] = {}
    sets = SETS[:1] if context.quick else SETS
    for set_ in tqdm(sets, desc="brains", unit="brain"):
        rng = np.random.default_rng([context.seed, len(set_), ord(set_[-1])])
        anatomy = load_anatomy(set_, context.data)
        planar = clean_maps(anatomy, slices, rng)
        cases = spoil(planar, mixed, 0.2, rng)
        results = all_methods(cases) | pham_networks(cases)
        large = [replace(c, brain=ndimage.binary_dilation(c.brain)) for c in cases]
        results[f"{FREE_BRAIN} a voxel too large"] = ours(large, given=False, brain=True)
        record(context, set_, MIXED, cases, results)
        pictures[set_] = (cases, results)
        cases = spoil(planar, _scattered, 0.2, rng)
        record(context, set_, SCATTERED, cases, all_methods(cases, interpolation=False))
        _thresholds(context, set_, cases)
        cases = spoil(planar, _edges, 0.1, rng)
        record(context, set_, EDGES, cases, all_methods(cases, interpolation=False))
        cases = spoil(planar, algorithm1, 0.2, rng)
        record(context, set_, "2D 64x64, 20 %, Algorithm 1", cases, all_methods(cases) | pham_networks(cases))
        for snr in (5, 10, 20):
            cases = spoil(noisy(planar, snr, rng), mixed, 0.2, rng)
            record(context, set_, f"2D 64x64, 20 %, SNR {snr}", cases, all_methods(cases, interpolation=False))
        _wrong(context, set_, planar, rng)
        _sweep(context, set_, anatomy, planar, rng)
        solid = clean_maps(anatomy, volumes, rng, volumes=True)
        cases = spoil(solid, mixed, 0.15, rng)
        record(context, set_, SOLID, cases, _volume_methods(cases))
        cases = spoil(solid, _scattered, 0.15, rng)
        record(context, set_, SOLID_SCATTERED, cases, _volume_methods(cases))
    _examples(pictures, context.figures)
    _by_pattern(context)
    excited_volumes.measure_excited_volumes(context)
    _real(context)
    measured_sessions.measure_sessions(context)
    pham_measure.measure_as_pham(context)
    _cost(context)


def _develop(context: Context, slices: int) -> None:
    """What the choices made on the brain kept for development rest on."""
    rng = np.random.default_rng([context.seed, 1])
    planar = clean_maps(load_anatomy(DEVELOPMENT, context.data), slices, rng)
    cases = spoil(planar, mixed, 0.2, rng)
    record(context, DEVELOPMENT, MIXED, cases, all_methods(cases, interpolation=False))
    _thresholds(context, DEVELOPMENT, spoil(planar, _scattered, 0.2, rng))


def _scattered(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    return mixed(brain, fraction, rng, patterns=("clusters", "singles"))


def _edges(brain: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    return mixed(brain, fraction, rng, patterns=("rim", "slab"))


def _volume_methods(cases: Sequence[Case]) -> dict[str, list[Filled]]:
    results = {name: classical(cases, name) for name in CLASSICAL}
    for name in ("biharmonic", "dct", "gaussian"):
        results[f"{name}, brain mask"] = classical(cases, name, brain=True)
    results["biharmonic, zero rule"] = classical(cases, "biharmonic", zero=True)
    results["biharmonic, zeros in the brain mask"] = classical(cases, "biharmonic", brain=True, zero=True)
    results["doing nothing"] = nothing(cases)
    for method, given, brain in (
        (FREE, False, False), (FREE_BRAIN, False, True), (GIVEN, True, False), (GIVEN_BRAIN, True, True),
    ):  # fmt: skip
        results[method] = ours(cases, given=given, brain=brain)
    results[f"{FREE_BRAIN}, slice by slice"] = ours(cases, given=False, brain=True, volumetric=False)
    results[f"{GIVEN}, slice by slice"] = ours(cases, given=True, brain=False, volumetric=False)
    return results


def _thresholds(context: Context, set_: str, cases: Sequence[Case]) -> None:
    """What a stricter or laxer judgement finds, and how many ventricles it fills."""
    for threshold in (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9):
        filled = ours(cases, given=False, brain=False, threshold=threshold)
        pairs = list(zip(cases, filled, strict=True))
        _record_found(context, set_, THRESHOLDS, f"{FREE}, threshold {threshold:g}", pairs)
    for threshold in (0.4, 0.6, 0.7, 0.8):
        filled = ours(cases, given=False, brain=True, threshold=threshold)
        pairs = list(zip(cases, filled, strict=True))
        _record_found(context, set_, THRESHOLDS, f"{FREE_BRAIN}, threshold {threshold:g}", pairs)


def _wrong(context: Context, set_: str, planar: Sequence[Case], rng: np.random.Generator) -> None:
    """Voxels of a wrong value: how many are noticed, and how many right ones with them, by the size of the error."""
    for factor in (0.25, 0.5, 1.5, 2.0, 3.0, 5.0):
        cases = spoil(noisy(planar, 20, rng), clusters, 0.02, rng)
        spoilt = [np.where(c.missing, c.measured * factor, c.measured).astype(np.float32) for c in cases]
        out = predict(np.stack(spoilt, -1)[:, :, None], wrong_threshold=0.9)
        wrong = [out.holes[:, :, 0, k] & (spoilt[k] != 0) for k in range(len(cases))]
        found = [missing_voxel_detection(mask, c.missing) for mask, c in zip(wrong, cases, strict=True)]
        condition = f"2 % of voxels times {factor:g}, SNR 20"
        context.add(set_, condition, WRONG, "recall", [float(r) for r, _ in found])
        context.add(set_, condition, WRONG, "precision", [float(p) for _, p in found])


def _sweep(
    context: Context, set_: str, anatomy: anatomies.Anatomy, planar: Sequence[Case], rng: np.random.Generator
) -> None:
    """Share lost by pattern, and matrix."""
    few = planar[:: 3 if not context.quick else 2]
    for name in PATTERNS:
        for eta in (5, 10, 20, 30, 40):
            cases = spoil(few, PATTERNS[name], eta / 100, rng)
            record(context, set_, f"2D 64x64, {eta} %, {name}", cases, _few_methods(cases), extra=False)
    for matrix in (16, 32, 64, 128):
        cases = spoil(clean_maps(anatomy, len(few), rng, matrix=matrix), mixed, 0.2, rng)
        record(context, set_, f"2D {matrix}x{matrix}, 20 %, any pattern", cases, _few_methods(cases), extra=False)


LOST_BY_PATTERN = {"clusters": 0.2, "singles": 0.2, "rim": 0.1, "slab": 0.1, "sinus": 0.1}


def by_pattern(name: str) -> str:
    """Condition of the cases that lose voxels by one pattern."""
    return f"2D 64x64, masks given: {name}"


def _by_pattern(context: Context) -> None:
    """Each pattern by itself, both masks given: this bundle, its network alone, and the classical fills."""
    for set_ in tqdm(SETS[:1] if context.quick else SETS, desc="patterns", unit="brain"):
        rng = np.random.default_rng([context.seed, 3, len(set_), ord(set_[-1])])
        planar = clean_maps(load_anatomy(set_, context.data), 2 if context.quick else 12, rng)
        for name, share in LOST_BY_PATTERN.items():
            cases = spoil(planar, PATTERNS[name], share, rng)
            peers = {f"{m}, brain mask": classical(cases, m, brain=True) for m in (*SMOOTH, "kriging")}
            peers |= {m: classical(cases, m) for m in SMOOTH}
            ours_filled = ours(cases, given=True, brain=True)
            results = {GIVEN_BRAIN: ours_filled, NETWORK_ALONE: [_network_alone(c) for c in cases], **peers}
            errors = {method: np.array(missing_voxel_errors(cases, filled)) for method, filled in results.items()}
            best = min(peers, key=lambda method: float(errors[method].mean()))
            variance = np.array([c.clean[c.clean > 0].var() for c in cases])
            for method, error in errors.items():
                context.add(set_, by_pattern(name), method, "hole MSE / variance", error / variance)
                if method not in peers:
                    context.add_ratio(set_, by_pattern(name), method, "MSE / best classical", error, errors[best])
            network = errors[NETWORK_ALONE]
            context.add_ratio(set_, by_pattern(name), GIVEN_BRAIN, "MSE / network alone", errors[GIVEN_BRAIN], network)
            pairs = list(zip(cases, ours_filled, strict=True))
            _record_uncertainty(context, set_, by_pattern(name), GIVEN_BRAIN, pairs)


def _network_alone(case: Case) -> Filled:
    volume = [array[..., None] for array in (case.spoilt, case.missing, case.brain)]
    values = measured_sessions.network_fill(*volume, np.eye(4))[..., 0]
    return Filled(values.astype(np.float32), case.missing)


def _few_methods(cases: Sequence[Case]) -> dict[str, list[Filled]]:
    return {
        "biharmonic": classical(cases, "biharmonic"),
        "biharmonic, brain mask": classical(cases, "biharmonic", brain=True),
        FREE_BRAIN: ours(cases, given=False, brain=True),
        GIVEN: ours(cases, given=True, brain=False),
        GIVEN_BRAIN: ours(cases, given=True, brain=True),
    }


def _cost(context: Context) -> None:
    """Time of a volume after loading against biharmonic's, and peak memory of a fresh process that does it."""
    rng = np.random.default_rng(context.seed)
    volumes = clean_maps(load_anatomy(SETS[0], context.data), 1 if context.quick else 4, rng, volumes=True)
    cases = spoil(volumes, mixed, 0.15, rng)
    ways = {FREE: (False, {}), GIVEN_BRAIN: (True, {}), UNCHECKED: (True, {"check": False})}
    ratios: dict[str, list[float]] = {way: [] for way in ways}
    for given, options in ways.values():
        _ours_one(cases[0], given, given, **options)
    for case in cases:
        best = dict.fromkeys(("biharmonic", *ways), math.inf)
        for _ in range(3):  # the fastest of three: what else the machine does comes on top
            start = time.perf_counter()
            FILLS["biharmonic"](case.spoilt, case.missing)
            best["biharmonic"] = min(best["biharmonic"], time.perf_counter() - start)
            for way, (given, options) in ways.items():
                start = time.perf_counter()
                _ours_one(case, given, given, **options)
                best[way] = min(best[way], time.perf_counter() - start)
        for way in ways:
            ratios[way].append(best[way] / best["biharmonic"])
    for way, found in ratios.items():
        context.add("any", "cost of a 64^3 volume", way, "time / biharmonic", found)
    context.add(
        "any",
        "cost of a 64^3 volume",
        FREE,
        "peak memory of the process, GB",
        [peak_memory([sys.executable, "-c", FILL_A_VOLUME])],
    )


FILL_A_VOLUME = (
    "import numpy as np; from mrsi_inpainting import predict; v = np.zeros((64, 64, 64), np.float32);"
    "v[8:56, 8:56, 8:56] = 1; v[20:40:5, 20:40:5, 20:40:5] = 0; predict(v)"
)


def _real(context: Context) -> None:
    """Remove 15 % of the well-measured voxels, many times, and fill them: error over the well-measured variance."""
    repeats = 4 if context.quick else 24
    rows = []
    for name, (values, good) in carbon13_maps(context.data).items():
        rng = np.random.default_rng([context.seed, 13])
        cases = []
        for k in range(repeats):
            missing = (singles if k % 2 else clusters)(good, 0.15, rng)
            cases.append(Case(values, values, missing, np.ones(values.shape, bool), np.zeros(values.shape, bool)))
        results = {m: classical(cases, m) for m in PEERS_ON_MEASURED}
        results |= {GIVEN: ours(cases, given=True, brain=False), FREE: ours(cases, given=False, brain=False)}
        variance = float(values[good].var())
        for method, filled in results.items():
            errors = np.array(missing_voxel_errors(cases, filled)) / variance
            context.add(name, REAL, method, "hole MSE / variance", errors)
            context.add_ratio(
                name, REAL, method, "hole MSE / biharmonic", errors * variance,
                missing_voxel_errors(cases, results["biharmonic"]),
            )  # fmt: skip
        found = [missing_voxel_detection(f.filled_mask, c.missing) for c, f in zip(cases, results[FREE], strict=True)]
        context.add(name, REAL, FREE, "recall", [float(r) for r, _ in found])
        context.add(name, REAL, FREE, "precision", [float(p) for _, p in found])
        rows.append((name, cases[0], results))
    _ratios_to_pyruvate(context, repeats)
    figure = Figure(figsize=(12, 2.4 * len(rows)))
    columns = ("removed", "biharmonic", "gaussian", GIVEN, FREE, "truth")
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, (name, case, results) in zip(axes, rows, strict=True):
        for axis, column in zip(line, columns, strict=True):
            shown = {"removed": case.spoilt, "truth": case.clean}.get(column)
            shown = results[column][0].values if shown is None else shown
            _show(axis, shown, case.clean.max())
            axis.set_title(column if name == rows[0][0] else "", fontsize=9)
        line[0].set_ylabel(name, fontsize=8)
    _save(figure, context.figures / "real_maps.png")


def _ratios_to_pyruvate(context: Context, repeats: int) -> None:
    """Remove lactate where pyruvate is known, and fill it: error of lactate over pyruvate."""
    maps = carbon13_maps(context.data)
    for name in [name.removesuffix(", lactate") for name in maps if name.endswith("lactate")]:
        (lactate, good), (pyruvate, known) = maps[f"{name}, lactate"], maps[f"{name}, pyruvate"]
        good, rng = good & known, np.random.default_rng([context.seed, 17])
        ratio = np.where(good, lactate / np.where(good, pyruvate, 1), 0)
        errors: dict[str, list[float]] = {}
        for k in range(repeats):
            missing = (singles if k % 2 else clusters)(good, 0.15, rng)
            spoilt = np.where(missing, 0, lactate)
            others = np.where(known, pyruvate, np.nan)[..., None]
            found = {method: FILLS[method](spoilt, missing) for method in ("biharmonic", "kriging")}
            found[GIVEN] = predict(spoilt, missing=missing).inpainted
            found[WITH_PYRUVATE] = predict(spoilt, missing=missing, others=others).inpainted
            for method, filled in found.items():
                off = (filled / np.where(good, pyruvate, 1) - ratio)[missing]
                errors.setdefault(method, []).append(float((off**2).mean() / ratio[good].var()))
        for method, values in errors.items():
            context.add(name, TO_PYRUVATE, method, "MSE / variance", values)
            context.add_ratio(name, TO_PYRUVATE, method, "MSE / kriging", values, errors["kriging"])


def _examples(pictures: dict[str, Any], folder: Path) -> None:
    """The median and the worst case of each set."""
    rows = []
    for set_, (cases, results) in pictures.items():
        order = np.argsort(missing_voxel_errors(cases, results[FREE_BRAIN]))
        for label, k in ((f"{set_}, median case", order[len(order) // 2]), (f"{set_}, worst case", order[-1])):
            rows.append((label, cases[k], {method: filled[k] for method, filled in results.items()}))
    figure = Figure(figsize=(15, 2.3 * len(rows)))
    columns = ("as measured", "biharmonic, zero rule", "biharmonic", FREE, FREE_BRAIN, GIVEN, "truth", "SD")
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, (label, case, answers) in zip(axes, rows, strict=True):
        top = float(np.percentile(case.clean, 99.5))
        for axis, column in zip(line, columns, strict=True):
            if column == "SD":
                _show(axis, answers[FREE_BRAIN].sd, top / 3, "viridis")
            else:
                shown = {"as measured": case.spoilt, "truth": case.clean}.get(column)
                _show(axis, answers[column].values if shown is None else shown, top)
            axis.set_title(column.replace(", ", ",\n") if label == rows[0][0] else "", fontsize=8)
        line[0].set_ylabel(label, fontsize=8)
    _save(figure, folder / "examples.png")


def _show(axis: Any, values: np.ndarray, top: float, colours: str = "inferno") -> None:
    axis.imshow(values.T, origin="lower", vmin=0, vmax=top, cmap=colours, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=70)


def figures(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """Figures made from the rows alone."""
    present = [s for s in SETS if any(r["set"] == s for r in rows)]
    figure = Figure(figsize=(14, 7))
    axes = figure.subplots(2, 3).flat
    for axis, name in zip(axes, PATTERNS, strict=False):
        for method, style in LINES.items():
            etas = (5, 10, 20, 30, 40)
            line = [
                np.mean([find(rows, s, f"2D 64x64, {e} %, {name}", method, "hole MSE") for s in present]) for e in etas
            ]
            axis.semilogy(etas, line, style, label=method, marker="o", markersize=3)
        axis.set(title=name, xlabel="voxels lost, %", ylabel="MSE in the holes")
    last = figure.axes[5]
    sizes = (16, 32, 64, 128)
    for method, style in LINES.items():
        line = [
            np.mean([find(rows, s, f"2D {m}x{m}, 20 %, any pattern", method, "hole MSE") for s in present])
            for m in sizes
        ]
        last.loglog(sizes, line, style, label=method, marker="o", markersize=3)
    last.set(title="matrix, 20 % lost, mixed", xlabel="voxels a side", ylabel="MSE in the holes")
    last.set_xticks(sizes, [str(size) for size in sizes])
    last.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    figure.axes[0].legend(fontsize=7)
    _save(figure, folder / "patterns.png")
    figure = Figure(figsize=(7, 3.5))
    axis = figure.subplots()
    factors = (0.25, 0.5, 1.5, 2.0, 3.0, 5.0)
    for metric, style in (("recall", "-o"), ("precision", "--s")):
        line = [
            np.mean([find(rows, s, f"2 % of voxels times {f:g}, SNR 20", WRONG, metric) for s in present])
            for f in factors
        ]
        axis.semilogx(factors, line, style, label=metric)
    axis.set(
        xlabel="wrong value / right value", ylabel="share", ylim=(0, 1.02), title="voxels that are wrong, not zero"
    )
    axis.set_xticks(factors, [f"{f:g}" for f in factors])
    axis.minorticks_off()
    axis.legend()
    _save(figure, folder / "wrong_voxels.png")


def _ratio(condition: str, method: str, metric: str = "hole MSE / biharmonic") -> Callable[..., float]:
    return lambda rows, set_: find(rows, set_, condition, method, metric)


def _against_best(condition: str, method: str, metric: str = "hole MSE") -> Callable[..., float]:
    """Hole error over that of the best classical method on these cases, brain mask or not."""

    def figure(rows: Sequence[dict[str, Any]], set_: str) -> float:
        names = [*CLASSICAL, "linear", "cubic", *(f"{name}, brain mask" for name in ("biharmonic", "dct", "gaussian"))]
        errors = [find(rows, set_, condition, name, metric) for name in names]
        return find(rows, set_, condition, method, metric) / np.nanmin(errors)

    return figure


def _measured_maps_held(method: str) -> Callable[..., float]:
    """Number of really measured maps on which a method is no worse than the best classical one."""

    def figure(rows: Sequence[dict[str, Any]], set_: str) -> float:
        held = 0
        for name in dict.fromkeys(r["set"] for r in rows if r["condition"] == REAL):
            errors = [find(rows, name, REAL, other, "hole MSE / variance") for other in PEERS_ON_MEASURED]
            held += find(rows, name, REAL, method, "hole MSE / variance") <= min(errors)
        return float(held)

    return figure


REAL = "really measured, 15 % removed"
TO_PYRUVATE = "lactate over pyruvate, 15 % of lactate removed"
WITH_PYRUVATE = "this bundle, mask and pyruvate given"
MIXED, SOLID = "2D 64x64, 20 %, mixed", "3D 64^3, 15 %, mixed"
SCATTERED, SOLID_SCATTERED = "2D 64x64, 20 %, clusters and singles", "3D 64^3, 15 %, clusters and singles"
EDGES = "2D 64x64, 10 %, rim and slab"
THRESHOLDS = f"{SCATTERED}, by threshold"


def _not_recognised(rows: Sequence[dict[str, Any]], set_: str) -> float:
    return 100 - find(rows, set_, excited_volumes.CONDITION, "box, any", excited_volumes.TAKEN)


def _taken_for_boxes(rows: Sequence[dict[str, Any]], set_: str) -> float:
    return find(rows, set_, excited_volumes.CONDITION, "brain, any", excited_volumes.TAKEN)


PARTS = {
    "cost": _cost,
    **measured_sessions.PARTS,
    "excited volumes": excited_volumes.measure_excited_volumes,
    "really measured maps": _real,
    "patterns": _by_pattern,
    "development": lambda context: _develop(context, 36),
    **pham_measure.PARTS,
    **names.PARTS,
}
TARGETS = [
    Target(
        "2D, mask-free with brain mask: hole MSE / biharmonic with the true mask", 0.8, True, _ratio(MIXED, FREE_BRAIN)
    ),
    Target("the same: / the best classical, brain mask or not", 0.8, True, _against_best(MIXED, FREE_BRAIN)),
    Target("2D, mask given: hole MSE / biharmonic", 0.7, True, _ratio(MIXED, GIVEN)),
    Target(
        "the same, brain mask given: / the best classical, brain mask or not",
        0.7,
        True,
        _against_best(MIXED, GIVEN_BRAIN),
    ),
    Target(
        "3D, mask-free with brain mask: hole MSE / biharmonic with the true mask", 0.9, True, _ratio(SOLID, FREE_BRAIN)
    ),
    Target("the same: / the best classical, brain mask or not", 0.9, True, _against_best(SOLID, FREE_BRAIN)),
    Target("3D, mask given: hole MSE / biharmonic", 0.8, True, _ratio(SOLID, GIVEN)),
    Target(
        "the same, brain mask given: / the best classical, brain mask or not",
        0.8,
        True,
        _against_best(SOLID, GIVEN_BRAIN),
    ),
    *(
        Target(
            f"SNR {snr}, mask given: hole MSE / best classical",
            0.75,
            True,
            _against_best(f"2D 64x64, 20 %, SNR {snr}", GIVEN),
        )  # fmt: skip
        for snr in (5, 10, 20)
    ),
    Target("holes found, clusters and singles, 2D: recall", 0.97, False, _ratio(SCATTERED, FREE, "recall"), "%.3f"),
    Target("the same: precision", 0.97, False, _ratio(SCATTERED, FREE, "precision"), "%.3f"),
    Target("3D: recall", 0.95, False, _ratio(SOLID_SCATTERED, FREE, "recall"), "%.3f"),
    Target("3D: precision", 0.95, False, _ratio(SOLID_SCATTERED, FREE, "precision"), "%.3f"),
    Target("rim and slab loss with the brain mask: recall", 0.9, False, _ratio(EDGES, FREE_BRAIN, "recall"), "%.3f"),
    Target("ventricle voxels filled, mask-free", 0.02, True, _ratio(SCATTERED, FREE, "ventricles filled"), "%.3f"),
    Target("the same, brain mask given", 0.02, True, _ratio(MIXED, FREE_BRAIN, "ventricles filled"), "%.3f"),
    Target("margins, mask-free: MSE / biharmonic", 1.0, True, _ratio(MIXED, FREE_BRAIN, "margin MSE / biharmonic")),
    Target(
        "90 % intervals cover, 2D, mask given",
        0.87,
        False,
        _ratio(MIXED, GIVEN, "coverage of 90 % interval"),
        "%.3f",
        high=0.93,
    ),  # fmt: skip
    Target(
        "90 % intervals cover, 3D, mask given",
        0.87,
        False,
        _ratio(SOLID, GIVEN, "coverage of 90 % interval"),
        "%.3f",
        high=0.93,
    ),  # fmt: skip
    Target(
        "rank correlation of SD and error, 2D", 0.5, False, _ratio(MIXED, GIVEN, "rank correlation of SD and error")
    ),
    Target(
        "rank correlation of SD and error, 3D", 0.4, False, _ratio(SOLID, GIVEN, "rank correlation of SD and error")
    ),
    Target(
        "the maps of the set, mask given: hole MSE / best classical, in units of each map's variance",
        1.0,
        True,
        _against_best(MIXED, GIVEN, "hole MSE / variance"),
    ),
    Target(
        "really measured maps, of five, mask given: not worse than any classical",
        5,
        False,
        _measured_maps_held(GIVEN),
        "%.0f",
    ),
    Target("the same, mask-free", 5, False, _measured_maps_held(FREE), "%.0f"),
    Target("excited boxes not recognised without a mask, %", 10, True, _not_recognised, "%.1f"),
    Target("brains taken for excited boxes, %", 2, True, _taken_for_boxes, "%.1f"),
    Target(
        "a 64^3 volume: time / biharmonic",
        15,
        True,
        lambda rows, _: find(rows, "any", "cost of a 64^3 volume", FREE, "time / biharmonic"),
        "%.1f",
    ),  # fmt: skip
    Target(
        "a 64^3 volume: peak memory, GB",
        2,
        True,
        lambda rows, _: find(rows, "any", "cost of a 64^3 volume", FREE, "peak memory of the process, GB"),
        "%.1f",
    ),  # fmt: skip
]

ERRORS = {
    "hole MSE": "%.4f",
    "hole MSE / biharmonic": "%.2f",
    "typical ratio": "%.2f",
    "margin MSE / biharmonic": "%.2f",
}
FOUND = {"recall": "%.3f", "precision": "%.3f", "ventricles filled": "%.3f", "deep ventricles filled": "%.3f"}
WHOLE = {"whole-image MSE": "%.4f", "whole-image SSIM": "%.3f"}
TABLES = [
    *measured_sessions.TABLES,
    Table("Really measured maps, 15 % of the well-measured voxels removed", REAL, {"hole MSE / variance": "%.2f"},
          "Hyperpolarised 13C, summed over time. Well measured: over 5 standard deviations of the noise in a prostate; "
          "pyruvate over a quarter of its 95th percentile in the primate, for lactate too."),
    Table("What was found on really measured maps", REAL, {"recall": "%.2f", "precision": "%.2f"}),
    Table(
        "Lactate over pyruvate on really measured maps", TO_PYRUVATE,
        {"MSE / variance": "%.2f", "MSE / kriging": "%.2f"},
        "15 % of the voxels that are well measured in both maps are removed from lactate, pyruvate is known.",
    ),
    *(Table(f"Each pattern by itself, 2D 64x64, both masks given: {name}, {share:.0%} lost", by_pattern(name),
            {"hole MSE / variance": "%.3f", "MSE / network alone": "%.2f", "MSE / best classical": "%.2f",
             "coverage of 90 % interval": "%.2f"},
            "Network alone: as version 0.1.0 filled. Best classical: of those listed here.")
      for name, share in LOST_BY_PATTERN.items()),
    Table("Error in the holes, 2D 64x64, 20 % of the voxels lost, mixed patterns", MIXED, ERRORS,
          "Classical methods have the true mask unless the line says otherwise. Typical ratio: geometric mean of the "
          "maps' ratios to biharmonic; the ratio of the means is set by the maps without a bright tumour, whose "
          "scale is larger. In brackets: 95 % interval over maps, all of one brain: it says nothing of other brains."),
    Table("What was found, 2D 64x64, clusters and single voxels", SCATTERED, FOUND),
    Table("The same by the option --threshold", THRESHOLDS, FOUND),
    Table("What was found, 2D 64x64, rim and slab lost", EDGES, FOUND),
    *(Table(f"Noise: SNR {snr}, 2D 64x64, 20 % lost, mixed patterns", f"2D 64x64, 20 %, SNR {snr}",
            {"hole MSE": "%.4f", "hole MSE / biharmonic": "%.2f", "coverage of 90 % interval": "%.2f"})
      for snr in (5, 10, 20)),
    Table("Error in the holes, 3D 64^3, 15 % lost, mixed patterns", SOLID, ERRORS),
    Table("What was found, 3D 64^3, clusters and single voxels", SOLID_SCATTERED, FOUND),
    *pham_measure.TABLES,
    Table("Whole image, 2D, 20 % removed by Algorithm 1, each voxel counted once", "2D 64x64, 20 %, Algorithm 1", WHOLE,
          "Each slice by itself, drawn and spoilt in 2D."),
    Table("Whole image, 3D, 15 % lost, mixed patterns", SOLID, WHOLE,
          "Not the paper's measure: the voxels were not removed by Algorithm 1."),
    Table("Uncertainty, 2D", MIXED, {"coverage of 90 % interval": "%.3f", "rank correlation of SD and error": "%.2f"}),
    Table("Uncertainty, 3D", SOLID, {"coverage of 90 % interval": "%.3f", "rank correlation of SD and error": "%.2f"}),
    Sweep("Hole MSE over the better biharmonic's (with or without the brain mask), by the share lost and its pattern",
          {f"2D 64x64, {e} %, {p}": f"{p}, {e} %" for p in PATTERNS for e in (5, 10, 20, 30, 40)},
          {FREE_BRAIN: "mask-free, brain mask", GIVEN_BRAIN: "mask and brain given"}, "hole MSE / better biharmonic"),
    Sweep("Hole MSE over the better biharmonic's, by the matrix, 20 % lost, mixed patterns",
          {f"2D {m}x{m}, 20 %, any pattern": f"{m} x {m}" for m in (16, 32, 64, 128)},
          {FREE_BRAIN: "mask-free, brain mask", GIVEN_BRAIN: "mask and brain given"}, "hole MSE / better biharmonic"),
    *(Table(f"Voxels that are wrong, not zero: times {f:g}", f"2 % of voxels times {f:g}, SNR 20",
            {"recall": "%.2f", "precision": "%.2f"}) for f in (0.5, 2.0, 5.0)),
    *names.TABLES,
    *excited_volumes.TABLES,
    Table("Cost of a 64^3 volume", "cost of a 64^3 volume",
          {"time / biharmonic": "%.1f", "peak memory of the process, GB": "%.2f"}),
]  # fmt: skip

HEADLINE = Headline(
    (
        Column("measured 1H session, NAA, other maps given: MSE / variance", "mse_over_variance_measured_session_naa",
               "K_01, NAA", measured_sessions.KNOWN, "MSE / variance", "%.3f"),
        Column("measured 1H session, NAA alone: MSE / variance", "mse_over_variance_measured_naa_alone",
               "K_01, NAA", measured_sessions.ALONE, "MSE / variance", "%.3f"),
        Column("measured 13C prostate, lactate: MSE / variance", "mse_over_variance_measured_prostate_lactate",
               "prostate pc6088, lactate", REAL, "hole MSE / variance"),
    ),
    {"kriging": ("kriging",), "biharmonic": ("biharmonic",), "Gaussian mean": ("gaussian",),
     "this bundle": (measured_sessions.OURS, GIVEN)},
    "this bundle",
)  # fmt: skip
