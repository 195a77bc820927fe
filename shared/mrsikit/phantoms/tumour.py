"""Virtual gliomas: irregular edge, infiltrating margin, necrotic core, oedema, and mass effect on the brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mrsikit.phantoms.fields import SmoothField


@dataclass(frozen=True)
class TumourFractions:
    """Soft masks (...) of one or more tumours, 0-1, at given points.

    Attributes:
        whole: all tissue that the tumour has replaced, including necrosis.
        viable: living tumour, which carries the metabolite signal.
        necrosis: dead core.
        oedema: swollen white matter around the tumour.
    """

    whole: Tensor
    viable: Tensor
    necrosis: Tensor
    oedema: Tensor


@dataclass(frozen=True)
class Tumour:
    """One tumour.

    Attributes:
        centre: (3,) position of the centre (mm).
        radius: mean radius (mm).
        axes: (3,) relative half axes.
        irregularity: relative amplitude of the waves of the edge.
        margin: width (mm) over which the tumour cells thin out.
        core: radius of the necrosis as a share of the tumour's radius; 0: no necrosis.
        oedema: extent of the oedema beyond the edge (mm).
        mass_effect: relative displacement of tissue away from the centre: tissue now at a distance r from the centre
            was pushed outwards by r times this value times exp(-(r / (1.6 radius))^2).
        grade: "low" or "high".
    """

    centre: Tensor
    radius: float
    axes: Tensor
    irregularity: float
    margin: float
    core: float
    oedema: float
    mass_effect: float
    grade: str

    @classmethod
    def draw(
        cls, rng: np.random.Generator, centre: Tensor, grade: str | None = None, radius: float | None = None
    ) -> Tumour:
        """Draw a tumour at ``centre``; high grade has necrosis and more oedema, low grade is more diffuse."""
        high = rng.random() < 0.5 if grade is None else grade == "high"
        margin = float(rng.uniform(0.6, 2.0) if high else rng.uniform(1.0, 3.5))
        if rng.random() < 0.25:
            margin = 0.3  # a sharp edge, as in a segmentation
        return cls(
            centre=centre,
            radius=float(rng.uniform(5, 26)) if radius is None else radius,
            axes=torch.from_numpy(rng.uniform(0.75, 1.3, 3).astype(np.float32)),
            irregularity=float(rng.uniform(0.12, 0.35)),
            margin=margin,
            core=float(rng.uniform(0.3, 0.65)) if high and rng.random() < 0.7 else 0.0,
            oedema=float(rng.uniform(3, 14) if high else rng.uniform(0, 5)),
            mass_effect=float(rng.uniform(0.1, 0.4) if high else rng.uniform(0, 0.2)),
            grade="high" if high else "low",
        )

    def push_back(self, points: Tensor) -> Tensor:
        """Return the positions (mm), before the tumour grew, of the tissue now at ``points`` (..., 3)."""
        offset = points - self.centre
        distance = offset.norm(dim=-1, keepdim=True)
        pushed = self.mass_effect * torch.exp(-((distance / (1.6 * self.radius)) ** 2))
        return points - offset * pushed

    def fractions(self, points: Tensor, edge: Tensor, tissue: Tensor, white_matter: Tensor) -> TumourFractions:
        """Evaluate the soft masks of the tumour.

        Args:
            points: (..., 3) positions (mm).
            edge: (2, ...) smooth noise of about unit variance that shapes the edge and the core.
            tissue: (...) mask of where a tumour can be, 0-1: brain outside the ventricles.
            white_matter: (...) white-matter fraction, 0-1, in which oedema spreads.
        """
        distance = ((points - self.centre) / self.axes).norm(dim=-1)
        inside = self.radius * (1 + self.irregularity * edge[0]) - distance
        whole = torch.sigmoid(inside / self.margin) * tissue
        necrosis = torch.zeros_like(whole)
        if self.core > 0:
            necrosis = (
                torch.sigmoid((self.radius * self.core * (1 + self.irregularity * edge[1]) - distance) / 1.2) * whole
            )
        oedema = (
            torch.sigmoid((inside + self.oedema) / 2.5) * tissue * torch.sigmoid((white_matter - 0.5) * 6) * (1 - whole)
        )
        return TumourFractions(whole=whole, viable=whole - necrosis, necrosis=necrosis, oedema=oedema)


class TumourSet:
    """All tumours of a patient with the noise that shapes them."""

    def __init__(self, rng: np.random.Generator, tumours: list[Tumour]) -> None:
        self.tumours = tumours
        self.waves = SmoothField(rng, 2, 11.0) if tumours else None
        self.frays = SmoothField(rng, 2, 5.0) if tumours else None

    def push_back(self, points: Tensor) -> Tensor:
        """Undo the mass effect of every tumour; see :meth:`Tumour.push_back`."""
        for tumour in self.tumours:
            points = tumour.push_back(points)
        return points

    def fractions(self, points: Tensor, tissue: Tensor, white_matter: Tensor) -> TumourFractions:
        """Union of the soft masks of all tumours at ``points`` (..., 3) in mm; see :meth:`Tumour.fractions`."""
        nothing = torch.zeros_like(tissue)
        union = TumourFractions(nothing, nothing, nothing, nothing)
        if self.waves is None or self.frays is None:
            return union
        edge = 0.75 * self.waves(points) + 0.35 * self.frays(points)
        for tumour in self.tumours:
            one = tumour.fractions(points, edge, tissue, white_matter)
            union = TumourFractions(
                *(torch.maximum(getattr(union, k), getattr(one, k)) for k in ("whole", "viable", "necrosis", "oedema"))
            )
        return union
