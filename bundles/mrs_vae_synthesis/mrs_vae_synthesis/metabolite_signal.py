"""Tell sessions with metabolite signal from water references and from files that hold no such signal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mrs_vae_synthesis.matched_filter import BAND, WATER, fft_ppm, in_band, matched, without_water
from mrs_vae_synthesis.sessions import Sessions
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.physics.spectra import noise_sd

LINES = (1.85, 3.4)
"""Range of the tallest lines of metabolites in the brain (ppm): NAA, creatine and choline."""

DURATION, SHORTEST = 0.4, 0.1
"""Duration of the FID that is used, and the shortest one that parts water from metabolites (s)."""

UNSUPPRESSED = 100.0
"""Height of the water over the tallest metabolite line, from which on a file is a water reference. It errs as often on
300 simulated sessions, with up to 4 % of the water left, as on 300 simulated references: on one of each."""

MIRRORED = 4.0
"""Energy of the lines above the water over that of those below, from which on FIDs are of the other sign."""

ON_WATER = 0.15
"""Largest distance (ppm) from water of a reference whose mirror image of the water lies in :data:`WATER` too."""

LEAST = 0.5
"""Similarity to the other sessions, relative to the usual one, below which a session is not one of them."""


def water_over_metabolites(fids: Tensor, dwell: float, larmor: float, reference: float) -> float:
    """Height of the water over that of the tallest metabolite line, in magnitude spectra averaged over transients.

    A Hann window in time keeps the tails of the water out of the metabolites' range.

    Args:
        fids: (N, T) complex.
        dwell: time between two samples (s).
        larmor: Larmor frequency (MHz).
        reference: chemical shift of zero frequency (ppm).
    """
    count = min(fids.shape[-1], max(2, round(DURATION / dwell)))
    power = torch.fft.fft(fids[:, :count] * torch.hann_window(count, device=fids.device)).abs().square().mean(0)
    ppm = fft_ppm(count, dwell, larmor, reference).to(fids.device)
    water, lines = (power[(ppm > low) & (ppm < high)].max() for low, high in (WATER, LINES))
    return math.sqrt(float(water) / max(float(lines), 1e-300))


def reference_problem(fids: Tensor, dwell: float, larmor: float, reference: float) -> str | None:
    """Say that FIDs (N, T) are those of a water reference, if they are; arguments as above."""
    if fids.shape[-1] * dwell < SHORTEST:
        return None
    ratio = water_over_metabolites(fids, dwell, larmor, reference)
    if ratio < UNSUPPRESSED:
        return None
    return f"is a water reference: its water is {ratio:.0f} times its tallest metabolite line; leave it out"


def mirrored_problem(fids: Tensor, dwell: float, larmor: float, reference: float) -> str | None:
    """Say that FIDs (N, T) have their lines where those of the other sign have them; arguments as above.

    Of a transmitter far from water nothing is said: its mirror image puts water or lipids among the lines.
    """
    if abs(reference - NUCLEI["1H"].reference) > ON_WATER:
        return None
    about = (dwell, larmor, reference)
    band = (BAND[1] - BAND[0]) * larmor * fids.shape[-1] * dwell
    noise = 2 * noise_sd(fids).square() * band
    own, other = (
        float((in_band(without_water(one, *about), *about).abs().square().sum(-1) - noise).mean())
        for one in (fids, fids.conj().resolve_conj())
    )
    if other < MIRRORED * max(own, float(noise.mean())):
        return None
    return "has its lines above the water, as FIDs of the sign opposite to NIfTI-MRS's have them: see --sign"


def unlike_the_others(sessions: Sessions) -> Tensor:
    """Whether each of at least three sessions has no lines like the others: noise, a phantom, zeros; (S,).

    The similarity of two sessions is the normalised correlation of their mean transients in band, without water, at the
    best phase and shift. The median over the other sessions counts.
    """
    about = (sessions.dwell, sessions.larmor, sessions.reference)
    at = torch.arange(sessions.fids.shape[-1]) * sessions.dwell
    rows = []
    for fids in sessions.fids:
        dry = in_band(without_water(fids, *about), *about)
        phase, shift, _ = matched(dry, dry[:1].expand_as(dry), sessions.dwell)
        rows.append((dry * torch.exp(-1j * (phase[:, None] + 2 * math.pi * shift[:, None] * at))).mean(0))
    means = torch.stack(rows)
    sizes = torch.linalg.vector_norm(means, dim=-1).clamp(min=1e-30)
    alike = []
    for k, row in enumerate(means):
        height = matched(row.expand_as(means), means, sessions.dwell)[2]
        alike.append((height * sizes / sizes[k])[torch.arange(len(means)) != k].median())
    found = torch.nan_to_num(torch.stack(alike))
    return found < LEAST * found.median()
