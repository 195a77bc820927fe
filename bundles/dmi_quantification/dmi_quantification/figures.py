"""The figure of one input in the report: maps with their standard deviations, and spectra with fit and residual."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mrsikit import spectra
from mrsikit.io import Fids, InputFolder, read_fids, stem_of
from mrsikit.nuclei import NUCLEI
from mrsikit.report.figures import radiological

SPECTRA = 3


def draw_fids(inputs: InputFolder, path: Path, *, metabolites: Sequence[str]) -> bytes:
    """Draw the results of one NIfTI-MRS file from its outputs.

    The middle one of the slices with fitted voxels is shown, at the first time point. Spectra are those of the voxels
    whose reference amplitude is the largest, the median and the smallest of the good ones.

    Args:
        inputs: of the run.
        path: the input.
        metabolites: the first is the reference.

    Returns:
        The picture, PNG.
    """
    fids = read_fids(path)
    stem = stem_of(path)

    def read(name: str) -> NDArray[np.float64]:
        image = nib.load(inputs.output_path(stem, name))
        values = np.asarray(image.dataobj, np.float64)  # type: ignore[attr-defined]
        return values.reshape(*fids.values.shape[:3], -1)

    quality = read("quality")
    filled = np.flatnonzero((quality[..., 0] > 0).any((0, 1)))
    level = int(filled[len(filled) // 2]) if len(filled) else 0
    slices, points = fids.values.shape[2], quality.shape[3]
    place = f", slice {level + 1} of {slices}" if slices > 1 else ""
    place += f", time point 1 of {points}" if points > 1 else ""
    is_map = min(fids.values.shape[:2]) > 1
    others = list(metabolites[1:])
    columns = [f"{metabolites[0]}_amplitude", *others]
    rows = 2 if is_map else 0
    figure = Figure(figsize=(3.1 * len(columns), 2.7 * rows + 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows + 1, 12)
    width = 12 // len(columns)
    for j, name in enumerate(columns if is_map else []):
        for i, ending in enumerate(("", "_sd")):
            axis = figure.add_subplot(grid[i, j * width : (j + 1) * width])
            title = name.replace("_", " ") + place if i == 0 else f"standard deviation of {name.replace('_', ' ')}"
            _map(axis, read(name + ending)[:, :, level, 0], quality[:, :, level, 0], fids.affine, title, figure)
    chosen = _voxels(read(f"{metabolites[0]}_amplitude")[..., 0], quality[..., 0])
    fit_path = inputs.output_path(stem, "fit")
    fit = read_fids(fit_path) if fit_path.exists() else None
    for n, voxel in enumerate(chosen):
        share = 12 // len(chosen)
        _spectrum(figure.add_subplot(grid[rows, n * share : (n + 1) * share]), fids, fit, voxel)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _map(
    axis: Axes,
    values: NDArray[np.float64],
    quality: NDArray[np.float64],
    affine: NDArray[np.float64],
    title: str,
    figure: Figure,
) -> None:
    good = values[quality == 1] if (quality == 1).any() else values[quality > 0]
    top = float(np.percentile(good, 99.5)) if good.size else 1.0
    shown, spacing, _ = radiological(np.where(quality > 0, values, np.nan), affine)
    axis.set_facecolor("black")
    picture = axis.imshow(
        np.ma.masked_invalid(shown),
        cmap="viridis" if "deviation" in title else "inferno",
        vmin=0,
        vmax=top if top > 0 else 1.0,
        interpolation="nearest",
        aspect=spacing[0] / spacing[1],
    )
    axis.set_title(title, fontsize=8)
    axis.set_xticks([])
    axis.set_yticks([])
    figure.colorbar(picture, ax=axis, fraction=0.046).ax.tick_params(labelsize=7)


def _voxels(reference: NDArray[np.float64], quality: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """Voxels of the largest, the median and the smallest reference amplitude among the good, or else the fitted."""
    found = np.argwhere(quality == 1)
    if not len(found):
        found = np.argwhere(quality > 0)
    if not len(found):
        return []
    order = found[np.argsort(reference[tuple(found.T)])]
    picks = dict.fromkeys((len(order) - 1, len(order) // 2, 0))
    return [tuple(int(v) for v in order[k]) for k in picks][:SPECTRA]


def _spectrum(axis: Axes, fids: Fids, fit: Fids | None, voxel: tuple[int, ...]) -> None:
    nucleus = NUCLEI[fids.nucleus]
    reference = nucleus.reference if fids.reference is None else fids.reference
    measured = torch.from_numpy(fids.values[voxel].reshape(fids.values.shape[3], -1)[:, 0])
    points = spectra.acquired_points(measured)
    filled = 8 * points  # smooth lines: at 3 T a line is only a few points wide
    ppm = spectra.ppm_axis(filled, fids.dwell, larmor=fids.larmor, reference=reference).numpy()
    lines = {"measured": (measured[:points], "0.45", 0.0)}
    turn = 1.0 + 0.0j
    if fit is not None:
        model = torch.from_numpy(fit.values[voxel].reshape(fit.values.shape[3], -1)[:, 0])[:points]
        # the fit knows the phase: at the first sample its lines are nearly in it
        turn = complex(torch.polar(torch.tensor(1.0), -torch.angle(model[0])))
        step = 1.15 * float(spectra.spectrum(model * turn, points=filled).abs().max())
        lines |= {"fit": (model, "#c1272d", 0.0), "residual": (measured[:points] - model, "0.2", -0.35 * step)}
    shown = (ppm >= nucleus.shown[0]) & (ppm <= nucleus.shown[1])
    for name, (values, colour, offset) in lines.items():
        heights = spectra.spectrum(values * turn, points=filled).real.numpy()
        axis.plot(ppm[shown], heights[shown] + offset, color=colour, linewidth=0.9, label=name)
    axis.set_xlim(nucleus.shown[1], nucleus.shown[0])
    axis.set_yticks([])
    axis.set_xlabel("ppm", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.set_title(f"voxel {tuple(n + 1 for n in voxel)}", fontsize=8)
    axis.legend(fontsize=6, frameon=False)
