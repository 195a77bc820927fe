"""Virtual gliomas: irregular edge, infiltrating margin, necrotic core, oedema, and the push they give to the brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mrsikit.phantoms.fields import SmoothField


@dataclass(frozen=True)
class TumourFractions:
    """Soft masks (...) of one or more tumours, 0-1, at the points asked for.

    Attributes:
        whole: everything the tumour has replaced, necrosis included.
        viable: living tumour, which carries the metabolite signal.
        necrosis: dead core.
        oedema: swollen white matter around it.
    """

    whole: Tensor
    viable: Tensor
    necrosis: Tensor
    oedema: Tensor


@dataclass(frozen=True)
class Tumour:
    """One tumour.

    Attributes:
        centre: (3,) mm.
        radius: mean radius in mm.
        axes: (3,) relative half axes.
        irregularity: relative amplitude of the edge's waviness.
        margin: width in mm over which tumour cells thin out.
        core: radius of the necrosis as a share of the tumour's; 0: none.
        oedema: reach in mm beyond the edge.
        mass_effect: share of the radius by which tissue at the edge was pushed outwards.
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
            margin = 0.3  # as a segmentation cuts it
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
        """Where the tissue now at ``points`` (..., 3) lay before the tumour grew (mm)."""
        offset = points - self.centre
        distance = offset.norm(dim=-1, keepdim=True)
        pushed = self.mass_effect * torch.exp(-((distance / (1.6 * self.radius)) ** 2))
        return points - offset * pushed

    def fractions(self, points: Tensor, edge: Tensor, tissue: Tensor, white_matter: Tensor) -> TumourFractions:
        """Soft masks at ``points`` (..., 3).

        Args:
            points: mm.
            edge: (2, ...) unit-variance smooth noise that shapes the edge and the core.
            tissue: (...) where a tumour can be: brain but not ventricle, 0-1.
            white_matter: (...) WM fraction, where oedema spreads.
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
        """Union of all tumours' soft masks at ``points`` (..., 3)."""
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
