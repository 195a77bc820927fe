"""Synthetic sessions against measured ones' stand-ins: reconstruction, noise, distributions, concentrations, copies."""

from __future__ import annotations

import functools
import logging
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import least_squares
from sklearn.neural_network import MLPRegressor
from torch import Tensor
from tqdm import tqdm

from benchmark import REPOSITORY, Context, peak_memory
from benchmarks import synthesis_checks
from mrs_vae_synthesis.alignment import EDGE, Aligned, aligned, network_input, spectra_of
from mrs_vae_synthesis.checks import EACH, SHOWN, averages, concentrations, mean_rows, rows_of, steps_of
from mrs_vae_synthesis.embedding import draw_embedding, embed, overlap
from mrs_vae_synthesis.linear_initialisation import initialise_linear_model
from mrs_vae_synthesis.matched_filter import RESONANCES, as_complex, as_real, fft_ppm, signal_space, turned
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.nifti_sessions import measured_sessions
from mrs_vae_synthesis.reference_van_de_sande import (
    VanDeSandeVae,
    fids_of_spectra,
    heights,
    plain_spectra,
    van_de_sande_like,
    van_de_sande_samples,
)
from mrs_vae_synthesis.sampling import (
    Draws,
    clean_fids,
    edits_of,
    more_of,
    random_sessions,
    with_noise,
)
from mrs_vae_synthesis.sessions import Acquisition, Sessions, simulated_sessions, transient_model
from mrs_vae_synthesis.training import HELD_OUT
from mrsikit.fitting.linear_combination import KNOTS, RANGE, Fit, fit, splines
from mrsikit.io import InputError
from mrsikit.io.basis import Basis, read_lcmodel
from mrsikit.metrics.two_samples import (
    classifier_accuracy,
    distance_ratio,
    maximum_mean_discrepancy,
    nearest_ratio,
    precision_recall,
)
from mrsikit.physics.spectra import linewidth, noise_sd, ppm_axis, spectrum
from mrsikit.simulation.density_matrix import simulated_basis
from mrsikit.simulation.edited_mrs import TransientModel
from result_tables import Column, Headline, Table, Target, find

logger = logging.getLogger(__name__)

BUNDLE = REPOSITORY / "bundles" / "mrs_vae_synthesis"
SETS = ("simulated", "Big GABA")
SIMULATED = "simulated"
OURS, OURS_ONE, VAN_DE_SANDE = "ours, session", "ours, one transient", "published VAE"
LINEAR = "ours, session, before training"
MEASURED_OURS = "ours, 16 latents, trained by train.json"
TRAINED_ON = 4000
TRAINING_SEED, TEST_SEED, OTHER_SEED, SOURCE_SEED = 20251121, 501, 502, 503
"""Of the training, and of three sets of subjects that no training saw."""

REFERENCE_SAMPLINGS = ("random", "interpolate", "hybrid")
"""The paper's samplings."""

SIZES = (8, 12, 16, 24, 32, 40, 48, 56, 64)
CONCENTRATIONS = ("NAA", "tCr", "tCho", "Glx", "mI", "GABA+")


@functools.cache
def shipped() -> SessionVae:
    """The default network."""
    network = SessionVae()
    network.load_state_dict(_weights("model.pt"))
    return network.eval()


@functools.cache
def van_de_sande() -> VanDeSandeVae | None:
    """The published one; None where its weights are not there."""
    if not (BUNDLE / "models" / "model_published.pt").exists():
        logger.warning("model_published.pt is not there: its rows are left out")
        return None
    network = VanDeSandeVae()
    network.load_state_dict(_weights("model_published.pt"))
    return network.eval()


def _weights(name: str) -> dict[str, Tensor]:
    state = torch.load(BUNDLE / "models" / name, map_location="cpu", weights_only=True)
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


@functools.cache
def sessions(number: int, seed: int, transients: int = 16) -> Sessions:
    """Virtual subjects."""
    return simulated_sessions(number, seed=seed, transients=transients)


def count_of(context: Context, number: int) -> int:
    """Fewer in a quick run."""
    return max(40, number // 10) if context.quick else number


def draws(sets: int, transients: int, seed: int) -> Draws:
    """Deviates."""
    network = shipped()
    width = network.deviates
    rng = np.random.default_rng(seed)
    return Draws.of(torch.from_numpy(rng.standard_normal((sets, transients, width), dtype=np.float32)), network)


@functools.cache
def random_set(number: int, seed: int, transients: int = 16, *, noise: bool = True) -> Sessions:
    """New sessions."""
    fids = []
    on = edits_of(transients, "both", True)
    for first in range(0, number, 50):
        given = draws(min(50, number - first), transients, seed + first)
        drawn = random_sessions(shipped(), on, given)
        clean = clean_fids(shipped(), drawn)
        fids.append(with_noise(clean, drawn, given) if noise else clean)
    return _as(torch.cat(fids), on.expand(number, -1), sessions(1, TEST_SEED))


@functools.cache
def sampled_set(number: int, source: int, sampling: str) -> Sessions:
    """As many transients more of each of the sessions of a seed."""
    from_ = sessions(number, source)
    return more_of_each(from_, sampling, from_.on[0], source)


def more_of_each(given: Sessions, sampling: str, wanted: Tensor, seed: int) -> Sessions:
    """New transients with edits (M,) of each session."""
    made = []
    for k in range(len(given.fids)):
        deviates = draws(1, len(wanted), seed + k)
        drawn = more_of(shipped(), given.fids[k], given.on[k], sampling, wanted, deviates)
        made.append(with_noise(clean_fids(shipped(), drawn), drawn, deviates))
    return _as(torch.cat(made), wanted.expand(len(made), -1), given)


@functools.cache
def van_de_sande_set(number: int, source: int, sampling: str) -> Sessions:
    """The same by the published network, as the paper applies it."""
    from_ = sessions(number, source)
    return more_by_van_de_sande(from_, sampling, from_.on[0], source)


def more_by_van_de_sande(
    given: Sessions,
    sampling: str,
    wanted: Tensor,
    seed: int,
    *,
    network: VanDeSandeVae | None = None,
    **spread: Any,
) -> Sessions:
    """New transients with edits (M,) of each session, by the published network, with its spread and radius."""
    network = network or van_de_sande()
    assert network is not None
    generator = torch.Generator().manual_seed(seed)
    spectra, tops = plain_spectra(given), heights(given)
    made = torch.zeros(len(spectra), len(wanted), spectra.shape[-1])
    for k in range(len(spectra)):
        for edit in (False, True):
            where = wanted == edit
            deviates = torch.randn(int(where.sum()), network.deviates, generator=generator)
            rows = spectra[k, given.on[k] == edit]
            made[k, where] = van_de_sande_samples(network, rows, sampling, deviates, **spread)
    return _as(fids_of_spectra(made) * tops[:, None, None], wanted.expand(len(made), -1), given)


def measure(context: Context) -> None:
    """Fill the context's rows."""
    for part in tqdm(PARTS.values(), desc="benchmark", unit="part"):
        part(context)


def _principal(rows: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Mean and leading directions (D, most) of rows (N, D)."""
    mean, second = rows.mean(0), torch.zeros(rows.shape[1], rows.shape[1])
    for part in rows.split(4096):
        second += (part - mean).T @ (part - mean)
    return mean, torch.linalg.eigh(second)[1].flip(1)[:, :most]


def _reconstruction(context: Context) -> None:
    """The clean signal from noisy transients of unseen subjects: error over the standard deviation of the noise."""
    number = count_of(context, 200)
    network, test = shipped(), sessions(number, TEST_SEED)
    training = sessions(count_of(context, TRAINED_ON), TRAINING_SEED)
    assert test.clean is not None
    linear = SessionVae().eval()
    initialise_linear_model(linear, training)
    with torch.no_grad():
        own_alignment = aligned(linear, test.fids, test.on)
        scores = linear(network_input(linear, own_alignment, test.on))[..., :-1]
    there = (
        (spectra_of(linear, scores, test.on) - _spectra(test.clean, own_alignment, test.dwell)).square().mean(-1).sqrt()
    )
    context.add(SIMULATED, RECONSTRUCTION, LINEAR, ERROR, (there / own_alignment.noise).mean(1).tolist())
    found = _aligned(test)
    truth = _spectra(test.clean, found, test.dwell)

    def error(estimate: Tensor) -> list[float]:
        return ((estimate - truth).square().mean(-1).sqrt() / found.noise).mean(1).tolist()

    inputs = network_input(network, found, test.on)
    with torch.no_grad():
        for name, given in ((OURS, inputs), (OURS_ONE, inputs.flatten(0, 1)[:, None])):
            scores = torch.cat([network(part)[..., :-1] for part in given.split(64)]).reshape(*inputs.shape[:2], -1)
            context.add(SIMULATED, RECONSTRUCTION, name, ERROR, error(spectra_of(network, scores, test.on)))
    own = _aligned(training)
    space = signal_space(test.fids.shape[-1], test.dwell, test.larmor, test.reference)
    scale = found.scale[:, None, None]
    plain, own_plain = (
        as_real(torch.fft.fft(s.fids, norm="ortho")) / f.scale[:, None, None]
        for s, f in ((test, found), (training, own))
    )

    def back(estimate: Tensor) -> Tensor:
        return _spectra(torch.fft.ifft(as_complex(estimate), norm="ortho") * scale, found, test.dwell)

    mean, directions = _principal(own_plain.flatten(0, 1), SIZES[-1])
    del own_plain
    for size in SIZES:
        v = directions[:, :size]
        context.add(SIMULATED, RECONSTRUCTION, f"PCA-{size}", ERROR, error(back(mean + (plain - mean) @ v @ v.T)))
    centres = network.centres[test.on.long()]
    small = torch.cat(
        [
            as_real(torch.fft.ifft(as_complex(part - network.centres[on.long()]), norm="ortho") @ space.conj())
            for part, on in zip(own.spectra.split(64), training.on.split(64), strict=True)
        ]
    ).flatten(0, 1)
    mean, directions = _principal(small, SIZES[-1])
    in_space = as_real(torch.fft.ifft(as_complex(found.spectra - centres), norm="ortho") @ space.conj())
    for size in SIZES:
        v = directions[:, :size]
        low = as_complex(mean + (in_space - mean) @ v @ v.T) @ space.T
        estimate = centres + as_real(torch.fft.fft(low, norm="ortho"))
        context.add(SIMULATED, RECONSTRUCTION, f"PCA-{size}, aligned, of decaying signals", ERROR, error(estimate))
    reference = van_de_sande()
    if reference is not None:
        context.add(SIMULATED, RECONSTRUCTION, VAN_DE_SANDE, ERROR, van_de_sande_errors(reference, test))


@torch.no_grad()
def van_de_sande_errors(network: VanDeSandeVae, given: Sessions) -> list[float]:
    """Error of the clean signal over the noise, by session, of what a published network reconstructs."""
    assert given.clean is not None
    found, spectra = _aligned(given), plain_spectra(given)
    made = network(spectra.flatten(0, 1))[:, :-1].reshape(spectra.shape)
    fids = fids_of_spectra(made) * heights(given)[:, None, None]
    estimate, truth = (_spectra(values, found, given.dwell) for values in (fids, given.clean))
    return ((estimate - truth).square().mean(-1).sqrt() / found.noise).mean(1).tolist()


def _aligned(given: Sessions) -> Aligned:
    parts = [aligned(shipped(), f, o) for f, o in zip(given.fids.split(64), given.on.split(64), strict=True)]
    return Aligned(**{name: torch.cat([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def _spectra(fids: Tensor, found: Aligned, dwell: float) -> Tensor:
    """FIDs in the frame in which others were found to lie."""
    moved = turned(fids, -found.phase, -found.shift, dwell) / found.scale[:, None, None]
    return as_real(torch.fft.fft(moved, norm="ortho"))


def _sets(context: Context, number: int) -> dict[str, Sessions]:
    """What is compared with unseen subjects: a second set of these, and every way of synthesis."""
    number = count_of(context, number)
    out = {"other real subjects": sessions(number, OTHER_SEED), "ours, random": random_set(number, context.seed)}
    for sampling in ("hybrid", "interpolate", "reconstruct"):
        out[f"ours, {sampling}"] = sampled_set(number, SOURCE_SEED, sampling)
    out["ours, random, without noise"] = random_set(number, context.seed, noise=False)
    if van_de_sande() is not None:
        for sampling in REFERENCE_SAMPLINGS:
            out[f"published, {sampling}"] = van_de_sande_set(number, SOURCE_SEED, sampling)
    return out


def described(given: Sessions) -> dict[str, tuple[NDArray, NDArray]]:
    """Values of sessions and whose they are: SNR, line width, frequency, phase, noise, by transient or session."""
    fids, found = given.fids, _aligned(given)
    moved = torch.fft.fftshift(torch.fft.fft(turned(fids, -found.phase, -found.shift, given.dwell)), dim=-1)
    ppm = _ppm(given)
    cr = (ppm > 2.9) & (ppm < 3.15)
    noise = noise_sd(fids)
    snr = moved.real[..., cr].amax(-1) / (noise * fids.shape[-1] ** 0.5)
    width = linewidth(moved[..., cr].mean(1).real, 1 / (fids.shape[-1] * given.dwell))
    owners = np.repeat(np.arange(len(fids)), fids.shape[1])
    each = {"SNR": snr, "frequency": found.shift, "phase": found.phase, "noise": noise}
    out = {name: (values.flatten().numpy(), owners) for name, values in each.items()}
    known = torch.isfinite(width).numpy()
    out["line width"] = (width.numpy()[known], np.arange(len(fids))[known])
    return out


def course(given: Sessions) -> dict[str, float]:
    """How frequency and phase go on in a session: spread of the drift and of the jitter about it (Hz), ON and OFF."""
    found = _aligned(given)
    shift, phase = found.shift.numpy(), np.unwrap(found.phase.numpy(), axis=1)
    at = (np.arange(shift.shape[1]) + 0.5) / shift.shape[1] - 0.5
    middle, turn = (values - values.mean(1, keepdims=True) for values in (shift, phase))
    slope = (middle * at).sum(1) / (at**2).sum()
    pair = np.corrcoef(turn[:, 0::2].ravel(), turn[:, 1::2].ravel())[0, 1]
    return {
        "drift, Hz": float(slope.std()), "jitter, Hz": float((middle - slope[:, None] * at).std()),
        "correlation of ON's and OFF's phase": float(pair),
    }  # fmt: skip


def _ppm(given: Sessions) -> Tensor:
    return ppm_axis(given.fids.shape[-1], given.dwell, larmor=given.larmor, reference=given.reference)


def _as(fids: Tensor, on: Tensor, like: Sessions) -> Sessions:
    return Sessions(
        fids=fids, on=on, dwell=like.dwell, larmor=like.larmor, reference=like.reference, echo=like.echo
    )  # fmt: skip


def _distributions(context: Context) -> None:
    """Noise, SNR, line width, frequency and phase against those of unseen subjects."""
    real = sessions(count_of(context, 200), TEST_SEED)
    known = described(real)
    source = sessions(count_of(context, 200), SOURCE_SEED)
    for name, made in _sets(context, 200).items():
        found = described(made)
        for value, (values, owners) in known.items():
            rng = np.random.default_rng(context.seed)
            ratio = distance_ratio(values, found[value][0], owners, generator=rng)
            context.add(SIMULATED, DISTRIBUTIONS, name, f"{value}: distance / halves", [ratio])
        for value, size in course(made).items():
            context.add(SIMULATED, DISTRIBUTIONS, name, value, [size])
        like = source if name.startswith("published") or "random" not in name and "other" not in name else real
        ratio = float(noise_sd(made.fids).mean() / noise_sd(like.fids).mean())
        context.add(SIMULATED, DISTRIBUTIONS, name, "noise / noise of the data", [ratio])
    again = {"ours, reconstruct": sampled_set}
    if van_de_sande() is not None:
        again["published, reconstruct"] = van_de_sande_set
    for name, make in again.items():
        fids = make(count_of(context, 200), SOURCE_SEED, "reconstruct").fids
        pair = np.corrcoef(noise_sd(fids).flatten(), noise_sd(source.fids).flatten())[0, 1]
        context.add(SIMULATED, DISTRIBUTIONS, name, "correlation of noise", [float(pair)])


def _classifier(context: Context) -> None:
    """Classifier two-sample tests, 800 transients a side, four of each subject; coverage; copies."""
    number = count_of(context, 200)
    real, training = sessions(number, TEST_SEED), sessions(count_of(context, TRAINED_ON), TRAINING_SEED)
    owners = np.repeat(np.arange(number), 4)
    first = rows_of(real, 1)
    assert training.clean is not None
    learned, unseen = (mean_rows(f, s.on, shipped()) for f, s in ((training.clean, training), (real.fids, real)))
    for name, made in _sets(context, 200).items():
        groups = np.repeat(np.arange(len(made.fids)), 4)
        for rows, shown in ((rows_of, ""), (steps_of, ", steps")):
            a, b = rows(real), rows(made)
            for kind, label in (("logistic", "logistic regression"), ("mlp", "small network")):
                accuracy = classifier_accuracy(a, b, owners, groups, kind=kind)
                context.add(SIMULATED, CLASSIFIER, name, f"accuracy, {label}{shown}", [accuracy])
        one = rows_of(made, 1)
        precision, recall = precision_recall(first, one)
        context.add(SIMULATED, CLASSIFIER, name, "precision", [precision])
        context.add(SIMULATED, CLASSIFIER, name, "recall", [recall])
        context.add(SIMULATED, CLASSIFIER, name, "MMD, thousandths", [1000 * maximum_mean_discrepancy(first, one)])
        if name in ("ours, random", "other real subjects"):
            ratio = nearest_ratio(learned, unseen, mean_rows(made.fids, made.on, shipped()))
            context.add(SIMULATED, CLASSIFIER, name, "nearest of training / real", [ratio])
    again = mean_rows(training.fids[:number], training.on[:number], shipped())
    ratio = nearest_ratio(learned, unseen, again)
    context.add(SIMULATED, CLASSIFIER, "training sessions again", "nearest of training / real", [ratio])


def _umap(context: Context) -> None:
    """Where synthetic transients lie in a plane learnt from unseen subjects, by the umap extra; with a figure."""
    number = count_of(context, 200)
    real = sessions(number, TEST_SEED)
    shown = {n: rows_of(made) for n, made in _sets(context, 200).items() if "noise" not in n and "reconstr" not in n}
    try:
        known, others = embed(rows_of(real), shown, seed=context.seed)
    except InputError as error:
        logger.warning("%s: the rows of the embedding are left out", error)
        return
    for name, points in others.items():
        context.add(SIMULATED, EMBEDDING, name, "overlap of densities", [overlap(known, points)])
    figure = draw_embedding(known, others, real.on[:, :EACH].flatten().numpy(), title="simulated subjects")
    figure.savefig(context.figures / "umap.png", dpi=70)


def _concentrations(context: Context) -> None:
    """Bias and spread of the fitted concentrations of synthetic sessions against unseen subjects."""
    number = 600
    size = count_of(context, number)
    real, source = sessions(size, TEST_SEED), sessions(size, SOURCE_SEED)
    known = {"ours, random": concentrations(real, shipped()), "ours, hybrid": concentrations(source, shipped())}
    known |= {f"published, {sampling}": known["ours, hybrid"] for sampling in REFERENCE_SAMPLINGS}
    for name, made in _sets(context, number).items():
        if name not in known and name != "other real subjects":
            continue
        found, against = concentrations(made, shipped()), known.get(name, known["ours, random"])
        for metabolite in CONCENTRATIONS:
            a, b = found[metabolite], against[metabolite]
            low, high = np.quantile(b, [0.01, 0.99])  # fits that went astray count in neither
            a, b = (v[(v > low - (high - low)) & (v < high + (high - low))] for v in (a, b))
            context.add(SIMULATED, CONCENTRATION, name, f"{metabolite}: bias, %", [100 * (a.mean() / b.mean() - 1)])
            context.add(SIMULATED, CONCENTRATION, name, f"{metabolite}: spread ratio", [a.std() / b.std()])
            error = 100 * math.hypot(a.std() / len(a) ** 0.5, b.std() / len(b) ** 0.5) / b.mean()
            context.add(SIMULATED, CONCENTRATION, name, f"{metabolite}: standard error, %", [error])


def _application(context: Context) -> None:
    """The paper's: n of 160 edited transients and synthetic ones averaged, against the average of n and of all."""
    number = count_of(context, 60)
    every = 320
    test = sessions(number, TEST_SEED + 50, every)
    full = quality(test, None)
    truth = np.array([one["GABA"] for one in test.concentrations])
    for n in (8, 16, 32):
        few = _as(test.fids[:, : 2 * n], test.on[:, : 2 * n], test)
        wanted = edits_of(every - 2 * n, "both", True)
        more = {f"with ours, {s}": more_of_each(few, s, wanted, 7000) for s in ("hybrid", "interpolate")}
        if van_de_sande() is not None:
            shown = ("interpolate",) if context.quick else REFERENCE_SAMPLINGS
            more |= {f"with published, {s}": more_by_van_de_sande(few, s, wanted, 0) for s in shown}
        sets = {"real alone": few, **{name: _joined(few, added) for name, added in more.items()}}
        for name, used in sets.items():
            found = quality(used, full["difference"])
            condition = f"{n} of 160 edited transients"
            for metric in ("SNR", "line width, Hz", "shape score"):
                context.add(SIMULATED, condition, name, metric, found[metric].tolist())
            error = 100 * np.abs(found["GABA+"] - full["GABA+"]) / np.abs(full["GABA+"]).mean()
            context.add(SIMULATED, condition, name, "GABA+ off that of all, %", error.tolist())
            pair = float(np.corrcoef(found["GABA+"], truth)[0, 1])
            context.add(SIMULATED, condition, name, "correlation of GABA+ with true GABA", [pair])


def _joined(a: Sessions, b: Sessions) -> Sessions:
    """Sessions with the transients of both."""
    return _as(torch.cat([a.fids, b.fids], 1), torch.cat([a.on, b.on], 1), a)


def quality(given: Sessions, full: NDArray | None) -> dict[str, NDArray]:
    """Of the averaged difference of each session: SNR, line width of creatine, shape score, GABA+, the difference."""
    off, edited = averages(given, shipped())
    ppm, points = _ppm(given), given.fids.shape[-1]
    difference = spectrum(edited - off).real
    gaba = (ppm > 2.8) & (ppm < 3.2)
    snr = difference[:, gaba].amax(1) / (noise_sd(edited - off) * points**0.5)
    cr = (ppm > 2.9) & (ppm < 3.15)
    width = linewidth(spectrum(off).real[:, cr], 1 / (points * given.dwell))
    out = {
        "SNR": snr.numpy(), "line width, Hz": width.numpy(), "difference": difference.numpy(),
        "GABA+": concentrations(given, shipped())["GABA+"],
    }  # fmt: skip
    if full is not None:
        out["shape score"] = np.array(
            [shape_score(a, b, ppm.numpy()) for a, b in zip(out["difference"], full, strict=True)]
        )
    return out


def shape_score(values: NDArray, full: NDArray, ppm: NDArray) -> float:
    """Of the challenge of edited spectroscopy: .6 of the correlation at GABA and .4 of that at Glx, each normalised."""
    score = 0.0
    for share, low, high in ((0.6, 2.8, 3.2), (0.4, 3.6, 3.9)):
        inside = (ppm > low) & (ppm < high)
        score += share * float(np.corrcoef(values[inside], full[inside])[0, 1])
    return score


def _downstream(context: Context) -> None:
    """A small network that predicts GABA from a difference spectrum, trained on few subjects with and without ours."""
    test = sessions(count_of(context, 400), TEST_SEED)
    rows, truth = difference_rows(test), np.array([one["GABA"] for one in test.concentrations])
    for n in (20, 50):
        gains = []
        for seed in range(2 if context.quick else 5):
            few = sessions(n, 900 + seed)
            known = np.array([one["GABA"] for one in few.concentrations])
            x = difference_rows(few)
            more, labels = [x], [known]
            for k in range(n):  # more of the same subjects: their GABA is known
                given = draws(8, 16, 10000 * seed + k)
                parts = [
                    more_of(shipped(), few.fids[k], few.on[k], "hybrid", few.on[k], _one_of(given, j)) for j in range(8)
                ]
                made = [with_noise(clean_fids(shipped(), d), d, _one_of(given, j)) for j, d in enumerate(parts)]
                more.append(difference_rows(_as(torch.cat(made), few.on[k].expand(8, -1), few)))
                labels.append(np.repeat(known[k], 8))
            alone = _prediction_error(x, known, rows, truth, seed)
            both = _prediction_error(np.concatenate(more), np.concatenate(labels), rows, truth, seed)
            context.add(SIMULATED, DOWNSTREAM, f"{n} real subjects, seed {seed}", "error of GABA, mM", [alone])
            context.add(
                SIMULATED, DOWNSTREAM, f"{n} real subjects and ours, hybrid, seed {seed}", "error of GABA, mM", [both]
            )
            gains.append(both - alone)
        context.add(SIMULATED, DOWNSTREAM, f"{n} subjects: with ours less without", "difference, mM", gains)


def _one_of(given: Draws, place: int) -> Draws:
    return Draws(**{name: values[place : place + 1] for name, values in vars(given).items()})


def difference_rows(given: Sessions) -> NDArray:
    """(S, D) real differences from 2.1 to 4 ppm, over the height of a session."""
    off, on = averages(given, shipped())
    ppm = _ppm(given)
    return spectrum((on - off) / _aligned(given).scale[:, None]).real[:, (ppm > 2.1) & (ppm < 4.0)].numpy()


def _prediction_error(x: NDArray, y: NDArray, test: NDArray, truth: NDArray, seed: int) -> float:
    mean, spread = x.mean(0), x.std() + 1e-12
    network = MLPRegressor(hidden_layer_sizes=(32,), alpha=1.0, max_iter=2000, random_state=seed)
    network.fit((x - mean) / spread, (y - y.mean()) / y.std())
    guess = network.predict((test - mean) / spread) * y.std() + y.mean()
    return float(np.abs(guess - truth).mean())


def known_model() -> TransientModel:
    """Of the simulated sessions, with their basis."""
    like = sessions(1, TEST_SEED)
    return transient_model("mega_press", like.echo, like.fids.shape[-1], like.dwell, like.larmor)


def _fit(context: Context) -> None:
    """The batched fit: time against scipy, spectrum by spectrum; amplitudes of known ones."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = known_model()
    number = 128 if context.quick else 1024
    fids, truth = known_spectra(number, context.seed)
    options: Any = {"dwell": model.dwell, "larmor": model.larmor, "reference": model.reference}
    start = time.process_time()
    found = fit(fids, model.members["OFF"], **options)
    ours = (time.process_time() - start) / number
    few = 4 if context.quick else 12
    context.add("any", FIT, BATCHED, "milliseconds a spectrum", [1000 * ours])
    for derivatives, name in ((False, "scipy"), (True, "scipy with MINPACK and derivatives")):
        start = time.process_time()
        theirs = np.stack([by_scipy(fid.numpy(), found, derivatives=derivatives) for fid in fids[:few]])
        elapsed = (time.process_time() - start) / few
        context.add("any", FIT, BATCHED, f"times faster than {name}", [elapsed / ours])
        off = np.abs(theirs / found.amplitudes[:few].numpy() - 1)[:, truth > 0.8]
        context.add("any", FIT, BATCHED, f"amplitudes off those of {name}, %", [100 * float(np.quantile(off, 0.95))])
    errors = ((found.amplitudes - torch.from_numpy(truth)) / found.amplitude_sd).numpy()
    biases = np.abs(errors.mean(0)) * number**0.5
    context.add("any", FIT, BATCHED, "largest bias, standard errors", [float(biases.max())])
    context.add("any", FIT, BATCHED, "metabolites beyond 2 standard errors", [int((biases > 2).sum())])
    context.add("any", FIT, BATCHED, "largest bias, % of the CRLB", [100 * float(np.abs(errors.mean(0)).max())])
    context.add("any", FIT, BATCHED, "spread / stated", [float(errors.std(0).mean())])
    torch.set_num_threads(threads)


def known_spectra(number: int, seed: int) -> tuple[Tensor, NDArray]:
    """Spectra of one composition, without what the fit's model does not hold, and their concentrations."""
    model = known_model()
    rng = np.random.default_rng(seed)
    truth = np.array([TYPICAL[name] for name in model.names])
    wide = torch.exp(-2.0 * math.pi * model.at - (5 * math.pi * model.at) ** 2 / (4 * math.log(2)))
    body = (torch.from_numpy(truth).to(torch.complex128) @ model.members["OFF"]) * wide
    turn = torch.from_numpy(rng.uniform(-1, 1, number))[:, None]
    shift = torch.from_numpy(rng.uniform(-5, 5, number))[:, None]
    fids = body * torch.exp(1j * turn + 2j * math.pi * shift * model.at)
    noise = torch.from_numpy(rng.normal(0, 0.4, (2, number, model.points)))
    return fids + torch.complex(noise[0], noise[1]), truth


def by_scipy(fid: NDArray, found: Fit, *, derivatives: bool) -> NDArray:
    """Amplitudes by scipy's least squares over all parameters: as it comes, or with derivatives written out."""
    model = known_model()
    count = round(0.5 / model.dwell)
    at, members = model.at.numpy()[:count], model.members["OFF"].numpy()[:, :count]
    ppm = model.reference - np.fft.fftfreq(count, model.dwell) / model.larmor
    inside = np.flatnonzero((ppm >= RANGE[0]) & (ppm <= RANGE[1]))
    inside = inside[np.argsort(-ppm[inside])]
    curves = splines(found.ppm.numpy(), RANGE, KNOTS)
    data = np.fft.fft(fid[:count], norm="ortho")[inside]
    k = len(members)

    def both(values: NDArray) -> NDArray:
        return np.concatenate([values.real, values.imag], -1)

    def parts(p: NDArray) -> tuple[NDArray, NDArray]:
        wide = (np.pi * np.exp(p[3]) * at) ** 2 / (4 * np.log(2))
        fids = members * np.exp(2j * np.pi * p[1] * at - np.pi * np.exp(p[2]) * at - wide)
        return fids, np.fft.fft(fids, norm="ortho")[:, inside]

    def residual(p: NDArray) -> NDArray:
        base = curves @ (p[4 + k :: 2] + 1j * p[5 + k :: 2])
        return both(data * np.exp(-1j * p[0]) - p[4 : 4 + k] @ parts(p)[1] - base)

    def slopes(p: NDArray) -> NDArray:
        fids, shown = parts(p)
        whole = p[4 : 4 + k] @ fids
        rates = (2j * np.pi * at, -np.pi * np.exp(p[2]) * at, -2 * (np.pi * np.exp(p[3]) * at) ** 2 / (4 * np.log(2)))
        moved = [np.fft.fft(rate * whole, norm="ortho")[inside] for rate in rates]
        bases = np.stack([curves.T, 1j * curves.T], 1).reshape(-1, len(inside))
        return np.concatenate(
            [both(-1j * data * np.exp(-1j * p[0]))[None], -both(np.concatenate([moved, shown, bases]))]
        ).T

    start = np.concatenate([[0.0, 0.0, math.log(2), math.log(4)], np.ones(k), np.zeros(2 * curves.shape[1])])
    if derivatives:
        best = least_squares(residual, start, jac=slopes, method="lm", x_scale="jac", max_nfev=200)
    else:
        best = least_squares(residual, start, x_scale="jac", max_nfev=60)
    return np.asarray(best.x[4 : 4 + k])


def _basis(context: Context) -> None:
    """The simulator: PRESS against an established basis, MEGA-PRESS against theory."""
    known = read_lcmodel(context.data / "press_basis_3t" / "3T_PRESS_Philips_35ms_noMM.BASIS")
    names = {"NAA": "NAA", "Cr": "Cr", "Glu": "Glu", "Gln": "Gln", "GABA": "GABA", "Ins": "mI"}
    ours = simulated_basis(
        "press", te=known.echo, metabolites=list(names.values()), points=8192, dwell=known.dwell, larmor=known.larmor
    )[""]
    for theirs, name in names.items():
        best = 0.0
        for width in (1.0, 1.5, 2.0):
            a, b = _shown(known.fids[theirs], known, 1.0, 0.17), _shown(ours.fids[name], ours, width, 0.2)
            crossed = np.fft.ifft(np.fft.fft(a) * np.fft.fft(b, len(a)).conj()).real
            best = max(best, float(crossed.max() / np.linalg.norm(a) / np.linalg.norm(b)))
        context.add("any", BASIS, f"PRESS, {name}", "correlation of shape", [best])
    edited = simulated_basis("mega_press", te=0.068, metabolites=["Cr", "NAA", "GABA"])
    for name, low, high in (("Cr", 2.8, 3.3), ("NAA", 1.8, 2.2), ("GABA", 2.8, 3.2)):
        on, off = (_shown(edited[e].fids[name], edited[e], 4.0, low, high) for e in ("ON", "OFF"))
        value = (on - off)[np.abs(on - off).argmax()] / np.abs(off).max()
        context.add("any", BASIS, f"MEGA-PRESS, {name}", "ON less OFF, of OFF", [float(value)])


def _shown(fid: NDArray, basis: Basis, width: float, low: float, high: float | None = None) -> NDArray:
    at = np.arange(len(fid)) * basis.dwell
    values = np.fft.fftshift(np.fft.fft(fid * np.exp(-math.pi * width * at))).real
    ppm = basis.reference - np.fft.fftshift(np.fft.fftfreq(len(fid), basis.dwell)) / basis.larmor
    return values[(ppm > low) & (ppm < (low + 4.0 if high is None else high))]


def _measured(context: Context) -> None:
    """Big GABA, PRESS, a spectrum a subject, two sites held out: trained by train.json, against PCA."""
    files = sorted((context.data / "press_biggaba").glob("*_act.nii.gz"))
    held = ("P6", "P7")
    others = [f for f in files if f.name[:2] not in held]
    learned = [f for k, f in enumerate(others) if k % HELD_OUT != HELD_OUT - 1]
    training, test = measured_sessions(learned), measured_sessions([f for f in files if f.name[:2] in held])
    count = len(learned)
    sizes = {"session": 16, "transient": 1, "scores": count - 1, "sessions": count, "kept": 1}
    network = SessionVae(**sizes).eval()
    with tempfile.TemporaryDirectory() as folder:
        for path in others:
            (Path(folder) / path.name).symlink_to(path)
        _train_on(Path(folder), Path(folder) / "trained", sizes, quick=context.quick)
        state = torch.load(Path(folder) / "trained" / "model.pt", map_location="cpu", weights_only=True)
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    own, found = aligned(network, training.fids, training.on), aligned(network, test.fids, test.on)
    ppm = fft_ppm(test.fids.shape[-1], test.dwell, test.larmor, test.reference)
    inside = ((ppm > SHOWN[0]) & (ppm < SHOWN[1])).repeat(2)
    rows, target = own.spectra[:, 0], found.spectra[:, 0]
    like = Acquisition.of(network.acquisition)
    space = signal_space(like.points, like.dwell, like.larmor, like.reference, (RESONANCES[0], EDGE))

    def decaying(values: Tensor) -> Tensor:
        low = torch.fft.ifft(as_complex(values), norm="ortho") @ space.conj()
        return as_real(torch.fft.fft(low @ space.T, norm="ortho"))

    start = SessionVae(**sizes).eval()
    initialise_linear_model(start, training, water=False)
    estimates = {}
    with torch.no_grad():
        for name, one in ((MEASURED_OURS, network), ("ours, 16 latents, before training", start)):
            scores = one(network_input(one, found, test.on))[..., :-1]
            estimates[name] = spectra_of(one, scores, test.on)[:, 0]
    mean = rows.mean(0)
    for size in (8, 16, 32):
        for name, known in (("aligned", rows - mean), ("aligned, of decaying signals", decaying(rows - mean))):
            v = torch.linalg.svd(known, full_matrices=False)[2][:size].T
            estimates[f"PCA-{size}, {name}"] = mean + (target - mean) @ v @ v.T
    for name, estimate in estimates.items():
        left = (estimate - target)[:, inside].square().mean(1).sqrt() / found.noise[:, 0]
        context.add("Big GABA", MEASURED, name, "residual / noise", left.tolist())
    sites = [f.name[:2] for f in files]
    spectra = rows_of(measured_sessions(files), 1)
    for site in held:
        mine = np.array([s == site for s in sites])
        accuracy = classifier_accuracy(
            spectra[~mine], spectra[mine], np.arange(int((~mine).sum())), np.arange(int(mine.sum()))
        )
        context.add(
            "Big GABA", MEASURED, f"site {site} against the others", "accuracy, logistic regression", [accuracy]
        )


def _train_on(folder: Path, output: Path, sizes: Mapping[str, int], *, quick: bool) -> None:
    """Train by the public config on the sessions of a folder."""
    options: dict[str, object] = {
        "dataset_dir": folder,
        "epochs": 2 if quick else 12,
        "iterations_per_epoch": 50,
        "batch_size": 16,
    }
    options |= {"learning_rate": 0.0003, **{f"network_def#{name}": size for name, size in sizes.items()}}
    _train(output, ["train"], options)


def _train(output: Path, configs: Sequence[str], options: Mapping[str, object]) -> None:
    """Train by public configs; the weights are ``output/model.pt``."""
    files = str([f"configs/{name}.json" for name in configs])
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", files]
    given = {"meta_file": "configs/metadata.json", "weights": output / "model.pt", "training_dir": output / "training"}
    for name, value in {**given, **options}.items():
        command += [f"--{name}", str(value)]
    subprocess.run(command, cwd=BUNDLE, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _choices(context: Context) -> None:
    """How the published method depends on what its paper does not state: spread of the samples, sizes, weights."""
    reference = van_de_sande()
    if reference is None:
        return
    number = count_of(context, 200)
    real, source = sessions(number, TEST_SEED), sessions(number, SOURCE_SEED)
    owners, level = np.repeat(np.arange(number), 4), float(noise_sd(source.fids).mean())
    for sampling in ("random", "hybrid"):
        for spread, radius in SPREADS[:2] if context.quick else SPREADS:
            given: dict[str, Any] = {"spread": spread, "radius": radius}
            made = more_by_van_de_sande(source, sampling, source.on[0], SOURCE_SEED, **given)
            name = f"{sampling}, {radius:g} x {spread}"
            found = {"noise / noise of the data": float(noise_sd(made.fids).mean()) / level}
            found["accuracy, logistic regression"] = classifier_accuracy(rows_of(real), rows_of(made), owners, owners)
            found["precision"], found["recall"] = precision_recall(rows_of(real, 1), rows_of(made, 1))
            for metric, value in found.items():
                context.add(SIMULATED, CHOICES, name, metric, [value])
    for name, options in list(VARIANTS.items())[:1] if context.quick else VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            network = _variant(Path(folder), options, quick=context.quick)
        context.add(SIMULATED, CHOICES, name, ERROR, van_de_sande_errors(network, real))


def _variant(output: Path, options: Mapping[str, object], *, quick: bool) -> VanDeSandeVae:
    """Train a published network of other sizes or weights by the public configs, for a fifth of the usual schedule."""
    given: dict[str, object] = {"subjects": 1000, "epochs": 4}
    if quick:
        given = {"subjects": 40, "validation_subjects": 8, "epochs": 2, "iterations_per_epoch": 5}
    _train(output, ["train", "train_van_de_sande"], {**given, **options})
    network = van_de_sande_like(output / "model.pt")
    network.load_state_dict(torch.load(output / "model.pt", map_location="cpu", weights_only=True))
    return network.eval()


def _cost(context: Context) -> None:
    """10,000 transients by the public command: time, memory."""
    command = [sys.executable, "-c", MAKE_MANY.format(number=640 if context.quick else 10000, root=str(BUNDLE))]
    start = time.perf_counter()
    memory = peak_memory(command)
    context.add("any", COST, "10,000 transients", "peak memory of the process, GB", [memory])
    context.add("any", COST, "10,000 transients", "minutes", [(time.perf_counter() - start) / 60])


def figures(rows: Sequence[dict[str, Any]], output: Path) -> None:
    """Spectra of unseen subjects beside synthetic ones, and the published network's reconstructions."""
    real = sessions(6, TEST_SEED)
    made = random_set(6, 1)
    figure = Figure(figsize=(13, 12))
    axes = figure.subplots(6, 3, sharex=True)
    ppm = _ppm(real)
    inside = (ppm > 0.3) & (ppm < 5.2)
    for k in range(6):
        for column, given in enumerate((real, made)):
            edits, found = given.on[k], _aligned(_as(given.fids[k : k + 1], given.on[k : k + 1], given))
            values = spectrum(turned(given.fids[k], -found.phase[0], -found.shift[0], given.dwell)).real
            off, edited = values[~edits], values[edits]
            axes[k, column].plot(ppm[inside], off[0][inside], lw=0.6, label="OFF")
            axes[k, column].plot(ppm[inside], edited[0][inside], lw=0.6, label="ON")
            axes[k, 2].plot(
                ppm[inside], (edited.mean(0) - off.mean(0))[inside], lw=0.7, label=("real", "synthetic")[column]
            )
        for axis in axes[k]:
            axis.set_yticks([])
            axis.set_xlim(5.2, 0.3)
    for axis, title in zip(
        axes[0], ("unseen virtual subjects", "synthetic, random", "ON less OFF, 16 transients"), strict=True
    ):
        axis.set_title(title, fontsize=10)
        axis.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(output / "examples.png", dpi=70)
    if van_de_sande() is not None:
        _reconstructions(output)


@torch.no_grad()
def _reconstructions(output: Path) -> None:
    """As Fig. 4 of the paper: an OFF and an ON transient of two subjects, what the network makes of it, the residual.

    The subjects are those with the lowest and the highest error.
    """
    network, real = van_de_sande(), sessions(40, TEST_SEED)
    assert network is not None
    errors = np.array(van_de_sande_errors(network, real))
    ppm = _ppm(real)
    inside = (ppm > 0.3) & (ppm < 5.2)
    figure = Figure(figsize=(11, 7))
    axes = figure.subplots(2, 2, sharex=True)
    shown = (("lowest", errors.argmin()), ("highest", errors.argmax()))
    for row, (which, k) in zip(axes, shown, strict=True):
        given = _as(real.fids[k : k + 1], real.on[k : k + 1], real)
        found, spectra = _aligned(given), plain_spectra(given)
        made = fids_of_spectra(network(spectra[0])[:, :-1]) * heights(given)
        for axis, edit in zip(row, (False, True), strict=True):
            place = int((given.on[0] == edit).nonzero()[0])
            phase, shift = -found.phase[0, place], -found.shift[0, place]
            one, other = (
                spectrum(turned(f[place], phase, shift, real.dwell)).real[inside] for f in (given.fids[0], made)
            )
            top = float(one.max())
            for values, colour, name in (
                (one, "#1f77b4", "simulated"), (other, "#ff7f0e", "reconstruction"),
                (one - other - 0.4 * top, "black", "residual"),
            ):  # fmt: skip
                axis.plot(ppm[inside], values, color=colour, lw=0.7, label=name)
            axis.set_title(f"{'ON' if edit else 'OFF'}, {which} error", fontsize=10)
            axis.set_xlim(5.2, 0.3)
            axis.set_yticks([])
    axes[0, 0].legend(fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(output / "reconstructions.png", dpi=70)


MAKE_MANY = """
import sys, tempfile
from monai.bundle import run
with tempfile.TemporaryDirectory() as folder:
    run(config_file="{root}/configs/inference.json", meta_file="{root}/configs/metadata.json", bundle_root="{root}",
        number={number}, output_dir=folder, logging_file=False)
"""

TYPICAL = {
    "Ala": 0.5, "Asc": 0.6, "Asp": 1.6, "Cr": 4.2, "GABA": 1.1, "GPC": 0.9, "GSH": 1.4, "Gln": 2.2, "Glu": 7.5,
    "Lac": 0.5, "NAA": 9.5, "NAAG": 1.2, "PCh": 0.5, "PCr": 3.4, "PE": 1.4, "Tau": 1.3, "mI": 5.2, "sI": 0.25,
}  # fmt: skip

RECONSTRUCTION, DISTRIBUTIONS, CLASSIFIER, EMBEDDING = "reconstruction", "distributions", "classifier", "umap"
CHOICES = "published choices"
SPREADS = (
    ("posterior", 1.0), ("posterior", 3.0), ("subset", 0.5), ("subset", 1.0), ("prior", 0.25), ("prior", 0.5),
    ("prior", 1.0),
)  # fmt: skip
"""Units and radius of random and hybrid samples; the first is the default of ``reference_van_de_sande.json``."""

VARIANTS: dict[str, dict[str, object]] = {
    "as configured": {},
    **{f"{n} latents": {"latents": n} for n in (4, 8, 32, 64)},
    **{f"weight of the divergence x {x:g}": {"divergence_weight": 0.0017 * x} for x in (0.01, 0.1, 10, 100)},
    "widths 256, 64": {"network_def#widths": [256, 64]}, "widths 1024, 256": {"network_def#widths": [1024, 256]},
    "half the iterations": {"epochs": 2}, "twice the iterations": {"epochs": 8},
}  # fmt: skip
"""Trainings of the published network, each with one choice changed."""

CONCENTRATION, DOWNSTREAM, FIT, BASIS, MEASURED, COST = (
    "concentrations", "downstream", "fit", "basis", "measured", "cost",
)  # fmt: skip
ERROR, BATCHED = "error / noise", "batched fit, 1024 spectra"

PARTS: dict[str, Callable[[Context], Any]] = {
    "reconstruction": _reconstruction, "distributions": _distributions, "classifier": _classifier, "umap": _umap,
    "concentrations": _concentrations, "application": _application, "downstream": _downstream, "fit": _fit,
    "basis": _basis, "measured": _measured, "choices": _choices, "cost": _cost, **synthesis_checks.PARTS,
}  # fmt: skip


def _row(condition: str, method: str, metric: str, set_: str = SIMULATED) -> Callable[..., float]:
    shown = SIMULATED if set_ == "any" else set_  # what belongs to no set stands in the first column
    return lambda rows, s: find(rows, set_, condition, method, metric) if s == shown else float("nan")


def _over_best_pca(rows: Sequence[dict[str, Any]], set_: str, method: str = OURS) -> float:
    errors = [
        r["mean"] for r in rows
        if r["set"] == set_ and r["condition"] == RECONSTRUCTION and r["method"].startswith("PCA-")
    ]  # fmt: skip
    return find(rows, set_, RECONSTRUCTION, method, ERROR) / min(errors) if errors else float("nan")


def _over_pca(rows: Sequence[dict[str, Any]], set_: str) -> float:
    ours = find(rows, set_, MEASURED, MEASURED_OURS, "residual / noise")
    kinds = ("PCA-16, aligned", "PCA-16, aligned, of decaying signals")
    return ours / min(find(rows, set_, MEASURED, kind, "residual / noise") for kind in kinds)


def _largest(method: str, ending: str, names: Sequence[str]) -> Callable[..., float]:
    def figure(rows: Sequence[dict[str, Any]], set_: str) -> float:
        return max(abs(find(rows, set_, CONCENTRATION, method, f"{name}: {ending}")) for name in names)

    return figure


TARGETS = [
    Target("error of the clean signal over that of the best PCA, sessions", 0.9, True, _over_best_pca),
    Target("error of the clean signal over that of the best PCA, each transient alone", 0.9, True,
           lambda rows, s: _over_best_pca(rows, s, OURS_ONE)),
    Target("Big GABA, held-out sites: residual over that of the better PCA-16", 1.0, True, _over_pca, "%.3f"),
    *(Target(f"noise of samples over noise of data, {s}", 0.93, False,
             _row(DISTRIBUTIONS, f"ours, {s}", "noise / noise of the data"), high=1.07) for s in ("random", "hybrid")),
    Target("correlation of noise, reconstructions", 0.95, False,
           _row(DISTRIBUTIONS, "ours, reconstruct", "correlation of noise"), "%.3f"),
    *(Target(f"{v}, {s}: distance over that of halves", 1.5, True,
             _row(DISTRIBUTIONS, f"ours, {s}", f"{v}: distance / halves"))
      for s in ("random", "hybrid") for v in ("SNR", "line width", "frequency", "phase")),
    *(Target(f"classifier, {s}: accuracy of {k}", limit, True, _row(CLASSIFIER, f"ours, {s}", f"accuracy, {k}"))
      for s, limit in (("random", 0.65), ("hybrid", 0.6))
      for k in ("logistic regression", "small network", "logistic regression, steps", "small network, steps")),
    *(Target(f"concentrations, {s}: largest bias of NAA, tCr, tCho, Glx, %", 5, True,
             _largest(f"ours, {s}", "bias, %", CONCENTRATIONS[:4]), "%.1f") for s in ("random", "hybrid")),
    *(Target(f"concentrations, {s}: bias of GABA+, %", 10, True,
             _largest(f"ours, {s}", "bias, %", ("GABA+",)), "%.1f") for s in ("random", "hybrid")),
    *(Target(f"concentrations, {s}: spread ratio of {m}", 0.85, False,
             _row(CONCENTRATION, f"ours, {s}", f"{m}: spread ratio"), high=1.15)
      for s in ("random", "hybrid") for m in ("NAA", "tCr", "tCho", "Glx", "GABA+")),
    Target("nearest of the training over that of new subjects", 0.9, False,
           _row(CLASSIFIER, "ours, random", "nearest of training / real")),
    Target("training sessions, measured again, by the same check", 0.9, True,
           _row(CLASSIFIER, "training sessions again", "nearest of training / real")),
    Target("batched fit: times faster than scipy", 20, False,
           _row(FIT, BATCHED, "times faster than scipy", "any"), "%.0f"),
    Target("batched fit: amplitudes off scipy's, %", 1, True,
           _row(FIT, BATCHED, "amplitudes off those of scipy, %", "any")),
    Target("batched fit: largest bias, standard errors", 2, True,
           _row(FIT, BATCHED, "largest bias, standard errors", "any")),
    *(Target(f"PRESS, {m}: correlation of shape", 0.98, False,
             _row(BASIS, f"PRESS, {m}", "correlation of shape", "any"), "%.3f")
      for m in ("NAA", "Cr", "Glu", "Gln", "GABA", "mI")),
    *synthesis_checks.TARGETS,
]  # fmt: skip

TABLES = [
    Table("Measured spectra, sites held out", MEASURED,
          {"residual / noise": "%.2f", "accuracy, logistic regression": "%.2f"},
          "Between 0.2 and 4.2 ppm; of every method the residual water was taken away first."),
    Table("The clean signal of unseen subjects, from noisy transients", RECONSTRUCTION, {ERROR: "%.3f"},
          "PCA was fitted on what the network was trained on; aligned: in the network's frame and space. It sees one "
          "transient at a time, a session has 16."),
    Table("Noise and distributions", DISTRIBUTIONS, {
        "noise / noise of the data": "%.2f", "SNR: distance / halves": "%.2f", "line width: distance / halves": "%.2f",
        "frequency: distance / halves": "%.2f", "phase: distance / halves": "%.2f", "correlation of noise": "%.3f",
        "drift, Hz": "%.2f", "jitter, Hz": "%.2f", "correlation of ON's and OFF's phase": "%.2f"},
          "Wasserstein distance from unseen subjects, over that of disjoint halves of these."),
    Table("Told from unseen subjects", CLASSIFIER, {
        "accuracy, logistic regression": "%.2f", "accuracy, small network": "%.2f",
        "accuracy, logistic regression, steps": "%.2f", "accuracy, small network, steps": "%.2f", "precision": "%.2f",
        "recall": "%.2f", "MMD, thousandths": "%.2f", "nearest of training / real": "%.2f"},
          "Steps: the classifier sees the logarithm of how far each point lies from the next. On the spectra as they "
          "are it hardly sees that noise is missing (row without noise): a test that passes there says little. "
          "Nearest: of mean spectra of a session to clean ones of the training, where noise hides no copy."),
    Table("UMAP, learnt from unseen subjects", EMBEDDING, {"overlap of densities": "%.2f"},
          "What the densities of two sets of points in the plane share; figure: umap.png. The plane does not see that "
          "noise is missing: what the published network makes of measured transients overlaps as other subjects do."),
    Table("Concentrations after the fit", CONCENTRATION, {
        **{f"{m}: bias, %": "%.1f" for m in CONCENTRATIONS}, **{f"{m}: spread ratio": "%.2f" for m in CONCENTRATIONS},
        **{f"{m}: standard error, %": "%.1f" for m in CONCENTRATIONS}}),
    *(Table(f"The paper's application: {n} of 160 edited transients", f"{n} of 160 edited transients", {
        "SNR": "%.1f", "line width, Hz": "%.1f", "shape score": "%.3f", "GABA+ off that of all, %": "%.1f",
        "correlation of GABA+ with true GABA": "%.2f"}) for n in (8, 16, 32)),
    Table("GABA predicted by a small network", DOWNSTREAM, {"error of GABA, mM": "%.3f", "difference, mM": "%.3f"},
          "The network behind the synthetic sessions has seen 4,000 subjects of the same simulator: a gain is in part "
          "theirs."),
    Table("The batched fit", FIT, {
        "milliseconds a spectrum": "%.1f", "times faster than scipy": "%.0f",
        "times faster than scipy with MINPACK and derivatives": "%.0f",
        "amplitudes off those of scipy, %": "%.2g",
        "largest bias, standard errors": "%.1f", "metabolites beyond 2 standard errors": "%.0f",
        "largest bias, % of the CRLB": "%.1f", "spread / stated": "%.2f"},
          "Of 17 metabolites without any bias, 0.8 would lie beyond 2 standard errors by chance."),
    Table("The simulator", BASIS, {"correlation of shape": "%.3f", "ON less OFF, of OFF": "%.3f"}),
    Table("What the published method's paper does not state", CHOICES, {
        ERROR: "%.3f", "noise / noise of the data": "%.2f", "accuracy, logistic regression": "%.2f",
        "precision": "%.2f", "recall": "%.2f"},
          "First the spread of the random and hybrid samples of the shipped weights, in units of the encoder's "
          "posterior, of the encoded subset or of the prior. Then the error of the clean signal of networks with one "
          "choice changed, each trained on 1,000 simulated sessions with a fifth of the usual iterations."),
    *synthesis_checks.TABLES,
    Table("Cost", COST, {"peak memory of the process, GB": "%.2f", "minutes": "%.1f"}),
]  # fmt: skip

HEADLINE = Headline(
    (
        Column("measured spectra, other sites (Big GABA): residual / noise", "residual_over_noise_big_gaba",
               "Big GABA", MEASURED, "residual / noise"),
        Column("simulated subjects: error of the clean signal / noise", "error_over_noise_simulated",
               "simulated", RECONSTRUCTION, ERROR, "%.3f"),
        Column("accuracy of a classifier, synthetic against simulated; chance is half", "classifier_accuracy_simulated",
               "simulated", CLASSIFIER, "accuracy, small network, steps"),
    ),
    {"principal components, 16 values": ("PCA-16, aligned, of decaying signals",),
     "principal components, 32 values": ("PCA-32, aligned, of decaying signals",),
     "published autoencoder": (VAN_DE_SANDE, "published, random"),
     "this bundle": (MEASURED_OURS, OURS, "ours, random")},
    "this bundle",
)  # fmt: skip
