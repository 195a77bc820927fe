"""Quantifying deuterium FIDs: the estimator against its bound and its peers, and what an MRI prior gains and costs."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import ndimage
from torch import Tensor
from tqdm import tqdm

from benchmark import REPOSITORY, Context, peak_memory
from benchmarks import precise_dmi
from benchmarks.dmi_instances import instance
from benchmarks.dmi_setting import (
    AMARES,
    CNN,
    LARGEST_SHIFT,
    LINES,
    MODEL,
    OURS,
    SCIPY,
    SNRS,
    T2_STAR,
    TRUTH,
    Draw,
    add_peaks,
    draw,
    estimator_rows,
    fit,
    on_grid,
    precise_dmi_cnn,
    record_errors,
)
from dmi_quantification import predict
from dmi_quantification.mri_prior import RobustPrior, neighbours
from dmi_quantification.network import FidLeastSquares
from dmi_quantification.reference_precise_dmi import PreciseDmiCnn, PreciseDmiEstimator
from dmi_quantification.reference_precise_dmi_fine_tuning import PreciseDmiPrior, edge_weights, fine_tuned_amplitudes
from dmi_quantification.relaxation import fit_t2_star
from dmi_quantification.sign import find_sign
from mrsikit.fitting.crlb import crlb, separate_lines_bound
from mrsikit.fitting.fid_least_squares import fid_least_squares
from mrsikit.fitting.fourier_integration import fourier_integration
from mrsikit.io import Fids, write_fids
from mrsikit.metrics.calibration import Z90
from mrsikit.phantoms.dmi import (
    FINER,
    PEAKS,
    DmiPhantom,
    b0_map,
    b1_map,
    broadening_of,
    rings,
    with_lesions,
)  # fmt: skip
from mrsikit.physics import spectra
from mrsikit.physics.fid_model import FidModel, noise_of_snr
from mrsikit.physics.nuclei import DEUTERIUM
from mrsikit.restoration.anisotropic_diffusion import anisotropic_diffusion
from result_tables import Column, Headline, Table, Target, find

logger = logging.getLogger("benchmark")

SETS = PEAKS
FINE = {f"paper's fine-tuning, lambda {text}": float(text) for text in (".004", ".01", ".04")}
DELAYS = 16
SIGNS = "simulated files of either sign"
LARGE = "a time series of 64x64x32 voxels, 8 points"
NONE, PRECISE_DMI, ROBUST = "no prior", "paper's prior, lambda .01", "ours, robust prior"


def measure(context: Context) -> None:
    """Fill the context's rows and draw the pictures that need the data themselves."""
    for part in tqdm(PARTS.values(), desc="benchmark", unit="part"):
        part(context)


def _bound(context: Context) -> None:
    """The numerical bound against Eq. 6 on the paper's setting."""
    noise = noise_of_snr(MODEL, 12.1, amplitude=10.0)
    prompt = replace(MODEL, delay=0.0)
    bounds = crlb(prompt, TRUTH[None], noise, longer=1e-9)[0]
    eq6 = [separate_lines_bound(TRUTH, k, t2_star=T2_STAR[k], dwell=MODEL.dwell, noise=noise) for k in range(4)]
    add_peaks(context, "bound", "numerical", "CRLB / Eq. 6", [float(bounds[k]) / eq6[k] for k in range(4)], 1)


def _monte_carlo(context: Context) -> None:
    """Errors over their own realisation's bound, at every SNR."""
    count = 1000 if context.quick else 8000
    network = precise_dmi_cnn()
    for snr in SNRS if not context.quick else SNRS[::6]:
        generator = torch.Generator().manual_seed(context.seed + int(10 * snr))
        found, bounds = _fitted_with_any_delay(count, snr, generator)
        condition = f"SNR {snr:g}"
        errors = found[:, :4].double() - TRUTH
        record_errors(context, condition, OURS, errors, bounds)
        stated = found[:, 4:8].double().mean(0) / errors.std(0)
        add_peaks(context, condition, OURS, "stated SD / observed SD", stated.tolist(), count)
        if network is not None:
            _cnn(context, network, snr, count)


def _fitted_with_any_delay(count: int, snr: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Estimates (N, 3 K + 7) and bounds (N, K): 16 acquisitions of other delays, up to 1.2 ms, each with its share."""
    found, bounds = [], []
    share = -(-count // DELAYS)
    for _ in range(DELAYS):
        model = replace(MODEL, delay=1.2e-3 * float(torch.rand(1, generator=generator)))
        drawn = draw(share, snr, generator, model=model)
        bounds.append(crlb(model, TRUTH.expand(share, -1), drawn.noise, **drawn.state)[:, :4])
        found.append(fit(drawn.fids, model).T)
    return torch.cat(found)[:count], torch.cat(bounds)[:count]


def _cnn(context: Context, network: PreciseDmiCnn, snr: float, count: int) -> None:
    """The paper's network on FIDs as it was trained on: no delay, and the paper's broadening, a change of every T2*."""
    prompt = replace(MODEL, delay=0.0)
    generator = torch.Generator().manual_seed(context.seed + int(10 * snr))
    state = {
        "shift": 40 * torch.rand(count, generator=generator) - 20,
        "phase": 2 * math.pi * torch.rand(count, generator=generator),
        "longer": 0.022 * torch.rand(count, generator=generator) - 0.012,
    }
    noise = noise_of_snr(prompt, snr, amplitude=float(TRUTH[0]))
    fids = prompt.simulate(TRUTH.expand(count, -1), **state, noise=noise, generator=generator)
    with torch.no_grad():
        amplitudes = network(torch.view_as_real(fids).transpose(1, 2)).double()
    bounds = crlb(prompt, TRUTH.expand(count, -1), noise, **state)[:, :4]
    record_errors(context, f"SNR {snr:g}", CNN, amplitudes - TRUTH, bounds)


def _cost(context: Context) -> None:
    """Processor time on one core, and accuracy, for the same 1024 voxels."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    count = 128 if context.quick else 1024
    drawn = draw(count, 12.1, torch.Generator().manual_seed(context.seed))
    bounds = crlb(MODEL, TRUTH.expand(count, -1), drawn.noise, **drawn.state)[:, :4]
    fit(drawn.fids[:64])
    repeats = 5
    start = time.process_time()
    for _ in range(repeats):
        found = fit(drawn.fids)
    ours = (time.process_time() - start) / repeats
    start = time.process_time()
    classical = torch.from_numpy(fid_least_squares(drawn.fids.numpy(), MODEL))
    scipy = time.process_time() - start
    record_errors(context, "cost, SNR 12.1", OURS, found[:4].T.double() - TRUTH, bounds)
    record_errors(context, "cost, SNR 12.1", SCIPY, classical[:, :4] - TRUTH, bounds)
    context.add("any", "cost", OURS, "processor time for 1024 voxels, s", [ours * 1024 / count])
    context.add("any", "cost", SCIPY, "processor time for 1024 voxels, s", [scipy * 1024 / count])
    context.add("any", "cost", SCIPY, "time / ours", [scipy / ours])
    _amares(context, drawn, bounds, ours / count)
    torch.set_num_threads(threads)


def _amares(context: Context, drawn: Draw, bounds: Tensor, ours: float) -> None:
    """PyAMARES on a few of the same voxels, where it is installed."""
    try:
        from benchmarks.amares import amares
    except ImportError:
        logger.info("pyAMARES is not installed: left out")
        return
    few = 4 if context.quick else 24
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        found = amares(drawn.fids[:few].numpy(), MODEL)
    seconds = (time.process_time() - start) / few
    record_errors(context, "cost, SNR 12.1", AMARES, torch.from_numpy(found) - TRUTH, bounds[:few])
    context.add("any", "cost", AMARES, "processor time for 1024 voxels, s", [seconds * 1024])
    context.add("any", "cost", AMARES, "time / ours", [seconds / ours])


def _fourier(context: Context) -> None:
    """Gain of a single voxel's amplitude SD over Fourier integration: no shift, phase known, no broadening."""
    count = 1000 if context.quick else 8000
    for snr in (7.7, 12.1, 18.6):
        noise = noise_of_snr(MODEL, snr, amplitude=10.0)
        generator = torch.Generator().manual_seed(context.seed)
        fids = MODEL.simulate(TRUTH.expand(count, -1), noise=noise, generator=generator)
        classical = fourier_integration(fids, MODEL).std(0)
        gain = classical / fit(fids)[:4].std(1)
        add_peaks(context, f"single voxel, SNR {snr:g}", OURS, "gain over Fourier", gain.tolist(), count)
        bound = classical / crlb(MODEL, TRUTH[None], noise)[0, :4]
        add_peaks(context, f"single voxel, SNR {snr:g}", "the bound", "gain over Fourier", bound.tolist(), count)


def realisations(phantom: DmiPhantom, snr: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Single-voxel estimates and stated SD (N, X, Y[, Z], K), and Fourier's estimates, of noisy phantoms."""
    truth = torch.from_numpy(phantom.amplitudes[phantom.mask])
    noise = noise_of_snr(MODEL, snr, amplitude=10.0)
    generator = torch.Generator().manual_seed(seed)
    found, spread, classical = (np.zeros((count, *phantom.amplitudes.shape)) for _ in range(3))
    spread += 1
    for n in range(count):
        fids = MODEL.simulate(truth, noise=noise, generator=generator)
        estimate = fit(fids)
        found[n][phantom.mask], spread[n][phantom.mask] = estimate[:4].T.numpy(), estimate[4:8].T.numpy()
        classical[n][phantom.mask] = fourier_integration(fids, MODEL).numpy()
    return found, spread, classical


class _Diffusion:
    """Anisotropic diffusion of each map, as the paper compares with."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def __call__(self, maps: np.ndarray, sd: np.ndarray, mri: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.stack(
            [anisotropic_diffusion(maps[..., k], mask, threshold=self.threshold) for k in range(maps.shape[-1])], -1
        )


PRIORS = {
    NONE: None,
    "paper's prior, lambda .004": PreciseDmiPrior(strength=0.004),
    PRECISE_DMI: PreciseDmiPrior(),
    "paper's prior, lambda .04": PreciseDmiPrior(strength=0.04),
    "anisotropic diffusion, 10 %": _Diffusion(0.1),
    "anisotropic diffusion, 20 %": _Diffusion(0.2),
    ROBUST: RobustPrior(),
}


def _smoothed(prior: Any, found: np.ndarray, spread: np.ndarray, mri: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return found if prior is None else np.array([prior(a, s, mri, mask) for a, s in zip(found, spread, strict=True)])


def _record_prior(
    context: Context, condition: str, phantom: DmiPhantom, mri: np.ndarray, snr: float, count: int, seed: int
) -> dict[str, np.ndarray]:
    """Gain inside homogeneous tissue, bias in each lesion as a share of its contrast, error over the mask."""
    found, spread, classical = realisations(phantom, snr, count, seed)
    insides = [phantom.interior(*where) for where in ((3, 2), (3, 1), (2, 1))]
    inside = next((region for region in insides if region.any()), insides[0])
    base = classical.std(0, ddof=1)[inside].mean(0) if inside.any() else None
    out = {}
    for method, prior in PRIORS.items():
        smooth = _smoothed(prior, found, spread, mri, phantom.mask)
        error = smooth - phantom.amplitudes
        if base is not None:  # cortex is too thin for an inside
            gain = base / smooth.std(0, ddof=1)[inside].mean(0)
            add_peaks(context, condition, method, "gain over Fourier", gain.tolist(), count)
        rmse = np.sqrt((error[:, phantom.mask] ** 2).mean((0, 1)))
        add_peaks(context, condition, method, "RMSE, mM", rmse.tolist(), count)
        for letter, where in phantom.lesions.items():
            lesion = error[:, where].mean(1)
            with np.errstate(divide="ignore", invalid="ignore"):
                contrast = np.abs(phantom.contrast[where].mean(0))
                bias = 100 * lesion.mean(0) / contrast
                error_of_it = 100 * lesion.std(0, ddof=1) / math.sqrt(count) / contrast
            for k in (2, 3):
                context.rows.append(
                    {"set": PEAKS[k], "condition": condition, "method": method,
                     "metric": f"bias in {letter}, % of contrast", "mean": float(f"{bias[k]:.4g}"),
                     "ci95": [float(f"{bias[k] - 1.96 * error_of_it[k]:.4g}"),
                              float(f"{bias[k] + 1.96 * error_of_it[k]:.4g}")], "n": count}
                )  # fmt: skip
        out[method] = smooth
    return out


def _prior(context: Context) -> None:
    """The paper's phantom."""
    count = 4 if context.quick else 60
    rows = []
    for snr in (7.7, 12.0, 18.6):
        phantom = rings(rng=np.random.default_rng(context.seed))
        maps = _record_prior(context, f"rings, SNR {snr:g}", phantom, on_grid(phantom), snr, count, context.seed)
        rows.append((snr, phantom, {name: maps[name] for name in (NONE, PRECISE_DMI, ROBUST)}))
    _coverage(context)
    _fine_tuning(context)
    figure = Figure(figsize=(12, 9))
    axes = figure.subplots(len(rows), 5)
    for line, (snr, phantom, maps) in zip(axes, rows, strict=True):
        shown = {"MRI": on_grid(phantom), "true lactate": phantom.amplitudes[..., 3]}
        shown |= {f"lactate, {name}": values[0][..., 3] for name, values in maps.items()}
        for axis, (name, values) in zip(line, shown.items(), strict=True):
            axis.imshow(values.T, origin="lower", cmap="gray" if name == "MRI" else "inferno", vmin=0,
                        vmax=1 if name == "MRI" else 3.5)  # fmt: skip
            axis.set(xticks=[], yticks=[])
            axis.set_title(name if snr == rows[0][0] else "", fontsize=9)
        line[0].set_ylabel(f"SNR {snr:g}")
    figure.tight_layout()
    figure.savefig(context.figures / "prior.png", dpi=70)


def _coverage(context: Context) -> None:
    """Share of the phantom's voxels whose stated 90 % interval holds the truth, with the robust prior."""
    phantom = rings(rng=np.random.default_rng(context.seed))
    truth = torch.from_numpy(phantom.amplitudes[phantom.mask])
    noise = noise_of_snr(MODEL, 12.0, amplitude=10.0)
    generator = torch.Generator().manual_seed(context.seed + 5)
    covered = []
    for _ in range(1 if context.quick else 6):
        fids = np.zeros((*phantom.mask.shape, 1, MODEL.points), np.complex64)
        fids[phantom.mask, 0] = MODEL.simulate(truth, noise=noise, generator=generator).numpy()
        mri = on_grid(phantom)[..., None]
        maps = predict(fids, dwell=MODEL.dwell, larmor=MODEL.larmor, delay=MODEL.delay, mri=mri, save_fit=False).maps
        inside = []
        for k, name in enumerate(PEAKS):
            error = (maps[f"{name}_amplitude"][..., 0] - phantom.amplitudes[..., k])[phantom.mask]
            inside.append(np.mean(np.abs(error) <= Z90 * maps[f"{name}_amplitude_sd"][..., 0][phantom.mask]))
        covered.append(inside)
    add_peaks(context, "rings, SNR 12", ROBUST, "90 % intervals cover", np.mean(covered, 0).tolist(), len(covered))


def _fine_tuning(context: Context) -> None:
    """The paper's own way: the last layers of its network trained on the data set, at its three lambdas."""
    single = precise_dmi_cnn()
    if single is None:
        return
    network = PreciseDmiEstimator(cnn=single).eval()
    prompt = replace(MODEL, delay=0.0)
    phantom = rings(rng=np.random.default_rng(context.seed))
    pairs, change = neighbours(on_grid(phantom), phantom.mask)
    weights = torch.from_numpy(edge_weights(change)).float()
    truth = torch.from_numpy(phantom.amplitudes[phantom.mask])
    noise = noise_of_snr(prompt, 12.0, amplitude=10.0)
    generator = torch.Generator().manual_seed(context.seed)
    strengths = {name: FINE[name] for name in list(FINE)[1:2]} if context.quick else FINE
    found: dict[str, list[np.ndarray]] = {name: [] for name in (CNN, *strengths)}
    classical = []
    for _ in range(2 if context.quick else 10):
        fids = prompt.simulate(truth, noise=noise, generator=generator)
        classical.append(fourier_integration(fids, prompt).numpy())
        rows = estimator_rows(prompt, fids)
        with torch.no_grad():
            alone = network(rows[None])[0, : len(PEAKS)].T
        found[CNN].append(alone.numpy())
        for name, strength in strengths.items():
            draws = torch.Generator().manual_seed(context.seed)
            tuned = fine_tuned_amplitudes(
                network, rows, torch.from_numpy(pairs), weights, strength=strength, batch="pairs", generator=draws
            )
            found[name].append(tuned.numpy())
    inside = phantom.interior(3, 2)[phantom.mask]
    base = np.std(classical, axis=0, ddof=1)[inside].mean(0)
    for method, values in found.items():
        error = np.array(values) - truth.numpy()
        gain = base / np.std(values, axis=0, ddof=1)[inside].mean(0)
        add_peaks(context, "rings, SNR 12", method, "gain over Fourier", gain.tolist(), len(values))
        for letter, where in phantom.lesions.items():
            contrast = np.abs(phantom.contrast[where].mean(0))
            bias = 100 * error[:, where[phantom.mask]].mean((0, 1))[2:] / contrast[2:]
            for k, value in zip((2, 3), bias, strict=True):
                metric = f"bias in {letter}, % of contrast"
                context.rows.append(
                    {"set": PEAKS[k], "condition": "rings, SNR 12", "method": method, "metric": metric,
                     "mean": float(f"{value:.4g}"), "ci95": [None, None], "n": len(values)}
                )  # fmt: skip


def brain_phantom(lesion: int, contrast: float, rng: np.random.Generator) -> DmiPhantom:
    """A slice of a virtual patient's head at 7 mm, with the four lesions in its white and grey matter."""
    from mrsikit.phantoms.subject import Grid, VirtualSubject

    subject = VirtualSubject(int(rng.integers(2**31)), tumours=0)
    matrix, spacing = 32, 6.9
    fine = subject.tissues(Grid((matrix * FINER,) * 2, (spacing / FINER,) * 2, (0.0, 0.0, 20.0), 7.0, (1, 1, 2)))
    stacked = np.stack([fine.gm.numpy(), fine.wm.numpy()])
    labels = np.where(stacked.sum(0) > 0.5, 2 + stacked.argmax(0), 0)
    blocks = labels.reshape(matrix, FINER, matrix, FINER).transpose(0, 2, 1, 3).reshape(matrix, matrix, -1)
    counts = np.stack([(blocks == value).sum(-1) for value in range(4)])
    coarse = counts.argmax(0)
    free = ndimage.binary_erosion(coarse > 0, np.ones((lesion + 2, lesion + 2)))
    spots = np.argwhere(free)
    places = {}
    for letter, corner in zip("ABCD", ((9, 9), (9, 23), (23, 9), (23, 23)), strict=True):
        places[letter] = spots[((spots - corner) ** 2).sum(1).argmin()].tolist()
    return with_lesions(coarse, labels, places, lesion=lesion, contrast=contrast, spacing=spacing, rng=rng)


def _elsewhere(context: Context) -> None:
    """Geometries, lesions and misfits on which nothing was tuned."""
    count = 4 if context.quick else 40
    rng = np.random.default_rng([context.seed, 7])
    base = rings(rng=rng)
    slope = np.linspace(0.7, 1.3, 32)[None, :, None] * np.ones((32, 1, 1))
    sloped = replace(base, amplitudes=(base.amplitudes * np.where(np.arange(4) == 2, slope, 1)).astype(np.float32))
    scenes: list[tuple[str, DmiPhantom, float]] = [
        ("rings, 1 voxel", rings(lesion=1, rng=rng), 0.0),
        ("rings, 3x3 voxels", rings(lesion=3, rng=rng), 0.0),
        ("rings, half contrast", rings(contrast=0.5, rng=rng), 0.0),
        ("rings, Glx slope unseen by MRI", sloped, 0.0),
        ("rings, MRI half a voxel off", base, 0.5),
        ("rings, MRI one voxel off", base, 1.0),
        ("brain, 2x2 voxels", brain_phantom(2, 1.0, rng), 0.0),
        ("brain, 1 voxel", brain_phantom(1, 1.0, rng), 0.0),
        ("brain, half contrast", brain_phantom(2, 0.5, rng), 0.0),
        ("3D shells, 2x2x2 voxels", rings(matrix=20, dims=3, rng=rng), 0.0),
        ("3D shells, 1 voxel", rings(matrix=20, dims=3, lesion=1, rng=rng), 0.0),
    ]
    for name, phantom, shift in tqdm(scenes, desc="scenes", leave=False):
        few = max(4, count // 4) if phantom.mask.ndim == 3 else count
        _record_prior(context, f"{name}, SNR 12", phantom, on_grid(phantom, shift), 12.0, few, context.seed)


def _relaxation(context: Context) -> None:
    """Bias of each peak under wrong relaxation times, and what a fit to the whole data set recovers."""
    count = 256 if context.quick else 1024
    drawn = draw(count, 12.0, torch.Generator().manual_seed(context.seed))
    unit = LARGEST_SHIFT * MODEL.larmor
    for which, factors in {
        "right": (1, 1, 1, 1), "all 10 % long": (1.1,) * 4, "all 20 % long": (1.2,) * 4,
        "metabolites 10 % long": (1, 1.1, 1.1, 1.1), "metabolites 20 % long": (1, 1.2, 1.2, 1.2),
        "metabolites 20 % short": (1, 0.8, 0.8, 0.8), "water 20 % short": (0.8, 1, 1, 1),
    }.items():  # fmt: skip
        wrong = replace(MODEL, t2_star=[a * b for a, b in zip(T2_STAR, factors, strict=True)])
        bias = 100 * (fit(drawn.fids, wrong)[:4].mean(1) / TRUTH - 1)
        add_peaks(context, f"T2* {which}", "as given", "bias, %", bias.tolist(), count)
        rows = estimator_rows(wrong, drawn.fids)
        times, _ = fit_t2_star(rows, list(wrong.t2_star), unit, network=FidLeastSquares())
        bias = 100 * (fit(drawn.fids, replace(MODEL, t2_star=times))[:4].mean(1) / TRUTH - 1)
        add_peaks(context, f"T2* {which}", "fitted to all voxels", "bias, %", bias.tolist(), count)


def _fields(context: Context) -> None:
    """B0 of +-20 Hz with strong gradients, and a surface coil's B1."""
    count = 1000 if context.quick else 8000
    b0, b1 = b0_map((64, 64)), b1_map((64, 64))
    wide = broadening_of(b0_map((32, 32)))
    rng = np.random.default_rng(context.seed)
    where = rng.integers(0, 64, (count, 2))
    shift = torch.from_numpy(b0[tuple(where.T)])
    broad = torch.from_numpy(wide[tuple((where // 2).T)])
    weak = torch.from_numpy(b1[tuple(where.T)])
    for snr in (5.0, 12.1):
        generator = torch.Generator().manual_seed(context.seed + 1)
        noise = noise_of_snr(MODEL, snr, amplitude=10.0)
        truth = TRUTH.expand(count, -1)
        for condition, amplitudes in ((f"B0, SNR {snr:g}", truth), (f"B0 and B1, SNR {snr:g}", truth * weak[:, None])):
            fids = MODEL.simulate(amplitudes, shift=shift, broadening=broad, noise=noise, generator=generator)
            bounds = crlb(MODEL, amplitudes, noise, shift=shift, broadening=broad)[:, :4]
            found = fit(fids).T.double()
            relative = (found[:, :4] - amplitudes) / bounds
            own = ((found[:, :4] - amplitudes) / found[:, 4:8]).abs()
            add_peaks(context, condition, OURS, "SD / CRLB", relative.std(0).tolist(), count)
            add_peaks(context, condition, OURS, "largest error, stated SD", own.amax(0).tolist(), count)
            add_peaks(context, condition, OURS, "largest error, SD", relative.abs().amax(0).tolist(), count)
            over = (relative.abs() > 6).double().sum(0)
            add_peaks(context, condition, OURS, "errors over 6 SD", over.tolist(), count)
    for snr in (5.0, 7.7, 12.1):
        # a line 15 Hz broader than expected is two and a half times as wide
        generator = torch.Generator().manual_seed(context.seed + 2)
        noise = noise_of_snr(MODEL, snr, amplitude=10.0)
        state = {"broadening": torch.full((count,), 15.0)}
        fids = MODEL.simulate(TRUTH.expand(count, -1), **state, noise=noise, generator=generator)
        errors = fit(fids)[:4].T.double() - TRUTH
        record_errors(context, f"15 Hz broader, SNR {snr:g}", OURS, errors,
                       crlb(MODEL, TRUTH.expand(count, -1), noise, **state)[:, :4])  # fmt: skip


def _volume(context: Context) -> None:
    """11^3 voxels, fit and prior; and how time grows with the number of voxels."""
    phantom = rings(matrix=11, dims=3, lesion=1, rng=np.random.default_rng(context.seed))
    truth = torch.from_numpy(np.where(phantom.mask[..., None], phantom.amplitudes, 5).reshape(-1, 4)).float()
    noise = noise_of_snr(MODEL, 12.0, amplitude=10.0)
    fids = MODEL.simulate(truth, noise=noise, generator=torch.Generator().manual_seed(context.seed))
    cube = fids.numpy().reshape(11, 11, 11, -1)
    options: dict[str, Any] = {"dwell": MODEL.dwell, "larmor": MODEL.larmor, "delay": MODEL.delay}
    predict(cube[:2], **options)
    start = time.process_time()
    predict(cube, **options)
    fitted = time.process_time() - start
    start = time.process_time()
    predict(cube, mri=on_grid(phantom), **options)
    smoothed = time.process_time() - start
    few = fids[:: 10 if context.quick else 4]
    start = time.process_time()
    fid_least_squares(few.numpy(), MODEL)
    scipy = (time.process_time() - start) * len(fids) / len(few)
    context.add("any", "11^3 voxels", OURS, "fit, s", [fitted])
    context.add("any", "11^3 voxels", OURS, "fit, prior and its Monte Carlo, s", [smoothed])
    context.add("any", "11^3 voxels", SCIPY, "fit, s", [scipy])
    context.add("any", "11^3 voxels", SCIPY, "time / ours with prior", [scipy / smoothed])
    for count in (1024, 4096, 16384):
        many = fids.repeat(-(-count // len(fids)), 1)[:count]
        start = time.process_time()
        fit(many)
        context.add("any", f"{count} voxels", OURS, "ms a voxel", [1000 * (time.process_time() - start) / count])


def _large(context: Context) -> None:
    """A time series of 64 x 64 x 32 voxels and 8 points by the public command: time and memory."""
    shape = (16, 16, 8) if context.quick else (64, 64, 32)
    model = replace(MODEL, points=128)
    noise = noise_of_snr(model, 12.0, amplitude=10.0)
    some = model.simulate(
        TRUTH.expand(4096, -1), noise=noise, generator=torch.Generator().manual_seed(context.seed)
    ).numpy()
    count = int(np.prod(shape)) * 8
    values = np.resize(some, (count, model.points)).reshape(*shape, 8, model.points).swapaxes(3, 4)
    with tempfile.TemporaryDirectory() as folder:
        series = Fids(
            values=values, affine=np.eye(4), dwell=model.dwell, larmor=model.larmor, nucleus="2H", reference=None,
            delay=model.delay, extension={"dim_5": "DIM_DYN"},
        )  # fmt: skip
        (Path(folder) / "in").mkdir()
        write_fids(Path(folder) / "in" / "series.nii", series)
        size = values.nbytes / 1e9
        del values, series
        bundle = REPOSITORY / "bundles" / "dmi_quantification"
        command = [sys.executable, "-m", "monai.bundle", "run", "--config_file"]
        command += [str(bundle / "configs" / "inference.json"), "--bundle_root", str(bundle)]
        command += ["--dataset_dir", str(Path(folder) / "in"), "--output_dir", str(Path(folder) / "out")]
        start = time.perf_counter()
        peak = peak_memory(command)
        seconds = time.perf_counter() - start
    context.add("any", LARGE, OURS, "FIDs", [count])
    context.add("any", LARGE, OURS, "data, GB", [size])
    context.add("any", LARGE, OURS, "peak memory, GB", [peak])
    context.add("any", LARGE, OURS, "time, s", [seconds])


def _simulation(context: Context) -> None:
    """FIDs a second, and against a numpy loop."""
    count = 2048
    amplitudes = TRUTH.expand(count, -1)
    shift = torch.linspace(-20, 20, count)
    MODEL.simulate(amplitudes, shift=shift)
    start = time.process_time()
    for _ in range(5):
        MODEL.simulate(amplitudes, shift=shift)
    ours = (time.process_time() - start) / 5 / count
    start = time.process_time()
    at = MODEL.times.numpy()
    for k in range(200):
        fid = np.zeros(MODEL.points, complex)
        for a, hz, life in zip(TRUTH.numpy(), MODEL.frequencies.numpy(), T2_STAR, strict=True):
            fid += a * np.exp(2j * np.pi * (hz + float(shift[k])) * (at + MODEL.delay)) * np.exp(-at / life)
    loop = (time.process_time() - start) / 200
    context.add("any", "simulation, 512 points", OURS, "FIDs per second", [1 / ours])
    context.add("any", "simulation, 512 points", "numpy loop", "time / ours", [loop / ours])


def real_voxel(data: Path) -> tuple[Tensor, FidModel]:
    """The measured 2H voxel at 3 T: 700 points, and the model that the public command has of it."""
    folder = data / "dmi_2h_3t_voxel"
    stored = np.loadtxt(folder / "a_voxel_2HMRSI.txt")
    fid = torch.from_numpy((stored[:, 0] - 1j * stored[:, 1])[None]).to(torch.complex64)
    fid = fid[:, : spectra.acquired_points(fid)]
    model = FidModel(
        ppm=[line.ppm for line in LINES], t2_star=[line.t2_star_at(3.0) for line in LINES], larmor=19.613053,
        reference=DEUTERIUM.reference, dwell=2e-4, points=fid.shape[1],
    )  # fmt: skip
    return fid, model


def _real(context: Context) -> None:
    """The measured voxel: our amplitudes, with the table's and with fitted relaxation times, against pyAMARES's."""
    fid, model = real_voxel(context.data)
    scale = float(fid.abs().max())
    rows = estimator_rows(model, fid / scale)
    times, _ = fit_t2_star(rows, list(model.t2_star), LARGEST_SHIFT * model.larmor, network=FidLeastSquares())
    condition = "measured 2H voxel, 3 T"
    try:
        from benchmarks.amares import fit_table

        table = context.data / "dmi_2h_3t_voxel" / "FigS2B.csv"
        with contextlib.redirect_stdout(io.StringIO()):
            peer = fit_table((fid / scale).conj().resolve_conj().numpy()[0], table, model)
        add_peaks(context, condition, AMARES, "amplitude / first sample", peer[:, 0].tolist(), 1)
        add_peaks(context, condition, AMARES, "stated SD / first sample", peer[:, 1].tolist(), 1)
    except ImportError:
        logger.info("pyAMARES is not installed: left out")
        peer = None
    for method, lives in ((OURS, model.t2_star), (f"{OURS}, T2* fitted", times)):
        found = fit(fid / scale, replace(model, t2_star=lives))
        add_peaks(context, condition, method, "amplitude / first sample", found[:4, 0].tolist(), 1)
        add_peaks(context, condition, method, "stated SD / first sample", found[4:8, 0].tolist(), 1)
        add_peaks(context, condition, method, "T2*, ms", [1000 * life for life in lives], 1)
        if peer is not None:
            both = np.hypot(found[4:8, 0].numpy(), peer[:, 1])
            difference = (found[:4, 0].numpy() - peer[:, 0]) / both
            add_peaks(context, condition, method, "difference to pyAMARES, SD", difference.tolist(), 1)
    model = replace(model, t2_star=times)
    found = fit(fid / scale, model)
    figure = Figure(figsize=(8, 4))
    axis = figure.subplots()
    ppm = spectra.ppm_axis(2 * model.points, model.dwell, larmor=model.larmor, reference=4.7)
    shift, phase, broad = found[12, 0], found[14, 0], found[15, 0]
    fitted = model.simulate(found[:4].T * scale, shift=shift, phase=phase, broadening=broad)
    for name, values, offset in (("measured", fid, 0.0), ("fit", fitted, 0.0), ("residual", fid - fitted, -0.3)):
        line = spectra.spectrum(spectra.phased(values, -phase), points=2 * model.points)[0].real / scale / 30
        axis.plot(ppm, line + offset, label=name, linewidth=1)
    axis.set(xlim=(9, -2), xlabel="ppm", yticks=[], title="one measured 2H voxel, 3 T")
    axis.legend()
    figure.tight_layout()
    figure.savefig(context.figures / "measured_voxel.png", dpi=70)


def _signs(context: Context) -> None:
    """Signs of simulated files: the share of wrong flips, and of usable mirrored files that are not flipped.

    Usable: the tallest metabolite is three times the noise of a spectrum in one FID.
    """
    wrong: list[float] = []
    unclear: list[float] = []
    missed: list[float] = []
    for number in range(50 if context.quick else 500):
        drawn = instance(context.seed + number)
        usable = not drawn.only_water and drawn.snr > 3 * math.sqrt(len(drawn.fids))
        found = find_sign(drawn.fids, drawn.model, max_shift=LARGEST_SHIFT).finding
        wrong.append(float(found == "conjugate"))
        if usable:
            unclear.append(float(found != "standard"))
        if usable and len(missed) < 100:
            mirrored = drawn.fids.conj().resolve_conj()
            missed.append(float(find_sign(mirrored, drawn.model, max_shift=LARGEST_SHIFT).finding != "conjugate"))
    context.add("any", SIGNS, OURS, "wrong flips, share", wrong)
    context.add("any", SIGNS, OURS, "standard sign, usable, cannot be told, share", unclear)
    context.add("any", SIGNS, OURS, "mirrored, usable, not flipped, share", missed)


def figures(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """Figures made from the rows alone."""
    figure = Figure(figsize=(12, 4))
    axes = figure.subplots(1, 2)
    levels = [snr for snr in SNRS if np.isfinite(find(rows, "Glx", f"SNR {snr:g}", OURS, "SD / CRLB"))]
    for axis, metric in zip(axes, ("SD / CRLB", "bias, %"), strict=True):
        for name, colour in zip(PEAKS, ("C0", "C1", "C2", "C3"), strict=True):
            for method, style in ((OURS, "-"), (CNN, ":")):
                line = [find(rows, name, f"SNR {snr:g}", method, metric) for snr in levels]
                if np.isfinite(line).any():
                    axis.plot(levels, line, colour + style, label=f"{name}, {method}")
        axis.set(xlabel="SNR of water", ylabel=metric, xscale="log")
        axis.set_xticks(levels, [f"{snr:g}" for snr in levels], fontsize=7)
        axis.minorticks_off()
    axes[0].legend(fontsize=7)
    axes[0].axhline(1, color="0.7", linewidth=0.8)
    axes[1].axhline(0, color="0.7", linewidth=0.8)
    figure.tight_layout()
    figure.savefig(folder / "monte_carlo.png", dpi=70)


def _of(condition: str, method: str, metric: str) -> Callable[..., float]:
    return lambda rows, peak: find(rows, peak, condition, method, metric)


def _worst(metric: str, levels: Sequence[float], method: str = OURS) -> Callable[..., float]:
    def figure(rows: Sequence[dict[str, Any]], peak: str) -> float:
        values = np.array([find(rows, peak, f"SNR {snr:g}", method, metric) for snr in levels])
        values = values[np.isfinite(values)]
        return float(values[np.abs(values - (1 if "stated" in metric else 0)).argmax()]) if len(values) else math.nan

    return figure


def _bias(rows: Sequence[dict[str, Any]], peak: str) -> float:
    """Largest bias (%) that is over three standard errors; 0 where none is."""
    worst = 0.0
    for snr in SNRS:
        bias = find(rows, peak, f"SNR {snr:g}", OURS, "bias, %")
        errors = find(rows, peak, f"SNR {snr:g}", OURS, "bias, standard errors")
        if np.isfinite(bias) and abs(errors) > 3:
            worst = max(worst, abs(bias))
    return worst


def _only(peak_: str, figure: Callable[..., float]) -> Callable[..., float]:
    return lambda rows, peak: figure(rows, peak) if peak == peak_ else math.nan


def _lesion(condition: str, method: str) -> Callable[..., float]:
    """Absolute bias in lesion B less two standard errors, % of its contrast."""

    def figure(rows: Sequence[dict[str, Any]], peak: str) -> float:
        metric = "bias in B, % of contrast"
        for row in rows:
            if (row["set"], row["condition"], row["method"], row["metric"]) == (peak, condition, method, metric):
                error = (row["ci95"][1] - row["ci95"][0]) / 3.92
                return max(0.0, abs(row["mean"]) - 2 * error)
        return math.nan

    return figure


def _any(condition: str, method: str, metric: str) -> Callable[..., float]:
    return lambda rows, peak: find(rows, "any", condition, method, metric) if peak == "water" else math.nan


PARTS: dict[str, Callable[[Context], None]] = {
    "bound": _bound,
    "errors": _monte_carlo,
    "cost": _cost,
    "fourier": _fourier,
    "prior": _prior,
    "elsewhere": _elsewhere,
    "relaxation": _relaxation,
    "fields": _fields,
    "volume": _volume,
    "large": _large,
    "simulation": _simulation,
    "real": _real,
    "signs": _signs,
    **precise_dmi.PARTS,
}
TARGETS = [
    Target("numerical bound / Eq. 6", 0.97, False, _of("bound", "numerical", "CRLB / Eq. 6"), "%.3f", high=1.03),
    Target("SD / CRLB at SNR 7.7 and above, worst", 1.05, True, _worst("SD / CRLB", SNRS[2:]), "%.3f"),
    Target("SD / CRLB at SNR 5, 6, worst", 1.12, True, _worst("SD / CRLB", SNRS[:2]), "%.3f"),
    Target("bias over 3 standard errors, largest, %", 2, True, _bias),
    Target("stated SD / observed SD, worst", 0.9, False, _worst("stated SD / observed SD", SNRS), "%.3f", high=1.1),
    Target("processor time of scipy / ours", 30, False, _any("cost", SCIPY, "time / ours"), "%.0f"),
    Target("processor time of pyAMARES / ours", 500, False, _any("cost", AMARES, "time / ours"), "%.0f"),
    Target("paper's CNN, Glx: SD / CRLB, worst", 1.15, True, _only("Glx", _worst("SD / CRLB", SNRS, CNN)), "%.2f"),
    Target("gain over Fourier, single voxel, Glx, SNR 12.1", 1.55, False,
           _only("Glx", _of("single voxel, SNR 12.1", OURS, "gain over Fourier"))),
    Target("gain over Fourier, robust prior, Glx, SNR 12", 3.0, False,
           _only("Glx", _of("rings, SNR 12", ROBUST, "gain over Fourier"))),
    Target("bias in B less 2 standard errors, % of contrast, SNR 12", 5, True,
           _lesion("rings, SNR 12", ROBUST), "%.1f"),
    Target("the same, SNR 7.7", 10, True, _lesion("rings, SNR 7.7", ROBUST), "%.1f"),
    Target("errors over 6 SD in 8000, B0 of +-20 Hz, SNR 5", 0, True,
           _of("B0, SNR 5", OURS, "errors over 6 SD"), "%.0f"),
    Target("measured voxel, T2* fitted: difference to pyAMARES, SD", -1, False,
           _of("measured 2H voxel, 3 T", f"{OURS}, T2* fitted", "difference to pyAMARES, SD"), "%.2f", high=1),
]  # fmt: skip

TABLES = [
    Table("One measured 2H voxel, 3 T", "measured 2H voxel, 3 T",
          {"amplitude / first sample": "%.3f", "stated SD / first sample": "%.3f", "T2*, ms": "%.1f",
           "difference to pyAMARES, SD": "%.2f"},
          "pyAMARES with the table its authors publish with this voxel: free shifts within 0.5 ppm, free widths. The "
          "difference is in units of both standard deviations together."),
    *(Table(f"Errors at SNR {snr:g}", f"SNR {snr:g}",
            {"SD / CRLB": "%.3f", "bias, %": "%.2f", "stated SD / observed SD": "%.3f"}) for snr in (5, 7.7, 12.1, 35)),
    Table("The same voxels by each method", "cost, SNR 12.1", {"SD / CRLB": "%.2f", "bias, %": "%.1f"}),
    Table("Processor time", "cost", {"processor time for 1024 voxels, s": "%.2f", "time / ours": "%.0f"}),
    Table("Gain over Fourier integration, single voxel, SNR 12.1", "single voxel, SNR 12.1",
          {"gain over Fourier": "%.2f"}),
    *(Table(f"The paper's phantom, SNR {snr:g}", f"rings, SNR {snr:g}",
            {"gain over Fourier": "%.2f", **{f"bias in {x}, % of contrast": "%.0f" for x in "ABCD"},
             "90 % intervals cover": "%.2f"})
      for snr in (7.7, 12, 18.6)),
    *(Table(name, f"{name}, SNR 12",
            {"gain over Fourier": "%.2f", "RMSE, mM": "%.2f", **{f"bias in {x}, % of contrast": "%.0f" for x in "BCD"}})
      for name in ("rings, 1 voxel", "rings, 3x3 voxels", "rings, half contrast", "rings, Glx slope unseen by MRI",
                   "rings, MRI half a voxel off", "rings, MRI one voxel off", "brain, 2x2 voxels", "brain, 1 voxel",
                   "brain, half contrast", "3D shells, 2x2x2 voxels", "3D shells, 1 voxel")),
    *(Table(f"T2* {which}", f"T2* {which}", {"bias, %": "%.1f"})
      for which in ("right", "all 10 % long", "all 20 % long", "metabolites 10 % long", "metabolites 20 % long",
                    "metabolites 20 % short", "water 20 % short")),
    *(Table(f"{what}, SNR {snr:g}", f"{what}, SNR {snr:g}",
            {"SD / CRLB": "%.3f", "largest error, SD": "%.1f", "largest error, stated SD": "%.1f",
             "errors over 6 SD": "%.0f"})
      for what in ("B0", "B0 and B1") for snr in (5, 12.1)),
    *(Table(f"Lines 15 Hz broader than the table has them, SNR {snr:g}", f"15 Hz broader, SNR {snr:g}",
            {"SD / CRLB": "%.3f", "bias, %": "%.2f"}) for snr in (5, 7.7, 12.1)),
    Table("11^3 voxels", "11^3 voxels", {"fit, s": "%.2f", "fit, prior and its Monte Carlo, s": "%.2f",
           "time / ours with prior": "%.1f"},
          "The paper's fine-tuning took 31 s on a GPU."),
    *(Table(f"{count} voxels", f"{count} voxels", {"ms a voxel": "%.3f"}) for count in (1024, 4096, 16384)),
    Table("A time series of 64 x 64 x 32 voxels and 8 points, FIDs of 128 samples, by the public command", LARGE,
          {"FIDs": "%.0f", "data, GB": "%.2f", "peak memory, GB": "%.2f", "time, s": "%.0f"}),
    Table("Simulation of FIDs", "simulation, 512 points", {"FIDs per second": "%.0f", "time / ours": "%.1f"}),
    Table("The sign of 500 simulated files, 3 to 16.4 T, SNR from 1", SIGNS,
          {"wrong flips, share": "%.3f", "standard sign, usable, cannot be told, share": "%.3f",
           "mirrored, usable, not flipped, share": "%.3f"},
          "Usable: the tallest metabolite is three times the noise in one FID. The files have other relaxation times "
          "than the table, delays that no header states, uneven fields, lipid, ghosts and offsets."),
    *precise_dmi.TABLES,
]  # fmt: skip

HEADLINE = Headline(
    (
        Column("measured voxel, 3 T: water, difference to pyAMARES in SD", "water_off_pyamares_sd_measured_voxel",
               "water", "measured 2H voxel, 3 T", "difference to pyAMARES, SD", "%.1f", ""),
        Column("simulated, SNR 12: SD of Fourier integration / SD, Glx", "gain_over_fourier_glx_snr_12",
               "Glx", "rings, half contrast, SNR 12", "gain over Fourier", "%.1f", "↑"),
        Column("the same: lactate of a faint lesion that the MRI does not show, bias in % of its contrast",
               "bias_percent_faint_lesion_lactate",
               "Lac", "rings, half contrast, SNR 12", "bias in B, % of contrast", "%.0f", "→ 0"),
    ),
    {"published prior (lambda .01)": (PRECISE_DMI,),
     "anisotropic diffusion": ("anisotropic diffusion, 10 %",),
     "this bundle, no MRI": (OURS, NONE), "this bundle, with an MRI": (ROBUST,)},
    "this bundle, no MRI",
)  # fmt: skip
