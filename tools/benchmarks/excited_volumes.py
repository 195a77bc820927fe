"""How often the excited volume of PRESS or semi-LASER is recognised without a mask, and a brain taken for one.

The card of mrsi_inpainting shows the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.data import MetaTensor

from benchmark import Context
from benchmarks.mri_checks import Head, head, turn
from benchmarks.super_resolution import load_anatomy
from mrsi_inpainting import predict
from mrsi_inpainting.excited_volume import excited_volume
from mrsikit.phantoms import anatomy as anatomies
from mrsikit.phantoms.voxel_loss import mixed, rim, singles, slab
from mrsikit.physics.spatial_encoding import PSFS, SpatialEncoding
from mrsikit.restoration.resampling import image_on_grid
from mrsikit.super_resolution.preprocessing import subdivided
from result_tables import Table

SOURCES = ("BrainWeb 2", "BrainWeb 5", "glioma")
"""The rule was chosen on BrainWeb 1 and on virtual brains, with other seeds."""

FINE = 4
"""Fine voxels per voxel, along both axes of a slice."""

DIMENSIONS = ("slice", "stack", "volume")
WAYS = {"rim": rim, "slab": slab, "mixed": mixed, "singles": singles}
INSTANCES = 36
"""Boxes, and brains, of each source."""

CONDITION, ALL = "box or brain, no mask", "all three"
TAKEN, UNSURE, OUTSIDE = "taken for a box, %", "cannot be told, %", "filled outside, % of the box"
FAR_OUTSIDE = "filled where under a fifth was excited, %"
NO_SIZE = "taken for a box without voxel size, %"


@dataclass(frozen=True)
class Instance:
    """One simulated case of maps.

    Attributes:
        maps: (M, X, Y, Z), zero where nothing was fitted.
        spacing: voxel size (mm) along X, Y, Z.
        excited: (X, Y, Z), voxels at least half of which were excited; all of them where the whole brain was.
        touched: the same, for a fifth.
        dimensions: one of :data:`DIMENSIONS`.
        kind: what was drawn, in words.
    """

    maps: np.ndarray
    spacing: np.ndarray
    excited: np.ndarray
    touched: np.ndarray
    dimensions: str
    kind: str


@dataclass(frozen=True)
class Scan:
    """Grid of voxels in a head: shape (X, Y, Z), spacing (mm), and the pose (4, 4) of its centre in the head."""

    shape: tuple[int, int, int]
    spacing: np.ndarray
    pose: np.ndarray

    @property
    def affine(self) -> np.ndarray:
        """Voxel to mm from the grid's centre, along its axes."""
        out = np.diag([*self.spacing, 1.0])
        out[:3, 3] = -(np.array(self.shape) - 1) / 2 * self.spacing
        return out

    def sampled(self, values: torch.Tensor, subject: Head) -> np.ndarray:
        """Values (X, Y, Z) of a head's grid on the fine grid."""
        image = MetaTensor(values[None].float(), affine=subject.affine)
        fine = torch.from_numpy(self.pose @ self.affine) @ subdivided(FINE)
        shape = (FINE * self.shape[0], FINE * self.shape[1], self.shape[2])
        return image_on_grid(image, shape, fine, points=(1, 1, 3))[0].numpy()

    def points(self) -> np.ndarray:
        """Centres (mm) of the fine voxels from the grid's centre, (fine X, fine Y, Z, 3)."""
        at = np.moveaxis(np.indices((FINE * self.shape[0], FINE * self.shape[1], self.shape[2])), 0, -1)
        fine = self.affine @ subdivided(FINE).numpy()
        return at @ fine[:3, :3].T + fine[:3, 3]


@dataclass(frozen=True)
class Box:
    """Excited box: centre and sides (mm), angle in plane (degrees) and width of its edges (mm)."""

    centre: np.ndarray
    sides: np.ndarray
    angle: float
    edge: float

    def profile(self, points: np.ndarray, moved: np.ndarray | float = 0.0) -> np.ndarray:
        """Excitation (0-1) at points (..., 3) of a metabolite whose box is moved by a chemical shift."""
        at = (points - self.centre - moved) @ turn((0, 0, self.angle))[:3, :3]
        return np.prod(1 / (1 + np.exp((np.abs(at) - self.sides / 2) / self.edge)), -1)


def excited_box(subject: Head, rng: np.random.Generator, dimensions: str) -> Instance:
    """Draw a box of 5 to 20 voxels a side within a matrix of 12 to 40, 88 % of it in the brain.

    Sides of 45 to 130 mm, of ratio 1 to 2; in half of the cases turned in the matrix, in a fifth touching or cut by its
    edge. Edges of the excitation are 2 to 6 mm wide. The metabolites' boxes lie up to a voxel apart.
    """
    while True:
        matrix = rng.integers(12, 41, 2) if rng.random() < 0.3 else np.repeat(rng.integers(12, 41), 2)
        side = rng.uniform(150, 240) / matrix.max()
        sides = rng.uniform(45, 130) * np.array([1, rng.uniform(0.5, 1)])[rng.permutation(2)]
        voxels = sides / side
        angle = 0.0 if rng.random() < 0.5 else rng.uniform(-45, 45)
        if voxels.min() < 5 or voxels.max() > 20 or (voxels > matrix - 2).any():
            continue
        free = np.maximum(0, matrix / 2 - np.abs(turn((0, 0, angle))[:2, :2]) @ voxels / 2)
        centre = rng.uniform(-1, 1, 2) * np.minimum(free, matrix / 8)
        at_edge = rng.random() < 0.2
        if at_edge:
            axis = rng.integers(2)
            centre[axis] = rng.choice([-1, 1]) * (free[axis] + rng.uniform(0, 0.25) * voxels[axis])
        count = {"slice": 1, "stack": int(rng.integers(2, 7)), "volume": int(rng.integers(8, 17))}[dimensions]
        thick = side * rng.uniform(0.8, 1.3) if dimensions == "volume" else rng.uniform(6, 15)
        height = rng.uniform(5, max(5.5, count - 2)) * thick if dimensions == "volume" else 2 * count * thick
        if dimensions == "volume" and height > 90:
            continue
        pose = turn([*rng.normal(0, 5, 2), rng.normal(0, 10)])
        pose[:3, 3] = rng.uniform(-25, 25), rng.uniform(-50, 40), rng.uniform(-10, 45)
        pose[:2, 3] -= pose[:2, :2] @ (centre * side)
        scan = Scan((int(matrix[0]), int(matrix[1]), count), np.array([side, side, thick]), pose)
        box = Box(np.array([*centre * side, 0]), np.array([*sides, height]), angle, rng.uniform(0.5, 1.5))
        profile = box.profile(scan.points())
        if (profile * scan.sampled(subject.brain, subject)).sum() >= 0.88 * profile.sum():
            break
    names = _metabolites(subject, rng)
    apart, psf = rng.uniform(-0.5, 0.5, 3) * side, str(rng.choice(PSFS))
    maps = np.stack([
        _coarse(scan.sampled(subject.maps[name], subject) * box.profile(scan.points(), shift * apart), psf)
        for name, shift in zip(names, np.linspace(-1, 1, len(names)) if len(names) > 1 else (0,), strict=True)
    ])  # fmt: skip
    share = _coarse(profile, "block")
    excited, touched = share > 0.5, share > 0.2
    way = str(rng.choice(["singles", "mixed"])) if rng.random() < 0.7 else "whole"
    words = f"{'turned' if angle else 'along the axes'}{', at the edge' if at_edge else ''}, {way}, "
    words += f"{voxels[0]:.0f} x {voxels[1]:.0f} voxels of {side:.0f} mm"
    return Instance(_fitted(maps, _lost(excited, way, rng), rng), scan.spacing, excited, touched, dimensions, words)


def whole_brain(subject: Head, rng: np.random.Generator, dimensions: str) -> Instance:
    """Draw a brain in a matrix of 16 to 64, whole or without its rim, a slab, clusters or single voxels.

    In half of the cases turned in the matrix, in a fifth cut by the field of view.
    """
    while True:
        matrix = int(rng.integers(16, 41 if dimensions == "volume" else 65))
        cut, turned = rng.random() < 0.2, rng.random() < 0.5
        side = (rng.uniform(110, 180) if cut else rng.uniform(190, 240)) / matrix
        count = {"slice": 1, "stack": int(rng.integers(2, 7)), "volume": int(rng.integers(8, 25))}[dimensions]
        thick = side * rng.uniform(0.8, 1.3) if dimensions == "volume" else rng.uniform(6, 15)
        pose = turn([*rng.normal(0, 5, 2), rng.uniform(-45, 45) if turned else rng.normal(0, 3)])
        spread = 40 if cut else 8
        pose[:3, 3] = rng.uniform(-spread, spread), rng.uniform(-spread, spread) - 15, rng.uniform(-35, 60)
        scan = Scan((matrix, matrix, count), np.array([side, side, thick]), pose)
        psf = str(rng.choice(PSFS))
        maps = np.stack([
            _coarse(scan.sampled(subject.maps[n], subject), psf) for n in _metabolites(subject, rng)
        ])  # fmt: skip
        brain = maps[0] > 0.2 * maps[0].max()
        if brain.sum() >= (30 if count == 1 else 60):
            break
    way = str(rng.choice(["whole", *WAYS]))
    words = f"{way}{', turned' if turned else ''}{', cut' if cut else ''}, voxels of {side:.0f} mm"
    maps = _fitted(maps, _lost(brain, way, rng), rng)
    everywhere = np.ones(brain.shape, bool)
    return Instance(maps, scan.spacing, everywhere, everywhere, dimensions, words)


def _metabolites(subject: Head, rng: np.random.Generator) -> list[str]:
    names = list(subject.maps)
    return [str(rng.choice(names))] if rng.random() < 0.5 else names[:3]


def _coarse(fine: np.ndarray, psf: str) -> np.ndarray:
    planes = torch.from_numpy(np.moveaxis(fine, -1, 0).astype(np.float32))
    return np.moveaxis(SpatialEncoding(psf, FINE).A(planes).numpy(), 0, -1)


def _lost(inside: np.ndarray, way: str, rng: np.random.Generator) -> np.ndarray:
    """Voxels (X, Y, Z) lost in one way: 5 to 30 % of those inside, or none."""
    if way == "whole":
        return np.zeros(inside.shape, bool)
    flat = inside[..., 0] if inside.shape[2] == 1 else inside
    return WAYS[way](flat, rng.uniform(0.05, 0.3), rng).reshape(inside.shape)


def _fitted(maps: np.ndarray, lost: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Maps (M, X, Y, Z) as a fit leaves them: lost voxels zero; outside noise, or zero where little signal was."""
    top = np.percentile(maps, 99, axis=(1, 2, 3), keepdims=True)
    noise = rng.choice([0.01, 0.02, 0.05, 0.1])
    values = maps + noise * top * rng.standard_normal(maps.shape)
    if rng.random() < 0.5:
        values = np.maximum(values, 0)
    if rng.random() < 0.6:
        least = max(0.1, 2 * noise) if rng.random() < 0.5 else rng.uniform(0.1, 0.3)
        values[maps < least * top] = 0
    values[:, lost] = 0
    return values.astype(np.float32)


def instances(context: Context, sources: Sequence[str], count: int) -> Iterator[tuple[str, bool, Instance]]:
    """Draw ``count`` boxes and brains of each source: (source, whether it is a box, instance).

    Slices, stacks and volumes take turns. Each source has two subjects.
    """
    for source in sources:
        anatomy = anatomies.mni152() if source == "virtual" else load_anatomy(source, context.data)
        rng = np.random.default_rng([context.seed, *source.encode()])
        subjects = [head(anatomy, int(rng.integers(2**31)), deform=source == "virtual") for _ in range(2)]
        for n in range(count):
            for draw in (excited_box, whole_brain):
                yield source, draw is excited_box, draw(subjects[n % 2], rng, DIMENSIONS[n % 3])


def measure_excited_volumes(context: Context) -> None:
    """Rows of boxes and brains: how many are taken for boxes, and what is filled outside a box."""
    figures: dict[tuple[str, str, str], list[float]] = {}
    for source, is_box, one in instances(context, SOURCES, 3 if context.quick else INSTANCES):
        found = excited_volume(one.maps, float(one.spacing[0]))
        values = {TAKEN: found is not None and found.certain, UNSURE: found is not None and not found.certain}
        blind = excited_volume(one.maps)
        values[NO_SIZE] = blind is not None and blind.certain
        if is_box:
            filled = predict(np.moveaxis(one.maps, 0, -1), affine=np.diag([*one.spacing, 1.0])).holes
            size = one.maps.shape[0] * one.excited.sum()
            values |= {OUTSIDE: filled[~one.excited].sum() / size, FAR_OUTSIDE: filled[~one.touched].sum() / size}
        what = "box" if is_box else "brain"
        for metric, value in values.items():
            for set_ in (source, ALL):
                for method in (f"{what}, {one.dimensions}", f"{what}, any"):
                    figures.setdefault((set_, method, metric), []).append(100 * float(value))
    for (set_, method, metric), shares in sorted(figures.items()):
        context.add(set_, CONDITION, method, metric, shares)


TABLES = [
    Table("Without a mask: a box of PRESS or semi-LASER, or a brain", CONDITION,
          {TAKEN: "%.1f", UNSURE: "%.1f", NO_SIZE: "%.1f", OUTSIDE: "%.2f", FAR_OUTSIDE: "%.2f"},
          f"{INSTANCES} boxes and {INSTANCES} brains a source. Boxes of 5 to 20 voxels in a matrix of 12 to 40, brains "
          "in one of 16 to 64; half are turned, a fifth cut by the matrix; 5 to 30 % of voxels lost in most, noise of "
          ".01 to .1. Where it cannot be told, nothing is filled outside the convex hull of the signal."),
]  # fmt: skip
