r"""Matched filter for the phase and frequency shift of transients, and the subspace of possible signals."""

from __future__ import annotations

import functools
import math

import torch
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from mrsikit.physics.spectra import phased, shifted, times

BAND = (1.7, 4.2)
"""Range of chemical shifts that is matched with the templates (ppm): without water and scalp lipids."""

SEARCH = 25.0
"""Largest frequency shift that is searched (Hz)."""

RESONANCES, SLOWEST = (-0.3, 5.6), 1.5
"""Range of all resonances (ppm), and the smallest linewidth (FWHM, Hz): slower decay is taken for noise."""

WATER = (4.3, 5.1)
"""Range of the residual water (ppm)."""

FAINT = 1e-4
"""Eigenvalue, relative to the largest, below which a direction is taken to hold no signal."""

BEYOND = 40
"""Eigenvectors sought beyond the time-bandwidth product: the eigenvalues there are below 1e-10 of the largest."""

FEW = 8
"""Points of a FID for each eigenvector sought, from which on subspace iteration is faster than a full decomposition."""


def fft_ppm(points: int, dwell: float, larmor: float, reference: float) -> Tensor:
    """Chemical shift (T,) in ppm of each value of ``torch.fft.fft``."""
    return reference - torch.fft.fftfreq(points, dwell) / larmor


def in_band(fids: Tensor, dwell: float, larmor: float, reference: float) -> Tensor:
    """Filter FIDs (..., T) to the chemical shifts in :data:`BAND`.

    The FIDs are zero-filled to twice their length first. Otherwise the filter's ringing before the first sample would
    wrap around to the end of the FID, and bias the shifts towards whole steps of the spectrum.
    """
    points = fids.shape[-1]
    ppm = fft_ppm(2 * points, dwell, larmor, reference).to(fids.device)
    kept = (ppm > BAND[0]) & (ppm < BAND[1])
    return torch.fft.ifft(torch.fft.fft(fids, n=2 * points) * kept)[..., :points]


def matched(fids: Tensor, templates: Tensor, dwell: float) -> tuple[Tensor, Tensor, Tensor]:
    """Estimate phase (rad), frequency shift (Hz) and height of FIDs relative to templates.

    The shift maximises the correlation of FID and template; phase and height are those of the correlation there. The
    height is 1 if the two are equal.

    Args:
        fids: (N, T) complex, in band.
        templates: (N, T) complex, in band.
        dwell: time between two samples (s).

    Returns:
        Phase, shift and height, (N,) each.
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
    """Apply phases (...) in rad and frequency shifts (...) in Hz to FIDs (..., T)."""
    return phased(shifted(fids, shift, times(fids.shape[-1], dwell)), phase)


@functools.lru_cache(maxsize=4)
def signal_space(
    points: int, dwell: float, larmor: float, reference: float, band: tuple[float, float] = RESONANCES
) -> Tensor:
    r"""Orthonormal basis (T, R), complex FIDs, of all decaying signals in a band (ppm).

    The basis consists of the eigenvectors of :math:`\mathrm{sinc}(W (t - t'))\, e^{-\pi d (t + t')}`: the covariance of
    lines of linewidth d, :data:`SLOWEST`, whose frequencies are uniform in a band of width W (Hz).
    """
    at = torch.arange(points, dtype=torch.float64) * dwell
    low, high = ((reference - ppm) * larmor for ppm in band[::-1])
    apart = at[:, None] - at
    decay = torch.exp(-math.pi * SLOWEST * (at[:, None] + at))
    covariance = torch.sinc((high - low) * apart) * decay  # real: centred at 0 Hz
    sought = math.ceil((high - low) * points * dwell) + BEYOND
    if FEW * sought < points:  # most eigenvalues are zero: subspace iteration finds the others to rounding, and fast
        vectors, values, _ = map(torch.from_numpy, randomized_svd(covariance.numpy(), sought, n_iter=3, random_state=0))
    else:
        values, vectors = (found.flip(-1) for found in torch.linalg.eigh(covariance))
    centred = vectors[:, values > FAINT * values[0]]
    return (centred * torch.exp(1j * math.pi * (low + high) * at)[:, None]).to(torch.complex64)


def without_water(fids: Tensor, dwell: float, larmor: float, reference: float) -> Tensor:
    """Remove all signal in :data:`WATER` from FIDs (..., T), with the noise there."""
    space = signal_space(fids.shape[-1], dwell, larmor, reference, WATER).to(fids)
    return fids - (fids @ space.conj()) @ space.T


def as_real(values: Tensor) -> Tensor:
    """Concatenate real and imaginary parts of complex values (..., T) to (..., 2 T)."""
    return torch.cat([values.real, values.imag], -1)


def as_complex(values: Tensor) -> Tensor:
    """Complex values (..., T) of real and imaginary parts (..., 2 T); the inverse of :func:`as_real`."""
    real, imaginary = values.chunk(2, -1)
    return torch.complex(real.contiguous(), imaginary.contiguous())
