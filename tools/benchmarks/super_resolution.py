"""What the benchmarks of the sharpening bundles share: heads, lesions, records and pictures."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from monai.data import MetaTensor
from scipy import ndimage
from torch import Tensor

from benchmark import Context
from mrsikit.io import read_map
from mrsikit.metrics.calibration import error_rank_correlation, interval_coverage
from mrsikit.metrics.image_quality import psnr, ssim
from mrsikit.phantoms import anatomy as anatomies
from mrsikit.phantoms.metabolites import RATIOS, concentration_map, draw_concentrations, ratio_map
from mrsikit.phantoms.mri import mri, scaled_to_brain
from mrsikit.phantoms.subject import Grid, Tissues, VirtualSubject
from mrsikit.restoration.resampling import image_on_grid

SETS = ("BrainWeb 2", "BrainWeb 5", "glioma")
"""Nothing was chosen on them: strengths of the baselines come from BrainWeb 1."""

SHAPES = ("crescent", "star", "cone", "squares")


@dataclass(frozen=True)
class Case:
    """One slice of a head, all (X, Y): the fine map, maximum 1; its MRIs, about 0 to 1; inside the skull; tissues."""

    fine: Tensor
    flair: Tensor
    t1: Tensor
    brain: Tensor
    tissues: Tissues
    grid: Grid


@functools.cache
def load_anatomy(name: str, data: Path) -> anatomies.Anatomy:
    """Anatomy of a set by its name."""
    if name == "glioma":
        folder = data / "glioma_tcga_lgg" / "TCGA-DU-7294"
        return anatomies.from_t1(folder / "TCGA-DU-7294_t1_bet.nii.gz", tumour=folder / "simple.nii.gz")
    return anatomies.from_brainweb(data / "brainweb" / f"brainweb_fuzzy_{name.split()[-1]}.mat")


def cases(
    anatomy: anatomies.Anatomy,
    count: int,
    rng: np.random.Generator,
    *,
    size: int,
    field_of_view: float,
    thickness: float,
) -> list[Case]:
    """Slices through tumours by the rule of the paper's cohort, metabolites and ratios in turn; sides in mm."""
    out = []
    names = ["NAA", "tCr", "tCho", *RATIOS]
    for k in range(count):
        own = anatomy.tumour is not None
        subject = VirtualSubject(int(rng.integers(2**31)), anatomy=anatomy, tumours=0 if own else 1, deform=False)
        height = float(rng.choice(tumour_heights(anatomy))) if own else float(rng.uniform(-10, 45))
        grade = str(rng.choice(["low", "high"]))
        if subject.tumours.tumours:
            tumour = subject.tumours.tumours[0]
            height, grade = float(tumour.centre[2] + tumour.radius * rng.uniform(-0.6, 0.6)), tumour.grade
        spacing = field_of_view / size
        grid = Grid((size, size), (spacing, spacing), (0.0, 0.0, height), thickness, (2, 2, 3))
        tissues = subject.tissues(grid)
        brain = tissues.brain > 0.5
        drawn = draw_concentrations(rng, grade)
        name = names[k % len(names)]
        if name in RATIOS:
            over, under = RATIOS[name]
            image = ratio_map(concentration_map(tissues, drawn[over]), concentration_map(tissues, drawn[under]))
        else:
            image = concentration_map(tissues, drawn[name])
        flair, t1 = (scaled_to_brain(mri(tissues, grid, contrast, rng), brain) for contrast in ("flair", "t1"))
        out.append(Case(image / image.max(), flair, t1, brain, tissues, grid))
    return out


def tumour_heights(anatomy: anatomies.Anatomy) -> np.ndarray:
    """Heights (mm) of the slices through an anatomy's own tumour."""
    assert anatomy.tumour is not None
    voxels = torch.nonzero(anatomy.tumour.sum((0, 1)) > 50).double()
    to_world = torch.linalg.inv(torch.cat([anatomy.world_to_voxel.double(), torch.tensor([[0, 0, 0, 1.0]])]))
    return (to_world[2, 2] * voxels[:, 0] + to_world[2, 3]).numpy()


def stacked(chosen: Sequence[Case], name: str) -> Tensor:
    """One image of every case, (N, X, Y)."""
    return torch.stack([getattr(case, name) for case in chosen])


def spline(coarse: Tensor, factor: int) -> Tensor:
    """Cubic spline interpolation, aligned to the centres of the coarse voxels."""
    zoomed = [ndimage.zoom(image.numpy(), factor, order=3, mode="nearest", grid_mode=True) for image in coarse]
    return torch.from_numpy(np.stack(zoomed))


def record(context: Context, set_: str, condition: str, method: str, pred: Tensor, chosen: Sequence[Case]) -> None:
    """PSNR, RMSE and SSIM of the whole slice and within the skull."""
    fine, brain = stacked(chosen, "fine")[:, None], stacked(chosen, "brain")[:, None]
    for suffix, mask in (("", None), (", brain", brain)):
        found = psnr(pred[:, None], fine, mask, data_range=1)
        context.add(set_, condition, method, f"PSNR{suffix}, dB", found.tolist())
        context.add(set_, condition, method, f"RMSE{suffix}", (10 ** (-found / 20)).tolist())
        context.add(set_, condition, method, f"SSIM{suffix}", ssim(pred[:, None], fine, mask, data_range=1).tolist())


def record_uncertainty(
    context: Context, set_: str, condition: str, method: str, pred: Tensor, sd: Tensor, chosen: Sequence[Case]
) -> None:
    """Share of the errors within the skull that the 90 % intervals hold, and how well the deviations rank them."""
    fine, brain = stacked(chosen, "fine"), stacked(chosen, "brain")
    errors, stated = (pred - fine)[brain].numpy(), sd[brain].numpy()
    owners = np.repeat(np.arange(len(fine)), brain.flatten(1).sum(1).numpy())
    context.add(set_, condition, method, "90 % intervals cover", [interval_coverage(errors, stated, owners)])
    context.add(set_, condition, method, "rank correlation of error", [error_rank_correlation(errors, stated)])


def moved(images: Tensor, voxels: float, angle: float = 0.0) -> Tensor:
    """Images (N, X, Y) shifted by ``voxels`` along the first axis and turned by ``angle`` degrees."""
    turned = ndimage.rotate(images.numpy(), angle, axes=(1, 2), reshape=False, order=1) if angle else images.numpy()
    return torch.from_numpy(ndimage.shift(turned, (0, voxels, 0), order=1)).float()


def lesion_of(kind: str, diameter: float, centre: np.ndarray, size: int) -> Tensor:
    """A lesion (X, Y), 0 to 1, of a shape and profile that no training saw, of the area of a disc of that diameter."""
    radius = diameter / 2
    low, high = 0.5 * radius, 2 * radius
    for _ in range(20):
        middle = (low + high) / 2
        smaller = float(_shape(kind, middle, centre, size).sum()) < np.pi * radius**2
        low, high = (middle, high) if smaller else (low, middle)
    return _shape(kind, high, centre, size)


def _shape(kind: str, radius: float, centre: np.ndarray, size: int) -> Tensor:
    x, y = (np.arange(size) - c for c in centre)
    x, y = np.meshgrid(x, y, indexing="ij")
    distance, angle = np.hypot(x, y), np.arctan2(y, x)
    if kind == "crescent":
        inside = (distance < 1.15 * radius) & (np.hypot(x - 0.8 * radius, y) > 0.8 * radius)
        return torch.from_numpy(inside.astype(np.float32))
    if kind == "star":
        return torch.from_numpy((distance < radius * (1 + 0.45 * np.cos(5 * angle))).astype(np.float32))
    if kind == "cone":
        return torch.from_numpy(np.clip(1.5 * (1 - distance / (1.4 * radius)), 0, 1).astype(np.float32))
    squares = (np.maximum(abs(x - 0.6 * radius), abs(y)) < 0.6 * radius) | (
        np.maximum(abs(x + 0.6 * radius), abs(y + 0.5 * radius)) < 0.5 * radius
    )
    return torch.from_numpy(squares.astype(np.float32))


def lesions_in(chosen: Sequence[Case], diameter: float, rng: np.random.Generator) -> Tensor:
    """A lesion in the healthy tissue of each case, (N, X, Y), shapes in turn; ``diameter`` in voxels."""
    lesions = []
    for k, case in enumerate(chosen):
        healthy = case.brain & (case.tissues.tumour < 0.05) & (case.tissues.gm + case.tissues.wm > 0.8)
        deep = ndimage.binary_erosion(case.brain.numpy(), iterations=int(diameter / 2) + 2)
        places = np.argwhere(healthy.numpy() & deep)
        middle = np.array(case.brain.shape) // 2
        centre = places[rng.integers(len(places))] if len(places) else middle
        # fluid has no lesion: one painted over a fissure would hide anatomy from the methods that see the MRI
        tissue = case.tissues.gm + case.tissues.wm + case.tissues.tumour
        lesions.append(lesion_of(SHAPES[k % len(SHAPES)], diameter, centre, len(case.brain)) * tissue)
    return torch.stack(lesions)


def own_flair(chosen: Sequence[Case], data: Path) -> Tensor:
    """The glioma patient's measured FLAIR on the cases' grids, (N, X, Y), about 0 to 1."""
    values, _ = read_map(data / "glioma_tcga_lgg" / "TCGA-DU-7294" / "TCGA-DU-7294_fla_bet.nii.gz")
    anatomy = load_anatomy("glioma", data)
    affine = torch.linalg.inv(torch.cat([anatomy.world_to_voxel.double(), torch.tensor([[0, 0, 0, 1.0]])]))
    image = MetaTensor(torch.from_numpy(values)[None], affine=affine)
    out = []
    for case in chosen:
        on_grid, _ = image_on_grid(image, (*case.grid.shape, 1), torch.from_numpy(case.grid.affine()), points=(2, 2, 5))
        out.append(scaled_to_brain(on_grid[..., 0] * case.brain, case.brain))
    return torch.stack(out)


def draw(rows: Sequence[Mapping[str, Any]], path: Path, *, each: bool = False) -> None:
    """Images in rows: names above the first one, or above ``each``; maps of a row share one window.

    Under an image whose name begins with "error" stand its MSE and RMSE.
    """
    figure = Figure(figsize=(2.3 * len(rows[0]), 2.5 * len(rows)))
    axes = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for k, (line, row) in enumerate(zip(axes, rows, strict=True)):
        top = max(float(np.percentile(v, 99.8)) for name, v in row.items() if not _is_other(name))
        for axis, (name, values) in zip(line, row.items(), strict=True):
            shown = np.asarray(values)
            own, colours = (float(shown.max()), "gray" if name == "MRI" else "viridis")
            high, colours = (own, colours) if _is_other(name) else (top, "inferno")
            if name.startswith("error"):
                axis.imshow(shown.T, origin="lower", vmin=-0.3 * top, vmax=0.3 * top, cmap="RdBu_r")
                squared = float(np.square(shown).mean())
                axis.set_xlabel(f"MSE {squared:.4f}, RMSE {squared**0.5:.4f}", fontsize=7)
            else:
                axis.imshow(shown.T, origin="lower", vmin=0, vmax=high, cmap=colours, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(name if each or k == 0 else "", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


def _is_other(name: str) -> bool:
    """Whether an image is none of the map itself."""
    return name.startswith(("MRI", "standard", "error", "SD"))
