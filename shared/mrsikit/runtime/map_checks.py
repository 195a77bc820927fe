"""Checks of one metabolite map and its companion files."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from mrsikit.io.errors import InputError
from mrsikit.io.readers import read_codes, read_map
from mrsikit.restoration.resampling import on_finer_grid, to_map_grid
from mrsikit.runtime.pipeline import channel_first, channel_last, check_affine, refuse

KINDS = ("missing", "mask", "percent", "width", "anatomy", "fraction")
ON_ANY_GRID = ("anatomy", "fraction")
VALUES = ("percent", "width")
MIN_MATRIX = 8
MAX_SHIFT = 0.1  # voxels; a larger shift is not header rounding and visibly moves a mask at the edge of missing voxels
FAILED_FIT = 100.0  # percent; a Cramér-Rao bound from here on means that the fit found no signal
FRACTION_MAXIMUM = 1.5  # in vivo, Cramér-Rao bounds in percent exceed this somewhere; if none does, they are fractions
COVERS = 0.9  # a mask or bounds on a finer grid must cover this share of the map's voxels that hold a signal
FRACTION_SLACK = 0.05  # resampling takes fractions a little beyond 0 and 1
FRACTION_TENTH = 0.5  # nor is their 10th percentile below this; failed fits give large bounds even as fractions


def input_problems(item: Mapping[str, str], kinds: Mapping[str, str], least_slices: int = 0) -> list[str]:
    """Check one map and its companions, with at most two arrays in memory.

    Args:
        item: ``{"image": path, <companion>: path, ...}``.
        kinds: kind of each companion, ``missing``, ``mask``, ``percent``, ``width`` (of lines), ``anatomy`` or
            ``fraction``.
        least_slices: smallest number of voxels of the map along each of three axes; 0: it may be 2D.

    Returns:
        One line per problem: the file, what is wrong, and what would be right. Empty if there is no problem.
    """
    path = item["image"]
    try:
        image, affine = read_map(path)
    except InputError as error:
        return [str(error)]
    problems = [f"{path}: {problem}" for problem in map_problems(image)]
    if not problems and least_slices and min((*image.shape, 1, 1)[:3]) < least_slices:
        problems = [f"{path}: has fewer than {least_slices} slices; give a volume, or --dims 2"]
    return problems or problems_of_companions(item, kinds, image, affine)


def problems_of_companions(
    item: Mapping[str, str], kinds: Mapping[str, str], image: NDArray[Any], affine: NDArray[Any]
) -> list[str]:
    """Check the companion files that one input has.

    Args:
        item: ``{"image": path, <companion>: path, ...}``.
        kinds: kind of each companion, see :func:`input_problems`.
        image: what the companions belong to: the map, or for FIDs their largest magnitude (X, Y, Z).
        affine: (4, 4) of the image, voxel to mm.

    Returns:
        One line per problem: the file, what is wrong, and what would be right. Empty if there is no problem.
    """
    problems = []
    for name, kind in kinds.items():
        if name not in item:
            continue
        try:
            companion, own = read_map(item[name])
        except InputError as error:
            problems.append(str(error))
            continue
        placed = kind != "anatomy"  # an MRI counts only where the check on this map shows that it fits
        finer = placed and on_finer_grid(companion.shape, own, image.shape, affine)
        if finer and read_codes(item[name]) == (0, 0):
            why = "is on another grid than its map, and its header gives no position; give it on the map's grid"
            problems.append(f"{item[name]}: {why}")
            continue
        found = companion_problems(companion, image, kind, affine=own, map_affine=affine)
        problems += [f"{item[name]}: {problem}" for problem in found]
    return problems


def companion_problems(
    companion: NDArray[Any],
    image: NDArray[Any],
    kind: str,
    *,
    affine: NDArray[np.float64] | None = None,
    map_affine: NDArray[np.float64] | None = None,
) -> list[str]:
    """Check a companion of a map.

    Args:
        companion: (X, Y[, Z[, M]]), with the map's shape or that of one of its metabolites, or on a finer grid such as
            an MRI's.
        image: the map, in which :func:`map_problems` found no problem.
        kind: ``missing``, ``mask``, ``percent``, ``width`` (of lines), or, on its own grid, ``anatomy``, an image, or
            ``fraction``, a tissue map from 0 to 1.
        affine: the companion's voxel to mm, 4 x 4; None: it lies on the map's grid.
        map_affine: the map's voxel to mm, 4 x 4; None: the identity.

    Returns:
        One line per problem, to follow the companion's name: what is wrong and what would be right. Empty if there is
        no problem.
    """
    base = np.eye(4) if map_affine is None else map_affine
    if kind in ON_ANY_GRID:
        own = base if affine is None else affine
        problems = _anatomy_problems(companion) or _overlap_problems(companion.shape, own, image, base)
        low, high = (0.0, 0.0) if problems else (float(np.nanmin(companion)), float(np.nanmax(companion)))
        if kind == "fraction" and (low < -FRACTION_SLACK or high > 1 + FRACTION_SLACK):
            return [f"holds values from {low:g} to {high:g}; a fraction is from 0 to 1"]
        return problems
    if affine is not None and on_finer_grid(companion.shape, affine, image.shape, base):
        problems = _finer_problems(companion, affine, image, base, kind)
        if problems:
            return problems
        companion, affine = _on_map_grid(companion, affine, image, base, kind), base
    problems = _geometry_problems(companion.shape, base if affine is None else affine, image.shape, base)
    if problems:
        return problems
    companion = _broadcastable(companion, image)
    problems = _value_problems(companion, kind, np.isfinite(image) & (image != 0))
    if not problems and kind == "missing" and not image[np.isfinite(image) & (companion == 0)].any():
        problems = ["marks every voxel that holds a signal as missing; leave some to fill the others from"]
    return problems


def checked_image(
    name: str,
    image: NDArray[Any] | None,
    affine: NDArray[np.float64] | None,
    values: NDArray[Any],
    map_affine: NDArray[np.float64] | None,
    kind: str = "anatomy",
) -> dict[str, MetaTensor]:
    """Check an image that lies on its own grid and comes as an array.

    Args:
        name: name of the argument, for the messages; that of its affine ends in ``_affine``.
        image: (X', Y'[, Z']); None: there is none.
        affine: (4, 4) of the image, voxel to mm.
        values: the map, in which :func:`map_problems` found no problem.
        map_affine: (4, 4) of the map, voxel to mm.
        kind: its kind, see :func:`companion_problems`.

    Returns:
        The image (1, X', Y'[, Z']), float32, under its name; empty without an image.

    Raises:
        InputError: the image is invalid, or it or the map has no affine.
    """
    if image is None:
        return {}
    if affine is None or map_affine is None:
        raise InputError(f"{name} needs {name}_affine, and the map its affine, or they cannot be overlaid")
    image, affine = np.asarray(image), np.asarray(affine, float)
    if image.dtype.kind not in "biuf":
        raise InputError(f"{name} must be real numbers, not {image.dtype}")
    check_affine(affine, f"{name}_affine")
    image = image.astype(np.float32)
    refuse(name, companion_problems(image, values, kind, affine=affine, map_affine=np.asarray(map_affine, float)))
    return {name: MetaTensor(torch.from_numpy(image)[None], affine=torch.as_tensor(affine))}


def _anatomy_problems(image: NDArray[Any]) -> list[str]:
    if _without_end_ones(image.shape) != _without_end_ones(image.shape[:3]):
        return [f"has a matrix of {' x '.join(map(str, image.shape))}; give one image of two or three axes"]
    if np.isinf(image).any():
        return ["holds infinity; an image must be finite, with 0 or NaN as background"]
    values = image[~np.isnan(image)]
    if not values.size:
        return ["is NaN in every voxel; give an image of the head"]
    if values.min() == values.max():
        return [f"has the same value {values[0]:g} in every voxel; give an image of the head"]
    return []


def _finer_problems(
    companion: NDArray[Any],
    affine: NDArray[np.float64],
    image: NDArray[Any],
    map_affine: NDArray[np.float64],
    kind: str,
) -> list[str]:
    """Check a mask or bounds on a finer grid than the map's before they are resampled."""
    if companion.ndim == 4 and companion.shape[3] not in (1, (*image.shape, 1, 1)[3]):
        return [f"has {companion.shape[3]} volumes; its map has {(*image.shape, 1, 1)[3]}"]
    if kind not in VALUES and (problems := _value_problems(companion, kind, np.zeros(0, bool))):
        return problems
    grid = _on_map_grid(np.ones(companion.shape[:3], np.float32), affine, image, map_affine, "percent")
    filled = (np.nan_to_num(image.reshape(*image.shape[:3], -1)) != 0).any(-1)
    share = float(np.isfinite(grid).reshape(image.shape[:3])[filled].mean()) if filled.any() else 1.0
    if share < COVERS:
        return [f"is on another grid and covers {share:.0%} of its map; give one that covers the map, or on its grid"]
    return []


def _on_map_grid(
    companion: NDArray[Any],
    affine: NDArray[np.float64],
    image: NDArray[Any],
    map_affine: NDArray[np.float64],
    kind: str,
) -> NDArray[Any]:
    """Resample a mask or bounds as the preprocessing will, to (X, Y[, Z[, M]])."""
    tensor = channel_first(companion, affine)
    found = to_map_grid(tensor, image.shape[:3], torch.as_tensor(map_affine), majority=kind not in VALUES)
    return channel_last(found, 4 if len(found) > 1 else min(image.ndim, 3))


def _overlap_problems(
    shape: tuple[int, ...], affine: NDArray[np.float64], image: NDArray[Any], map_affine: NDArray[np.float64]
) -> list[str]:
    """Check that the image's grid overlaps the bounding box of the map's non-zero voxels, along the image's axes."""
    values = image.reshape((*image.shape, 1)[:3] + (-1,))
    filled = np.argwhere((np.nan_to_num(values) != 0).any(-1))
    ends = np.stack([filled.min(0) - 0.5, filled.max(0) + 0.5], 1)
    corners = np.array([[*corner, 1] for corner in itertools.product(*ends)]).T
    corner_voxels = np.linalg.solve(affine, map_affine @ corners)[:3]
    size = np.array((*shape, 1)[:3])
    if (corner_voxels.max(1) < -0.5).any() or (corner_voxels.min(1) > size - 0.5).any():
        return ["does not overlap its map by the headers; give an image of the same session, not moved since"]
    return []


def map_problems(image: NDArray[Any]) -> list[str]:
    """Check a real-valued map: its number of axes, its matrix, and that it holds measured values.

    Args:
        image: (X, Y), (X, Y, Z) or (X, Y, Z, M).

    Returns:
        One line per problem, to follow the map's name: what is wrong and what would be right. Empty if there is no
        problem.
    """
    if image.ndim not in (2, 3, 4):
        return [f"has {image.ndim} axes; give (X, Y), (X, Y, Z) or, with metabolites last, (X, Y, Z, M)"]
    if sorted(image.shape[:3])[-2] < MIN_MATRIX or 0 in image.shape:
        matrix = " x ".join(map(str, image.shape))
        return [f"has a matrix of {matrix}; two axes of space must count at least {MIN_MATRIX} voxels each"]
    maps = [image[..., m] for m in range(image.shape[3])] if image.ndim == 4 else [image]
    problems = []
    for number, values in enumerate(maps, start=1):
        which = f" in metabolite {number} of {len(maps)} (last axis)" if len(maps) > 1 else ""
        finite = values[np.isfinite(values)]
        if not finite.size:
            problems.append(f"has no finite voxel{which} (all NaN or infinite); give a map with measured voxels")
        elif not finite.any():
            problems.append(f"is zero in every voxel{which}; give a map with measured voxels")
        elif finite.min() == finite.max():
            problems.append(f"has the same value {finite[0]:g} in every voxel{which}; give a measured map")
    return problems


def _without_end_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _geometry_problems(
    shape: tuple[int, ...], affine: NDArray[np.float64], map_shape: tuple[int, ...], map_affine: NDArray[np.float64]
) -> list[str]:
    allowed = {_without_end_ones(map_shape), _without_end_ones(map_shape[:3])}
    if _without_end_ones(shape) not in allowed:
        wanted = " or ".join(" x ".join(map(str, s)) for s in sorted(allowed, key=len))
        return [f"has a matrix of {' x '.join(map(str, shape))}; its map has {wanted}"]
    grid = (*map_shape[:3], 1)[:3]
    corners = np.array([[i, j, k, 1] for i in (0, grid[0] - 1) for j in (0, grid[1] - 1) for k in (0, grid[2] - 1)]).T
    shift = np.abs((np.linalg.solve(map_affine, affine @ corners) - corners)[: min(len(map_shape), 3)]).max()
    if shift > MAX_SHIFT:
        return [f"lies up to {shift:.3g} voxels off its map by the headers; resample it onto the map's grid"]
    return []


def _broadcastable(companion: NDArray[Any], image: NDArray[Any]) -> NDArray[Any]:
    if companion.size == image.size:
        return companion.reshape(image.shape)
    return companion.reshape((*image.shape[:3], 1))  # all metabolites of a 4D map share this companion


def _value_problems(values: NDArray[Any], kind: str, filled: NDArray[np.bool_]) -> list[str]:
    if kind == "percent":
        finite = values[np.isfinite(values)]
        if not finite.size:
            return ["has no finite voxel; give percentages (NaN only where the fit failed)"]
        if finite.min() < 0:
            return [f"has negative values (down to {finite.min():g}); percentages are zero or more"]
        if finite.max() <= FRACTION_MAXIMUM:
            return [f"has a maximum of {finite.max():g}, which looks like fractions; values must be in percent"]
        fitted = np.broadcast_to(values, filled.shape)[filled]
        fitted = fitted[np.isfinite(fitted) & (fitted > 0)]
        if fitted.size and fitted.min() >= FAILED_FIT:
            return [f"has no bound under {FAILED_FIT:g} %: no voxel was measured; give a map with measured voxels"]
        best = float(np.percentile(fitted, 10)) if fitted.size else FRACTION_TENTH
        if best < FRACTION_TENTH:
            return [f"has a tenth below {best:.2g}, which looks like fractions; values must be in percent"]
        return []
    if kind == "width":
        fitted = values[np.isfinite(values)]
        if (fitted < 0).any():
            return [f"has negative values (down to {fitted.min():g}); linewidths are above 0 (0 or NaN: not known)"]
        if not fitted.any():
            return ["has no linewidth above 0; leave it out"]
        return []
    if np.isnan(values).any():
        return ["holds NaN; a mask must be 0 or 1 in every voxel"]
    if not np.isin(values, (0, 1)).all():
        return [f"holds values from {values.min():g} to {values.max():g} other than 0 and 1; a mask must be 0 or 1"]
    if kind == "mask" and not values.any():
        return ["is empty; a mask must be 1 somewhere"]
    if kind == "missing" and values.all():
        return ["marks all voxels as missing; 1 means missing, 0 means measured"]
    return []
