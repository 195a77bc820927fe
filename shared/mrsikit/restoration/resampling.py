"""Resampling: average an image over the voxels of another grid, and bring masks and bounds onto the grid of a map."""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import SpatialResample
from monai.utils import convert_to_tensor
from scipy import ndimage
from torch import Tensor

FINER = 0.5
"""A grid is finer than a map's if its voxels have at most half the volume."""

MOST_POINTS = 8
"""Largest number of points at which an image is sampled along one axis of a voxel of the map."""

RESAMPLED = "resampled"
"""Key of the names of the companions that :func:`companions_to_map_grid` resampled."""


def upright_axis(affine: Tensor) -> int:
    """Return the axis of a volume (0, 1 or 2) that runs along the body, that is, across axial slices."""
    towards = nib.io_orientation(convert_to_tensor(affine).cpu().numpy())[:, 0]
    return int(np.flatnonzero(towards == 2)[0])


def image_on_grid(
    image: MetaTensor, shape: Sequence[int], affine: Tensor, *, points: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Average an image over the voxels of a grid that is as coarse as the image or coarser.

    Args:
        image: (1, X', Y'[, Z']) image with its affine, any unit. NaN is background and counts as 0.
        shape: shape (X, Y, Z) of the grid.
        affine: (4, 4) of the grid, voxel to mm.
        points: number of evenly spaced sampling points along each axis of a voxel. Their mean is the voxel's value.

    Returns:
        The mean (X, Y, Z), float32, over the part of each voxel that the image covers, and the share (X, Y, Z) of each
        voxel that it covers.
    """
    values = convert_to_tensor(image).float()
    values = torch.where(values.isnan(), 0.0, values)
    values = values.flatten(3) if values.ndim > 3 else values[..., None]
    # Resample a volume of ones with the image: outside the image its values are unknown, not zero.
    both = MetaTensor(torch.cat([values, torch.ones_like(values)]), affine=image.affine)
    finer = torch.eye(4, dtype=torch.float64)
    for axis, count in enumerate(points):
        finer[axis, axis] = 1 / count
        finer[axis, 3] = 0.5 / count - 0.5
    fine = SpatialResample(mode="bilinear", padding_mode="zeros")(
        both, dst_affine=affine.double() @ finer, spatial_size=[n * k for n, k in zip(shape, points, strict=True)]
    )
    mean = torch.nn.functional.avg_pool3d(convert_to_tensor(fine)[None].float(), tuple(points))[0]
    covered = mean[1].clamp(0, 1)
    return torch.where(covered > 0, mean[0] / covered.clamp(min=1e-6), torch.zeros_like(covered)), covered


def mean_over_voxels(image: MetaTensor, shape: Sequence[int], affine: Tensor) -> Tensor:
    """Average an image, such as an MRI, over each voxel of a map.

    Args:
        image: (1, X', Y'[, Z']) with its affine.
        shape: (X, Y[, Z]) of the map.
        affine: (4, 4) of the map, voxel to mm.

    Returns:
        (X, Y[, Z]) float32, NaN in voxels of which the image covers less than half.
    """
    base = convert_to_tensor(affine).cpu().double()
    mean, covered = image_on_grid(image, (*shape, 1)[:3], base, points=_points(base, image.affine))
    return torch.where(covered >= 0.5, mean, torch.nan).reshape(*shape)


def _points(map_affine: Tensor, affine: Tensor) -> list[int]:
    """Return how many points along each axis of a map's voxel sample an image: the voxel's side over the image's."""
    sides = torch.linalg.vector_norm(map_affine[:3, :3], dim=0)
    own = torch.linalg.vector_norm(affine[:3, :3].double(), dim=0).min()
    return [min(MOST_POINTS, max(1, math.ceil(float(side / own)))) for side in sides]


def on_finer_grid(shape: Sequence[int], affine: Any, map_shape: Sequence[int], map_affine: Any) -> bool:
    """Tell whether an image has another matrix than a map, and voxels of at most half the volume.

    Args:
        shape: (X', Y'[, Z', ...]) of the image.
        affine: (4, 4) of the image, voxel to mm.
        map_shape: (X, Y[, Z, ...]) of the map.
        map_affine: (4, 4) of the map, voxel to mm.
    """
    if (*shape, 1)[:3] == (*map_shape, 1)[:3]:
        return False
    volume, other = (abs(float(np.linalg.det(np.asarray(m, float)[:3, :3]))) for m in (affine, map_affine))
    return volume <= FINER * other


def to_map_grid(companion: MetaTensor, shape: Sequence[int], affine: Tensor, *, majority: bool) -> Tensor:
    """Resample a mask or bounds from a finer grid, such as an MRI's, onto the grid of a map.

    Args:
        companion: (C, X', Y'[, Z']) with its affine.
        shape: (X, Y[, Z]) of the map.
        affine: (4, 4) of the map, voxel to mm.
        majority: True for a mask: 1 where more than half of the map's voxel is 1. False for bounds, which cannot be
            averaged: the value at the centre of the map's voxel.

    Returns:
        (C, X, Y[, Z]) float32. Outside the companion's grid a mask is 0 and bounds are NaN.
    """
    grid = (*shape, 1)[:3]
    base = convert_to_tensor(affine).cpu().double()
    if majority:
        points = _points(base, companion.affine)
        channels = [MetaTensor(channel[None], affine=companion.affine) for channel in convert_to_tensor(companion)]
        found = torch.stack([image_on_grid(channel, grid, base, points=points)[0] for channel in channels])
        return (found > 0.5).float().reshape(-1, *shape)
    voxels = np.linalg.solve(np.asarray(companion.affine, float), base.numpy())
    centres = np.indices(grid).reshape(3, -1)
    places = voxels[:3, :3] @ centres + voxels[:3, 3:]
    values = convert_to_tensor(companion).cpu().float().numpy()
    values = values.reshape(*values.shape[:3], -1)
    near = [ndimage.map_coordinates(v, places, order=0, mode="grid-constant", cval=np.nan) for v in values]
    return torch.from_numpy(np.stack(near).astype(np.float32)).reshape(-1, *shape)


def companions_to_map_grid(
    data: MutableMapping[Any, Any], shape: Sequence[int], affine: Tensor, *, majority: Mapping[str, bool]
) -> None:
    """Resample the companions of a map that lie on a finer grid, in place, and note their names under "resampled".

    Args:
        data: item with the companions, (C, X', Y'[, Z']) with their affines.
        shape: (X, Y[, Z]) of the map.
        affine: (4, 4) of the map, voxel to mm.
        majority: for each companion, see :func:`to_map_grid`.
    """
    names = [name for name in majority if isinstance(data.get(name), MetaTensor)]
    names = [name for name in names if on_finer_grid(data[name].shape[1:], data[name].affine, shape, affine)]
    for name in names:
        values = to_map_grid(data[name], shape, affine, majority=majority[name])
        data[name] = MetaTensor(values, meta=data[name].meta | {"affine": affine})
    data[RESAMPLED] = " and ".join(names)


def resampling_warnings(data: Mapping[Any, Any]) -> list[str]:
    """Return the warning that companions were resampled, if :func:`companions_to_map_grid` did so."""
    names = data.get(RESAMPLED)
    if not names:
        return []
    how = "masks by majority, bounds by the nearest voxel"
    return [f"given on a finer grid and resampled onto that of the map ({how}): {names}"]
