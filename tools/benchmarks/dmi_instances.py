"""Simulated deuterium FIDs of wide settings, with what real files add: for the checks of sign and first sample."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mrsikit.phantoms.dmi import PEAKS
from mrsikit.physics.fid_model import FidModel, noise_of_snr
from mrsikit.physics.nuclei import DEUTERIUM

FIELDS = (3.0, 4.0, 7.0, 9.4, 11.74, 16.4)
LARGEST_SHIFT = 0.4


@dataclass(frozen=True)
class Instance:
    """FIDs of NIfTI-MRS's sign, and the model that a run would have of them.

    Attributes:
        fids: (V, T), complex.
        model: with the table's relaxation times, and 0 for a delay that the file does not state.
        snr: height of the tallest metabolite over the noise of a spectrum, with all V FIDs together.
        only_water: whether no metabolite is there.
    """

    fids: Tensor
    model: FidModel
    snr: float
    only_water: bool


def acquisition(rng: np.random.Generator) -> FidModel:
    """Draw field, bandwidth, number of samples and delay; the relaxation times are the table's."""
    tesla = float(rng.choice(FIELDS))
    larmor = tesla * DEUTERIUM.gamma
    bandwidth = larmor * float(np.exp(rng.uniform(math.log(7), math.log(60))))
    points = int(np.clip(bandwidth * rng.uniform(0.08, 0.3), 64, 1024))
    lines = [DEUTERIUM.resonances[name] for name in PEAKS]
    return FidModel(
        ppm=[line.ppm for line in lines], t2_star=[line.t2_star_at(tesla) for line in lines], larmor=larmor,
        reference=DEUTERIUM.reference, dwell=1 / bandwidth, points=points, delay=float(rng.uniform(0, 2e-3)),
    )  # fmt: skip


def amplitudes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw amplitudes (V, 4): any metabolite may lack, all may, and water may be suppressed."""
    levels = np.array([10.0, rng.uniform(0.3, 4), rng.uniform(0.3, 4), rng.uniform(0.3, 3)])
    kind = rng.random()
    if kind < 0.15:
        levels[1:] = 0
    elif kind < 0.3:
        levels[0] *= rng.uniform(0, 0.1)
    else:
        levels[1:] *= rng.random(3) > 0.25
    return levels * rng.uniform(0.5, 1.5, (count, 4))


def instance(seed: int, *, snr: tuple[float, float] = (1.0, 60.0), extras: bool = True) -> Instance:
    """Draw FIDs.

    Args:
        seed: of all draws.
        snr: range of the signal-to-noise ratio of 10 units of water, in one FID.
        extras: whether to add what a model does not know: other relaxation times, an unknown delay, uneven fields, a
            broad lipid, a quadrature ghost, a constant offset.
    """
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    model = acquisition(rng)
    count = int(np.exp(rng.uniform(0, math.log(400))))
    truth = torch.from_numpy(amplitudes(rng, count)).float()
    ratio = float(np.exp(rng.uniform(math.log(snr[0]), math.log(snr[1]))))
    noise = noise_of_snr(model, ratio, amplitude=10.0)
    lives = [life * rng.uniform(0.6, 1.6) for life in model.t2_star] if extras else model.t2_star
    true = replace(model, t2_star=lives)
    centre = float(rng.uniform(-0.3, 0.3))
    shift = model.larmor * torch.from_numpy(np.clip(centre + 0.05 * rng.standard_normal(count), -0.38, 0.38)).float()
    broadening = torch.from_numpy(rng.uniform(0, 0.15 * model.larmor, count)).float()
    phase = float(rng.uniform(0, 2 * math.pi)) + torch.from_numpy(0.3 * rng.standard_normal(count)).float()
    fids = true.simulate(truth, shift=shift, broadening=broadening, phase=phase)
    if extras:
        fids = _with_extras(fids, true, rng)
        if rng.random() < 0.3:
            model = replace(model, delay=0.0)
    strength = float(truth[:, 1:].mean(0).amax()) / 10.0 * ratio * math.sqrt(count)
    white = torch.view_as_complex(torch.randn(*fids.shape, 2, generator=generator))
    return Instance(fids + noise * white, model, strength, bool((truth[:, 1:] == 0).all()))


def _with_extras(fids: Tensor, model: FidModel, rng: np.random.Generator) -> Tensor:
    at = model.times
    if rng.random() < 0.3:  # two fields in a voxel: an asymmetric line
        hz, share = rng.uniform(-0.15, 0.15) * model.larmor, rng.uniform(0.1, 0.4)
        fids = fids * (1 - share + share * torch.polar(torch.ones_like(at), 2 * math.pi * hz * at)).to(fids.dtype)
    if rng.random() < 0.15:  # lipid
        hz = 3.4 * model.larmor
        line = torch.polar(torch.exp(-at / rng.uniform(0.004, 0.012)), 2 * math.pi * hz * (at + model.delay))
        fids = fids + (rng.uniform(0.5, 5) * line).to(fids.dtype) * torch.exp(1j * fids[:, :1].angle())
    if rng.random() < 0.2:  # quadrature ghost
        fids = fids + rng.uniform(0, 0.08) * fids.conj() * np.exp(2j * math.pi * rng.random())
    if rng.random() < 0.1:  # offset of a receiver
        fids = fids + rng.uniform(0, 0.02) * fids[:, :1].abs().mean() * np.exp(2j * math.pi * rng.random())
    return fids.to(torch.complex64)
