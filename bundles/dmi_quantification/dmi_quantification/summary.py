"""Summarise one fitted file in one row: its size, its acquisition, and medians over the good voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dmi_quantification.fitted_file import FittedFile


def summary_row(file: FittedFile, maps: Mapping[str, np.ndarray], *, grid: Sequence[int]) -> dict[str, Any]:
    """Make a file's row of the summary: values by column.

    Args:
        file: the fitted file.
        maps: (V, D) by name, as of :func:`dmi_quantification.metabolite_maps.metabolite_maps`.
        grid: (X, Y, Z) of the file.
    """
    quality, model = file.quality, file.model
    voxels, dynamics = quality.measured.shape
    good = quality.measured & ~quality.doubtful
    return {
        "matrix": "x".join(str(n) for n in grid),
        "voxels fitted": voxels,
        "time points": dynamics,
        "share doubtful": _share(quality.doubtful[quality.measured]),
        "field (T)": round(file.tesla, 2),
        "delay (ms)": round(1e3 * model.delay, 4),
        "dwell time (ms)": round(1e3 * model.dwell, 6),
        "points fitted": model.points,
        "reference (ppm)": model.reference,
        "sign": "conjugated" if file.sign.finding == "conjugate" else "as NIfTI-MRS",
        **medians(maps, good if good.any() else quality.measured, file.metabolites),
        **relaxation_times(file.metabolites, model.t2_star, file.t2_star_sd),
    }


def medians(maps: Mapping[str, np.ndarray], where: np.ndarray, metabolites: Sequence[str]) -> dict[str, float]:
    """Medians of the reference's amplitude and of the other metabolites' maps, and of their standard deviations.

    Args:
        maps: (V, D) by name.
        where: (V, D), the fits to count.
        metabolites: names; the first is the reference.
    """
    row = {}
    for name in (f"{metabolites[0]}_amplitude", *metabolites[1:]):
        column = f"median {name.replace('_', ' ')}"
        row[column] = _median(maps[name][where], digits=4)
        row[f"{column}, SD of a voxel"] = _median(maps[f"{name}_sd"][where], digits=3)
    return row


def relaxation_times(
    metabolites: Sequence[str], t2_star: Sequence[float], t2_star_sd: Sequence[float]
) -> dict[str, float]:
    """Relaxation times (ms), with standard deviations where they were fitted.

    Args:
        metabolites: K names.
        t2_star: (K,) in s.
        t2_star_sd: (K,) in s; 0: not fitted.
    """
    row = {}
    for name, time, sd in zip(metabolites, t2_star, t2_star_sd, strict=True):
        row[f"T2* of {name} (ms)"] = round(1e3 * time, 2)
        if sd > 0:
            row[f"SD of that T2* of {name} (ms)"] = round(1e3 * sd, 2)
    return row


def _share(values: np.ndarray) -> float:
    """Share of true values; 0 if there are none."""
    return round(float(values.mean()), 4) if values.size else 0.0


def _median(values: np.ndarray, *, digits: int) -> float:
    """Median, rounded to significant digits; 0 if there are no values."""
    return float(f"{np.median(values):.{digits}g}") if values.size else 0.0
