r"""FIDs and spectra: the project's axis convention, the Fourier transform, and common processing steps.

All functions work on the last axis and accept any number of leading axes. The convention is that of NIfTI-MRS: a
resonance with a chemical shift above the reference has a negative frequency,

.. math:: \nu = (\delta_\mathrm{ref} - \delta)\,\nu_0, \qquad s(t) \propto e^{2 \pi i \nu t},

and a spectrum is the centred Fourier transform without scaling. Its ppm axis, which :func:`ppm_axis` returns, decreases
from the start to the end of the array. Frequencies are in Hz, :math:`\nu_0` in MHz, times in s.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def ppm_to_hz(ppm: float, *, larmor: float, reference: float) -> float:
    """Convert a chemical shift (ppm) to a frequency (Hz).

    Args:
        ppm: chemical shift (ppm).
        larmor: Larmor frequency (MHz).
        reference: chemical shift of zero frequency (ppm).
    """
    return (reference - ppm) * larmor


def hz_to_ppm(hz: float, *, larmor: float, reference: float) -> float:
    """Convert a frequency (Hz) to a chemical shift (ppm); the other arguments are those of :func:`ppm_to_hz`."""
    return reference - hz / larmor


def times(points: int, dwell: float, *, delay: float = 0.0) -> Tensor:
    """Sampling times (T,) in s, float64.

    Args:
        points: number of samples T.
        dwell: time between two samples (s).
        delay: time of the first sample after excitation (s).
    """
    return torch.arange(points, dtype=torch.float64) * dwell + delay


def frequency_axis(points: int, dwell: float) -> Tensor:
    """Frequencies (T,) in Hz of the points of :func:`spectrum`, increasing, float64; ``dwell`` in s."""
    return torch.fft.fftshift(torch.fft.fftfreq(points, dwell, dtype=torch.float64))


def ppm_axis(points: int, dwell: float, *, larmor: float, reference: float) -> Tensor:
    """Chemical shifts (T,) in ppm of the points of :func:`spectrum`, decreasing.

    Args:
        points: number of points T.
        dwell: time between two samples (s).
        larmor: Larmor frequency (MHz).
        reference: chemical shift of zero frequency (ppm).
    """
    return reference - frequency_axis(points, dwell) / larmor


def spectrum(fid: Tensor, *, points: int | None = None, halve_first: bool = True) -> Tensor:
    """Compute the spectrum (..., P) of complex FIDs (..., T).

    Args:
        fid: complex FIDs (..., T).
        points: number of points P after zero filling; None: P = T.
        halve_first: whether to halve the first sample, which removes a constant offset from the spectrum.
    """
    if halve_first:
        fid = torch.cat([0.5 * fid[..., :1], fid[..., 1:]], -1)
    return torch.fft.fftshift(torch.fft.fft(fid, n=points), dim=-1)


def fid_from_spectrum(values: Tensor, *, halve_first: bool = True) -> Tensor:
    """Compute complex FIDs (..., T) from spectra (..., T): the inverse of :func:`spectrum` without zero filling."""
    fid = torch.fft.ifft(torch.fft.ifftshift(values, dim=-1))
    return torch.cat([2.0 * fid[..., :1], fid[..., 1:]], -1) if halve_first else fid


def phased(fid: Tensor, phase: Tensor | float) -> Tensor:
    """Multiply FIDs (..., T) by a phase factor; the phase (rad) is a number or (...)."""
    angle = torch.as_tensor(phase, dtype=fid.real.dtype, device=fid.device)
    return fid * torch.polar(torch.ones_like(angle), angle)[..., None]


def shifted(fid: Tensor, hz: Tensor | float, at: Tensor) -> Tensor:
    """Shift FIDs (..., T) in frequency.

    Args:
        fid: complex FIDs (..., T).
        hz: frequency shift (Hz), a number or (...).
        at: sampling times (T,) in s.
    """
    angle = 2.0 * math.pi * torch.as_tensor(hz, dtype=torch.float64, device=fid.device)[..., None] * at.to(fid.device)
    return fid * torch.polar(torch.ones_like(angle), angle).to(fid.dtype)


def broadened(fid: Tensor, hz: Tensor | float, at: Tensor) -> Tensor:
    """Broaden the Lorentzian lines of FIDs (..., T) by ``hz`` (Hz, full width at half maximum).

    The arguments are those of `shifted`.
    """
    rate = math.pi * torch.as_tensor(hz, dtype=torch.float64, device=fid.device)[..., None]
    return fid * torch.exp(-rate * at.to(fid.device)).to(fid.real.dtype)


def noise_sd(fid: Tensor, *, share: float = 0.25) -> Tensor:
    """Standard deviation (...) of the noise per real or imaginary channel, from the end of FIDs (..., T).

    Zero filling at the end does not count. A quarter of an FID of 512 points gives the estimate to 4 %. Signal that has
    not decayed increases it.

    Args:
        fid: complex FIDs (..., T).
        share: share of the acquired samples to use, from the end; at least 8 samples are used.
    """
    acquired = acquired_points(fid)
    tail = fid[..., acquired - max(8, int(share * acquired)) : acquired]
    return torch.sqrt((tail.abs() ** 2).mean(-1) / 2.0)


def acquired_points(fid: Tensor) -> int:
    """Number of samples before zero filling, common to all FIDs (..., T); T if there is no zero filling.

    A sample counts as zero below a millionth of the largest sample, because a Fourier transform and its inverse leave
    zeros only nearly zero.
    """
    size = fid.abs().reshape(-1, fid.shape[-1])
    used = (size > 1e-6 * size.amax()).any(0).nonzero()
    return int(used[-1].item()) + 1 if len(used) else fid.shape[-1]


def snr(fid: Tensor, *, window: slice | None = None) -> Tensor:
    """Signal-to-noise ratio (...): tallest line of the magnitude spectrum over the noise SD of the real spectrum.

    Args:
        fid: complex FIDs (..., T).
        window: range of the spectrum's points in which to search for the line; None: all.
    """
    heights = spectrum(fid).abs()[..., window or slice(None)].amax(-1)
    return heights / (noise_sd(fid) * math.sqrt(acquired_points(fid)))


def linewidth(values: Tensor, hz_per_point: float) -> Tensor:
    """Full width at half maximum (...) in Hz of the tallest line of real spectra (..., T).

    Linear interpolation between points locates the half maxima. A line that does not fall to half its height within the
    spectrum has a width of NaN.

    Args:
        values: real, phased spectra (..., T).
        hz_per_point: distance between two points (Hz).
    """
    flat = values.reshape(-1, values.shape[-1])
    return torch.stack([_width(line) for line in flat]).reshape(values.shape[:-1]) * hz_per_point


def _width(line: Tensor) -> Tensor:
    peak = int(line.argmax())
    half = line[peak] / 2
    below = line < half
    left = below[:peak].nonzero()
    right = below[peak:].nonzero()
    if not len(left) or not len(right):
        return line.new_tensor(float("nan"))
    i, j = int(left[-1]), peak + int(right[0])
    start = i + (half - line[i]) / (line[i + 1] - line[i])
    end = j - (half - line[j]) / (line[j - 1] - line[j])
    return end - start
