r"""Cramér-Rao lower bounds: the smallest standard deviation that an unbiased estimator can have."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mrsikit.physics.fid_model import FidModel


def jacobian(
    model: FidModel,
    amplitudes: Tensor,
    *,
    shift: Tensor | float = 0.0,
    phase: Tensor | float = 0.0,
    broadening: Tensor | float = 0.0,
    longer: Tensor | float = 0.0,
) -> Tensor:
    """Derivatives (B, K + 3, T), complex128, of FIDs by amplitudes, phase (rad), shift (Hz) and broadening.

    The arguments are those of :meth:`mrsikit.physics.fid_model.FidModel.simulate`. The last derivative is by the
    broadening (Hz), or if ``longer`` is not zero by that time (s), as in the PRECISE-DMI paper.
    """
    batch = amplitudes.shape[0]

    def column(value: Tensor | float) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float64).expand(batch)[:, None]

    at = model.times
    delayed = at + model.delay
    lives = torch.tensor(model.t2_star, dtype=torch.float64) + column(longer)
    rates = 1.0 / lives + math.pi * column(broadening)
    turn = 2.0 * math.pi * column(shift) * delayed + column(phase)
    lines = torch.exp(-rates[..., None] * at) * model.carriers() * torch.polar(torch.ones_like(turn), turn)[:, None]
    weighted = amplitudes.double()[..., None] * lines
    whole = weighted.sum(1)
    by_time = bool((torch.as_tensor(longer) != 0).any())
    wider = (weighted * at / lives[..., None] ** 2).sum(1) if by_time else -math.pi * at * whole
    return torch.cat([lines, torch.stack([1j * whole, 2j * math.pi * delayed * whole, wider], 1)], 1)


def crlb(
    model: FidModel,
    amplitudes: Tensor,
    noise: Tensor | float,
    *,
    shift: Tensor | float = 0.0,
    phase: Tensor | float = 0.0,
    broadening: Tensor | float = 0.0,
    longer: Tensor | float = 0.0,
) -> Tensor:
    """Bounds (B, K + 3), float64, on amplitudes, phase (rad), shift (Hz) and broadening, if all of them are unknown.

    Args:
        model: model of the FIDs.
        amplitudes: (B, K) amplitudes of the lines.
        noise: standard deviation of the noise in each of the two channels, a number or (B,).
        shift: frequency shift of all lines (Hz), a number or (B,).
        phase: common phase (rad), a number or (B,).
        broadening: broadening of all lines (Hz), a number or (B,); its bound is in Hz.
        longer: time (s) added to every T2*, the paper's broadening; if it is not zero, the last bound is in s.
    """
    columns = jacobian(model, amplitudes, shift=shift, phase=phase, broadening=broadening, longer=longer)
    information = (columns.conj() @ columns.transpose(1, 2)).real
    # scale to a unit diagonal, because amplitudes, Hz and seconds differ by orders of magnitude
    scale = information.diagonal(dim1=1, dim2=2).rsqrt()
    inverse = torch.linalg.inv(information * scale[:, :, None] * scale[:, None, :])
    bounds = inverse.diagonal(dim1=1, dim2=2).sqrt() * scale
    return bounds * torch.as_tensor(noise, dtype=torch.float64).reshape(-1, 1)


def separate_lines_bound(amplitudes: Tensor, peak: int, *, t2_star: float, dwell: float, noise: float) -> float:
    r"""Bound on an amplitude for lines that do not overlap, :math:`\sqrt{2/T}\,\sqrt{dt}\,\sigma R`.

    Eq. 6 of the PRECISE-DMI paper.

    Args:
        amplitudes: (K,) amplitudes of all lines.
        peak: index of the peak.
        t2_star: apparent transverse relaxation time T of the peak (s).
        dwell: time dt between two samples (s).
        noise: standard deviation of the noise in each of the two channels.
    """
    squares = float((amplitudes.double() ** 2).sum())
    shared = math.sqrt((squares + float(amplitudes[peak]) ** 2) / squares)
    return math.sqrt(2.0 / t2_star * dwell) * noise * shared
