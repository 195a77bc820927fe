"""Figures of one input and its outputs, drawn with matplotlib's object interface (no global state)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from mrsikit.runtime.report.canvas import MISSING_COLOUR, OUTLINE_COLOUR, Box, Canvas
from mrsikit.runtime.report.panels import INPUT, Panel

MAX_ROWS = 6
WIDTH, GAP, BAR, TITLE, LEGEND = 2.75, 0.08, 0.75, 0.26, 0.3  # inches: a map is 302 pixels wide
FEWEST_SLICES, FLAT = 8, 0.5  # a volume has at least 8 slices and is at least half as deep as wide
PLANES = ("sagittal", "coronal", "axial")
ENDS = (("L", "R"), ("P", "A"), ("I", "S"))  # towards the lower and the higher world coordinate
EMPTY = 0.01  # a voxel up to this share of the maximum counts as empty; interpolation leaves such values off the head
MARGIN = 2  # voxels kept around the non-empty region
WINDOW_PERCENTILE = 99.5  # so that one very bright voxel does not darken the map


def draw_case(
    arrays: Mapping[str, NDArray[Any]],
    affine: NDArray[np.float64],
    *,
    panels: Sequence[Panel],
    choose_by: str | None = None,
    unit: str = "map units",
    metabolites: Sequence[str] | None = None,
    oriented: bool = True,
    grey: str = "missing: no usable value in the input",
) -> bytes:
    """Draw one input and its outputs: one column per panel and one row per slice (4D maps: one row per metabolite).

    Slices are shown in radiological convention, as seen from the patient's feet: anterior up, the patient's right on
    the left. Sagittal slices have anterior on the left. The directions come from the affine and are written at the
    edges.

    Args:
        arrays: ``input`` and outputs by suffix, each (X, Y), (X, Y, Z) or (X, Y, Z, M).
        affine: voxel to world (RAS, mm), 4 x 4.
        panels: the columns.
        choose_by: suffix of a mask; the figure shows the slices (at most six) with most voxels of this mask. Without a
            mask, or if it is empty, the slices are spread over the volume.
        unit: unit at the colour bars.
        metabolites: names of the metabolites on the last axis, for the rows.
        oriented: whether the affine states the patient's orientation; if not, no directions are written.
        grey: meaning of grey voxels, for the legend.

    Returns:
        The picture as PNG.
    """
    volumes, affine = cropped({name: as_4d(array) for name, array in arrays.items()}, affine)
    rows = _with_planes(_choose_rows(volumes, choose_by, metabolites), volumes, affine, choose_by)
    ranges = {
        (p.window, row.metabolite): _window(volumes, panels, p.window, rows, row.metabolite)
        for p in panels
        for row in rows
    }
    heights = [_height(volumes, row, affine) for row in rows]
    # A colour bar stands behind the last of its panels; over an MRI the colours are mixed, so that no bar holds.
    bars = {panel.window: j for j, panel in enumerate(panels) if panel.over is None}
    lefts = [GAP + j * (WIDTH + GAP) + BAR * sum(last < j for last in bars.values()) for j in range(len(panels))]
    canvas = Canvas(GAP + len(panels) * (WIDTH + GAP) + BAR * len(bars), sum(heights) + TITLE * len(rows) + LEGEND)
    top = 0.0
    for i, (row, height) in enumerate(zip(rows, heights, strict=True)):
        top += TITLE
        for j, panel in enumerate(panels):
            cell, window = Box(lefts[j], top, WIDTH, height), ranges[panel.window, row.metabolite]
            box, directions = _draw(canvas, cell, volumes, panel, row, affine, window)
            parts = panel.title if i == 0 else "", _label(row, affine, oriented) if j == 0 else ""
            title = ", ".join(part for part in parts if part)
            if title:
                canvas.text(lefts[j] + WIDTH / 2, top - 0.05, title, 9, ha="center", va="baseline")
            if oriented:
                canvas.directions(directions, box)
            if bars.get(panel.window) == j:
                together = [_slice(volumes[p.image], row) for p in panels if p.window == panel.window]
                finite = np.concatenate([image[np.isfinite(image)].ravel() for image in together] + [window[:1]])
                place = Box(lefts[j] + WIDTH + 0.06, top, BAR - 0.06, height)
                unit_of = unit if panel.unit is None else panel.unit
                beyond = {"below": bool(finite.min() < window[0]), "above": bool(finite.max() > window[1])}
                canvas.colour_bar(place, panel.colour_map, window, unit_of, **beyond)
        top += height
    has_grey = any(p.blank for p in panels) or not _all_finite(volumes, panels, rows)
    _add_legend(canvas.figure, panels, grey=grey if has_grey else "")
    return canvas.png()


def _height(volumes: Mapping[str, NDArray[Any]], row: _Row, affine: NDArray[np.float64]) -> float:
    """Height of a row's images (inches)."""
    image, spacing, _ = radiological(_slice(volumes[INPUT], row), _turned(affine, row.axis))
    return WIDTH * min(max(image.shape[0] * spacing[0] / (image.shape[1] * spacing[1]), 0.3), 1.8)


def _label(row: _Row, affine: NDArray[np.float64], oriented: bool) -> str:
    """Name a slice by its number and its place."""
    if not (oriented and row.label and "slice" in row.label):
        return row.label
    return row.label + place_of(row.axis, row.position, affine)


def place_of(axis: int, position: int, affine: NDArray[np.float64]) -> str:
    """Where a slice lies, such as ", 12 mm S"."""
    world = int(nib.io_orientation(affine)[axis, 0])
    at = float(affine[world, axis] * position + affine[world, 3])
    return f", {abs(at):.0f} mm {ENDS[world][at > 0]}"


@dataclass(frozen=True)
class _Row:
    position: int  # on the axis
    metabolite: int
    label: str
    axis: int = 2


def as_4d(array: NDArray[Any]) -> NDArray[Any]:
    """A map (X, Y), (X, Y, Z) or (X, Y, Z, M) with all four axes."""
    if array.ndim == 2:
        array = array[:, :, None]
    return array[..., None] if array.ndim == 3 else array


def _slice(volume: NDArray[Any], row: _Row) -> NDArray[Any]:
    return np.take(volume[..., min(row.metabolite, volume.shape[3] - 1)], row.position, row.axis)


def _turned(affine: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Affine whose third axis is the one that a slice lies across."""
    return affine[:, [*(n for n in range(3) if n != axis), axis, 3]]


def _with_planes(
    rows: list[_Row], volumes: Mapping[str, NDArray[Any]], affine: NDArray[np.float64], choose_by: str | None
) -> list[_Row]:
    """Show a volume in all three planes: three of its slices, and one across each other axis."""
    shape = volumes[INPUT].shape
    sides = nib.affines.voxel_sizes(affine) * shape[:3]
    if shape[3] > 1 or shape[2] < FEWEST_SLICES or sides[2] < FLAT * max(sides[:2]):
        return rows
    mask = volumes.get(choose_by) if choose_by else None
    where = np.abs(np.nan_to_num(volumes[INPUT], nan=0, posinf=0, neginf=0)) if mask is None or not mask.any() else mask
    chosen = [rows[k] for k in sorted({0, len(rows) // 2, len(rows) - 1})]
    planes = []
    for axis in (0, 1):
        profile = where.sum(axis=tuple(n for n in range(4) if n != axis))
        middle = round(float(np.average(np.arange(shape[axis]), weights=profile if profile.any() else None)))
        name = PLANES[int(nib.io_orientation(affine)[axis, 0])]
        planes.append(_Row(middle, 0, f"{name} slice {middle + 1} of {shape[axis]}", axis))
    return [*chosen, *planes]


def _choose_rows(
    volumes: Mapping[str, NDArray[Any]], choose_by: str | None, metabolites: Sequence[str] | None
) -> list[_Row]:
    reference = volumes[INPUT]
    slices, count = reference.shape[2], reference.shape[3]
    mask = volumes.get(choose_by) if choose_by else None
    signal = np.nan_to_num(np.abs(reference), nan=0, posinf=0, neginf=0).astype(bool)
    # Prefer slices with most mask voxels; among equals, the one with most tissue (4D: most signal of the metabolite).
    wanted = np.zeros((slices, count)) if mask is None else np.broadcast_to((mask > 0).sum((0, 1)), (slices, count))
    tissue = signal.sum((0, 1))
    if count > 1:
        total = np.nan_to_num(np.abs(reference), nan=0, posinf=0, neginf=0).sum((0, 1))
        names = metabolites or [f"metabolite {m + 1}" for m in range(count)]
        best = [int(np.lexsort((total[:, m], wanted[:, m]))[-1]) for m in range(count)]
        return [
            _Row(best[m], m, names[m] + (f", slice {best[m] + 1} of {slices}" if slices > 1 else ""))
            for m in range(min(count, MAX_ROWS))
        ]
    if wanted.any():
        order = np.lexsort((tissue[:, 0], wanted[:, 0]))[::-1]
        chosen = sorted(int(s) for s in order[:MAX_ROWS] if wanted[s, 0])
    else:
        filled = np.flatnonzero(tissue[:, 0]) if tissue.any() else np.arange(slices)
        spread = np.linspace(0, len(filled) - 1, min(MAX_ROWS, len(filled)) + 2)[1:-1]
        chosen = sorted({int(filled[int(round(s))]) for s in spread}) if len(filled) > 1 else [int(filled[0])]
    return [_Row(s, 0, f"slice {s + 1} of {slices}" if slices > 1 else "") for s in chosen]


def _window(
    volumes: Mapping[str, NDArray[Any]], panels: Sequence[Panel], window: str, rows: Sequence[_Row], metabolite: int
) -> tuple[float, float]:
    """Return the (lowest, highest) value of the panels that share a window, over the slices shown of one metabolite."""
    names = {panel.image for panel in panels if panel.window == window}
    names = names - {INPUT} or names  # artefacts of the input must not stretch the range
    images = [_slice(volumes[name], row) for name in names for row in rows if row.metabolite == metabolite]
    diverging = any(panel.diverging for panel in panels if panel.window == window)
    return colour_range(np.concatenate([image.ravel() for image in images]), diverging=diverging)


def colour_range(values: NDArray[Any], *, diverging: bool = False) -> tuple[float, float]:
    """Return the (lowest, highest) value of the colours: most finite values but 0 lie between them.

    Args:
        values: any shape and unit.
        diverging: whether the range is as wide below zero as above.
    """
    shown = values[np.isfinite(values) & (values != 0)]
    if diverging:
        top = float(np.percentile(np.abs(shown), WINDOW_PERCENTILE)) if shown.size else 1.0
        return -top, top
    if not shown.size:
        return 0.0, 1.0
    high = float(np.percentile(shown, WINDOW_PERCENTILE))
    low = min(0.0, float(np.percentile(shown, 100 - WINDOW_PERCENTILE)))
    return low, high if high > low else low + 1.0


def cropped(
    volumes: Mapping[str, NDArray[Any]], affine: NDArray[np.float64]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64]]:
    """Crop the empty in-plane border, except for a margin, identically for all volumes; with the affine of the rest."""
    anything = np.any([_above_noise_floor(v).any(axis=(2, 3)) for v in volumes.values()], axis=0)
    cut: list[slice] = []
    for axis in (0, 1):
        inside = np.flatnonzero(anything.any(axis=1 - axis))
        cut.append(slice(max(inside[0] - MARGIN, 0), inside[-1] + MARGIN + 1) if inside.size else slice(None))
    moved = np.array(affine, float)
    moved[:3, 3] += moved[:3, :2] @ [part.start or 0 for part in cut]
    return {name: volume[cut[0], cut[1]] for name, volume in volumes.items()}, moved


def _above_noise_floor(volume: NDArray[Any]) -> NDArray[np.bool_]:
    values = np.abs(np.nan_to_num(volume.astype(float), nan=0, posinf=0, neginf=0))
    return values > EMPTY * values.max()


def radiological(
    image: NDArray[Any], affine: NDArray[np.float64]
) -> tuple[NDArray[Any], tuple[float, float], tuple[str, str, str, str]]:
    """Turn a slice (X, Y) into an image in radiological convention.

    Args:
        image: (X, Y) slice.
        affine: voxel to world (RAS, mm), 4 x 4.

    Returns:
        The image (rows from the top, columns), its (row, column) spacing in mm, and the directions of its left, right,
        lower and upper edge.
    """
    orientation = nib.io_orientation(affine)
    spacing = nib.affines.voxel_sizes(affine)
    world = [int(orientation[axis, 0]) for axis in (0, 1)]
    ascending = [orientation[axis, 1] > 0 for axis in (0, 1)]
    across, up = (0, 1) if world[0] < world[1] else (1, 0)
    turned = np.moveaxis(image, (up, across), (0, 1))
    if ascending[up]:  # the top row is drawn first
        turned = turned[::-1]
    leftmost_high = world[across] in (0, 1)  # the patient's right, or anterior, on the left
    if ascending[across] == leftmost_high:
        turned = turned[:, ::-1]
    low_across, high_across = ENDS[world[across]]
    left, right = (high_across, low_across) if leftmost_high else (low_across, high_across)
    low_up, high_up = ENDS[world[up]]
    return turned, (float(spacing[up]), float(spacing[across])), (left, right, low_up, high_up)


def _draw(
    canvas: Canvas,
    cell: Box,
    volumes: Mapping[str, NDArray[Any]],
    panel: Panel,
    row: _Row,
    affine: NDArray[np.float64],
    window: tuple[float, float],
) -> tuple[Box, tuple[str, str, str, str]]:
    """Draw one slice into a cell; return its place and the directions of its edges."""
    affine = _turned(affine, row.axis)

    def turned(name: str) -> NDArray[Any]:
        return radiological(_slice(volumes[name], row), affine)[0]

    image, spacing, directions = radiological(_slice(volumes[panel.image], row), affine)
    shown = np.where(np.isfinite(image), image, np.nan).astype(float)
    if panel.blank is not None:
        shown[(turned(panel.blank) > 0) & (image == 0)] = np.nan
    box = cell.fitted(image.shape[0] * spacing[0] / (image.shape[1] * spacing[1]))
    under = None if panel.over is None else turned(panel.over)
    canvas.image(shown, box, panel.colour_map, window, under=under)
    if panel.outline is not None:
        canvas.outline(outline_segments(turned(panel.outline) > 0), image.shape, box)
    return box, directions


def outline_segments(mask: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Return the outline of a mask (rows, columns) along voxel edges, as lines (N, 2, 2) of two points (x, y)."""
    padded = np.pad(mask, 1)
    below = np.argwhere(padded[1:, :] != padded[:-1, :])[:, None, ::-1] + [(-1.5, -0.5), (-0.5, -0.5)]
    beyond = np.argwhere(padded[:, 1:] != padded[:, :-1])[:, None, ::-1] + [(-0.5, -1.5), (-0.5, -0.5)]
    return np.concatenate([below, beyond])


def write_directions(axes: Axes, directions: tuple[str, str, str, str]) -> None:
    """Write the directions of the left, right, lower and upper edge, see :func:`radiological`, into the axes."""
    left, right, bottom, top = directions
    places = (
        (0.02, 0.5, left, "left", "center"),
        (0.98, 0.5, right, "right", "center"),
        (0.5, 0.02, bottom, "center", "bottom"),
        (0.5, 0.98, top, "center", "top"),
    )
    for x, y, text, horizontal, vertical in places:
        axes.text(
            x,
            y,
            text,
            transform=axes.transAxes,
            color="white",
            fontsize=9,
            fontweight="bold",
            horizontalalignment=horizontal,
            verticalalignment=vertical,
            bbox={"facecolor": "black", "alpha": 0.5, "linewidth": 0, "pad": 1.5},
        )


def _all_finite(volumes: Mapping[str, NDArray[Any]], panels: Sequence[Panel], rows: Sequence[_Row]) -> bool:
    return all(np.isfinite(_slice(volumes[panel.image], row)).all() for panel in panels for row in rows)


def _add_legend(figure: Figure, panels: Sequence[Panel], *, grey: str) -> None:
    handles = [Patch(facecolor=MISSING_COLOUR, label=grey)] if grey else []
    if any(panel.outline for panel in panels):
        handles.append(Patch(facecolor="none", edgecolor=OUTLINE_COLOUR, label="outline of the filled voxels"))
    if not handles:
        return
    legend = figure.legend(handles=handles, loc="lower center", ncols=2, fontsize=9, frameon=False)
    for patch in legend.get_patches():
        patch.set_linewidth(1.2)
