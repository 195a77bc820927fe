"""How often a map that was interpolated before it is super-resolved is told so, and one that was not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage
from scipy.signal import resample

from benchmark import Context
from benchmarks.mri_checks import INSTANCES, SAID, SOURCES, Head, coarse_map, heads
from mrsikit.restoration.sampled_matrix import sampled_matrix
from result_tables import Table

CONDITION, OFF = "interpolated maps", "matrix named, off by at most a fifth, %"
MEASURED, NOISELESS, ALL = "as measured (false alarms)", "as measured, no noise (false alarms)", "interpolated, all"
METHODS = ("nearest", "linear", "bicubic", "cubic spline", "zero filling", "zero filling, Hamming")
TURNED, WHOLE_NUMBERS = "linear, then resliced onto turned axes", "bicubic, whole numbers of 12 bits"
ORDERS = {"nearest": 0, "linear": 1, "cubic spline": 3}
FACTORS = (1.5, 2, 3, 4)


def interpolated(values: np.ndarray, method: str, factor: float, axes: Sequence[int]) -> np.ndarray:
    """Interpolate maps (X, Y, Z) by one of :data:`METHODS` along some axes."""
    if method in ORDERS:
        factors = [factor if axis in axes else 1 for axis in range(3)]
        return ndimage.zoom(values, factors, order=ORDERS[method], mode="nearest", grid_mode=True)
    for axis in axes:
        size = round(factor * values.shape[axis])
        if method == "bicubic":
            lines = torch.from_numpy(np.moveaxis(values, axis, -1).copy()).flatten(0, 1)[None, None]
            lines = torch.nn.functional.interpolate(lines, (lines.shape[2], size), mode="bicubic")[0, 0]
            other = [n for k, n in enumerate(values.shape) if k != axis]
            values = np.moveaxis(lines.reshape(*other, size).numpy(), -1, axis)
        else:
            values = resample(values, size, axis=axis, window="hamming" if method.endswith("Hamming") else None)
    return values


def instance(subject: Head, rng: np.random.Generator, method: str) -> tuple[np.ndarray, list[int]]:
    """One interpolated map (X, Y, Z) and its measured matrix, 0 for axes that were not interpolated.

    Half of the maps are volumes, interpolated along the slices too. Half are cut by a mask afterwards.
    """
    axes = (0, 1, 2) if rng.random() < 0.5 else (0, 1)
    maps = coarse_map(
        subject, rng, slices=(8, 16) if len(axes) == 3 else (1, 6), matrix=(8, 24), noise=(0, 0.01, 0.02, 0.05, 0.1)
    )
    values, factor = maps[0].numpy(), float(rng.choice(FACTORS))
    kind = {TURNED: "linear", WHOLE_NUMBERS: "bicubic"}.get(method, method)
    fine = interpolated(values, kind, factor, axes)
    if method == TURNED:
        fine = ndimage.rotate(fine, rng.uniform(-15, 15), axes=(0, 1), reshape=False, order=1)
    if rng.random() < 0.5:
        fine = fine * (np.abs(fine) > 0.15 * np.abs(fine).max())
    if method == WHOLE_NUMBERS:
        fine = np.round(4095 * fine / np.abs(fine).max())
    return fine, [values.shape[axis] if axis in axes else 0 for axis in range(3)]


def interpolated_maps(context: Context, sources: Sequence[str] = SOURCES) -> None:
    """Maps of a matrix of 8 to 24 made 1.5 to 4 times finer, and maps measured with a matrix of 16 to 64."""
    for source, subjects in heads(context, sources):
        rng = np.random.default_rng([context.seed, 200 + SOURCES.index(source)])
        found: dict[str, list[float]] = {}
        near: dict[str, list[float]] = {}
        for n in range(6 if context.quick else INSTANCES):
            subject = subjects[n % len(subjects)]
            for name, noise in ((MEASURED, (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)), (NOISELESS, (0.0,))):
                maps: MetaTensor = coarse_map(subject, rng, slices=(1, 16), matrix=(16, 64), noise=noise)
                found.setdefault(name, []).append(100.0 * any(sampled_matrix(maps.numpy())))
            for method in (METHODS[n % len(METHODS)], TURNED, WHOLE_NUMBERS):
                fine, matrix = instance(subject, rng, method)
                named = sampled_matrix(fine[None])
                for kind in (method, ALL) if method in METHODS else (method,):
                    found.setdefault(kind, []).append(100.0 * any(named))
                    off = [abs(a - b) / b for a, b in zip(named, matrix, strict=True) if a and b]
                    near.setdefault(kind, []).append(100.0 * (max(off) <= 0.2) if off else np.nan)
        for kind in (MEASURED, NOISELESS, ALL, *METHODS, TURNED, WHOLE_NUMBERS):
            context.add(source, CONDITION, kind, SAID, found[kind])
            context.add(source, CONDITION, kind, OFF, near.get(kind, []))


PARTS = {"interpolated": interpolated_maps}

TABLES = [
    Table("Maps that were interpolated: share of files that are told so, %", CONDITION, {SAID: "%.0f", OFF: "%.0f"},
          f"{INSTANCES} maps a source in each of the first three lines, half of the interpolated ones volumes, half "
          "cut by a mask. The noise is .002 to .1 in measured maps, 0 to .1 in interpolated ones."),
]  # fmt: skip
