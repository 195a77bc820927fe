"""Virtual patients: an anatomy with a random deformation, cortex and tumours, evaluated on any grid."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mrsikit.phantoms.anatomy import Anatomy, mni152
from mrsikit.phantoms.fields import SmoothField
from mrsikit.phantoms.tumour import Tumour, TumourSet


@dataclass(frozen=True)
class Grid:
    """Voxel grid of a slice or a volume.

    Attributes:
        shape: (X, Y) or (X, Y, Z) voxels.
        spacing: voxel size (mm) along each axis.
        centre: position (mm) of the middle of the grid.
        thickness: slice thickness (mm) of a 2D grid; ignored in 3D, where the third spacing takes its place.
        subsamples: sample points per voxel along each axis (X, Y, Z); their mean gives the partial volumes.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    thickness: float = 5.0
    subsamples: tuple[int, int, int] = (1, 1, 1)

    def points(self) -> list[Tensor]:
        """Return the sample positions (mm), one tensor (*shape, 3) per subsample; a voxel is the mean over the list."""
        shape = self.shape if len(self.shape) == 3 else (*self.shape, 1)
        spacing = self.spacing if len(self.shape) == 3 else (*self.spacing, self.thickness)
        centres = [
            (torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * s + c
            for n, s, c in zip(shape, spacing, self.centre, strict=True)
        ]
        offsets = [[((k + 0.5) / n - 0.5) * s for k in range(n)] for n, s in zip(self.subsamples, spacing, strict=True)]
        out = []
        for shift in itertools.product(*offsets):
            axes = torch.meshgrid(*(a + d for a, d in zip(centres, shift, strict=True)), indexing="ij")
            points = torch.stack(axes, -1)
            out.append(points if len(self.shape) == 3 else points[:, :, 0])
        return out

    def affine(self) -> np.ndarray:
        """Return the affine (4, 4) from voxel to RAS+ mm."""
        shape = self.shape if len(self.shape) == 3 else (*self.shape, 1)
        spacing = self.spacing if len(self.shape) == 3 else (*self.spacing, self.thickness)
        out = np.diag([*spacing, 1.0])
        out[:3, 3] = [c - (n - 1) / 2 * s for n, s, c in zip(shape, spacing, self.centre, strict=True)]
        return out


@dataclass(frozen=True)
class Tissues:
    """Tissue content of each voxel; every tensor has the grid's shape.

    Attributes:
        gm: healthy grey matter, fraction 0-1.
        wm: healthy white matter, fraction 0-1 (oedematous white matter included).
        csf: cerebrospinal fluid, fraction 0-1.
        viable: living tumour, fraction 0-1.
        necrosis: dead tumour, fraction 0-1.
        oedema: share of the voxel's white matter that is swollen, 0-1.
        brain: everything inside the skull, 0-1.
        ventricles: soft mask of the ventricles, 0-1.
    """

    gm: Tensor
    wm: Tensor
    csf: Tensor
    viable: Tensor
    necrosis: Tensor
    oedema: Tensor
    brain: Tensor
    ventricles: Tensor

    NAMES = ("gm", "wm", "csf", "viable", "necrosis", "oedema", "brain", "ventricles")

    @property
    def tumour(self) -> Tensor:
        """Viable tumour and necrosis together."""
        return self.viable + self.necrosis

    def stacked(self) -> Tensor:
        """Return all tissues as one tensor (8, *shape) in the order of :attr:`NAMES`."""
        return torch.stack([getattr(self, name) for name in self.NAMES])


class VirtualSubject:
    r"""A virtual patient made from an anatomy and a seed.

    The point :math:`p` of the patient shows the anatomy at

    .. math:: q = A\, m(p) + t + d(m(p))

    where :math:`m` undoes the mass effect of the tumours, :math:`(A, t)` is a random affine, and :math:`d` are smooth
    displacements at three scales. An averaged anatomy is then made crisp: log fractions plus smooth noise go through a
    softmax, and sulci open along the zero surfaces of smooth noise in the cortical band. Finally the ventricles are
    widened or narrowed by shifting their surface in the tissue fractions.

    Args:
        seed: seed of all random draws; subjects with the same seed and anatomy are equal.
        anatomy: the anatomy; default: :func:`mrsikit.phantoms.anatomy.mni152`.
        tumours: number of tumours to draw; None: 0, 1 or 2 with probability 0.2, 0.65 and 0.15. A tumour of the anatomy
            itself is kept.
        deform: False keeps the anatomy's own shape (for a real brain).
        grade: "low" or "high" for the drawn tumours; None: drawn.
        tumour_radius: radius of the drawn tumours (mm); None: U(5, 26).
    """

    def __init__(
        self,
        seed: int,
        *,
        anatomy: Anatomy | None = None,
        tumours: int | None = None,
        deform: bool = True,
        grade: str | None = None,
        tumour_radius: float | None = None,
    ) -> None:
        self.anatomy = mni152() if anatomy is None else anatomy
        rng = np.random.default_rng(seed)
        self.deform = deform
        if deform:
            self._draw_shape(rng)
        if self.anatomy.averaged:
            self._draw_cortex(rng)
        if tumours is None:
            tumours = int(rng.choice([0, 1, 2], p=[0.2, 0.65, 0.15]))
        self.tumours = TumourSet(rng, [])
        drawn = [Tumour.draw(rng, self._tumour_site(rng), grade, tumour_radius) for _ in range(tumours)]
        self.tumours = TumourSet(rng, drawn)
        self.seed = seed

    def _draw_shape(self, rng: np.random.Generator) -> None:
        angles = rng.uniform(-0.14, 0.14, 3)
        scale = rng.uniform(0.92, 1.1, 3) * rng.uniform(0.95, 1.05)
        rotation = np.eye(3)
        for axis, angle in enumerate(angles):
            i, j = [k for k in range(3) if k != axis]
            turn = np.eye(3)
            turn[[i, j], [i, j]] = np.cos(angle)
            turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
            rotation = rotation @ turn
        self.matrix = torch.from_numpy((rotation / scale).astype(np.float32))
        self.shift = torch.from_numpy(rng.uniform(-4, 4, 3).astype(np.float32))
        self.displacements = [
            (SmoothField(rng, 3, spacing), float(rng.uniform(low, high)))
            for spacing, low, high in ((48.0, 2.5, 5.5), (20.0, 1.0, 2.2), (9.0, 0.3, 0.9))
        ]
        self.ventricle_growth = float(rng.uniform(-2.5, 5.0))
        self.ventricle_waves = SmoothField(rng, 1, 16.0)

    def _draw_cortex(self, rng: np.random.Generator) -> None:
        self.tissue_noise = SmoothField(rng, 3, 7.0)
        self.sulci = SmoothField(rng, 2, 13.0)
        self.sulcal_depth = float(rng.uniform(0.8, 2.4))
        self.sulcal_gap = float(rng.uniform(0.9, 3.0))
        self.atrophy = float(rng.uniform(-0.4, 4.0))
        # A classifier of T1 images gives nearly binary tissue maps, and each classifier favours some tissues.
        self.crispness = 1.0 if rng.random() < 0.5 else float(rng.uniform(1.0, 4.0))
        self.leaning = torch.from_numpy(rng.normal(0, (0.4, 0.4, 0.5)).astype(np.float32))

    def _tumour_site(self, rng: np.random.Generator) -> Tensor:
        """Draw a point (mm) at least 9 mm deep in the cerebrum and outside the ventricles."""
        for _ in range(200):
            point = torch.from_numpy(rng.uniform([-55, -75, -30], [55, 60, 60]).astype(np.float32))
            depth, ventricle = self.anatomy.look_up(self._origin(point))[3:5]
            if depth > 9 and ventricle < 0.1:
                break
        return point

    def _origin(self, points: Tensor) -> Tensor:
        """Map the patient's ``points`` (..., 3) to their positions in the anatomy (mm)."""
        before = self.tumours.push_back(points)
        if not self.deform:
            return before
        origin = before @ self.matrix.T + self.shift
        for field, amplitude in self.displacements:
            origin = origin + amplitude * field(before).movedim(0, -1)
        return origin

    def tissues(self, grid: Grid) -> Tissues:
        """Return the tissue fractions on ``grid``, averaged over its subsamples."""
        total: Tensor | None = None
        points = grid.points()
        for p in points:
            sample = self._at(p)
            total = sample if total is None else total + sample
        assert total is not None
        return Tissues(*(total / len(points)))

    def _at(self, points: Tensor) -> Tensor:
        looked_up = self.anatomy.look_up(self._origin(points))
        gm, wm, csf, depth, ventricles, to_ventricle = looked_up[:6]
        brain = torch.sigmoid(depth * 1.5)
        if self.anatomy.averaged:
            gm, wm, csf = self._deblurred(points, gm, wm, csf, depth)
        if self.deform:
            # White matter takes the place that CSF leaves; CSF displaces grey and white matter where it grows.
            growth = self.ventricle_growth + self.ventricle_waves(points)[0]
            ventricles = torch.sigmoid((growth - to_ventricle) / 0.6)
            left = csf * torch.sigmoid(-to_ventricle / 0.6) * (1 - ventricles)
            gained = (gm + wm) * ventricles
            gm, wm, csf = gm * (1 - ventricles), wm * (1 - ventricles) + left, csf - left + gained
        gm, wm, csf = gm * brain, wm * brain, csf * brain
        room = torch.sigmoid((depth - 1) * 1.5) * (1 - 0.9 * ventricles.clamp(0, 1))
        tumour = self.tumours.fractions(points, room, wm)
        viable, necrosis, whole = tumour.viable, tumour.necrosis, tumour.whole
        if self.anatomy.tumour is not None:
            own = looked_up[6] * (1 - whole)
            viable, whole = viable + own, whole + own
            drawn = 1 - tumour.whole
        else:
            drawn = 1 - whole
        return torch.stack([gm * drawn, wm * drawn, csf * drawn, viable, necrosis, tumour.oedema, brain, ventricles])

    def _deblurred(self, points: Tensor, gm: Tensor, wm: Tensor, csf: Tensor, depth: Tensor) -> tuple[Tensor, ...]:
        """Turn the blurred tissue fractions of a population average into the crisp ones of one subject."""
        logits = 2.2 * torch.stack([gm, wm, csf]).clamp(min=0.02).log()
        logits = logits + torch.tensor([0.5, 0.5, 0.4]).view(-1, *[1] * gm.ndim) * self.tissue_noise(points)
        sheet = self.sulci(points).abs()
        distance = torch.minimum(sheet[0], 1.3 * sheet[1]) * 7.0
        band = torch.sigmoid((22 - depth) / 3) * torch.sigmoid(depth + 1) * self.sulcal_depth
        logits[0] += band * 1.8 * torch.exp(-((distance / 3.2) ** 2))
        logits[1] += band * (2.2 * (1 - torch.exp(-((distance / 3.6) ** 2))) - 0.6)
        logits[2] += band * (
            4.2 * torch.exp(-((distance / self.sulcal_gap) ** 2))
            - 1.2
            + self.atrophy * torch.exp(-((depth - 1) ** 2) / 8)
        )
        gm, wm, csf = torch.softmax(self.crispness * (logits + self.leaning.view(-1, *[1] * depth.ndim)), 0)
        return gm, wm, csf
