"""Draw the figure of one input in the report: maps, time courses, and spectra with their fit."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dmi_quantification.fid_view import fid_view
from dmi_quantification.spectrum_panel import draw_spectrum
from mrsikit.io import Fids, read_fids
from mrsikit.runtime import InputFolder
from mrsikit.runtime.provenance import read_record
from mrsikit.runtime.report import Picture
from mrsikit.runtime.report.figures import radiological, write_directions

SPECTRA, SLICES = 3, 3
"""Largest numbers of spectra and of slices that are shown."""

COLOURS = ("#1f77b4", "#d98200", "#2a9d4a")
"""Colours of the voxels whose spectra are shown, in their time courses too."""

TITLES = {"": "{}", "_sd": "SD of {}", "_bias": "the prior's effect on {}"}
COLOUR_MAPS = {"": "inferno", "_sd": "viridis", "_bias": "RdBu_r"}

Read = Callable[[str], NDArray[np.float64]]
"""Read an output by its name: (X, Y, Z, D)."""


@dataclass(frozen=True, kw_only=True)
class _Results:
    """The results of one file.

    Attributes:
        fids: that were fitted.
        fit: the fitted FIDs, if they were written.
        read: reader of the maps.
        metabolites: names; the first is the reference.
        columns: names of the maps that are shown, one of each metabolite.
        units: of these maps.
        quality: (X, Y, Z, D).
        when: number of the time point that is shown.
        has_bias: whether a prior's bias was written.
        delay: acquisition delay (s).
    """

    fids: Fids
    fit: Fids | None
    read: Read
    metabolites: Sequence[str]
    columns: Sequence[str]
    units: Sequence[str]
    quality: NDArray[np.float64]
    when: int
    has_bias: bool
    delay: float

    @property
    def shown(self) -> NDArray[np.float64]:
        """Quality (X, Y, Z) at the time point that is shown."""
        return self.quality[..., self.when]


def draw_fids(inputs: InputFolder, path: Path) -> Picture:
    """Draw the results of one NIfTI-MRS file from its outputs and their record.

    The rows of the figure are

    - maps and their standard deviations, of at most three slices that hold fitted voxels; of a time series the last
      point that was fitted, because an infusion begins without metabolites;
    - where an MRI was used, the prior's effect on the middle slice, in the colour range of the map;
    - of a time series, the course of each amplitude;
    - spectra of the good voxels with the largest, the median and the smallest reference amplitude.

    Crosses mark doubtful voxels. Voxels that were not fitted are grey.

    Args:
        inputs: of the run.
        path: the input.

    Returns:
        The picture.
    """
    results = _results(inputs, path)
    metabolites = results.metabolites
    panels = _panels(results)
    chosen = _voxels(results.read(f"{metabolites[0]}_amplitude")[..., results.when], results.shown)
    courses = results.quality.shape[3] > 1 and bool(chosen)
    heights = [3.7] * len(panels) + [2.6] * courses + [3.2]
    width, height = max(9.0, 4.2 * len(results.columns)), sum(heights)
    figure = Figure(figsize=(width, height))  # places are fixed, because a constrained layout costs more than the rest
    FigureCanvasAgg(figure)
    layout = figure.add_gridspec(
        len(heights), 1, height_ratios=heights, hspace=0.22, left=0.5 / width, right=1 - 0.6 / width,
        bottom=0.5 / height, top=1 - 0.4 / height,
    )  # fmt: skip
    rows = [layout[i].subgridspec(1, len(results.columns), wspace=0.22) for i in range(len(heights) - 1)]
    for i, (level, ending) in enumerate(panels):
        _draw_maps(figure, rows[i], results, level, ending, first=i == 0)
    for j, name in enumerate(metabolites if courses else []):
        _course(figure.add_subplot(rows[-1][j]), results.read, name, chosen, results.quality)
    _draw_spectra(figure, layout[len(heights) - 1].subgridspec(1, max(1, len(chosen))), results, chosen)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    view = fid_view(
        results.fids, results.fit, results.read, columns=results.columns, units=results.units, quality=results.shown,
        when=results.when, delay=results.delay, oriented=results.fids.codes != (0, 0),
    )  # fmt: skip
    return Picture(png=buffer.getvalue(), view=view)


def _results(inputs: InputFolder, path: Path) -> _Results:
    """Open the outputs of one file."""
    fids = read_fids(path)
    own = inputs.name_of(path)
    grid = fids.values.shape[:3]

    @functools.cache
    def read(name: str) -> NDArray[np.float64]:
        image = nib.load(inputs.output_path(own, name))
        return np.asarray(image.dataobj, np.float64).reshape(*grid, -1)  # type: ignore[attr-defined]

    quality = read("quality")
    fitted = np.flatnonzero((quality > 0).any((0, 1, 2)))
    record = read_record(inputs.record_path(own))
    metabolites = record["parameters"]["metabolites"]  # of the run that made the outputs
    columns = [f"{metabolites[0]}_amplitude", *metabolites[1:]]
    in_mm = record.get("parameters", {}).get("water_mM") is not None
    others = len(metabolites) - 1
    fit_path = inputs.output_path(own, "fit")
    if record.get("summary", {}).get("sign") == "conjugated":
        fids = replace(fids, values=fids.values.conj())
    return _Results(
        fids=fids,
        fit=read_fids(fit_path) if fit_path.exists() else None,
        read=read,
        metabolites=metabolites,
        columns=columns,
        units=["signal units", *["mM" if in_mm else f"ratio to {metabolites[0]}"] * others],
        quality=quality,
        when=int(fitted[-1]) if len(fitted) else quality.shape[3] - 1,
        has_bias=inputs.output_path(own, f"{metabolites[0]}_amplitude_bias").exists(),
        delay=float(record.get("summary", {}).get("delay (ms)", 0.0)) / 1000,
    )


def _panels(results: _Results) -> list[tuple[int, str]]:
    """Choose the rows of maps: slice and ending of the maps' names. A single voxel or a line of voxels has none."""
    filled = np.flatnonzero((results.shown > 0).any((0, 1)))
    if min(results.quality.shape[:2]) == 1 or not len(filled):
        return []
    places = np.linspace(0, len(filled) - 1, SLICES + 2)[1:-1].round().astype(int)
    levels = np.unique(filled[places]).tolist()
    panels = [(level, ending) for level in levels for ending in ("", "_sd")]
    return [*panels, (levels[len(levels) // 2], "_bias")] if results.has_bias else panels


def _draw_maps(
    figure: Figure, row: GridSpecFromSubplotSpec, results: _Results, level: int, ending: str, *, first: bool
) -> None:
    """Draw one slice of all maps with one ending; the first row shows the directions of the head."""
    slices, points = results.quality.shape[2:]
    place = [f"slice {level + 1} of {slices}"] if slices > 1 else []
    place += [f"time point {results.when + 1} of {points}"] if points > 1 else []
    for j, name in enumerate(results.columns):
        axis = figure.add_subplot(row[j])
        values = results.read(name + ending)[:, :, level, results.when]
        # the prior's effect has the colour range of the map
        top = _top(results.read(name + ("" if ending == "_bias" else ending))[..., results.when], results.shown)
        quality = results.shown[:, :, level]
        directions = _map(axis, values, quality, results.fids.affine, ending, top, results.units[j], figure)
        axis.set_title("\n".join([TITLES[ending].format(name.replace("_", " ")), ", ".join(place)]), fontsize=8)
        if first and j == 0 and results.fids.codes != (0, 0):
            write_directions(axis, directions)


def _draw_spectra(
    figure: Figure, row: GridSpecFromSubplotSpec, results: _Results, chosen: Sequence[tuple[int, ...]]
) -> None:
    """Draw the spectra of the chosen voxels, or say that there are none."""
    for n, voxel in enumerate(chosen):
        axis = figure.add_subplot(row[n])
        place = (*voxel, results.when)
        shift = float(results.read("shift")[place])
        draw_spectrum(axis, results.fids, results.fit, place, results.metabolites, shift=shift, delay=results.delay)
        axis.set_title(f"voxel {tuple(v + 1 for v in voxel)}", fontsize=8, color=COLOURS[n])
    if not chosen:
        axis = figure.add_subplot(row[0])
        axis.text(0.5, 0.5, "nothing was fitted", ha="center", va="center")
        axis.set_axis_off()


def _top(values: NDArray[np.float64], quality: NDArray[np.float64]) -> float:
    """Upper end of the colour range of all slices: most of the good voxels lie below it."""
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
    """Draw one slice and return the directions of its edges."""
    shown, spacing, directions = radiological(np.where(quality > 0, values, np.nan), affine)
    axis.set_facecolor("0.6")  # voxels that were not fitted; black is zero or below
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
    """Choose the voxels of the largest, the median and the smallest reference amplitude, good ones if there are any."""
    candidates = np.argwhere(quality == 1)
    if not len(candidates):
        candidates = np.argwhere(quality > 0)
    if not len(candidates):
        return []
    order = candidates[np.argsort(reference[tuple(candidates.T)])]
    picks = dict.fromkeys((len(order) - 1, len(order) // 2, 0))
    return [tuple(int(v) for v in order[k]) for k in picks][:SPECTRA]


def _course(axis: Axes, read: Read, name: str, voxels: Sequence[tuple[int, ...]], quality: NDArray[np.float64]) -> None:
    """Draw the amplitude of one metabolite over time: the mean of the good voxels, and the voxels of the spectra."""
    amplitude, sd = read(f"{name}_amplitude"), read(f"{name}_amplitude_sd")
    amplitude = np.where(quality > 0, amplitude, np.nan)
    at = np.arange(1, amplitude.shape[3] + 1)
    for n, voxel in enumerate(voxels):
        axis.errorbar(at, amplitude[voxel], sd[voxel], color=COLOURS[n], linewidth=0.9, capsize=2)
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
