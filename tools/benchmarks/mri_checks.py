"""How often the checks of an MRI are right: the scalp left on, and MRIs that lie elsewhere than their maps.

Both super-resolution bundles use these checks, and docs/results.md of mrsi_super_resolution shows the figures.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from benchmark import Context
from benchmarks.super_resolution import load_anatomy
from mrsikit.io import read_map
from mrsikit.phantoms import anatomy as anatomies
from mrsikit.phantoms.metabolites import concentration_map, draw_concentrations
from mrsikit.phantoms.mri import mri
from mrsikit.phantoms.scalp import with_scalp
from mrsikit.phantoms.subject import Grid, VirtualSubject
from mrsikit.phantoms.voxel_loss import rim
from mrsikit.physics.spatial_encoding import PSFS, SpatialEncoding
from mrsikit.restoration.resampling import image_on_grid
from mrsikit.super_resolution.preprocessing import subdivided
from mrsikit.super_resolution.rigid_check import move_needed
from mrsikit.super_resolution.scalp import RING, scalp_share
from mrsikit.super_resolution.tissue_mask import background, tissue_mask
from result_tables import Table

SOURCES = ("virtual", "BrainWeb 2", "BrainWeb 5", "glioma")
"""Thresholds were chosen on BrainWeb 1 and on other virtual subjects."""

SPACING, SHAPE = 2.0, (92, 110, 88)
"""Voxel size (mm) and shape of the simulated MRIs, which hold a whole brain and its scalp."""

INSTANCES = 25
"""Files of each source and kind."""

SCALP, MISPLACED, SAID = "MRI with scalp", "MRI misplaced", "named"
STRIPPED, ON = "stripped (false alarms)", "scalp on"
IN_PLACE, ANY = "in place (false alarms)", "moved, all ways"
WAYS = (
    "shifted right or left", "shifted to the front or back", "shifted to head or feet",
    "turned, nose up or down", "turned, to a shoulder", "turned, nose right or left",
)  # fmt: skip

METABOLITES = ("NAA", "tCr", "tCho")


@dataclass(frozen=True)
class Head:
    """One head on a grid of 2 mm: its metabolite maps, MRIs and brain, all (X, Y, Z), and the affine of the grid."""

    maps: dict[str, Tensor]
    mris: dict[str, Tensor]
    brain: Tensor
    affine: Tensor


def head(anatomy: anatomies.Anatomy, seed: int, *, deform: bool) -> Head:
    """Draw a subject of an anatomy, with a tumour in two of three."""
    rng = np.random.default_rng(seed)
    tumours = 0 if anatomy.tumour is not None else int(rng.integers(3) > 0)
    subject = VirtualSubject(seed, anatomy=anatomy, tumours=tumours, deform=deform)
    grid = Grid(SHAPE, (SPACING,) * 3)
    tissues = subject.tissues(grid)
    drawn = draw_concentrations(rng, "low")
    maps = {name: concentration_map(tissues, drawn[name]) for name in METABOLITES if name in drawn}
    mris = {contrast: mri(tissues, grid, contrast, rng) for contrast in ("flair", "t1")}
    return Head(maps, mris, tissues.brain > 0.5, torch.from_numpy(grid.affine()))


def heads(context: Context, sources: Sequence[str] = SOURCES) -> Iterator[tuple[str, list[Head]]]:
    """Heads of each source; the glioma's MRIs are its own."""
    for source in sources:
        virtual = source == "virtual"
        anatomy = anatomies.mni152() if virtual else load_anatomy(source, context.data)
        count = 1 if context.quick else 3 if virtual else 2
        own = [head(anatomy, context.seed + 10 * SOURCES.index(source) + n, deform=virtual) for n in range(count)]
        yield source, [replace(one, mris=_measured(context.data)) for one in own] if source == "glioma" else own


@functools.cache
def _measured(data: Path) -> dict[str, Tensor]:
    """The glioma patient's measured FLAIR and T1 on the grid of the heads."""
    anatomy = load_anatomy("glioma", data)
    affine = torch.linalg.inv(torch.cat([anatomy.world_to_voxel.double(), torch.tensor([[0, 0, 0, 1.0]])]))
    grid = torch.from_numpy(Grid(SHAPE, (SPACING,) * 3).affine())
    out = {}
    for contrast, part in (("flair", "fla"), ("t1", "t1")):
        values, _ = read_map(data / "glioma_tcga_lgg" / "TCGA-DU-7294" / f"TCGA-DU-7294_{part}_bet.nii.gz")
        image = MetaTensor(torch.from_numpy(values)[None].float(), affine=affine)
        out[contrast] = image_on_grid(image, SHAPE, grid, points=(2, 2, 2))[0]
    return out


def coarse_map(
    subject: Head,
    rng: np.random.Generator,
    *,
    slices: tuple[int, int],
    matrix: tuple[int, int],
    noise: Sequence[float] = (0.01, 0.02, 0.05, 0.1),
) -> MetaTensor:
    """Measure one map of a head: (1, N, N, Z) with its affine.

    Matrix, field of view, thickness, height, tilt, point spread function and noise are drawn. In half of the maps the
    tissue next to the skull is lost, in half there is noise around the head.

    Args:
        subject: the head.
        rng: random generator.
        slices: smallest and largest number of slices.
        matrix: smallest and largest matrix.
        noise: standard deviations to choose from, as shares of the maximum.
    """
    count, size = int(rng.integers(slices[0], slices[1] + 1)), 2 * int(rng.integers(matrix[0] // 2, matrix[1] // 2 + 1))
    side, thick = rng.uniform(190, 240) / size, rng.uniform(5, 12)
    thick = min(thick, 130 / count)
    affine = torch.diag(torch.tensor([side, side, thick, 1.0], dtype=torch.float64))
    affine[:2, 3] = -(size - 1) / 2 * side
    spare = max(0.0, 100 - count * thick) / 2
    affine[2, 3] = 15 + rng.uniform(-spare, spare) - (count - 1) / 2 * thick
    affine = torch.from_numpy(turn(rng.normal(0, 5, 3))) @ affine
    name = str(rng.choice(list(subject.maps)))
    encoding = SpatialEncoding(str(rng.choice(PSFS)), 4)
    fine = affine @ subdivided(4)
    image = MetaTensor(subject.maps[name][None], affine=subject.affine)
    values = image_on_grid(image, (4 * size, 4 * size, count), fine, points=(1, 1, 3))[0]
    values = encoding.A(values.movedim(-1, 0)).movedim(0, -1)
    brain = (values > 0.2 * values.max()).numpy()
    if rng.random() < 0.5:
        values[torch.from_numpy(rim(brain, rng.uniform(0.05, 0.3), rng))] = 0
    drawn = rng.choice(noise) * float(values.max()) * torch.from_numpy(rng.standard_normal(values.shape))
    values = values + drawn.float() * (1 if rng.random() < 0.5 else values != 0)
    return MetaTensor(values[None].float(), affine=affine)


def turn(degrees: Any) -> np.ndarray:
    """Rotation (4, 4) by angles about the axes to the right, to the front and up, in this order."""
    out = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        one = np.eye(4)
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        out = one @ out
    return out


def tissue_of(maps: MetaTensor) -> Tensor:
    """The tissue (M, X, Y, Z) of coarse maps, as preprocessing finds it."""
    values = maps.as_tensor()
    scale = values.abs().amax((1, 2), keepdim=True)
    return tissue_mask(values / scale, background(values) / scale[:, 0, 0])


def scalp_left_on(context: Context, sources: Sequence[str] = SOURCES) -> None:
    """Slices and stacks of 1 to 6 slices, with an MRI that has its scalp on or is stripped."""
    for source, subjects in heads(context, sources):
        rng = np.random.default_rng([context.seed, SOURCES.index(source)])
        visible: dict[bool, list[float]] = {False: [], True: []}
        for subject in subjects:
            for name, image in subject.mris.items():
                spacing = (SPACING,) * 3
                brain = (image > 0.05).numpy() if source == "glioma" else subject.brain.numpy()
                shown = [torch.from_numpy(with_scalp(image.numpy(), brain, spacing, rng)) for _ in range(2)]
                for n in range(2 if context.quick else -(-INSTANCES // (2 * len(subjects)))):
                    maps = coarse_map(subject, rng, slices=(1, 6), matrix=(16, 40))
                    for scalp, values in ((True, shown[n % 2]), (False, subject.mris[name])):
                        placed = MetaTensor(values[None], affine=subject.affine)
                        share = scalp_share(placed, tissue_of(maps)[0], maps.affine)
                        visible[scalp].append(100.0 * (share >= RING))
        context.add(source, SCALP, STRIPPED, SAID, visible[False][:INSTANCES])
        context.add(source, SCALP, ON, SAID, visible[True][:INSTANCES])


def misplaced(context: Context, sources: Sequence[str] = SOURCES) -> None:
    """Volumes of 4 to 20 slices, with an MRI in place, shifted or turned about one axis by 10 to 20 mm or degrees."""
    for source, subjects in heads(context, sources):
        rng = np.random.default_rng([context.seed, 100 + SOURCES.index(source)])
        visible: dict[str, list[float]] = {}
        for n in range(4 if context.quick else INSTANCES):
            for kind in (IN_PLACE, *WAYS):
                if kind != IN_PLACE and n % len(WAYS) != WAYS.index(kind):
                    continue
                subject = subjects[n % len(subjects)]
                maps = coarse_map(subject, rng, slices=(4, 20), matrix=(16, 40))
                image = subject.mris[str(rng.choice(["flair", "t1"]))]
                move = np.zeros(6)
                if kind != IN_PLACE:
                    move[WAYS.index(kind)] = rng.choice([-1, 1]) * rng.uniform(10, 20)
                affine = torch.from_numpy(placement(move)) @ subject.affine
                found = move_needed(
                    maps.as_tensor(), tissue_of(maps), MetaTensor(image[None], affine=affine), maps.affine
                )
                visible.setdefault(kind, []).append(100.0 * any(found))
        for kind in (IN_PLACE, *WAYS):
            context.add(source, MISPLACED, kind, SAID, visible.get(kind, []))
        context.add(source, MISPLACED, ANY, SAID, [v for kind in WAYS for v in visible.get(kind, [])])


def placement(move: Any) -> np.ndarray:
    """Affine (4, 4) of a shift (mm to the right, to the front, up) and turns about the same axes (degrees)."""
    out = turn(move[3:])
    out[:3, 3] = move[:3]
    return out


PARTS = {"scalp": scalp_left_on, "misplaced": misplaced}

TABLES = [
    Table("An MRI with the scalp on: share of files that are told so, %", SCALP, {SAID: "%.0f"},
          f"{INSTANCES} files a source and line: 1 to 6 slices, matrix 16 to 40, noise .01 to .1."),
    Table("An MRI that lies elsewhere, in a volume: share of files that are told so, %", MISPLACED, {SAID: "%.0f"},
          f"{INSTANCES} files a source in place and {INSTANCES} moved by 10 to 20 mm or degrees: 4 to 20 slices."),
]  # fmt: skip
