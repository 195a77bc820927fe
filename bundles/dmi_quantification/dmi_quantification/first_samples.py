"""Find first samples of FIDs that the other samples contradict: a spike, a half, a zero.

Receivers and converters spoil the first samples more than any other, and every broad line leans on them. The fit is
compared with one without them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from dmi_quantification.estimates import Estimates
from dmi_quantification.network import FidLeastSquares
from dmi_quantification.residual import Residual, examine

MOST = 4
"""Largest number of first samples that may be wrong."""

CHANCE = 1e-6
"""Probability with which noise alone makes a first sample of the mean FID, or of ten FIDs, look wrong."""

FACTOR_OFF = 5.0
"""Number of standard deviations by which the first samples of all FIDs differ from the fits by a common factor."""

STANDS_OUT = 4.0
"""A wrong sample leaves this many times the energy of those that follow; a broad signal leaves less."""

MATTERS = 1.0
"""A change of an amplitude matters beyond this many standard deviations."""

CHUNK = 512
"""Number of FIDs that are fitted at a time."""


@dataclass(frozen=True, kw_only=True)
class FirstSamples:
    """What the fits without the first samples say of them.

    Attributes:
        count: number of first samples that look wrong; 0: none does.
        fids: number of FIDs whose first samples look wrong.
        ratio: of the first sample to what the other samples predict, over these FIDs.
        change: (K,) relative change without the wrong samples: of the first line's mean amplitude, and of the ratio of
            each other line's to it.
        doubtful: (V,) whether an amplitude changes by more than its standard deviation.
    """

    count: int
    fids: int
    ratio: float
    change: tuple[float, ...]
    doubtful: NDArray[np.bool_]


def examine_first_samples(rows: Tensor, estimates: Tensor, residual: Residual, peaks: int) -> FirstSamples:
    """Look for first samples that stand out of the residuals, and fit again without them.

    Args:
        rows: (2, 1 + K + V, T), the estimator's input.
        estimates: (3 K + 7, V), its output.
        residual: what its fits leave.
        peaks: number K of lines.
    """
    suspects = _suspects(residual.leading.numpy().astype(float))
    nothing = np.zeros(len(suspects), bool)
    if not suspects.any():
        return FirstSamples(count=0, fids=0, ratio=1.0, change=(0.0,) * peaks, doubtful=nothing)
    chosen = torch.from_numpy(np.flatnonzero(suspects))
    head, fids = rows[:, : 1 + peaks], rows[:, 1 + peaks + chosen]
    count, refitted = 0, torch.empty(0)
    while (
        count < MOST
    ):  # a wrong sample spoils the residuals of the next ones too, so they are asked one after the other
        count += 1
        refitted = _fit(head[..., count:], fids[..., count:], peaks)
        left = examine(torch.cat([head, fids], 1)[..., count:], refitted, peaks, keep=False)
        if not _suspects(left.leading.numpy().astype(float)).any():
            break
    before = Estimates.from_rows(estimates[:, chosen], peaks)
    after = Estimates.from_rows(refitted, peaks)
    change = (after.amplitude - before.amplitude).double()
    sd = after.amplitude_sd.double()
    # the standard deviation of the difference of two estimates, of which one has the samples of the other
    shared = (before.amplitude_sd * after.noise_sd / before.noise_sd).double()
    by_chance = (sd**2 - shared**2).clamp(min=0).sqrt()
    changed = (change.abs() > torch.maximum(MATTERS * sd, 4 * by_chance)).any(0)
    bias = (change.mean(1).abs() > 4 * (by_chance**2).mean(1).sqrt() / math.sqrt(len(chosen))) & (
        change.mean(1).abs() > 0.1 * after.amplitude.double().mean(1).abs()
    )
    doubtful = nothing.copy()
    doubtful[suspects] = changed.numpy() | bool(bias.any())
    predicted = _first_sample(head, after)
    measured = torch.complex(fids[0, :, 0], fids[1, :, 0])
    ratio = (predicted.conj() * measured).real.sum() / (predicted.abs() ** 2).sum().clamp(min=1e-30)
    ratios = [part.amplitude.double().mean(1) for part in (before, after)]
    ratios = [torch.cat([mean[:1], mean[1:] / mean[0]]) for mean in ratios]
    return FirstSamples(
        count=count,
        fids=int(suspects.sum()),
        ratio=float(ratio),
        change=tuple(torch.nan_to_num(ratios[1] / ratios[0] - 1.0).tolist()),
        doubtful=doubtful,
    )


def _suspects(leading: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find the FIDs (V,) whose first sample stands out: all of them, or single ones.

    Args:
        leading: (V, 3, L) as of :class:`dmi_quantification.residual.Residual`.
    """
    known: NDArray[np.bool_] = np.asarray(leading[:, 0].any(1))
    fids = int(known.sum())
    if fids == 0:
        return known
    energy = leading[known, 0].mean(0)
    factor = leading[known, 1].sum(0) / np.sqrt(np.maximum(leading[known, 2].sum(0), 1e-30))
    limit = stats.gamma.isf(CHANCE, fids) / fids
    by_energy = energy[0] > max(limit, STANDS_OUT * energy[MOST:].max())
    by_factor = abs(factor[0]) > max(FACTOR_OFF, math.sqrt(STANDS_OUT) * np.abs(factor[1:]).max())
    if by_energy or by_factor:
        return known
    alone = known & (leading[:, 0, 0] > -math.log(CHANCE / 10))
    return np.asarray(alone & (leading[:, 0, 0] > STANDS_OUT * leading[:, 0, MOST:].max(1)))


def _fit(head: Tensor, fids: Tensor, peaks: int) -> Tensor:
    network = FidLeastSquares(peaks=peaks).eval()
    with torch.no_grad():
        return torch.cat([network(torch.cat([head, part], 1)[None])[0] for part in fids.split(CHUNK, 1)], 1).cpu()


def _first_sample(head: Tensor, estimates: Estimates[Tensor]) -> Tensor:
    """First sample (N,) of the fitted FIDs; the amplitudes are its own."""
    lines = torch.complex(head[0, 1:, 0], head[1, 1:, 0])
    angle = 2.0 * math.pi * estimates.shift * head[1, 0, 0] + estimates.phase
    return torch.polar(torch.ones_like(angle), angle) * (estimates.amplitude * lines[:, None]).sum(0)
