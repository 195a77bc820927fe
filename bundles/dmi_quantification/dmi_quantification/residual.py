"""What the fit leaves: the fitted FIDs, and signs that the model lacks something."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class Residual:
    """Of V fitted FIDs of T samples.

    Attributes:
        count: FIDs examined; those without a noise (zeros, or an estimator that gives amplitudes alone) are not.
        tallest: height of the tallest line of the residual's spectrum over the SD of its noise, (V,).
        wider: by how many standard deviations each line wants to be wider (below 0: narrower) than modelled, (V, K).
        power: mean over the FIDs, shifts and phases taken out, of the residual's power spectrum over the noise's, (T,).
        early_over_late: noise SD of the first over that of the last quarter of the FIDs.
        fit: fitted FIDs (V, T), complex64, or None.
    """

    count: int
    tallest: Tensor
    wider: Tensor
    power: Tensor
    early_over_late: float
    fit: Tensor | None


def examine(rows: Tensor, estimates: Tensor, peaks: int, *, keep: bool = True) -> Residual:
    """Compute what the fit leaves.

    A line's own width is not fitted. Whether the data want it different is told by a score test: the residual's
    component along the derivative by that width, cleared of what the fitted unknowns can explain.

    Args:
        rows: (2, 1 + K + V, T), the estimator's input.
        estimates: (3 K + 7, V), its output.
        peaks: K.
        keep: whether to keep the fitted FIDs.
    """
    first = 1 + peaks
    at, delayed = rows[0, 0], rows[1, 0]
    lines = torch.complex(rows[0, 1:first], rows[1, 1:first])
    voxels, points = rows.shape[1] - first, rows.shape[2]
    quarter = max(4, points // 4)
    tallest = torch.zeros(voxels)
    wider, power = torch.zeros(voxels, peaks), torch.zeros(points, dtype=torch.float64)
    known = estimates[3 * peaks + 5] > 0
    fit = torch.zeros(voxels, points, dtype=torch.complex64) if keep and bool(known.any()) else None
    early = late = 0.0
    for start in range(0, voxels, CHUNK):
        chosen = start + known[start : start + CHUNK].nonzero()[:, 0]
        if not len(chosen):
            continue
        fids = torch.complex(rows[0, first + chosen], rows[1, first + chosen])
        own = estimates[:, chosen].transpose(0, 1)
        amplitudes, noise = own[:, :peaks], own[:, 3 * peaks + 5]
        shift, phase, broadening = (own[:, 3 * peaks + k, None] for k in (0, 2, 3))
        angle = 2.0 * math.pi * shift * delayed + phase
        turn = torch.polar(torch.ones_like(angle), angle)
        shapes = lines[None] * (turn * torch.exp(-math.pi * broadening * at))[:, None]
        fitted = (amplitudes[..., None] * shapes).sum(1)
        left = fids - fitted
        heights = torch.fft.fftshift(torch.fft.fft(left * turn.conj()), dim=-1).abs()
        heights = heights / (noise * math.sqrt(2.0 * points))[:, None]
        tallest[chosen] = heights.amax(1)
        power += (heights.double() ** 2).sum(0)
        scaled = (left.abs() / noise[:, None]) ** 2
        early += float(scaled[:, :quarter].sum())
        late += float(scaled[:, -quarter:].sum())
        width = -at * amplitudes[..., None] * shapes
        fixed = torch.cat([shapes, (1j * fitted)[:, None], (2j * math.pi * delayed * fitted)[:, None]], 1)
        wider[chosen] = _score(width, fixed, left, noise)
        if fit is not None:
            fit[chosen] = fitted
    count = int(known.sum())
    return Residual(
        count=count,
        tallest=tallest,
        wider=wider,
        power=power / max(1, count),
        early_over_late=math.sqrt(early / late) if late > 0 else 1.0,
        fit=fit,
    )


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
