r"""FIDs and spectra: the one axis convention, Fourier transform, and what a spectroscopist does to them.

All functions work on the last axis and on any number of leading ones. The convention is NIfTI-MRS's: a resonance at a
chemical shift above the reference turns the FID backwards,

.. math:: \nu = (\delta_\mathrm{ref} - \delta)\,\nu_0, \qquad s(t) \propto e^{2 \pi i \nu t},

and a spectrum is the centred Fourier transform without scaling, its ppm axis falling from left to right of the array as
:func:`ppm_axis` gives it. Frequencies are in Hz, :math:`\nu_0` in MHz, times in s.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def ppm_to_hz(ppm: float, *, larmor: float, reference: float) -> float:
    """Frequency (Hz) of a chemical shift.

    Args:
        ppm: chemical shift.
        larmor: Larmor frequency (MHz).
        reference: chemical shift of zero frequency (ppm).
    """
    return (reference - ppm) * larmor


def hz_to_ppm(hz: float, *, larmor: float, reference: float) -> float:
    """Chemical shift (ppm) of a frequency (Hz); arguments as of :func:`ppm_to_hz`."""
    return reference - hz / larmor


def times(points: int, dwell: float, *, delay: float = 0.0) -> Tensor:
    """Sampling times (T,) in s, float64.

    Args:
        points: number of samples.
        dwell: time between two (s).
        delay: time of the first after excitation (s).
    """
    return torch.arange(points, dtype=torch.float64) * dwell + delay


def frequency_axis(points: int, dwell: float) -> Tensor:
    """Frequencies (T,) in Hz of the points of :func:`spectrum`."""
    return torch.fft.fftshift(torch.fft.fftfreq(points, dwell, dtype=torch.float64))


def ppm_axis(points: int, dwell: float, *, larmor: float, reference: float) -> Tensor:
    """Chemical shifts (T,) of the points of :func:`spectrum`; it falls."""
    return reference - frequency_axis(points, dwell) / larmor


def spectrum(fid: Tensor, *, points: int | None = None, halve_first: bool = True) -> Tensor:
    """Spectrum (..., P) of complex FIDs (..., T).

    Args:
        fid: complex.
        points: zero-fill to this many; None: as many as the FID has.
        halve_first: weight the first sample half, which frees the spectrum of a constant offset.
    """
    if halve_first:
        fid = torch.cat([0.5 * fid[..., :1], fid[..., 1:]], -1)
    return torch.fft.fftshift(torch.fft.fft(fid, n=points), dim=-1)


def fid_from_spectrum(values: Tensor, *, halve_first: bool = True) -> Tensor:
    """Complex FIDs (..., T) of spectra (..., T); the inverse of :func:`spectrum` without zero filling."""
    fid = torch.fft.ifft(torch.fft.ifftshift(values, dim=-1))
    return torch.cat([2.0 * fid[..., :1], fid[..., 1:]], -1) if halve_first else fid


def phased(fid: Tensor, phase: Tensor | float) -> Tensor:
    """FIDs (..., T) turned by a phase (rad), a number or (...)."""
    angle = torch.as_tensor(phase, dtype=fid.real.dtype, device=fid.device)
    return fid * torch.polar(torch.ones_like(angle), angle)[..., None]


def shifted(fid: Tensor, hz: Tensor | float, at: Tensor) -> Tensor:
    """FIDs (..., T) shifted in frequency.

    Args:
        fid: complex.
        hz: shift, a number or (...).
        at: sampling times (T,) in s.
    """
    angle = 2.0 * math.pi * torch.as_tensor(hz, dtype=torch.float64, device=fid.device)[..., None] * at.to(fid.device)
    return fid * torch.polar(torch.ones_like(angle), angle).to(fid.dtype)


def broadened(fid: Tensor, hz: Tensor | float, at: Tensor) -> Tensor:
    """FIDs (..., T) with Lorentzian lines wider by ``hz`` (full width at half maximum); arguments as of `shifted`."""
    rate = math.pi * torch.as_tensor(hz, dtype=torch.float64, device=fid.device)[..., None]
    return fid * torch.exp(-rate * at.to(fid.device)).to(fid.real.dtype)


def noise_sd(fid: Tensor, *, share: float = 0.25) -> Tensor:
    """Standard deviation of the noise in each of the two channels, (...), from the end of FIDs (..., T).

    Zero filling at the end does not count. With a quarter of a FID of 512 points the
    estimate is good to 4 %; what has not decayed adds to it.

    Args:
        fid: complex.
        share: of the acquired samples, taken from the end.
    """
    acquired = acquired_points(fid)
    tail = fid[..., acquired - max(8, int(share * acquired)) : acquired]
    return torch.sqrt((tail.abs() ** 2).mean(-1) / 2.0)


def acquired_points(fid: Tensor) -> int:
    """Number of samples before the zero filling, the same for all FIDs (..., T); T if there is none.

    Zeros that went through a Fourier transform and back are only nearly zero: the limit is a millionth of the largest
    sample.
    """
    size = fid.abs().reshape(-1, fid.shape[-1])
    used = (size > 1e-6 * size.amax()).any(0).nonzero()
    return int(used[-1].item()) + 1 if len(used) else fid.shape[-1]


def snr(fid: Tensor, *, window: slice | None = None) -> Tensor:
    """Height of the tallest line of the magnitude spectrum over the noise SD of a real spectrum, (...).

    Args:
        fid: complex (..., T).
        window: of the spectrum's points in which the line is sought.
    """
    heights = spectrum(fid).abs()[..., window or slice(None)].amax(-1)
    return heights / (noise_sd(fid) * math.sqrt(acquired_points(fid)))


def linewidth(values: Tensor, hz_per_point: float) -> Tensor:
    """Full width at half maximum (Hz) of the tallest line of real spectra (..., T), (...).

    The half maxima are found by linear interpolation between points; a line that does not fall to half within the
    spectrum has a width of NaN.

    Args:
        values: real spectra, phased.
        hz_per_point: distance of two points (Hz).
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
