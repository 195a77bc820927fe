"""The figure of one input in the report: maps with their standard deviations, time courses, spectra with their fit."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mrsikit.io import Fids, read_fids, stem_of
from mrsikit.physics import spectra
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.runtime import InputFolder
from mrsikit.runtime.inputs import read_record
from mrsikit.runtime.report.figures import radiological, write_directions

SPECTRA, SLICES = 3, 3
COLOURS = ("#1f77b4", "#d98200", "#2a9d4a")
"""Of the voxels whose spectra are shown, in their time courses too."""

Read = Callable[[str], NDArray[np.float64]]


def draw_fids(inputs: InputFolder, path: Path) -> bytes:
    """Draw the results of one NIfTI-MRS file from its outputs and their record.

    Of a volume at most three slices with fitted voxels are shown, of a time series the last point that was fitted (an
    infusion begins without metabolites) and the course of each amplitude. Where an MRI was used, what its prior does to
    the middle slice is shown too, in the range of the map. Spectra are those of the voxels whose reference amplitude is
    the largest, the median and the smallest of the good ones. Crosses mark doubtful voxels, grey those not fitted.

    Args:
        inputs: of the run.
        path: the input.

    Returns:
        The picture, PNG.
    """
    fids = read_fids(path)
    stem = stem_of(path)
    grid = fids.values.shape[:3]

    @functools.cache
    def read(name: str) -> NDArray[np.float64]:
        image = nib.load(inputs.output_path(stem, name))
        return np.asarray(image.dataobj, np.float64).reshape(*grid, -1)  # type: ignore[attr-defined]

    quality = read("quality")
    points = quality.shape[3]
    when = int(np.flatnonzero((quality > 0).any((0, 1, 2)))[-1]) if (quality > 0).any() else points - 1
    shown = quality[..., when]
    record = read_record(inputs.record_path(stem))
    metabolites = record["parameters"]["metabolites"]  # of the run that made the outputs
    columns = [f"{metabolites[0]}_amplitude", *metabolites[1:]]
    in_mm = record.get("parameters", {}).get("water_mM") is not None
    units = ["signal units", *["mM" if in_mm else f"ratio to {metabolites[0]}"] * (len(columns) - 1)]
    delay = float(record.get("summary", {}).get("delay (ms)", 0.0)) / 1000
    filled = np.flatnonzero((shown > 0).any((0, 1)))
    places = np.linspace(0, len(filled) - 1, SLICES + 2)[1:-1].round().astype(int)
    levels = np.unique(filled[places]).tolist() if len(filled) else []
    panels = []
    if min(grid[:2]) > 1:
        panels = [(level, ending) for level in levels for ending in ("", "_sd")]
        biased = inputs.output_path(stem, f"{columns[0]}_bias").exists()
        panels += [(levels[len(levels) // 2], "_bias")] if biased and levels else []
    chosen = _voxels(read(f"{metabolites[0]}_amplitude")[..., when], shown)
    courses = points > 1 and bool(chosen)
    heights = [2.8] * len(panels) + [2.4] * courses + [3.0]
    figure = Figure(figsize=(max(9.0, 3.1 * len(columns)), sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    layout = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    rows = [layout[i].subgridspec(1, len(columns)) for i in range(len(heights) - 1)]
    for i, (level, ending) in enumerate(panels):
        place = [f"slice {level + 1} of {grid[2]}"] if grid[2] > 1 else []
        place += [f"time point {when + 1} of {points}"] if points > 1 else []
        for j, name in enumerate(columns):
            axis = figure.add_subplot(rows[i][j])
            values = read(name + ending)[:, :, level, when]
            top = _top(read(name + ("" if ending == "_bias" else ending))[..., when], shown)
            directions = _map(axis, values, shown[:, :, level], fids.affine, ending, top, units[j], figure)
            axis.set_title("\n".join([TITLES[ending].format(name.replace("_", " ")), ", ".join(place)]), fontsize=8)
            if i == j == 0 and fids.codes != (0, 0):
                write_directions(axis, directions)
    for j, name in enumerate(metabolites if courses else []):
        _course(figure.add_subplot(rows[-1][j]), read, name, chosen, quality)
    fit_path = inputs.output_path(stem, "fit")
    fit = read_fids(fit_path) if fit_path.exists() else None
    row = layout[len(heights) - 1].subgridspec(1, max(1, len(chosen)))
    for n, voxel in enumerate(chosen):
        axis = figure.add_subplot(row[n])
        _spectrum(axis, fids, fit, (*voxel, when), metabolites, float(read("shift")[(*voxel, when)]), delay)
        axis.set_title(f"voxel {tuple(v + 1 for v in voxel)}", fontsize=8, color=COLOURS[n])
    if not chosen:
        axis = figure.add_subplot(row[0])
        axis.text(0.5, 0.5, "nothing was fitted", ha="center", va="center")
        axis.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


TITLES = {"": "{}", "_sd": "SD of {}", "_bias": "the prior's effect on {}"}
COLOUR_MAPS = {"": "inferno", "_sd": "viridis", "_bias": "RdBu_r"}


def _top(values: NDArray[np.float64], quality: NDArray[np.float64]) -> float:
    """Upper end of the colours of all slices: most of the good voxels lie below."""
    good = values[quality == 1] if (quality == 1).any() else values[quality > 0]
    top = float(np.nanpercentile(good, 99.5)) if np.isfinite(good).any() else 1.0
    return top if top > 0 else 1.0


def _map(
    axis: Axes,
    values: NDArray[np.float64],
    quality: NDArray[np.float64],
    affine: NDArray[np.float64],
    ending: str,
    top: float,
    unit: str,
    figure: Figure,
) -> tuple[str, str, str, str]:
    """Draw one slice; returns the directions of its edges."""
    shown, spacing, directions = radiological(np.where(quality > 0, values, np.nan), affine)
    axis.set_facecolor("0.6")  # not fitted; black is zero, or noise below it
    picture = axis.imshow(
        np.ma.masked_invalid(shown),
        cmap=COLOUR_MAPS[ending],
        vmin=-top if ending == "_bias" else 0,
        vmax=top,
        interpolation="nearest",
        aspect=spacing[0] / spacing[1],
    )
    doubtful = np.argwhere(radiological(quality == 2, affine)[0])
    axis.plot(doubtful[:, 1], doubtful[:, 0], "x", color="white", markersize=3, markeredgewidth=0.5)
    axis.set(xticks=[], yticks=[])
    bar = figure.colorbar(picture, ax=axis, fraction=0.046)
    bar.set_label(unit, fontsize=7)
    bar.ax.tick_params(labelsize=7)
    return directions


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


def _course(axis: Axes, read: Read, name: str, voxels: Sequence[tuple[int, ...]], quality: NDArray[np.float64]) -> None:
    """Amplitude of one metabolite over the time points: the mean of the good voxels, and those of the spectra."""
    amplitude, deviation = read(f"{name}_amplitude"), read(f"{name}_amplitude_sd")
    amplitude = np.where(quality > 0, amplitude, np.nan)
    at = np.arange(1, amplitude.shape[3] + 1)
    for n, voxel in enumerate(voxels):
        axis.errorbar(at, amplitude[voxel], deviation[voxel], color=COLOURS[n], linewidth=0.9, capsize=2)
    good = np.where(quality == 1, amplitude, np.nan).reshape(-1, len(at))
    count = np.isfinite(good).sum(0)
    if count.max() > len(voxels):
        mean = np.nansum(good, 0) / np.where(count, count, np.nan)
        axis.plot(at, mean, color="black", linewidth=2, label="mean of the good voxels")
        axis.legend(fontsize=6, frameon=False)
    axis.set_title(f"{name} amplitude, signal units", fontsize=8)
    axis.set_xlabel("time point (bars: standard deviation)", fontsize=7)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.tick_params(labelsize=7)
    axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))


def _spectrum(
    axis: Axes,
    fids: Fids,
    fit: Fids | None,
    place: tuple[int, ...],
    metabolites: Sequence[str],
    shift: float,
    delay: float,
) -> None:
    """Spectrum, fit and residual of a voxel (x, y, z, time point); ``shift`` (Hz) is where its lines lie.

    The phase that lines take up during the delay (s) is undone.
    """
    voxel, when = place[:3], place[3]
    nucleus = NUCLEI[fids.nucleus]
    reference = nucleus.reference if fids.reference is None else fids.reference
    measured = torch.from_numpy(fids.values[voxel].reshape(fids.values.shape[3], -1)[:, when])
    points = spectra.acquired_points(measured)
    filled = 8 * points  # smooth lines: at 3 T a line is only a few points wide
    ppm = spectra.ppm_axis(filled, fids.dwell, larmor=fids.larmor, reference=reference).numpy()
    lines = {"measured": (measured[:points], "0.45", 0.0)}
    turn = torch.polar(
        torch.ones(filled), torch.from_numpy(2 * np.pi * (ppm - reference) * fids.larmor * delay).float()
    )
    if fit is not None:
        model = torch.from_numpy(fit.values[voxel].reshape(fit.values.shape[3], -1)[:, when])[:points]
        # the fit knows the phase: that of its tallest line
        turned = spectra.spectrum(model, points=filled) * turn
        turn = turn * torch.polar(torch.tensor(1.0), -torch.angle(turned[turned.abs().argmax()]))
        step = 1.15 * float(turned.abs().max())
        lines |= {"fit": (model, "#c1272d", 0.0), "residual": (measured[:points] - model, "0.2", -0.35 * step)}
    shown = (ppm >= nucleus.shown[0]) & (ppm <= nucleus.shown[1])
    for name, (values, colour, offset) in lines.items():
        heights = (spectra.spectrum(values, points=filled) * turn).real.numpy()
        axis.plot(ppm[shown], heights[shown] + offset, color=colour, linewidth=0.9, label=name)
    axis.margins(y=0.12)
    for name in metabolites:
        at = nucleus.resonances[name].ppm + shift / fids.larmor
        axis.axvline(at, color="0.8", linewidth=0.7, zorder=0)
        axis.text(at, 0.99, name, transform=axis.get_xaxis_transform(), fontsize=7, ha="center", va="top")
    axis.set_xlim(nucleus.shown[1], nucleus.shown[0])
    axis.set_yticks([])
    axis.set_xlabel("ppm", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=6, frameon=False, loc="upper right", bbox_to_anchor=(1, 0.93))
