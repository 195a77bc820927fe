"""Examine what a fit leaves of the FIDs: the residual shows what the model lacks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from dmi_quantification.estimates import Estimates
from mrsikit.physics import spectra
from mrsikit.physics.fid_model import FidModel

CHUNK = 4096
"""Number of FIDs that are examined at a time."""

NEAR = 0.35
"""Distance (ppm) from a modelled line within which a line of the residual is that line's own."""

MIRRORED = 0.2
"""Distance (ppm) from a modelled line's mirror image within which a line of the residual is that image."""

LEADING = 12
"""Number of first samples whose residuals are kept."""

CHANCE = 1e-4
"""Probability with which noise alone makes a line in the mean power spectrum of the residuals."""


@dataclass(frozen=True, kw_only=True)
class Residual:
    """What the fits of V FIDs of T samples with K lines leave.

    Attributes:
        count: number of FIDs that were examined. A FID without a noise estimate is not examined: it is zero, or the
            estimator gives amplitudes alone.
        tallest: (V,) height of the tallest line in the residual's spectrum over the standard deviation of its noise.
        wider: (V, K) score of each line's own width, in standard deviations: above 0 the FID wants the line wider than
            the model has it, below 0 narrower.
        power: (T,) power spectrum of the residual over that of the noise, without shift and phase, mean of the FIDs.
        early_over_late: standard deviation of the residual in the first quarter of the samples over that in the last.
        leading: (V, 3, :data:`LEADING`) of each of the first samples: the energy that is left over that of the noise,
            the product of fit and residual over the noise's variance, and the energy of the fit over that variance; 0
            where a FID was not examined.
        fit: (V, T) fitted FIDs, complex64, or None.
    """

    count: int
    tallest: Tensor
    wider: Tensor
    power: Tensor
    early_over_late: float
    leading: Tensor
    fit: Tensor | None


def examine(rows: Tensor, estimates: Tensor, peaks: int, *, keep: bool = True) -> Residual:
    """Compute what the fits leave.

    Args:
        rows: (2, 1 + K + V, T), the estimator's input.
        estimates: (3 K + 7, V), its output; :class:`Estimates` names the rows.
        peaks: number K of lines.
        keep: whether to keep the fitted FIDs.
    """
    first = 1 + peaks
    voxels, points = rows.shape[1] - first, rows.shape[2]
    quarter = max(4, points // 4)
    tallest, leading = torch.zeros(voxels), torch.zeros(voxels, 3, min(LEADING, points))
    wider, power = torch.zeros(voxels, peaks), torch.zeros(points, dtype=torch.float64)
    known = Estimates.from_rows(estimates, peaks).noise_sd > 0
    fit = torch.zeros(voxels, points, dtype=torch.complex64) if keep and bool(known.any()) else None
    early = late = 0.0
    for start in range(0, voxels, CHUNK):
        chosen = start + known[start : start + CHUNK].nonzero()[:, 0]
        if not len(chosen):
            continue
        fids = torch.complex(rows[0, first + chosen], rows[1, first + chosen])
        chunk = _examine_chunk(rows[:, :first], fids, Estimates.from_rows(estimates[:, chosen], peaks))
        tallest[chosen] = chunk.heights.amax(1)
        power += (chunk.heights.double() ** 2).sum(0)
        early += float(chunk.squares[:, :quarter].sum())
        late += float(chunk.squares[:, -quarter:].sum())
        wider[chosen] = chunk.wider
        leading[chosen] = chunk.leading
        if fit is not None:
            fit[chosen] = chunk.fit
    count = int(known.sum())
    return Residual(
        count=count,
        tallest=tallest,
        wider=wider,
        power=power / max(1, count),
        early_over_late=math.sqrt(early / late) if late > 0 else 1.0,
        leading=leading,
        fit=fit,
    )


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """What the fits of N FIDs leave.

    Attributes:
        fit: (N, T) fitted FIDs.
        heights: (N, T) absolute spectrum of the residual over the standard deviation of its noise.
        squares: (N, T) absolute residual over the standard deviation of its noise, squared.
        wider: (N, K) as of :class:`Residual`.
        leading: (N, 3, L) as of :class:`Residual`.
    """

    fit: Tensor
    heights: Tensor
    squares: Tensor
    wider: Tensor
    leading: Tensor


def _examine_chunk(head: Tensor, fids: Tensor, estimates: Estimates[Tensor]) -> _Chunk:
    """Examine N FIDs (N, T).

    Args:
        head: (2, 1 + K, T), the rows of the estimator's input that describe the acquisition.
        fids: (N, T).
        estimates: of these FIDs.
    """
    times, times_from_excitation = head[0, 0], head[1, 0]
    lines = torch.complex(head[0, 1:], head[1, 1:])
    amplitude, noise = estimates.amplitude.transpose(0, 1), estimates.noise_sd
    angle = 2.0 * math.pi * estimates.shift[:, None] * times_from_excitation + estimates.phase[:, None]
    rotation = torch.polar(torch.ones_like(angle), angle)
    decay = torch.exp(-math.pi * estimates.broadening[:, None] * times)
    shapes = lines[None] * (rotation * decay)[:, None]
    fit = (amplitude[..., None] * shapes).sum(1)
    residual = fids - fit
    spectrum = torch.fft.fftshift(torch.fft.fft(residual * rotation.conj()), dim=-1).abs()
    by_width = -times * amplitude[..., None] * shapes
    by_fitted = torch.cat([shapes, (1j * fit)[:, None], (2j * math.pi * times_from_excitation * fit)[:, None]], 1)
    return _Chunk(
        fit=fit,
        heights=spectrum / (noise * math.sqrt(2.0 * fids.shape[1]))[:, None],
        squares=(residual.abs() / noise[:, None]) ** 2,
        wider=_width_scores(by_width, by_fitted, residual, noise),
        leading=_leading(fit[:, :LEADING], residual[:, :LEADING], noise[:, None]),
    )


def _leading(fit: Tensor, residual: Tensor, noise: Tensor) -> Tensor:
    """First samples (N, 3, L) of :class:`Residual`, from those of the fit and the residual (N, L)."""
    energy, product = 0.5 * residual.abs() ** 2, (fit.conj() * residual).real
    return torch.stack([energy, product, fit.abs() ** 2], 1) / noise[:, None] ** 2


def _width_scores(by_width: Tensor, by_fitted: Tensor, residual: Tensor, noise: Tensor) -> Tensor:
    """Test whether the FIDs want a line's own width different from the model's.

    The fit has a common broadening, but no width of a single line. The score is the component of the residual along the
    derivative by that width, after all that the fitted unknowns can explain is taken from the derivative.

    Args:
        by_width: (N, K, T) derivatives of the FIDs by each line's own decay rate.
        by_fitted: (N, K + 2, T) derivatives by the amplitudes, the phase and the shift.
        residual: (N, T).
        noise: (N,) standard deviation in each channel.

    Returns:
        (N, K) scores in standard deviations. A positive step of a decay rate is a wider line.
    """
    widths = _channels(by_width)
    # the common broadening is a fitted unknown too
    basis = torch.cat([_channels(by_fitted), _channels(by_width).sum(1, keepdim=True)], 1)
    scale = (basis**2).sum(2, keepdim=True).clamp(min=1e-30).rsqrt()
    basis = basis * scale
    normal = basis @ basis.transpose(1, 2) + 1e-6 * torch.eye(basis.shape[1])
    coefficients = torch.linalg.solve_ex(normal, basis @ widths.transpose(1, 2))[0]
    unexplained = widths - coefficients.transpose(1, 2) @ basis
    size = (unexplained**2).sum(2).sqrt().clamp(min=1e-30)
    return (unexplained @ _channels(residual)[..., None])[..., 0] / (size * noise[:, None])


def _channels(x: Tensor) -> Tensor:
    """Real part, then imaginary part: (..., 2 T) of a complex (..., T)."""
    return torch.cat([x.real, x.imag], -1)


def line_outside_model(residual: Residual, model: FidModel) -> float | None:
    """Find the tallest line that the residuals hold and the model does not.

    In the mean power spectrum of N FIDs of noise, each of the T points has a Gamma distribution. A point is a line if
    the largest of T such points reaches its height with a probability of less than :data:`CHANCE`.

    Args:
        residual: of the FIDs.
        model: that was fitted.

    Returns:
        Its chemical shift (ppm), or None if there is no such line.
    """
    if residual.count == 0:
        return None
    axis = spectra.ppm_axis(model.points, model.dwell, larmor=model.larmor, reference=model.reference).numpy()
    away = np.min([np.abs(axis - ppm) for ppm in model.ppm], axis=0) > NEAR
    limit = stats.gamma.isf(CHANCE / model.points, residual.count) / residual.count
    power = np.where(away, residual.power.numpy(), 0)
    return None if power.max() <= limit else float(axis[power.argmax()])


def ghost_of(ppm: float, model: FidModel) -> int | None:
    """Find the line whose mirror image at the reference lies at a chemical shift (ppm): its number, or None.

    A receiver whose two channels differ leaves there a faint image of the line, its quadrature ghost.
    """
    for k, line in enumerate(model.ppm):
        if abs(line - model.reference) > NEAR and abs(2 * model.reference - line - ppm) < MIRRORED:
            return k
    return None
