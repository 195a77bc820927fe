"""Sessions of transients, the acquisition that a network was trained on, and simulated sessions."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mrsikit.simulation.density_matrix import LARMOR, simulated_basis
from mrsikit.simulation.edited_mrs import TransientModel

UNITS = (1e-9, 1e-6, 1e-6, 1e-6)
"""Units of the integers in the network's ``acquisition``: dwell time (s), Larmor frequency (MHz), reference (ppm), echo
time (s)."""


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """Acquisition that a network was trained on.

    Attributes:
        dwell: time between two samples (s).
        larmor: Larmor frequency (MHz).
        reference: chemical shift of zero frequency (ppm).
        echo: echo time (s).
        points: samples of a FID.
        edited: whether the training data have ON and OFF transients.
        water: whether the network learned the residual water; False: it was removed.
    """

    dwell: float
    larmor: float
    reference: float
    echo: float
    points: int
    edited: bool
    water: bool

    @classmethod
    def of(cls, stored: Tensor) -> Acquisition:
        """Read the network's buffer ``acquisition``, (7,) integers."""
        dwell, larmor, reference, echo, points, edited, water = stored.tolist()
        values = (round(n * unit, 9) for n, unit in zip((dwell, larmor, reference, echo), UNITS, strict=True))
        return cls(
            **dict(zip(("dwell", "larmor", "reference", "echo"), values, strict=True)),
            points=points,
            edited=bool(edited),
            water=bool(water),
        )

    def stored(self) -> Tensor:
        """Integers (7,) for the network's buffer ``acquisition``."""
        values = (self.dwell, self.larmor, self.reference, self.echo)
        whole = [round(value / unit) for value, unit in zip(values, UNITS, strict=True)]
        return torch.tensor([*whole, self.points, int(self.edited), int(self.water)])


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Transients of S sessions, N each, and their acquisition.

    Attributes:
        fids: (S, N, T) complex64.
        on: (S, N) whether the editing pulse was ON, at GABA's 1.9 ppm; False throughout in unedited data.
        dwell: time between two samples (s).
        larmor: Larmor frequency (MHz).
        reference: chemical shift of zero frequency (ppm).
        echo: echo time (s).
        clean: (S, N, T) FIDs without noise, if they are known.
        concentrations: concentrations of each session (mM) by metabolite, if they are known.
    """

    fids: Tensor
    on: Tensor
    dwell: float
    larmor: float
    reference: float
    echo: float
    clean: Tensor | None = None
    concentrations: tuple[dict[str, float], ...] = ()


@functools.lru_cache(maxsize=4)
def transient_model(sequence: str, te: float, points: int, dwell: float, larmor: float = LARMOR) -> TransientModel:
    """Transient model with a simulated basis (te and dwell in s, larmor in MHz).

    The simulation takes longer than drawing hundreds of transients, so the last few models are kept.
    """
    return TransientModel(simulated_basis(sequence, te=te, points=points, dwell=dwell, larmor=larmor))


def simulated_sessions(
    number: int,
    *,
    seed: int,
    transients: int = 16,
    sequence: str = "mega_press",
    te: float = 0.068,
    points: int = 2048,
    dwell: float = 0.0005,
    larmor: float = LARMOR,
) -> Sessions:
    """Simulate sessions of virtual subjects.

    Args:
        number: number S of sessions.
        seed: session k is drawn with the seed (seed, k).
        transients: number N of transients of each session.
        sequence: as of :func:`mrsikit.simulation.density_matrix.simulated_basis`.
        te: echo time (s).
        points: samples T of a FID.
        dwell: time between two samples (s).
        larmor: Larmor frequency (MHz).
    """
    model = transient_model(sequence, te, points, dwell, larmor)
    drawn = [
        model.session(np.random.default_rng([seed, k]), transients=transients)
        for k in tqdm(range(number), desc="simulating sessions", delay=2, leave=False)
    ]
    return Sessions(
        fids=torch.stack([one.fids for one in drawn]),
        clean=torch.stack([one.clean for one in drawn]),
        on=torch.stack([one.on for one in drawn]),
        concentrations=tuple(dict(one.concentrations) for one in drawn),
        dwell=dwell, larmor=model.larmor, reference=model.reference, echo=te,
    )  # fmt: skip
