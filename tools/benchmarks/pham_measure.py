"""The measure of Pham 2025: MSE and SSIM of whole maps that lost voxels by Algorithm 1, as printed and as asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from benchmark import Context
from benchmarks import measured_sessions
from benchmarks.super_resolution import load_anatomy
from mrsi_inpainting import predict
from mrsi_inpainting.reference_pham import PhamInpainter
from mrsikit.metrics.image_quality import mse, ssim
from mrsikit.phantoms import anatomy as anatomies
from mrsikit.phantoms.algorithm1 import algorithm1
from mrsikit.phantoms.metabolites import TUMOUR_WEIGHTS, weighted_map
from mrsikit.phantoms.subject import Grid, VirtualSubject
from mrsikit.restoration.brain_mask import zero_rule
from mrsikit.restoration.inpainting import FILLS
from mrsikit.runtime.bundles import bundle_root
from result_tables import Table

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

TRAINING, TEST = "training patients", "test patients"
FIRST_SEED = {TRAINING: 20251121, TEST: 20251121 + 2_000_000}
"""Seeds of the virtual patients: those of train_pham.json, and others that no training draws."""

SETS = (TRAINING, TEST, "BrainWeb 2", "BrainWeb 5", "glioma")
MATRIX, SPACING = 64, 220.0 / 64
PATIENTS, VOLUMES, SLICES = 15, 4, 4
"""Virtual patients of each set; volumes of each set in 3D; slices of each volume in 2D."""

COUNTS = {"writes": "as printed", "unique": "each voxel counted once"}
ASKED = {2: 0.2, 3: 0.15}
FURTHER = (0.05, 0.1, 0.15)
"""Further shares in 2D, of which the paper's U-Nets and interpolation are asked."""

MEASURED_SHARE = 0.15
MSE, SSIM, MISSING_MSE = "whole-image MSE", "whole-image SSIM", "MSE of the missing voxels"
REMOVED = "share of the brain removed, %"
FREE, GIVEN, NOTHING = "this bundle, mask-free", "this bundle, mask given", "doing nothing"
MEASURED = "really measured, Algorithm 1 at 15 %, as printed"


def condition(dims: int, count: str, asked: float | None = None) -> str:
    """Name the cases of a number of dimensions, a way to count the removed voxels, and the share asked for."""
    share = 100 * (ASKED[dims] if asked is None else asked)
    return f"{dims}D {'64x64' if dims == 2 else '64^3'}, Algorithm 1 at {share:.0f} %, {COUNTS[count]}"


@dataclass(frozen=True)
class Spoilt:
    """A complete map (X, Y[, Z]) of maximum 1 at most, which voxels were removed, and where an error counts."""

    clean: Array
    missing: Mask
    where: Mask

    @property
    def values(self) -> Array:
        """The map with zeros where voxels are missing."""
        return np.where(self.missing, 0, self.clean).astype(np.float32)

    @property
    def brain(self) -> Mask | None:
        """Where a measured map has values, whose own failed voxels are no data; None for a complete map."""
        return None if self.where.all() else self.where


def volumes(set_: str, data: Path, seed: int, count: int) -> list[Array]:
    """Make maps of 64^3 by Eq. 1, with the whole tumour mask, divided by their maximum."""
    rng = np.random.default_rng([seed, 5, *set_.encode()])
    grid = Grid((MATRIX,) * 3, (SPACING,) * 3, subsamples=(1, 1, 2))
    anatomy = anatomies.mni152() if set_ in FIRST_SEED else load_anatomy(set_, data)
    out = []
    for k in range(count):
        if set_ in FIRST_SEED:
            subject = VirtualSubject(FIRST_SEED[set_] + k, anatomy=anatomy)
        else:
            tumours = 0 if anatomy.tumour is not None else 1
            subject = VirtualSubject(int(rng.integers(2**31)), anatomy=anatomy, tumours=tumours, deform=False)
        out.append(weighted_map(subject.tissues(grid), float(rng.choice(TUMOUR_WEIGHTS)), mask="whole").numpy())
    return out


def spoilt_volumes(maps: Sequence[Array], asked: float, count: str, rng: np.random.Generator) -> list[Spoilt]:
    """Remove a share of the voxels by Algorithm 1."""
    lost = [algorithm1(clean > 0, asked, rng, count=count) for clean in maps]
    return [Spoilt(c, m, np.ones(c.shape, bool)) for c, m in zip(maps, lost, strict=True)]


def slices_of(case: Spoilt) -> list[Spoilt]:
    """Cut axial slices with more than 5 % brain out of a spoilt volume, evenly over the brain."""
    usable = np.flatnonzero((case.clean > 0).mean((0, 1)) > 0.05)
    chosen = usable[np.linspace(0, len(usable) - 1, SLICES + 2).astype(int)[1:-1]]
    return [Spoilt(case.clean[..., k], case.missing[..., k], case.where[..., k]) for k in chosen]


def networks(dims: int) -> dict[str, PhamInpainter]:
    """Load the U-Nets whose weights are there; those of 3D are not shipped."""
    out = {}
    for training in ("progressive", "direct"):
        path = bundle_root("mrsi_inpainting") / "models" / f"model_paper_{training}{'_3d' if dims == 3 else ''}.pt"
        if path.is_file():
            network = PhamInpainter(volumetric=dims == 3)
            network.load_state_dict(torch.load(path, weights_only=True))
            out[f"U-Net, {training}"] = network.eval()
    return out


@torch.no_grad()
def by_network(network: PhamInpainter, cases: Sequence[Spoilt]) -> list[Array]:
    """Run the U-Net as ``--method pham`` does."""
    maps = [torch.from_numpy(case.values)[None, None].expand(-1, 3, *[-1] * case.clean.ndim) for case in cases]
    return [network(x)[0, 0].numpy() for x in maps]


def peers(cases: Sequence[Spoilt]) -> dict[str, list[Array]]:
    """Fill by the U-Nets and by interpolation, with the true mask, or of every zero in the outline."""
    found = {name: by_network(network, cases) for name, network in networks(cases[0].clean.ndim).items()}
    for name in ("cubic", "linear"):
        found[f"{name}, every zero in the outline"] = [FILLS[name](c.values, zero_rule(c.values)) for c in cases]
        found[f"{name}, mask given"] = [FILLS[name](c.values, c.missing, brain=c.brain) for c in cases]
    found[NOTHING] = [c.values for c in cases]
    return found


def all_methods(cases: Sequence[Spoilt]) -> dict[str, list[Array]]:
    """Fill the same cases by every method."""
    found = peers(cases)
    found[FREE] = [predict(c.values).inpainted for c in cases]
    found[GIVEN] = [predict(c.values, missing=c.missing, brain=c.brain).inpainted for c in cases]
    return found


def record(context: Context, set_: str, named: str, cases: Sequence[Spoilt], found: dict[str, list[Array]]) -> None:
    """Add the rows of every method."""
    for method, maps in found.items():
        figures: dict[str, list[float]] = {MSE: [], SSIM: [], MISSING_MSE: []}
        for case, values in zip(cases, maps, strict=True):
            pred, truth, where = (torch.from_numpy(a)[None, None] for a in (values, case.clean, case.where))
            mask = None if case.brain is None else where
            figures[MSE].append(float(mse(pred, truth, mask)))
            figures[SSIM].append(float(ssim(pred, truth, mask, data_range=1.0)))
            figures[MISSING_MSE].append(float(np.mean((values - case.clean)[case.missing] ** 2)))
        for metric, per_case in figures.items():
            context.add(set_, named, method, metric, per_case)
    removed = [100 * float(c.missing.sum() / ((c.clean > 0) & c.where).sum()) for c in cases]
    context.add(set_, named, "Algorithm 1", REMOVED, removed)


def measure_as_pham(context: Context) -> None:
    """Rows of the measure on virtual patients, other brains and a really measured session, and its figure."""
    patients, solid, sets = (2, 1, SETS[1:3]) if context.quick else (PATIENTS, VOLUMES, SETS)
    for set_ in tqdm(sets, desc="Algorithm 1", unit="set"):
        maps = volumes(set_, context.data, context.seed, patients if set_ in FIRST_SEED else solid)
        for count in COUNTS:
            rng = np.random.default_rng([context.seed, 6, *set_.encode()])
            planar = [cut for case in spoilt_volumes(maps, ASKED[2], count, rng) for cut in slices_of(case)]
            record(context, set_, condition(2, count), planar, all_methods(planar))
            cases = spoilt_volumes(maps[:solid], ASKED[3], count, rng)
            found = all_methods(cases)
            record(context, set_, condition(3, count), cases, found)
            if set_ == SHOWN and count == "writes":
                draw_planes(cases[0], found, context.figures / "planes.png")
        for asked in FURTHER:
            rng = np.random.default_rng([context.seed, 8, *set_.encode()])
            planar = [cut for case in spoilt_volumes(maps, asked, "writes", rng) for cut in slices_of(case)]
            record(context, set_, condition(2, "writes", asked), planar, peers(planar))
    _measured(context)


def _measured(context: Context) -> None:
    """Slices of the maps of a session, scaled to 1, of which Algorithm 1 removes well-fitted voxels."""
    session = measured_sessions.load_session(context.data / measured_sessions.FOLDER, measured_sessions.REPORTED)
    for name in ("NAA", "Cho"):
        rng = np.random.default_rng([context.seed, 7, *name.encode()])
        cases = []
        for k in range(session.good[name].shape[-1]):
            good = session.good[name][..., k]
            if good.sum() >= measured_sessions.FEWEST:
                values = np.where(good, session.values[name][..., k], 0)
                clean = (values / values.max()).astype(np.float32)
                cases.append(Spoilt(clean, algorithm1(good, MEASURED_SHARE, rng, count="writes"), good))
        found = all_methods(cases)
        record(context, f"{measured_sessions.REPORTED}, {name}", MEASURED, cases, found)


SHOWN = "BrainWeb 2"
"""Set of the volume in the figure."""


def draw_planes(case: Spoilt, found: dict[str, list[Array]], path: Path) -> None:
    """Draw coronal, sagittal and axial planes through the tumour's brightest voxel: input, predictions, truth."""
    shown = {"input": case.values, FREE: found[FREE][0]}
    shown |= {name: maps[0] for name, maps in found.items() if name.startswith("U-Net")}
    shown["truth"] = case.clean
    x, y, z = np.unravel_index(int(case.clean.argmax()), case.clean.shape)
    figure = Figure(figsize=(7.5, 2.4 * len(shown)))
    axes: Any = figure.subplots(len(shown), 3, squeeze=False)
    for line, (name, volume) in zip(axes, shown.items(), strict=True):
        planes = {"coronal": volume[:, y], "sagittal": volume[x], "axial": volume[..., z]}
        for axis, (plane, values) in zip(line, planes.items(), strict=True):
            axis.imshow(values.T, origin="lower", vmin=0, vmax=float(np.percentile(case.clean, 99.9)), cmap="inferno")
            axis.set_title(plane if name == "input" else "", fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(name, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


PARTS = {"Algorithm 1": measure_as_pham}
SHOWN_METRICS = {MSE: "%.4f", SSIM: "%.3f", MISSING_MSE: "%.4f", REMOVED: "%.1f"}
TABLES = [
    *(Table(f"The paper's own measure: {condition(dims, count)}", condition(dims, count), SHOWN_METRICS,
            "Whole maps, scaled to a maximum of 1. Training patients: virtual patients of the training's seeds. Test "
            "patients: of other seeds. The U-Net's weights were trained for a small share of the printed schedule. "
            "Interpolation fills every zero in the map's outline, ventricles too, or only the true mask."
            + (" The slices are cut from spoilt volumes." if dims == 2 else ""))
      for dims in ASKED for count in COUNTS),
    *(Table(f"The paper's own measure: {condition(2, 'writes', asked)}", condition(2, "writes", asked), SHOWN_METRICS)
      for asked in FURTHER),
    Table("The paper's own measure on really measured maps: Algorithm 1 at 15 %, as printed", MEASURED, SHOWN_METRICS,
          "Slices of a healthy person's 3 T session, scaled to a maximum of 1. Errors count in well-fitted voxels."),
]  # fmt: skip
