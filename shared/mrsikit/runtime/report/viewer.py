"""Data of the part of a report that one can touch: slices, values and standard deviations, and spectra of voxels.

The page draws them with plotly, whose script lies in the installed package. Numbers are stored as 16-bit integers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from mrsikit.runtime.report.figures import as_4d, colour_range, cropped, place_of, radiological
from mrsikit.runtime.report.panels import INPUT, Panel

MOST_NUMBERS, FEWEST_SLICES = 180_000, 3
"""Numbers that are stored of an input, so that a page of 40 opens; slices are spread over those with signal."""

MOST_METABOLITES = 6
"""Metabolites that are stored of a map."""

LARGEST = 32000
"""Integer that stands for the largest magnitude; -32768 stands for no number."""

STOPS = 17
"""Colours of a colour map that are stored; the page interpolates between them."""


def plotly_script() -> str:
    """Plotly's script, from the installed package."""
    return files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")


def view_of(
    arrays: Mapping[str, NDArray[Any]],
    affine: NDArray[np.float64],
    *,
    panels: Sequence[Panel],
    unit: str = "map units",
    metabolites: Sequence[str] | None = None,
    oriented: bool = True,
    reference: str = INPUT,
    voxels: Sequence[tuple[int, ...]] = (),
) -> dict[str, Any]:
    """Collect what the page needs to show the slices of one input, as a dict for JSON.

    Args:
        arrays: ``input`` and outputs by suffix, each (X, Y), (X, Y, Z) or (X, Y, Z, M).
        affine: voxel to world (RAS, mm), 4 x 4.
        panels: the maps, in the order of the page.
        unit: unit of the maps.
        metabolites: names of the metabolites on the last axis.
        oriented: whether the affine states the patient's orientation.
        reference: the array whose slices with signal are stored.
        voxels: (x, y, z) of voxels whose places in the images are wanted, as "at": (slice, row, column) or None.
    """
    corner = np.asarray(affine, float)[:3, 3]
    volumes, affine = cropped({name: as_4d(array) for name, array in arrays.items()}, affine)
    shown = volumes[reference]
    count = min(shown.shape[3], MOST_METABOLITES)
    images = {panel.image: panel for panel in reversed(panels)}
    used = [panel for panel in panels if images[panel.image] is panel]  # one panel of each image
    first, spacing, sides = radiological(shown[:, :, 0, 0], affine)
    most = max(FEWEST_SLICES, MOST_NUMBERS // (first.size * count * len(_stored_images(used))))
    filled = np.flatnonzero(np.nan_to_num(shown).any((0, 1, 3)))
    filled = filled if len(filled) else np.arange(shown.shape[2])
    chosen = filled[np.unique(np.linspace(0, len(filled) - 1, min(most, len(filled))).round().astype(int))]
    names = list(metabolites or [f"metabolite {m + 1}" for m in range(shown.shape[3])])[:count]
    start = np.linalg.solve(affine[:3, :3], affine[:3, 3] - corner).round().astype(int)
    index, _, _ = radiological(np.arange(shown.shape[0] * shown.shape[1]).reshape(shown.shape[:2]), affine)
    places = {int(number): (row, column) for (row, column), number in np.ndenumerate(index)}
    slices = {int(z): k for k, z in enumerate(chosen)}

    def at(voxel: tuple[int, ...]) -> list[int] | None:
        x, y, z = (int(v) for v in voxel - start)
        inside = 0 <= x < shown.shape[0] and 0 <= y < shown.shape[1] and z in slices
        return [slices[z], *places[x * shown.shape[1] + y]] if inside else None

    return {
        "at": [at(voxel) for voxel in voxels],
        "shape": [count, len(chosen), *first.shape],
        "aspect": spacing[0] / spacing[1],
        "sides": list(sides) if oriented else [],
        "slices": [
            f"slice {z + 1} of {shown.shape[2]}{place_of(2, int(z), affine) if oriented else ''}" for z in chosen
        ],
        "metabolites": names if shown.shape[3] > 1 else [],
        "stored_slices": "" if len(chosen) == len(filled) else f"{len(chosen)} of {len(filled)} slices are stored.",
        "images": {name: _stored(volumes[name], chosen, count, affine) for name in _stored_images(used)},
        "panels": [
            {
                "title": panel.title,
                "image": panel.image,
                "sd": panel.sd,
                "window": panel.window,
                "colours": _colours(panel.colour_map),
                "unit": unit if panel.unit is None else panel.unit,
            }
            for panel in used
        ],
    }


def _stored_images(panels: Sequence[Panel]) -> list[str]:
    """Names of the images of panels and of their standard deviations, each once."""
    return list(dict.fromkeys(name for panel in panels for name in (panel.image, panel.sd) if name))


def _stored(volume: NDArray[Any], slices: NDArray[np.int64], count: int, affine: NDArray[np.float64]) -> dict[str, Any]:
    """Images (M, Z, rows, columns) of a volume (X, Y, Z, M), and the window of each metabolite."""
    images = np.stack(
        [[radiological(volume[:, :, z, min(m, volume.shape[3] - 1)], affine)[0] for z in slices] for m in range(count)]
    ).astype(float)
    return {"windows": [colour_range(one) for one in images], **packed(images)}


def _colours(name: str) -> list[list[Any]]:
    """Stops of a colour map of matplotlib, as plotly takes them."""
    return [[float(at), to_hex(colormaps[name](at))] for at in np.linspace(0, 1, STOPS)]


def packed(values: NDArray[np.floating]) -> dict[str, Any]:
    """Numbers as base64 of 16-bit integers, with the step that one stands for."""
    finite = np.isfinite(values)
    top = float(np.abs(values[finite]).max()) if finite.any() else 1.0
    step = (top or 1.0) / LARGEST
    whole = np.where(finite, np.round(np.where(finite, values, 0.0) / step), -32768).astype("<i2")
    return {"step": step, "data": base64.b64encode(whole.tobytes()).decode("ascii")}
