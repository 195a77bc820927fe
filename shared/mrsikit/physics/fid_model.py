r"""Model of FIDs that consist of a few singlets, such as those of deuterium and other low-gamma nuclei.

.. math::

    y(t_n) = e^{i \phi} \sum_k A_k\, e^{2 \pi i (\nu_k + \delta\nu)(t_n + t_0)}\, e^{-t_n / T'_k} + \epsilon(t_n)

This is Eq. 2 of the PRECISE-DMI paper with an acquisition delay :math:`t_0` added: each line precesses for :math:`t_0`
before the first sample. :math:`A_k` is the amplitude at the first sample. Lines are broadened either by a rate,
:math:`1/T' = 1/T + \pi b`, as an inhomogeneous field does, or by a time, :math:`T' = T + \delta T`, as in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mrsikit.physics import spectra


@dataclass(frozen=True, kw_only=True)
class FidModel:
    """Parameters that all FIDs of one acquisition share.

    Attributes:
        ppm: chemical shift (ppm) of each of the K peaks.
        t2_star: apparent transverse relaxation time (s) of each peak.
        larmor: Larmor frequency (MHz).
        reference: chemical shift (ppm) of zero frequency.
        dwell: time between two samples (s).
        points: number of samples T.
        delay: time from excitation to the first sample (s).

    Raises:
        ValueError: ``ppm`` and ``t2_star`` differ in length, or a time or frequency is not above zero.

    Example:
        >>> model = FidModel(ppm=(4.7, 1.3), t2_star=(0.03, 0.06), larmor=76.7, reference=4.7, dwell=4e-4, points=512)
        >>> model.simulate(torch.tensor([[10.0, 1.0]])).shape
        torch.Size([1, 512])
    """

    ppm: Sequence[float]
    t2_star: Sequence[float]
    larmor: float
    reference: float
    dwell: float
    points: int
    delay: float = 0.0

    def __post_init__(self) -> None:
        if len(self.ppm) != len(self.t2_star):
            raise ValueError(f"{len(self.ppm)} chemical shifts, {len(self.t2_star)} relaxation times; give one of each")
        for name, values in (("t2_star", self.t2_star), ("larmor", (self.larmor,)), ("dwell", (self.dwell,))):
            if not all(value > 0 for value in values):
                raise ValueError(f"{name} must be above zero, not {values}")

    @property
    def times(self) -> Tensor:
        """Sampling times (T,) in s since the first sample, float64."""
        return spectra.times(self.points, self.dwell)

    @property
    def frequencies(self) -> Tensor:
        """Frequencies (K,) of the peaks in Hz, float64."""
        hz = [spectra.ppm_to_hz(p, larmor=self.larmor, reference=self.reference) for p in self.ppm]
        return torch.tensor(hz, dtype=torch.float64)

    def carriers(self) -> Tensor:
        """Return the undamped lines (K, T), complex128."""
        angle = 2.0 * math.pi * self.frequencies[:, None] * (self.times + self.delay)
        return torch.polar(torch.ones_like(angle), angle)

    def basis(self) -> Tensor:
        """Return the damped lines (K, T) of amplitude one, complex128."""
        return self.carriers() * torch.exp(-self.times / torch.tensor(self.t2_star, dtype=torch.float64)[:, None])

    def simulate(
        self,
        amplitudes: Tensor,
        *,
        shift: Tensor | float = 0.0,
        phase: Tensor | float = 0.0,
        broadening: Tensor | float = 0.0,
        longer: Tensor | float = 0.0,
        noise: Tensor | float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        r"""Simulate FIDs (B, T), complex64.

        Args:
            amplitudes: (B, K), amplitude of each line at the first sample.
            shift: frequency shift of all lines (Hz), a number or (B,). Positive shifts go to lower ppm, as in
                NIfTI-MRS.
            phase: common phase (rad), a number or (B,).
            broadening: broadening of all lines by a rate (Hz, full width at half maximum), a number or (B,).
            longer: the paper's :math:`\delta T` (s), added to every relaxation time, a number or (B,).
            noise: standard deviation of the Gaussian noise in each of the real and imaginary channels, in the unit of
                the amplitudes, a number or (B,).
            generator: random generator of the noise; required if there is noise.

        Raises:
            ValueError: there is noise but no generator, or a relaxation time is not above zero.
        """
        batch = amplitudes.shape[0]

        def column(value: Tensor | float) -> Tensor:
            return torch.as_tensor(value, dtype=torch.float32).expand(batch)[:, None]

        lives = torch.tensor(self.t2_star, dtype=torch.float32) + column(longer)
        rates = 1.0 / lives + math.pi * column(broadening)
        if not bool((lives > 0).all() and (rates > 0).all()):
            raise ValueError("a line must decay: a relaxation time is not above zero")
        at, delayed = self.times.float(), (self.times + self.delay).float()
        carriers = self.carriers().to(torch.complex64)
        fid = torch.zeros(batch, self.points, dtype=torch.complex64)
        for k in range(len(self.ppm)):
            # Multiply real by complex, one line at a time: a (B, K, T) array of all lines would not fit in the cache.
            fid += (amplitudes[:, k : k + 1].float() * torch.exp(-rates[:, k : k + 1] * at)) * carriers[k]
        angle = 2.0 * math.pi * column(shift) * delayed + column(phase)
        fid = fid * torch.polar(torch.ones_like(angle), angle)
        spread = column(noise)
        if bool((spread != 0).any()):
            if generator is None:
                raise ValueError("noise needs a generator")
            channels = torch.randn(batch, self.points, 2, generator=generator) * spread[..., None]
            fid = fid + torch.view_as_complex(channels)
        return fid


def noise_of_snr(model: FidModel, snr: float, *, amplitude: float, peak: int = 0) -> float:
    """Noise standard deviation per channel that gives a peak the signal-to-noise ratio ``snr`` without broadening.

    Args:
        model: model of the FIDs.
        snr: height of the peak over the standard deviation of the real spectrum's noise, the PRECISE-DMI paper's
            definition.
        amplitude: amplitude of the peak at the first sample.
        peak: index of the peak, from 0.

    Returns:
        Standard deviation in the unit of the amplitude.
    """
    height = amplitude * float(torch.exp(-model.times / model.t2_star[peak]).sum())
    return height / (snr * math.sqrt(model.points))
