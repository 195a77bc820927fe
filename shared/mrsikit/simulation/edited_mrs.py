r"""Simulated transients of proton spectra of the brain as a scanner measures them, with the ground truth.

In one session, transient i with edit e(i) is

.. math:: s_i(t) = e^{i \phi_i + 2 \pi i f_i t} \Big[ (1 + a_i) \Big( \sum_m c_m b_{m,e}(t) e^{-(T_E + t) / T_m}
          + M_e(t) \Big) g(t) + L_i(t) \Big] + W_i(t) + \epsilon_i(t)

with basis b, concentrations c, echo time :math:`T_E`, transverse relaxation times :math:`T_m`, line shape g of the
inhomogeneous field (a Gaussian, a Lorentzian and some skew), macromolecules M, scalp lipids L, residual water W, and
white noise whose standard deviation is drawn for each session. The frequency drifts and jumps, and the phase jitters.
The height and the phase of the water vary on their own.

Concentrations (mM) and heights of macromolecules are close to those of Big GABA (Mikkelsen et al., NeuroImage 159
(2017)) and of the consensus on macromolecules (Cudalbu et al., NMR Biomed 34 (2021)). Relaxation at 3 T follows Wyss et
al., Magn Reson Med 80 (2018). Concentrations vary more than in a healthy cohort.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrsikit.io.basis import Basis

CONCENTRATIONS: dict[str, tuple[float, float, float]] = {
    "Asc": (0.6, 0.35, 0.15), "Asp": (1.6, 0.25, 0.14), "Cr": (4.2, 0.15, 0.155), "GABA": (1.1, 0.25, 0.10),
    "GPC": (0.9, 0.25, 0.22), "GSH": (1.4, 0.25, 0.12), "Gln": (2.2, 0.25, 0.14), "Glu": (7.5, 0.15, 0.17),
    "Lac": (0.5, 0.50, 0.14), "NAA": (9.5, 0.14, 0.27), "NAAG": (1.2, 0.35, 0.16), "PCh": (0.5, 0.30, 0.22),
    "PCr": (3.4, 0.18, 0.155), "PE": (1.4, 0.30, 0.13), "Tau": (1.3, 0.30, 0.12), "mI": (5.2, 0.18, 0.19),
    "sI": (0.25, 0.45, 0.15),
}  # fmt: skip
"""Typical concentration (mM), standard deviation of its logarithm, and T2 (s), by metabolite."""

MACROMOLECULES = (
    (0.92, 21.0, 25.0, 0.027), (1.21, 8.2, 21.0, 0.029), (1.39, 20.0, 28.0, 0.018), (1.67, 48.0, 38.0, 0.017),
    (2.04, 90.0, 37.0, 0.014), (2.26, 50.0, 32.0, 0.020), (2.70, 19.0, 35.0, 0.026), (2.99, 26.0, 28.0, 0.021),
    (3.21, 10.0, 17.0, 0.018), (3.75, 45.0, 57.0, 0.021),
)  # fmt: skip
"""Chemical shift (ppm), concentration of protons (mM), FWHM (Hz) and T2 (s) of each peak."""

EDITED_WIDTH = 0.32
"""Half width of the range about 1.9 ppm in which the editing pulse removes macromolecules (ppm)."""

COEDITED = 2.99
"""Chemical shift of the co-edited peak (ppm). The editing pulse reaches its coupling partner at 1.7 ppm, so the peak
has its full height in ON and little in OFF."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Transients of one session with their ground truth.

    Attributes:
        fids: (N, T) complex64.
        clean: (N, T) FIDs without noise.
        on: (N,) whether the editing pulse was ON, at GABA's 1.9 ppm.
        sigma: standard deviation of the noise in each of the two channels.
        phase: (N,) rad.
        shift: (N,) frequency shift (Hz).
        concentrations: mM, by metabolite.
    """

    fids: Tensor
    clean: Tensor
    on: Tensor
    sigma: float
    phase: Tensor
    shift: Tensor
    concentrations: Mapping[str, float]


class TransientModel:
    """Model that draws sessions of transients.

    Args:
        basis: basis set for each edit, "ON" and "OFF", or "" alone, as of
            :func:`mrsikit.simulation.density_matrix.simulated_basis`.
        noise: smallest and largest standard deviation of the noise of one transient. The unit is the signal of 1 mM of
            protons; creatine of one transient then has a signal-to-noise ratio of about 10 to 40.
        concentrations: as :data:`CONCENTRATIONS`, for other tissue than healthy brain.

    Example:
        >>> from mrsikit.simulation.density_matrix import simulated_basis
        >>> model = TransientModel(simulated_basis("press", metabolites=["Cr", "NAA"], points=512))
        >>> model.session(np.random.default_rng(0), transients=4).fids.shape
        torch.Size([4, 512])
    """

    def __init__(
        self,
        basis: Mapping[str, Basis],
        *,
        noise: tuple[float, float] = (0.7, 2.0),
        concentrations: Mapping[str, tuple[float, float, float]] = CONCENTRATIONS,
    ) -> None:
        first = next(iter(basis.values()))
        self.edits = tuple(basis)
        self.concentrations = concentrations
        self.names = tuple(name for name in first.fids if name in concentrations)
        self.dwell, self.larmor, self.reference, self.echo = first.dwell, first.larmor, first.reference, first.echo
        self.points = len(next(iter(first.fids.values())))
        self.noise = noise
        at = np.arange(self.points) * self.dwell
        self.at = torch.from_numpy(at)
        decay = np.stack([np.exp(-(self.echo + at) / concentrations[name][2]) for name in self.names])
        self.members = {
            edit: torch.from_numpy(np.stack([one.fids[n] for n in self.names]) * decay).to(torch.complex128)
            for edit, one in basis.items()
        }
        self.broad = {edit: torch.from_numpy(self._macromolecules(edit, at)) for edit in basis}

    def _hz(self, ppm: float) -> float:
        return (self.reference - ppm) * self.larmor

    def _macromolecules(self, edit: str, at: NDArray) -> NDArray:
        """FIDs (K, T) of the K macromolecule peaks with their heights."""
        out = []
        for ppm, protons, width, t2 in MACROMOLECULES:
            height = protons * math.exp(-self.echo / t2)
            if edit == "ON":
                height *= 1 - math.exp(-((abs(ppm - 1.9) / EDITED_WIDTH) ** 4))
            elif edit == "OFF" and ppm == COEDITED:
                height *= 0.15
            gauss = np.exp(-((math.pi * width * at) ** 2) / (4 * math.log(2)))
            out.append(height * np.exp(2j * math.pi * self._hz(ppm) * at) * gauss)
        return np.stack(out)

    def session(self, rng: np.random.Generator, *, transients: int = 16) -> Session:
        """Draw one session.

        Args:
            rng: source of all random draws.
            transients: number N of transients, edits alternating.
        """
        concentrations = {
            name: float(typical * rng.lognormal(0, spread))
            for name, (typical, spread, _) in self.concentrations.items()
        }
        level = torch.tensor([concentrations[name] for name in self.names], dtype=torch.complex128)
        at, count = self.at, transients
        # line shape of the field: creatine has a mean linewidth of 6 to 10 Hz, skewed by imperfect shim
        gauss, rate = float(rng.lognormal(math.log(4.5), 0.25)), float(rng.lognormal(math.log(1.8), 0.4))
        skew = float(rng.normal(0, 0.15))
        width = math.pi * gauss * at / (2 * math.sqrt(math.log(2)))
        envelope = torch.exp(-math.pi * rate * at - width**2) * torch.exp(1j * skew * width**3 / (1 + width**2))
        peaks = torch.from_numpy(rng.lognormal(0, 0.12, len(MACROMOLECULES)) * rng.lognormal(0, 0.15))
        bodies = {
            edit: (level @ self.members[edit]) * envelope + (peaks.to(torch.complex128) @ self.broad[edit]) * envelope
            for edit in self.edits
        }
        edits = [self.edits[k % len(self.edits)] for k in range(count)]
        on = torch.tensor([edit == "ON" for edit in edits])
        body = torch.stack([bodies[edit] for edit in edits])
        height = 1 + torch.from_numpy(rng.normal(0, 0.015, count))
        lipid = self._lipid(rng, count)
        water = self._water(rng, count)
        phase = rng.uniform(-math.pi / 3, math.pi / 3) + math.radians(rng.uniform(2, 8)) * rng.normal(size=count)
        drift = rng.normal(0, 3.0) * np.linspace(-0.5, 0.5, count) + rng.uniform(0.2, 0.8) * rng.normal(size=count)
        shift = rng.normal(0, 2.0) + drift
        turn = torch.polar(
            torch.ones(count, self.points, dtype=torch.float64),
            torch.from_numpy(phase)[:, None] + 2 * math.pi * torch.from_numpy(shift)[:, None] * at,
        )
        clean = turn * (height[:, None] * body + lipid) + water
        sigma = float(np.exp(rng.uniform(*np.log(self.noise))))
        noise = rng.normal(0, sigma, (2, count, self.points))
        fids = clean + torch.complex(torch.from_numpy(noise[0]), torch.from_numpy(noise[1]))
        return Session(
            fids=fids.to(torch.complex64), clean=clean.to(torch.complex64), on=on, sigma=sigma,
            phase=torch.from_numpy(phase), shift=torch.from_numpy(shift), concentrations=concentrations,
        )  # fmt: skip

    def _lipid(self, rng: np.random.Generator, count: int) -> Tensor:
        """Lipid signal (N, T): weak in most sessions, a tall peak in some."""
        base = rng.lognormal(math.log(0.8), 1.0)
        out = torch.zeros(count, self.points, dtype=torch.complex128)
        each = torch.from_numpy(base * rng.lognormal(0, 0.25, count))
        tilt = rng.normal(0, 0.5)
        for ppm, share, width in ((1.30, 1.0, 18.0), (0.90, 0.4, 20.0), (2.05, 0.12, 25.0)):
            line = torch.exp(
                2j * math.pi * self._hz(ppm) * self.at - math.pi * width * self.at - (4 * self.at * width) ** 2 / 8
            )
            out += share * each[:, None] * line * complex(math.cos(tilt), math.sin(tilt))
        return out

    def _water(self, rng: np.random.Generator, count: int) -> Tensor:
        """Residual water (N, T): two broad lines near zero frequency, of any phase, that vary together."""
        base = rng.lognormal(math.log(20.0), 0.9)
        walk = np.cumsum(rng.normal(0, 0.06, count)) + rng.normal(0, 0.12, count)
        heights = torch.from_numpy(base * np.exp(walk - walk.mean()))
        turns = rng.uniform(-math.pi, math.pi) + 0.15 * rng.normal(size=count)
        offset = rng.normal(0, 3.0)
        out = torch.zeros(count, self.points, dtype=torch.complex128)
        for share, apart, width, own in ((1.0, 0.0, 9.0, 0.0), (0.5, rng.normal(0, 10), 20.0, rng.uniform(-2, 2))):
            line = torch.exp((2j * math.pi * (offset + apart) - math.pi * width) * self.at)
            angle = torch.from_numpy(turns + own)
            out += share * (heights * torch.polar(torch.ones_like(angle), angle))[:, None] * line
        return out
