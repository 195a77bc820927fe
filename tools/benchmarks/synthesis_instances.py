"""Simulated sessions of many settings, with what real files add: for the checks of sign and of metabolite signal."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mrs_vae_synthesis.conversion import rereferenced
from mrs_vae_synthesis.sessions import Acquisition
from mrsikit.io import Fids
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.simulation.density_matrix import simulated_basis
from mrsikit.simulation.edited_mrs import CONCENTRATIONS, TransientModel

ACQUISITIONS = (
    (127.73, 2048, 0.0005), (127.73, 4096, 0.00025), (127.73, 4096, 0.0002), (123.25, 2048, 0.0005),
    (123.25, 4096, 0.00025),
)  # fmt: skip
"""Larmor frequencies (MHz), numbers of samples and dwell times (s)."""

TUMOUR = {
    **CONCENTRATIONS, "NAA": (1.5, 0.6, 0.27), "Cr": (2.0, 0.4, 0.155), "PCr": (1.5, 0.4, 0.155),
    "GPC": (2.0, 0.4, 0.22), "PCh": (1.5, 0.4, 0.22), "Lac": (5.0, 0.6, 0.14), "mI": (6.0, 0.4, 0.19),
}  # fmt: skip
"""Concentrations in a glioma, as of :data:`mrsikit.simulation.edited_mrs.CONCENTRATIONS`."""

WATER = 72000.0
"""Protons of unsuppressed water (mM), with a T2 of 80 ms."""

Kind = Literal["session", "water reference", "noise"]


@dataclass(frozen=True)
class Instance:
    """Transients of NIfTI-MRS's sign.

    Attributes:
        values: (N, T), complex, edits alternating.
        on: (N,) whether each is ON.
        acquisition: what the file states.
        kind: what they are of.
        snr: height of the tallest of NAA, creatine and choline over the noise of a spectrum of one transient.
        sound: whether the stated reference is right.
    """

    values: Tensor
    on: Tensor
    acquisition: Acquisition
    kind: Kind
    snr: float
    sound: bool


@functools.lru_cache(maxsize=12)
def model_of(larmor: float, points: int, dwell: float, tumour: bool) -> TransientModel:
    """Transient model of MEGA-PRESS, TE 68 ms."""
    basis = simulated_basis("mega_press", te=0.068, points=points, dwell=dwell, larmor=larmor)
    return TransientModel(basis, concentrations=TUMOUR if tumour else CONCENTRATIONS)


def instance(
    seed: int,
    kind: Kind = "session",
    *,
    acquisition: tuple[float, int, float] | None = None,
    noisier: float = 20.0,
    misread: float = 0.15,
) -> Instance:
    """Draw transients, with what a simulated session does not have.

    That is: tumours, more noise, badly suppressed water, tall lipids, a quadrature ghost, a constant offset, a
    transmitter elsewhere than on water.

    Args:
        seed: of all draws.
        kind: what they are of.
        acquisition: one of :data:`ACQUISITIONS`; None: drawn.
        noisier: largest factor of the noise.
        misread: share of the files that do not say where the transmitter was.
    """
    rng = np.random.default_rng([seed, 7])
    larmor, points, dwell = acquisition or ACQUISITIONS[rng.integers(len(ACQUISITIONS))]
    model = model_of(larmor, points, dwell, bool(rng.random() < 0.2))
    count = 2 * int(np.exp(rng.uniform(math.log(2), math.log(32))))
    drawn = model.session(rng, transients=count)
    values = drawn.fids.to(torch.complex128)
    if kind == "noise":
        values = values - drawn.clean
    elif kind == "water reference":
        values = values + _water(rng, model, drawn.phase, rng.uniform(0.5, 1.0))
    elif rng.random() < 0.4:  # bad suppression: up to four hundredths of the water are left
        values = values + _water(rng, model, drawn.phase, math.exp(rng.uniform(math.log(3e-4), math.log(4e-2))))
    sigma = drawn.sigma * math.exp(rng.uniform(0, math.log(noisier)))
    values = _with_extras(values, model, rng, math.sqrt(sigma**2 - drawn.sigma**2), lipids=kind == "session")
    transmitter = model.reference if rng.random() < 0.6 else float(rng.uniform(1.9, model.reference))
    values = rereferenced(values, dwell, (transmitter - model.reference) * larmor)
    stated = transmitter
    if rng.random() < misread:  # the header says nothing of the transmitter, or something else
        stated = model.reference if rng.random() < 0.5 else transmitter + float(rng.uniform(-3, 3))
    known = Acquisition(
        dwell=dwell, larmor=larmor, reference=stated, echo=model.echo, points=points, edited=True, water=True
    )
    spectra = torch.fft.fft(drawn.clean * torch.exp(-math.pi * 2 * model.at), dim=-1).abs()
    ppm = model.reference - torch.fft.fftfreq(points, dwell) / larmor
    height = float(spectra[:, (ppm > 1.9) & (ppm < 3.3)].amax(-1).mean())
    snr = height / (sigma * math.sqrt(2 * points))
    return Instance(values.to(torch.complex64), drawn.on, known, kind, snr, abs(stated - transmitter) < 0.1)


def _water(rng: np.random.Generator, model: TransientModel, phase: Tensor, share: float) -> Tensor:
    """Water (N, T) of a share of its height, in step with the phases (N,) of the transients."""
    content = rng.uniform(0.65, 1.0) * WATER * math.exp(-model.echo / 0.08)
    width, hz = rng.uniform(4, 12), (model.reference - NUCLEI["1H"].reference) * model.larmor + rng.normal(0, 3)
    line = torch.exp((2j * math.pi * hz - math.pi * width) * model.at)
    heights = content * share * torch.from_numpy(1 + 0.02 * rng.standard_normal(len(phase)))
    return torch.polar(heights, phase)[:, None] * line


def _with_extras(
    values: Tensor, model: TransientModel, rng: np.random.Generator, sigma: float, *, lipids: bool
) -> Tensor:
    """Transients (N, T) with extras, and more noise of a standard deviation in each channel."""
    white = torch.from_numpy(rng.standard_normal((2, *values.shape)))
    values = values + sigma * torch.complex(white[0], white[1])
    if lipids and rng.random() < 0.3:  # from the scalp
        hz = (model.reference - 1.3) * model.larmor
        line = torch.exp((2j * math.pi * hz - math.pi * rng.uniform(12, 35)) * model.at)
        height = math.exp(rng.uniform(math.log(20), math.log(400)))
        values = values + height * np.exp(2j * math.pi * rng.random()) * line
    if rng.random() < 0.2:  # quadrature ghost
        values = values + rng.uniform(0, 0.05) * values.conj() * np.exp(2j * math.pi * rng.random())
    if rng.random() < 0.1:  # offset of a receiver
        values = values + rng.uniform(0, 0.01) * values[:, :1].abs().mean() * np.exp(2j * math.pi * rng.random())
    return values


def as_fids(drawn: Instance, *, mirrored: bool = False) -> Fids:
    """The file of an instance, with ON and OFF on DIM_DYN; ``mirrored``: of the sign that is not NIfTI-MRS's."""
    names = ["ON" if on else "OFF" for on in drawn.on.tolist()]
    values = drawn.values.conj().resolve_conj() if mirrored else drawn.values
    known = drawn.acquisition
    return Fids(
        values=values.T[None, None, None].numpy(), affine=np.eye(4), dwell=known.dwell, larmor=known.larmor,
        nucleus="1H", reference=known.reference, delay=None, echo=known.echo,
        extension={"dim_5": "DIM_DYN", "dim_5_header": {"EditCondition": names}},
    )  # fmt: skip
