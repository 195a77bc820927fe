"""A super-resolution bundle as one Python call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mrsikit.io import InputError
from mrsikit.runtime.map_checks import checked_image, companion_problems, map_problems
from mrsikit.runtime.pipeline import cached_pipeline, channel_first, channel_last, check_affine, refuse
from mrsikit.super_resolution.options import SuperResolutionOptions, ratio_pairs


class SuperResolved(NamedTuple):
    """Result of super-resolution.

    Attributes:
        sr: super-resolved map (factor X, factor Y[, Z[, M]]), float32, in the map's unit.
        uncertainty: its standard deviation, same shape and unit.
        affine: (4, 4) of the fine grid.
        flags: warnings, one string each.
        ratio: (factor X, factor Y, Z, R), the R requested ratios; NaN where the standard deviation of the denominator
            is too large.
        ratio_uncertainty: standard deviation of the ratios, same shape.
        without_mri: with an MRI, the map super-resolved without it, same shape as ``sr``. The difference between the
            two is what the MRI contributes.
        checks: the check of each map that was checked: "title", "candidates" (share and error of each method by its
            name) and "sd_factor", by which it widened the standard deviation.
    """

    sr: np.ndarray
    uncertainty: np.ndarray
    affine: np.ndarray
    flags: list[str]
    ratio: np.ndarray | None = None
    ratio_uncertainty: np.ndarray | None = None
    without_mri: np.ndarray | None = None
    checks: Sequence[dict[str, Any]] = ()


def super_resolve(
    values: np.ndarray,
    *,
    bundle_root: str | Path,
    model: type[SuperResolutionOptions],
    affine: np.ndarray | None = None,
    flair: np.ndarray | None = None,
    flair_affine: np.ndarray | None = None,
    t1: np.ndarray | None = None,
    t1_affine: np.ndarray | None = None,
    crlb: np.ndarray | None = None,
    **options: Any,
) -> SuperResolved:
    """Super-resolve a map: run the pipeline of a bundle's ``configs/inference.json`` on arrays.

    Args:
        values: (X, Y), (X, Y, Z) or (X, Y, Z, M) map in any unit.
        bundle_root: folder of the bundle.
        model: the bundle's options class.
        affine: (4, 4) voxel to mm; required with an MRI. None: 1 mm voxels.
        flair: (X', Y'[, Z']) skull-stripped FLAIR of the same head, on its own grid.
        flair_affine: (4, 4) of the FLAIR, voxel to mm.
        t1: (X', Y'[, Z']) skull-stripped T1-weighted image of the same head, on its own grid.
        t1_affine: (4, 4) of the T1-weighted image, voxel to mm.
        crlb: Cramér-Rao bounds in percent, of the map's shape or of that shape without the last axis M.
        options: parameters of the config.

    Raises:
        InputError: an input is invalid, by the same rules as for the command, or an option is unknown.
    """
    options = model.keywords(options)
    options |= {k: ",".join(map(str, v)) for k, v in options.items() if isinstance(v, list | tuple)}
    values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise InputError(f"values must be real numbers, not {values.dtype}")
    refuse("values", map_problems(values))
    given, affine = affine, np.eye(4) if affine is None else np.asarray(affine, float)
    check_affine(affine, "affine")
    for name, over, under in ratio_pairs(options.get("ratios"), options.get("metabolites")):
        maps = values.shape[3] if values.ndim == 4 else 1
        if max(over + under) >= maps:
            raise InputError(f"ratio {name}: values has {maps} maps")
    data = {"image": channel_first(values, affine)}
    if crlb is not None:
        refuse("crlb", companion_problems(np.asarray(crlb), values, "percent"))
        data["crlb"] = channel_first(np.asarray(crlb), affine)
    data |= checked_image("flair", flair, flair_affine, values, given)
    data |= checked_image("t1", t1, t1_affine, values, given)
    out = cached_pipeline(Path(bundle_root), tuple(sorted(options.items())))(data)
    fine, spread = (channel_last(out[name], values.ndim) for name in ("sr", "uncertainty"))
    axes = {"ratio": 4, "ratio_uncertainty": 4, "without_mri": values.ndim}
    more = {name: channel_last(out[name], count) for name, count in axes.items() if name in out}
    return SuperResolved(fine, spread, np.asarray(out["sr"].affine), out["flags"], checks=out["checks"], **more)
