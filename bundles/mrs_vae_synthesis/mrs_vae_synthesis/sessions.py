"""Sessions of transients, the acquisition that a network knows, and sessions of virtual subjects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mrsikit.simulation.density_matrix import simulated_basis
from mrsikit.simulation.edited_mrs import TransientModel

UNITS = (1e-9, 1e-6, 1e-6, 1e-6)
"""Of the network's ``acquisition``: s, MHz, ppm, s."""


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """What a network was trained on.

    Attributes:
        dwell: time between two samples (s).
        larmor: MHz.
        reference: chemical shift of zero frequency (ppm).
        echo: echo time (s).
        points: samples of a FID.
        edited: whether there were ON and OFF.
        water: whether the residual water was learnt; False: it was taken away.
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
        """From the network's buffer of this name."""
        dwell, larmor, reference, echo, points, edited, water = stored.tolist()
        values = (round(n * unit, 9) for n, unit in zip((dwell, larmor, reference, echo), UNITS, strict=True))
        return cls(
            **dict(zip(("dwell", "larmor", "reference", "echo"), values, strict=True)),
            points=points,
            edited=bool(edited),
            water=bool(water),
        )

    def stored(self) -> Tensor:
        """(7,) whole numbers."""
        values = (self.dwell, self.larmor, self.reference, self.echo)
        whole = [round(value / unit) for value, unit in zip(values, UNITS, strict=True)]
        return torch.tensor([*whole, self.points, int(self.edited), int(self.water)])


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Transients of S sessions, N each, and their acquisition.

    Attributes:
        fids: (S, N, T) complex64.
        on: (S, N) whether the editing pulse reached GABA; False throughout where nothing is edited.
        dwell: time between two samples (s).
        larmor: MHz.
        reference: chemical shift of zero frequency (ppm).
        echo: echo time (s).
        clean: (S, N, T) without noise, where that is known.
        concentrations: mM by metabolite, a session each, where they are known.
    """

    fids: Tensor
    on: Tensor
    dwell: float
    larmor: float
    reference: float
    echo: float
    clean: Tensor | None = None
    concentrations: tuple[dict[str, float], ...] = ()


def simulated_sessions(
    number: int,
    *,
    seed: int,
    transients: int = 16,
    sequence: str = "mega_press",
    te: float = 0.068,
    points: int = 2048,
    dwell: float = 0.0005,
) -> Sessions:
    """Sessions of virtual subjects.

    Args:
        number: S.
        seed: session k is drawn from (seed, k).
        transients: N.
        sequence: as of :func:`mrsikit.simulation.density_matrix.simulated_basis`.
        te: echo time (s).
        points: T.
        dwell: time between two samples (s).
    """
    model = TransientModel(simulated_basis(sequence, te=te, points=points, dwell=dwell))
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
