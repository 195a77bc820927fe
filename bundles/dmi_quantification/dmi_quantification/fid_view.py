"""What the report shows of one file to touch: maps with their deviations, and spectra of voxels with their fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmi_quantification.spectrum_panel import spectrum_of
from mrsikit.io import Fids
from mrsikit.runtime.report import Panel, view_of
from mrsikit.runtime.report.viewer import packed

MOST_SPECTRA = 300
"""Largest number of voxels whose spectra are stored."""

FILLING = 2
"""Points of a stored spectrum per acquired point."""


def fid_view(
    fids: Fids,
    fit: Fids | None,
    read: Callable[[str], NDArray[np.float64]],
    *,
    columns: Sequence[str],
    units: Sequence[str],
    quality: NDArray[np.float64],
    when: int,
    delay: float,
    oriented: bool,
) -> dict[str, Any] | None:
    """Collect the maps of one time point, and the spectra of at most :data:`MOST_SPECTRA` voxels.

    Half of the voxels are doubtful ones, if there are so many, and the others are spread evenly over the fitted ones.

    Args:
        fids: that were fitted.
        fit: the fitted FIDs, or None.
        read: reader of a map (X, Y, Z, D) by its name.
        columns: names of the maps.
        units: of the maps.
        quality: (X, Y, Z), 0 where nothing was fitted, 2 where doubtful.
        when: number of the time point.
        delay: acquisition delay (s).
        oriented: whether the file states the orientation.

    Returns:
        See :func:`mrsikit.runtime.report.viewer.view_of`; None if nothing was fitted.
    """
    if not (quality > 0).any():
        return None
    blank = np.where(quality > 0, 0.0, np.nan)
    maps = {name + ending: read(name + ending)[..., when] + blank for name in columns for ending in ("", "_sd")}
    panels = [
        Panel(title=name.replace("_", " "), image=name, sd=f"{name}_sd", window=name, unit=unit)
        for name, unit in zip(columns, units, strict=True)
    ]
    chosen = chosen_voxels(quality)
    view = view_of(maps, fids.affine, panels=panels, oriented=oriented, reference=columns[0], voxels=chosen)
    spectra = []
    for voxel, place in zip(chosen, view.pop("at"), strict=True):
        if place is not None:
            ppm, lines = spectrum_of(fids, fit, (*voxel, when), delay=delay, filling=FILLING)
            if "residual" in lines:  # below the spectrum
                lines["residual"] = lines["residual"] - 0.4 * float(np.abs(lines["fit"]).max())
            ending = ", doubtful" if quality[voxel] == 2 else ""
            title = f"voxel {tuple(v + 1 for v in voxel)}{ending}"
            spectra.append({"at": place, "title": title} | {name: packed(line) for name, line in lines.items()})
            view["ppm"] = ppm.round(4).tolist()
    fitted = int((quality > 0).sum())
    return view | {"spectra": spectra, "stored": f"Spectra of {len(spectra)} of {fitted} fitted voxels are stored."}


def chosen_voxels(quality: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """Choose the voxels whose spectra are stored."""
    doubtful, good = np.argwhere(quality == 2), np.argwhere((quality > 0) & (quality != 2))
    half = max(MOST_SPECTRA // 2, MOST_SPECTRA - len(good))
    doubtful = doubtful[_spread(len(doubtful), half)]
    good = good[_spread(len(good), MOST_SPECTRA - len(doubtful))]
    return [tuple(int(v) for v in voxel) for voxel in (*doubtful, *good)]


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Numbers of at most ``most`` of ``count`` things, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)) if count else np.zeros(0, int)
