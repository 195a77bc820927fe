"""Judge the fit of every FID: good or doubtful, and for which reason.

The judgement is of single-voxel estimates, before any smoothing: smoothed noise looks certain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmi_quantification.estimates import Estimates
from dmi_quantification.residual import Residual
from mrsikit.physics.fid_model import FidModel
from mrsikit.physics.nuclei import nearest_lines

FAINT = 3.0
"""A fit is doubtful if the reference's amplitude is less than this many of its standard deviations."""

LARGEST_SHIFT = 0.99
"""A shift counts as the largest that is sought from this share of it on."""

EXTRA_LINE = 4.0
"""A fit is doubtful if the tallest line of the residual's spectrum exceeds this many standard deviations of the noise.

By chance, one FID of 512 samples in 10,000 does.
"""

WIDE = 4.0
"""A fit is doubtful if the score of lactate's own width exceeds this many standard deviations."""


@dataclass(frozen=True, kw_only=True)
class FitQuality:
    """Judgement of the fits of V voxels at D time points; every attribute is (V, D).

    Attributes:
        measured: whether there is an estimate; a FID of zeros has none.
        snr: amplitude of the reference over its standard deviation; 0 where nothing was measured.
        linewidth: FWHM of the reference (Hz); 0 where nothing was measured.
        at_largest_shift: whether the shift is as large as the largest that is sought.
        merged: whether the lines are wider than the smallest distance between two of them.
        not_finite: whether an estimate, or its standard deviation, is not a finite number.
        doubtful: whether any reason speaks against the fit.
    """

    measured: NDArray[np.bool_]
    snr: NDArray[np.float64]
    linewidth: NDArray[np.float64]
    at_largest_shift: NDArray[np.bool_]
    merged: NDArray[np.bool_]
    not_finite: NDArray[np.bool_]
    doubtful: NDArray[np.bool_]

    @property
    def level(self) -> NDArray[np.int_]:
        """The map "quality": 0 not fitted, 1 good, 2 doubtful."""
        return np.where(self.measured, np.where(self.doubtful, 2, 1), 0)


def judge_fits(
    estimates: Estimates[NDArray[np.float64]],
    residual: Residual,
    model: FidModel,
    *,
    metabolites: Sequence[str],
    largest_shift: float,
) -> FitQuality:
    """Judge the fit of every FID.

    Args:
        estimates: of single voxels, amplitudes (K, V, D).
        residual: of the V D fits, the time points of a voxel together.
        model: that was fitted.
        metabolites: names of its K lines; the first is the reference.
        largest_shift: the largest shift that is sought (Hz), the estimator's unit of frequency.
    """
    measured = estimates.amplitude[0] != 0
    snr = _signal_to_noise(estimates, measured)
    natural_width = 1.0 / (math.pi * model.t2_star[0])
    linewidth = np.where(measured, natural_width + estimates.broadening * largest_shift, 0.0)
    at_largest_shift = (np.abs(estimates.shift) > LARGEST_SHIFT) & measured
    merged = linewidth > nearest_lines(model.ppm) * model.larmor
    not_finite = _not_finite(estimates) & measured
    contradicted = contradicted_by_residual(residual, metabolites).reshape(measured.shape)
    return FitQuality(
        measured=measured,
        snr=snr,
        linewidth=linewidth,
        at_largest_shift=at_largest_shift,
        merged=merged,
        not_finite=not_finite,
        doubtful=(snr < FAINT) | at_largest_shift | merged | not_finite | contradicted,
    )


def contradicted_by_residual(residual: Residual, metabolites: Sequence[str]) -> NDArray[np.bool_]:
    """Find the FIDs whose residual holds another line, or whose lactate is too wide: (V,).

    Args:
        residual: of V FIDs.
        metabolites: names of the lines.
    """
    contradicted = residual.tallest.numpy() > EXTRA_LINE
    if "Lac" in metabolites:
        contradicted |= residual.wider[:, metabolites.index("Lac")].numpy() > WIDE
    return contradicted


def _not_finite(estimates: Estimates[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Whether an estimate of each fit is not finite (V, D).

    An estimator that gives no standard deviation anywhere is not asked for one.
    """
    single = np.stack([estimates.shift, estimates.phase, estimates.broadening, estimates.noise_sd])
    finite = np.isfinite(estimates.amplitude).all(0) & np.isfinite(single).all(0)
    known = np.isfinite(estimates.amplitude_sd)
    return np.asarray(~(finite & known.all(0)) if known.any() else ~finite)


def _signal_to_noise(estimates: Estimates[NDArray[np.float64]], measured: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Amplitude of the reference over its standard deviation (V, D); NaN where that is not known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(measured, estimates.amplitude[0] / estimates.amplitude_sd[0], 0.0)
