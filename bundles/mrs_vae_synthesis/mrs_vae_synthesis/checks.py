"""Checks of a set of synthetic sessions: noise, a classifier test, coverage, copies and concentrations.

New sessions are compared with training sessions, which are decoded from the network's bank and get noise of their own.
New transients of measured sessions are compared with the measured ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import ndtri
from sklearn.decomposition import PCA
from torch import Tensor

from mrs_vae_synthesis.alignment import aligned
from mrs_vae_synthesis.inputs import SynthesisInputs
from mrs_vae_synthesis.matched_filter import as_real, fft_ppm, turned
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.nifti_sessions import read_session
from mrs_vae_synthesis.postprocessing import SYNTHETIC
from mrs_vae_synthesis.sampling import Draws, clean_fids, random_sessions, with_noise
from mrs_vae_synthesis.sessions import Acquisition, Sessions, transient_model
from mrsikit.fitting.linear_combination import fit
from mrsikit.metrics.two_samples import COMPONENTS, classifier_accuracy, precision_recall
from mrsikit.physics.spectra import noise_sd, ppm_axis, spectrum

FEWEST, MOST, EACH = 50, 200, 4
"""Fewest sessions of a set that is judged, most sessions that are read, and transients taken from each."""

BLURRED = 0.8
"""Distance ratio of known copies above which the search for copies tells nothing: noise hides them."""

BANK = 1000
"""Most training sessions that are searched for copies."""

FEW = 200
"""Training sessions below which the checks say that another subject may lie apart from all of them."""

SOME = 64
"""Sessions processed at a time."""

NOISE, CLASSIFIER_ACCURACY, COPIED = (0.93, 1.07), 0.65, 0.9
"""Bounds of the noise ratio, the classifier's accuracy, and the distance ratio to the nearest training session."""

BIAS = {"NAA": 5.0, "tCr": 5.0, "tCho": 5.0, "Glx": 5.0, "GABA+": 10.0}
"""Largest bias of the median fitted concentration, by metabolite (%)."""

SHOWN = (0.2, 4.2)
"""Range of chemical shifts that is compared (ppm)."""


def set_checks(inputs: SynthesisInputs, network: SessionVae) -> list[str]:
    """Judge the synthetic sessions of a run from the files that it wrote.

    Args:
        inputs: inputs of the run.
        network: network that made the sessions. Its weights are loaded again, because a run that found every output
            done has not loaded them.

    Returns:
        One line per check; the last one says what the set may be used for.
    """
    done = [path for path in inputs.files if str(path) not in inputs.invalid and inputs.is_done(path)][:MOST]
    made = [read_session(inputs.output_path(inputs.name_of(path), SYNTHETIC)) for path in done]
    if not made:
        return []
    if inputs.reads_files:
        return _against_measured(made, [inputs.measured(path) for path in done])
    if len(made) < FEWEST:
        return [f"{len(made)} sessions are too few to judge as a set; from {FEWEST} on they are"]
    fewest = min(one.fids.shape[1] for one in made)
    fids, on = (torch.cat([getattr(one, name)[:, :fewest] for one in made]) for name in ("fids", "on"))
    network.load_state_dict(inputs.state)
    return _against_training(fids, on, network)


def _against_measured(made: Sequence[Sessions], measured: Sequence[Sessions]) -> list[str]:
    pairs = zip(made, measured, strict=True)
    ratios = [float(noise_sd(a.fids).mean() / noise_sd(b.fids).mean()) for a, b in pairs]
    low, high = min(ratios), max(ratios)
    lines = [f"noise of the synthetic transients over that of the measured ones: {low:.2f} to {high:.2f}"]
    if low < NOISE[0] or high > NOISE[1]:
        lines.append("the noise is not that of the measured transients: use none of this where noise matters")
    lines.append(
        "These transients hold no more than the measured ones they were made of: use them to try methods with more of "
        "them, not to quantify a person"
    )
    return lines


@torch.no_grad()
def _against_training(fids: Tensor, on: Tensor, network: SessionVae) -> list[str]:
    network = network.cpu().eval()
    known = Acquisition.of(network.acquisition)
    real, copies = _bank_sessions(network, len(fids), on[0])

    def of(values: Tensor) -> Sessions:
        return Sessions(
            fids=values, on=on, dwell=known.dwell, larmor=known.larmor, reference=known.reference, echo=known.echo
        )

    ours, theirs = of(fids), of(real)
    new, old = noise_sd(fids).mean(1), noise_sd(real).mean(1)
    ratio, error = float(new.mean() / old.mean()), float(torch.hypot(new.std(), old.std()) / old.mean())
    error /= len(fids) ** 0.5
    good = NOISE[0] - 2 * error <= ratio <= NOISE[1] + 2 * error
    lines = [f"noise over that of the training sessions: {ratio:.2f} (standard error {error:.2f}){_held(good)}"]
    for name, rows in (("the spectra", rows_of), ("how far each point lies from the next", steps_of)):
        a, b = rows(theirs), rows(ours)
        owners = np.repeat(np.arange(len(fids)), len(b) // len(fids))
        accuracy = classifier_accuracy(a, b, owners, owners)
        good &= (passed := accuracy <= CLASSIFIER_ACCURACY)
        lines.append(
            f"a classifier that sees {name} tells {accuracy:.0%} from training sessions (chance: 50%){_held(passed)}"
        )
    one, other = rows_of(ours, 1), rows_of(theirs, 1)
    precision, recall = precision_recall(other, one)
    lines.append(f"{precision:.0%} of the synthetic sessions lie among training ones, {recall:.0%} of these among them")
    bank, again = (mean_rows(values, edits, network) for values, edits in copies)
    plane = PCA(min(COMPONENTS, *bank.shape), random_state=0).fit(bank)
    bank, again, new = (plane.transform(rows) for rows in (bank, again, mean_rows(fids, on, network)))
    apart, away = np.sort(cdist(again, bank), 1), cdist(new, bank).min(1)
    usual = float(np.median(apart[:, 1]))
    # the standard error of a median is about a quarter larger than that of a mean
    distance, error = float(np.median(away)) / usual, 1.25 * float(away.std()) / len(away) ** 0.5 / usual
    copied = float(np.median(apart[:, 0])) / usual
    line = f"distance to the nearest training session over that among these: {distance:.2f} (copies: {copied:.2f})"
    if copied > BLURRED:
        lines.append(f"{line}: too few transients a session, too much noise to tell copies")
    else:
        good &= (passed := distance >= COPIED - 2 * error)
        lines.append(f"{line}{_held(passed)}")
    if (trained := len(distinct(network))) < FEW:
        lines.append(
            f"the network was trained on {trained} sessions: new ones lie close about these, and another subject may "
            "lie apart from all of them"
        )
    if known.edited and bool(on.any() and (~on).any()):
        known_levels, levels = concentrations(theirs, network), concentrations(ours, network)
        for name, bound in BIAS.items():
            old_level, new_level = known_levels[name], levels[name]
            middle = float(np.median(old_level))
            bias = 100 * (float(np.median(new_level)) / middle - 1)
            error = 125 * float(np.hypot(old_level.std(), new_level.std())) / len(fids) ** 0.5 / abs(middle)
            good &= (passed := abs(bias) <= bound + 2 * error)
            lines.append(f"{name} by the fit: {bias:+.1f} % (standard error {error:.1f} %){_held(passed)}")
    use = "This set may be used to train and to try methods that see such transients"
    lines.append(use if good else "A check failed (marked above): do not use this set where that matters")
    return lines


def _held(passed: bool) -> str:
    return "" if passed else " — FAILED"


def _bank_sessions(network: SessionVae, count: int, on: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Decode training sessions from the bank.

    Returns:
        FIDs (count, N, T) of ``count`` sessions with noise and edits ``on``, for the comparison with the new sessions.
        For the search for copies, FIDs and edits of every distinct session without noise (:data:`EACH` transients of
        one edit), and of the ``count`` sessions with noise.
    """
    rng = np.random.default_rng(0)
    width = network.deviates

    def drawn(places: NDArray[np.int64], edits: Tensor, *, noise: bool = True) -> Tensor:
        out = []
        for part in np.array_split(places, -(-len(places) * len(edits) // 400)):
            values = rng.standard_normal((len(part), len(edits), width), dtype=np.float32)
            values[:, 0, 0] = ndtri((part + 0.5) / len(network.bank))  # the deviate that selects a session of the bank
            given = Draws.of(torch.from_numpy(values), network)
            sessions = random_sessions(network, edits, given, width=0.0)
            clean = clean_fids(network, sessions)
            out.append(with_noise(clean, sessions, given) if noise else clean)
        return torch.cat(out)

    each = distinct(network)
    some = rng.permutation(np.resize(each, count))
    real = drawn(some, on)
    alike = torch.full((EACH,), bool(on[0]))
    edits = [values.expand(size, -1) for values, size in ((alike, len(each)), (on, count))]
    return real, list(zip((drawn(each, alike, noise=False), real), edits, strict=True))


def mean_rows(fids: Tensor, on: Tensor, network: SessionVae) -> NDArray[np.float32]:
    """Mean aligned spectra of each session's transients with its first edit: real and imaginary parts, (S, 2 P)."""
    known = Acquisition.of(network.acquisition)
    ppm = fft_ppm(known.points, known.dwell, known.larmor, known.reference)
    inside = ((ppm > SHOWN[0]) & (ppm < SHOWN[1])).repeat(2)
    rows = []
    for part, edits in zip(fids.split(SOME), on.split(SOME), strict=True):
        weight = (edits == edits[:, :1]).to(torch.float32)[..., None]
        spectra = aligned(network, part, edits).spectra[..., inside]
        rows.append((spectra * weight).sum(1) / weight.sum(1))
    return torch.cat(rows).numpy()


def distinct(network: SessionVae) -> NDArray[np.int64]:
    """Indices of the distinct sessions of the bank, at most :data:`BANK`; a small training set fills it repeatedly."""
    return np.sort(np.unique(network.bank.numpy(), axis=0, return_index=True)[1])[:BANK]


def rows_of(sessions: Sessions, each: int = EACH) -> NDArray[np.float32]:
    """Spectra (S * each, 2 P) of the first transients of each session: real and imaginary parts, a row a transient."""
    fids = sessions.fids
    ppm = ppm_axis(fids.shape[-1], sessions.dwell, larmor=sessions.larmor, reference=sessions.reference)
    inside = (ppm > SHOWN[0]) & (ppm < SHOWN[1])
    return as_real(spectrum(fids[:, :each])[..., inside]).flatten(0, 1).numpy()


def steps_of(sessions: Sessions) -> NDArray[np.float32]:
    """Logarithm of the distance between neighbouring points of the spectra of :func:`rows_of`: it shows the noise."""
    real, imaginary = np.split(rows_of(sessions), 2, axis=1)
    return np.log(np.hypot(np.diff(real), np.diff(imaginary)) + 1e-12)


def averages(sessions: Sessions, network: SessionVae) -> tuple[Tensor, Tensor]:
    """Mean OFF and mean ON FID (S, T) of each session, after correction of phase and frequency shift."""
    off, on = [], []
    for fids, edits in zip(sessions.fids.split(SOME), sessions.on.split(SOME), strict=True):
        found = aligned(network, fids, edits)
        moved = turned(fids, -found.phase, -found.shift, sessions.dwell)
        off += [one[~edit].mean(0) for one, edit in zip(moved, edits, strict=True)]
        on += [one[edit].mean(0) for one, edit in zip(moved, edits, strict=True)]
    return torch.stack(off), torch.stack(on)


def concentrations(sessions: Sessions, network: SessionVae) -> dict[str, NDArray[np.float64]]:
    """Fitted amplitudes (S,) of each session, by name: GABA+ from the difference ON - OFF, all others from OFF.

    Signals that are co-edited with GABA cannot be separated from it, hence GABA+.
    """
    model = transient_model("mega_press", sessions.echo, sessions.fids.shape[-1], sessions.dwell, sessions.larmor)
    options: Any = {"dwell": sessions.dwell, "larmor": sessions.larmor, "reference": sessions.reference}
    off, on = averages(sessions, network)
    plain = fit(off, torch.cat([model.members["OFF"], model.broad["OFF"]]), **options).amplitudes
    kept = [model.names.index(name) for name in ("GABA", "Glu", "Gln", "NAA", "NAAG", "GSH", "Asp")]
    lines = (model.members["ON"] - model.members["OFF"])[kept]
    difference = fit(on - off, lines, ppm_range=(1.8, 4.0), **options).amplitudes
    sums = {"NAA": ("NAA",), "tCr": ("Cr", "PCr"), "tCho": ("GPC", "PCh"), "Glx": ("Glu", "Gln"), "mI": ("mI",)}
    out = {k: plain[:, [model.names.index(m) for m in members]].sum(1).numpy() for k, members in sums.items()}
    return out | {"GABA+": difference[:, 0].numpy()}
