"""The published network on the rules of its paper: Table 2, its tests, box plots and error maps, by depth and rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmark import REPOSITORY, Context
from benchmarks.super_resolution import SETS, cases, draw, load_anatomy, spline, stacked
from mrsi_super_resolution.options import Blocks
from mrsi_super_resolution.reference_hfab import BLOCKS, RATES, HfabNetwork, weights_name
from mrsikit.metrics.image_quality import mse, psnr, ssim
from mrsikit.metrics.perceptual import LPIPS
from mrsikit.metrics.statistics import mann_whitney_p
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.transforms.hfab_cohort import (
    FIELD_OF_VIEW,
    FINE,
    NAMES,
    TEST_MAPS,
    TEST_PATIENTS,
    THICKNESS,
    HfabCohortd,
    cohort,
)
from result_tables import Table

MODELS = REPOSITORY / "bundles" / "mrsi_super_resolution" / "models"
BLOCK = SpatialEncoding("block", 4)

COHORT = "virtual cohort"
RULES, CRISP, COARSER = (
    "the paper's rules",
    "the paper's rules, slices of 1 mm",
    "the paper's rules, 16 x 16 to 64 x 64",
)
FIRST_TEST_PATIENT = 30_000_000
"""Seed of the first patient of the test; the trainings' are below."""

NEAREST, SPLINE, OURS = "nearest", "spline", "ours, FLAIR"
METRICS = {"MSE": "%.4f", "RMSE": "%.4f", "PSNR, dB": "%.2f", "SSIM": "%.3f", "LPIPS": "%.3f"}
AT_ONCE = 50
"""Number of maps that LPIPS takes at a time."""


def hfab_name(*, rate: str = "printed", gated: bool = True, blocks: int = BLOCKS) -> str:
    """Name of a variant of the network in the results."""
    without = "" if gated else " without GDFN"
    depth = "" if blocks == BLOCKS else f" of {blocks} blocks"
    return f"published network{without}{depth}{'' if rate == 'printed' else ', rate .001'}, FLAIR"


def hfab_networks() -> Iterator[tuple[str, nn.Module]]:
    """Every variant of the network whose weights are there, with its name."""
    for rate, gated, blocks in product(RATES, (True, False), get_args(Blocks)[::-1]):
        path = MODELS / f"model_{weights_name(rate=rate, gated=gated, blocks=blocks)}.pt"
        if path.exists():
            network = HfabNetwork(depth=blocks, gated=gated)
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
            yield hfab_name(rate=rate, gated=gated, blocks=blocks), network.eval()


def hfab_maps(coarse: Tensor, flair: Tensor) -> dict[str, Tensor]:
    """Maps (N, X, Y) of every variant, of block means and a FLAIR (N, X, Y)."""
    x = torch.stack([BLOCK.A_dagger(coarse), flair], 1)
    with torch.no_grad():
        return {
            name: torch.cat([network(part)[:, 0] for part in x.split(AT_ONCE)]) for name, network in hfab_networks()
        }


def measure(context: Context, ours: Callable[[Tensor, Tensor], Tensor], lpips: LPIPS | None) -> None:
    """Rows of every set and condition, box plots and error maps of the cohort.

    Args:
        context: of the benchmark.
        ours: super-resolves block means (N, x, y) with a FLAIR (N, X, Y), (N, X, Y).
        lpips: the perceptual metric, where its weights are.
    """
    fine, flair = held_out_maps(quick=context.quick)
    found, maps = _condition(context, COHORT, RULES, fine, flair, ours, lpips)
    _draw_boxes(found, context.figures / "hfab_boxes.png")
    _draw_errors(maps, fine, flair, context.figures / "hfab_errors.png")
    _condition(context, COHORT, COARSER, F.avg_pool2d(fine, 2), F.avg_pool2d(flair, 2), ours, lpips)
    _condition(context, COHORT, CRISP, *held_out_maps(quick=context.quick, thickness=1.0), ours, lpips)
    for k, set_ in enumerate(SETS):
        rng, count = np.random.default_rng([context.seed, k, 43]), 2 if context.quick else 40
        anatomy = load_anatomy(set_, context.data)
        chosen = cases(anatomy, count, rng, size=FINE, field_of_view=FIELD_OF_VIEW, thickness=THICKNESS)
        _condition(context, set_, RULES, stacked(chosen, "fine"), stacked(chosen, "flair"), ours, lpips)


def held_out_maps(*, quick: bool, thickness: float = THICKNESS) -> tuple[Tensor, Tensor]:
    """The cohort's test: its true maps and, for each, the FLAIR of its slice, (N, X, Y), five maps a patient."""
    patients, maps = (1, len(NAMES)) if quick else (TEST_PATIENTS, TEST_MAPS)
    make = HfabCohortd(thickness=thickness)
    made = [make(patient) for patient in cohort(patients, maps, seed=FIRST_TEST_PATIENT)]
    fine = torch.cat([one["maps"].flatten(0, 1) for one in made]).float()
    return fine, torch.cat([one["flair"].repeat_interleave(len(NAMES), 0) for one in made]).float()


def _condition(
    context: Context,
    set_: str,
    condition: str,
    fine: Tensor,
    flair: Tensor,
    ours: Callable[[Tensor, Tensor], Tensor],
    lpips: LPIPS | None,
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Tensor]]:
    """Add the rows of one condition; return the metrics of each map and the maps, both by method."""
    coarse = BLOCK.A(fine)
    maps = {NEAREST: BLOCK.A_dagger(coarse), SPLINE: spline(coarse, 4), **hfab_maps(coarse, flair)}
    maps[OURS] = ours(coarse, flair)
    found = {method: _quality(pred, fine, lpips) for method, pred in maps.items()}
    for method, values in found.items():
        for metric, each in values.items():
            # the maps of a patient are no cases of their own: the interval resamples patients
            cases_ = each.reshape(-1, len(NAMES)).mean(1) if set_ == COHORT else each
            context.add(set_, condition, method, metric, cases_.tolist())
            context.add(set_, condition, method, f"SD of {metric}", [float(each.std(ddof=1))])
            for other in (NEAREST, SPLINE, OURS):
                if method not in (NEAREST, SPLINE, other):
                    p = mann_whitney_p(each, found[other][metric])
                    context.add(set_, condition, method, _test(metric, other), [p])
    return found, maps


def _quality(pred: Tensor, fine: Tensor, lpips: LPIPS | None) -> dict[str, np.ndarray]:
    """The paper's metrics of each map, over the whole slice."""
    pair = pred[:, None], fine[:, None]
    errors = mse(*pair)
    out = {"MSE": errors, "RMSE": errors.sqrt()}
    out |= {"PSNR, dB": psnr(*pair, data_range=1), "SSIM": ssim(*pair, data_range=1)}
    if lpips is not None:
        with torch.no_grad():
            parts = zip(*(image.clamp(0, 1).split(AT_ONCE) for image in pair), strict=True)
            out["LPIPS"] = torch.cat([lpips(*part) for part in parts])
    return {metric: values.double().numpy() for metric, values in out.items()}


def _test(metric: str, other: str) -> str:
    return f"Mann-Whitney p of {metric} against {other}"


def _draw_boxes(found: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """Box plots of every metric, by method."""
    metrics = list(found[NEAREST])
    figure = Figure(figsize=(3.2 * len(metrics), 6))
    for axis, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        axis.boxplot([values[metric] for values in found.values()], showfliers=False)
        axis.set_title(metric)
        axis.set_xticks(range(1, len(found) + 1), list(found), rotation=90, fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def _draw_errors(maps: dict[str, Tensor], fine: Tensor, flair: Tensor, path: Path) -> None:
    """The paper's example figure: two test maps and their errors, the median and the worst by our error."""
    order = mse(maps[OURS][:, None], fine[:, None]).argsort()
    shown = [NEAREST, SPLINE, hfab_name(), hfab_name(rate="high"), OURS]
    rows = []
    for k in (int(order[len(order) // 2]), int(order[-1])):
        row = {"MRI": flair[k], "truth": fine[k]} | {name: maps[name][k] for name in shown if name in maps}
        rows.append(row | {f"error, {name}": maps[name][k] - fine[k] for name in shown if name in maps})
    draw(rows, path)


TABLES: list[Any] = [
    *(Table(f"The published network, {condition}", condition, dict(METRICS), note)
      for condition, note in (
          (RULES, "Block means, no noise, a FLAIR that agrees. The virtual cohort is the paper's test by its rules: "
                  "100 patients, 500 maps; its training patients are others. Variants: those whose weights are there."),
          (CRISP, "As if a slice were 1 mm thick, as those of the paper's MRIs are."),
          (COARSER, "The same maps on half the matrix, with the same networks."),
      )),
    Table(f"The published network, {RULES}: tests", RULES,
          {_test(metric, other): "%.1g" for metric in METRICS for other in (NEAREST, SPLINE, OURS)}),
]  # fmt: skip
