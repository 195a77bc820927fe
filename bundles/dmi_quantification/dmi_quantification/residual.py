"""What the fit leaves: the fitted FIDs, and signs that the model lacks something."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class Residual:
    """Of V fitted FIDs.

    Attributes:
        tallest: height of the tallest line of the residual's spectrum over the SD of its noise, (V,).
        where: its number of point in :func:`mrsikit.spectra.spectrum`, (V,).
        wider: by how many standard deviations each line wants to be wider (below 0: narrower) than modelled, (V, K).
        fit: fitted FIDs (V, T), complex64, or None.
    """

    tallest: Tensor
    where: Tensor
    wider: Tensor
    fit: Tensor | None


def examine(rows: Tensor, estimates: Tensor, peaks: int, *, keep: bool = True) -> Residual:
    """Compute what the fit leaves.

    A line's own width is not fitted. Whether the data want it different is told by a score test: the residual's
    component along the derivative by that width, cleared of what the fitted unknowns can explain. Estimates without a
    noise (no FID, or an estimator that gives amplitudes alone) are not examined.

    Args:
        rows: (2, 1 + K + V, T), the estimator's input.
        estimates: (3 K + 7, V), its output.
        peaks: K.
        keep: whether to keep the fitted FIDs.
    """
    first = 1 + peaks
    at, delayed = rows[0, 0], rows[1, 0]
    lines = torch.complex(rows[0, 1:first], rows[1, 1:first])
    if not bool((estimates[3 * peaks + 5] > 0).any()):
        return _nothing(estimates.shape[1], peaks)
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for start in range(first, rows.shape[1], CHUNK):
        fids = torch.complex(rows[0, start : start + CHUNK], rows[1, start : start + CHUNK])
        own = estimates[:, start - first : start - first + CHUNK].transpose(0, 1)
        amplitudes, noise = own[:, :peaks], own[:, 3 * peaks + 5].clamp(min=1e-30)
        shift, phase, broadening = (own[:, 3 * peaks + k, None] for k in (0, 2, 3))
        angle = 2.0 * math.pi * shift * delayed + phase
        turn = torch.polar(torch.ones_like(angle), angle) * torch.exp(-math.pi * broadening * at)
        shapes = lines[None] * turn[:, None]
        fit = (amplitudes[..., None] * shapes).sum(1)
        left = fids - fit
        power = torch.fft.fftshift(torch.fft.fft(left), dim=-1).abs()
        tallest, where = power.max(1)
        tallest = tallest / (noise * math.sqrt(2.0 * at.shape[0]))
        width = -at * amplitudes[..., None] * shapes
        known = torch.cat([shapes, (1j * fit)[:, None], (2j * math.pi * delayed * fit)[:, None]], 1)
        parts.append((tallest, where, _score(width, known, left, noise), fit if keep else fit[:0]))
    tallest, where, wider, fit = (torch.cat(part) for part in zip(*parts, strict=True))
    return Residual(tallest=tallest, where=where, wider=wider, fit=fit if keep else None)


def _nothing(count: int, peaks: int) -> Residual:
    zeros = torch.zeros(count)
    return Residual(tallest=zeros, where=zeros.long(), wider=torch.zeros(count, peaks), fit=None)


def _real(x: Tensor) -> Tensor:
    return torch.cat([x.real, x.imag], -1)


def _score(width: Tensor, known: Tensor, left: Tensor, noise: Tensor) -> Tensor:
    """Score (V, K) of each line's own width in standard deviations; a common width is a fitted unknown too."""
    widths, basis = _real(width), torch.cat([_real(known), _real(width).sum(1, keepdim=True)], 1)
    scale = (basis**2).sum(2, keepdim=True).clamp(min=1e-30).rsqrt()
    basis = basis * scale
    normal = basis @ basis.transpose(1, 2) + 1e-6 * torch.eye(basis.shape[1])
    inside = torch.linalg.solve_ex(normal, basis @ widths.transpose(1, 2))[0]
    clear = widths - inside.transpose(1, 2) @ basis
    size = (clear**2).sum(2).sqrt().clamp(min=1e-30)
    # derivatives are by the decay rate: a positive step along them is a wider line
    return (clear @ _real(left)[..., None])[..., 0] / (size * noise[:, None])
