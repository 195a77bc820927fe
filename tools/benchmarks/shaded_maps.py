"""Maps that vary as measured ones do, with shading and texture that no training showed: who follows the data?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage, stats
from torch import Tensor

from benchmark import Context
from benchmarks.super_resolution import SETS, Case, cases, load_anatomy, stacked
from mrsikit.metrics.calibration import Z90
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.total_variation import total_variation
from mrsikit.super_resolution.network import TV_STRENGTH
from result_tables import Table

COUNT, SIZE, FIELD_OF_VIEW, THICKNESS = 12, 96, 220.0, 10.0
FACTORS, NOISE = (2, 4), {"shaded": (0.0, 0.03, 0.1), "rough": (0.03,)}
FIELDS = {"shaded": ((20.0, 0.45), (6.0, 0.25)), "rough": ((20.0, 0.45), (5.0, 0.7))}
"""Correlation length (mm) and standard deviation of the logarithm of each field that multiplies the map."""

GRAIN, BLUR = 0.05, 3.0
"""Standard deviation of the voxelwise factor, and of the Gaussian (mm) that blurs the fluid's edges."""

OURS, AS_LEARNT = "ours", "ours, trust as learnt"
ERROR, OVER = "MSE / variance", "MSE / the best classical"
MISFIT, HELD = "measured again: RMS change / noise", "90 % intervals hold"
BEYOND, ALIKE = "measured again: 3 x 3 voxels beyond the 99.9 % point, %", "measured again: correlation of neighbours"

SIDE = 3
"""Side of the squares, in coarse voxels, whose squared changes are held against chi-square."""


def shaded(case: Case, kind: str, rng: np.random.Generator) -> Case:
    """Blur the fluid's edges, and multiply the map by shading, texture and grain; the maximum is 1 again."""
    side = FIELD_OF_VIEW / SIZE
    values = ndimage.gaussian_filter(case.fine.numpy().astype(float), BLUR / side)
    for length, spread in FIELDS[kind]:
        field = ndimage.gaussian_filter(rng.standard_normal(values.shape), length / side, mode="wrap")
        values *= np.exp(spread * (field - field.mean()) / field.std())
    values *= 1 + GRAIN * rng.standard_normal(values.shape)
    return replace(case, fine=torch.from_numpy((values / values.max()).astype(np.float32)))


def classical(coarse: Tensor, encoding: SpatialEncoding, noise: float) -> dict[str, Tensor]:
    """Interpolation, and total variation as it is and made consistent, none of them negative."""
    tv = total_variation(coarse, encoding, strength=TV_STRENGTH * noise)
    wrong = coarse - encoding.A(tv)
    found = {
        "interpolation": encoding.interpolate(coarse),
        "TV": tv,
        "TV + DC": tv + encoding.interpolate(wrong),
    }
    return {name: pred.clamp(min=0) for name, pred in found.items()}


def measure(
    context: Context, ours: Callable[..., tuple[Tensor, Tensor]], as_learnt: Callable[..., tuple[Tensor, Tensor]]
) -> None:
    """Rows of every condition: error in the brain, its ratio to the best classical method's, misfit, intervals.

    Args:
        context: of the benchmark.
        ours: super-resolves (N, X, Y) of an encoding; keyword ``noise``: maps and their SD.
        as_learnt: the same by the network alone.
    """
    for number, set_ in enumerate(SETS):
        rng = np.random.default_rng([context.seed, number, 26])
        anatomy = load_anatomy(set_, context.data)
        count = 2 if context.quick else COUNT
        whole = cases(anatomy, count, rng, size=SIZE, field_of_view=FIELD_OF_VIEW, thickness=THICKNESS)
        for kind, levels in NOISE.items():
            chosen = [shaded(case, kind, rng) for case in whole]
            for factor, (name, psf), noise in product(FACTORS, {"block": "block", "k-space": "kspace"}.items(), levels):
                condition = f"{kind}, factor {factor}, {name}, noise {noise:g}"
                encoding = SpatialEncoding(psf, factor)
                _condition(context, set_, condition, chosen, encoding, noise, {OURS: ours, AS_LEARNT: as_learnt})


def _condition(
    context: Context,
    set_: str,
    condition: str,
    chosen: Sequence[Case],
    encoding: SpatialEncoding,
    noise: float,
    networks: Mapping[str, Callable[..., tuple[Tensor, Tensor]]],
) -> None:
    fine, brain = stacked(chosen, "fine"), stacked(chosen, "brain")
    clean = encoding.A(fine)
    coarse = clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(context.seed))
    maps = classical(coarse, encoding, noise)
    peers, spreads = list(maps), {}
    for method, run in networks.items():
        maps[method], spreads[method] = run(coarse, encoding, noise=noise)
    errors = {method: _errors(pred, fine, brain) for method, pred in maps.items()}
    best = min(peers, key=lambda peer: float(np.mean(errors[peer])))
    for method, error in errors.items():
        context.add(set_, condition, method, ERROR, error)
        context.add_ratio(set_, condition, method, OVER, error, errors[best])
    whole = SpatialEncoding("block", encoding.factor).A(brain.float()) > 0.99
    for method, sd in spreads.items():
        off = (maps[method] - fine).abs() <= Z90 * sd
        held = [float(inside[mask].float().mean()) for inside, mask in zip(off, brain, strict=True)]
        context.add(set_, condition, method, HELD, held)
        if noise:
            change = (encoding.A(maps[method]) - coarse) / noise
            context.add(set_, condition, method, MISFIT, change.square().mean((1, 2)).sqrt().tolist())
            context.add(set_, condition, method, BEYOND, [100 * share for share in _beyond(change, whole)])
            context.add(set_, condition, method, ALIKE, _alike(change, whole))


def _beyond(change: Tensor, inside: Tensor) -> list[float]:
    """Share of the squares of each slice whose sum of squares exceeds the 99.9 % point of chi-square.

    Args:
        change: (N, x, y) change of the measurement over the noise.
        inside: (N, x, y) voxels of the brain; squares that leave it do not count.
    """
    sums, whole = (
        F.avg_pool2d(image[:, None], SIDE, divisor_override=1)[:, 0] for image in (change.square(), inside.float())
    )
    limit = stats.chi2.ppf(0.999, SIDE**2)
    return [float((one[full] > limit).float().mean()) for one, full in zip(sums, whole == SIDE**2, strict=True)]


def _alike(change: Tensor, inside: Tensor) -> list[float]:
    """Correlation of neighbours in the brain, along both axes; 0 for white noise."""
    out = []
    for one, mask in zip(change, inside, strict=True):
        pairs = [one.roll(1, axis)[both] * one[both] for axis in (0, 1) if (both := mask & mask.roll(1, axis)).any()]
        out.append(float(torch.cat(pairs).mean() / one[mask].square().mean()) if pairs else float("nan"))
    return out


def _errors(pred: Tensor, fine: Tensor, brain: Tensor) -> list[float]:
    off = (pred - fine).square()
    return [float(square[mask].mean() / true[mask].var()) for square, true, mask in zip(off, fine, brain, strict=True)]


TABLES: list[Any] = [
    Table(
        f"Maps with {'shading' if kind == 'shaded' else 'rough texture'}: factor {factor}, {name}, noise {noise:g}",
        f"{kind}, factor {factor}, {name}, noise {noise:g}",
        {ERROR: "%.3f", OVER: "%.2f", MISFIT: "%.2f", BEYOND: "%.2f", ALIKE: "%.2f", HELD: "%.2f"},
        f"{COUNT} slices a brain of {SIZE}x{SIZE} voxels. The map is blurred and multiplied by shading (SD of its "
        f"logarithm {FIELDS[kind][0][1]:g}), texture ({FIELDS[kind][1][1]:g}) and grain ({GRAIN:g}), which no MRI "
        "shows; noise as a share of the maximum, known to all. Trust as learnt: the network alone, without the step "
        "that reads its error off the data. For the true map, RMS change is 1, .1 % of the squares lie beyond, and "
        "neighbours are not correlated.",
    )
    for kind in FIELDS
    for factor in FACTORS
    for name in ("block", "k-space")
    for noise in NOISE[kind]
]
