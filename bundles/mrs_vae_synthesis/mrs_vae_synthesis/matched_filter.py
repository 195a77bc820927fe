r"""Where the lines of a transient lie and how it is turned, by a matched filter, and the space its signal can be in."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from mrsikit.physics.spectra import phased, shifted, times

BAND = (1.7, 4.2)
"""Of the lines that are matched (ppm): without water and the lipids of the scalp."""

SEARCH = 25.0
"""Largest shift that is sought (Hz)."""

RESONANCES, SLOWEST = (-0.3, 5.6), 1.5
"""Where anything resonates (ppm), and half the width of the narrowest line (Hz): what decays more slowly is noise."""

WATER = (4.3, 5.1)
"""Where residual water lies (ppm)."""

FAINT = 1e-4
"""Of the largest eigenvalue: directions below it hold no signal."""


def fft_ppm(points: int, dwell: float, larmor: float, reference: float) -> Tensor:
    """Chemical shift (T,) of each value of ``torch.fft.fft``, in ppm."""
    return reference - torch.fft.fftfreq(points, dwell) / larmor


def in_band(fids: Tensor, dwell: float, larmor: float, reference: float) -> Tensor:
    """FIDs (..., T) of what lies in :data:`BAND`.

    They are filtered twice as long as they are: what rings before the first sample would else come back at the last,
    and draw shifts to whole steps of the spectrum.
    """
    points = fids.shape[-1]
    ppm = fft_ppm(2 * points, dwell, larmor, reference).to(fids.device)
    kept = (ppm > BAND[0]) & (ppm < BAND[1])
    return torch.fft.ifft(torch.fft.fft(fids, n=2 * points) * kept)[..., :points]


def matched(fids: Tensor, templates: Tensor, dwell: float) -> tuple[Tensor, Tensor, Tensor]:
    """Phase (rad), shift (Hz) and height of FIDs against templates, by the best product of the two.

    Args:
        fids: (N, T) complex, in band.
        templates: (N, T) complex, in band.
        dwell: time between two samples (s).

    Returns:
        (N,) each.
    """
    count = 4 * fids.shape[-1]
    product = fids * templates.conj()
    hz = torch.fft.fftfreq(count, dwell, device=fids.device)
    size = torch.where(hz.abs() < SEARCH, torch.fft.fft(product, n=count).abs(), 0.0)
    best = size.argmax(-1)
    before, top, after = (size.gather(-1, ((best + k) % count)[:, None])[:, 0] for k in (-1, 0, 1))
    curve = before - 2 * top + after
    offset = torch.where(curve < 0, 0.5 * (before - after) / curve.clamp(max=-1e-30), 0.0).clamp(-0.5, 0.5)
    shift = hz[best] + offset / (count * dwell)
    at = torch.arange(fids.shape[-1], device=fids.device) * dwell
    total = (product * torch.exp(-2j * math.pi * shift[:, None] * at)).sum(-1)
    return total.angle(), shift, total.abs() / templates.abs().square().sum(-1).clamp(min=1e-30)


def turned(fids: Tensor, phase: Tensor, shift: Tensor, dwell: float) -> Tensor:
    """FIDs (..., T) turned by phases (...) in rad and shifted by frequencies (...) in Hz."""
    return phased(shifted(fids, shift, times(fids.shape[-1], dwell)), phase)


@functools.lru_cache(maxsize=4)
def signal_space(
    points: int, dwell: float, larmor: float, reference: float, band: tuple[float, float] = RESONANCES
) -> Tensor:
    r"""Orthonormal FIDs (T, R) complex that span all decaying signals of a band (ppm).

    They are the eigenvectors of the covariance of lines anywhere in the band that decay no more slowly than
    :data:`SLOWEST`, :math:`\mathrm{sinc}(W (t - t'))\, e^{-\pi d (t + t')}`.
    """
    at = torch.arange(points, dtype=torch.float64) * dwell
    low, high = ((reference - ppm) * larmor for ppm in band[::-1])
    apart = at[:, None] - at
    decay = torch.exp(-math.pi * SLOWEST * (at[:, None] + at))
    values, vectors = torch.linalg.eigh(torch.sinc((high - low) * apart) * decay)  # about zero frequency, so real
    centred = vectors[:, values > FAINT * values[-1]].flip(1)
    return (centred * torch.exp(1j * math.pi * (low + high) * at)[:, None]).to(torch.complex64)


def without_water(fids: Tensor, dwell: float, larmor: float, reference: float) -> Tensor:
    """FIDs (..., T) less all that decays in :data:`WATER`, noise too."""
    space = signal_space(fids.shape[-1], dwell, larmor, reference, WATER).to(fids)
    return fids - (fids @ space.conj()) @ space.T


def as_real(values: Tensor) -> Tensor:
    """(..., 2 T) real and imaginary parts beside each other."""
    return torch.cat([values.real, values.imag], -1)


def as_complex(values: Tensor) -> Tensor:
    """(..., T) complex of (..., 2 T)."""
    real, imaginary = values.chunk(2, -1)
    return torch.complex(real.contiguous(), imaginary.contiguous())
