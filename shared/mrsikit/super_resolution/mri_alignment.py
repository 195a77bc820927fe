"""Check whether an MRI is aligned with the map."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.brain_mask import brain_outline

ELSEWHERE = 0.08
"""An MRI is misplaced if more than 8 % of the map's tissue lies outside its brain; chosen on BrainWeb 1."""

DARK = 0.1
"""Voxels up to 0.1 of an MRI's brightest value are not brain, except for enclosed fluid."""

FARTHEST = 8.0
"""Largest shift (mm) between MRI and map that the search tries."""

MOST_SHIFT, MOST_SLICES = 3, 8
"""Largest shift in coarse voxels, and the number of slices, that the search uses."""

SHIFTED, FITS_BETTER = 2.0, 1.2
"""A shift is reported if it is at least 2 mm and reduces the unexplained variance at least 1.2-fold."""

COVERED = 0.95
"""An MRI covers the map if it covers at least 95 % of the map's tissue."""


def share_outside_brain(maps: Tensor, tissue: Tensor, mri: Tensor) -> float:
    """Share of a map's tissue that lies outside the brain of an MRI, for the map that fits the MRI best.

    Only voxels above half the median of the map's tissue count.

    Args:
        maps: (M, X, Y, Z) absolute values of the maps.
        tissue: (M, X, Y, Z), True in tissue.
        mri: (X, Y, Z) on the same grid, brain about 0 to 1.
    """
    inside = np.stack([brain_outline((mri[..., z] > DARK).numpy()) for z in range(mri.shape[2])], -1)
    shares = []
    for one, where in zip(maps, tissue, strict=True):
        full = where & (one > 0.5 * one[where].median()) if where.any() else where
        shares.append(float((full & ~torch.from_numpy(inside)).sum() / full.sum().clamp(min=1)))
    return min(shares, default=0.0)


def shift_needed(maps: Tensor, tissue: Tensor, mri: Tensor, factor: int, affine: Tensor) -> list[float]:
    """Find the shift that aligns an MRI with the maps.

    Args:
        maps: (M, X, Y, Z) coarse maps.
        tissue: (M, X, Y, Z), from :func:`mrsikit.super_resolution.tissue_mask.tissue_mask`. Voxels without tissue
            around them count as 0.
        mri: (factor X, factor Y, Z) on the fine grid, brain about 0 to 1.
        factor: fine voxels per coarse voxel along each in-plane axis.
        affine: (4, 4) of the fine grid.

    Returns:
        In-plane shift in mm to the right, to the front and up; zeros if no shift is clearly better.
    """
    around = ndimage.binary_dilation(tissue.any(0).numpy(), np.ones((3, 3, 1), bool))
    maps = maps * torch.from_numpy(around)
    steps = affine[:3, :2].double()
    rows, columns = (1 + round(FARTHEST / side) for side in torch.linalg.vector_norm(steps, dim=0).tolist())
    reach = min(rows, MOST_SHIFT * factor), min(columns, MOST_SHIFT * factor)
    some = torch.linspace(0, maps.shape[3] - 1, min(MOST_SLICES, maps.shape[3])).round().long()
    voxels, better = mri_shift(maps[..., some].movedim(-1, 1), mri[..., some].movedim(-1, 0), factor, reach)
    shift = steps @ torch.tensor(voxels, dtype=torch.float64)
    clear = better >= FITS_BETTER and float(torch.linalg.vector_norm(shift)) >= SHIFTED
    return shift.tolist() if clear else [0.0, 0.0, 0.0]


def mri_shift(coarse: Tensor, mri: Tensor, factor: int, reach: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """Find the shift at which an MRI explains most of the coarse maps' variance.

    For each shift, each slice of each map is regressed on a constant and the block means of the MRI and of its square,
    so the contrasts of MRI and map may differ. A map of pure noise favours no shift. The search does not try rotations.
    Beyond its border the MRI counts as 0.

    Args:
        coarse: (M, Z, X, Y) maps.
        mri: (Z, factor X, factor Y) on the maps' fine grid, brain about 0 to 1.
        factor: fine voxels per coarse voxel along X and Y.
        reach: largest shift to try along X and Y, in fine voxels.

    Returns:
        The shift along X and Y, in fine voxels, that the MRI needs; and the ratio of the unexplained variance without
        the shift to that with it, multiplied over the maps. (0, 0) and 1 if the best shift lies on the border of the
        search range or if the maps or the MRI are empty.
    """
    filled = coarse.flatten(2).std(2) > 0
    slices = filled.any(0) & (mri.flatten(1).amax(1) > 0)
    if not slices.any():
        return (0, 0), 1.0
    y = coarse[:, slices].flatten(2).double()
    y = (y - y.mean(2, keepdim=True)) / y.std(2, keepdim=True).clamp(min=1e-30)
    image = mri[slices].double()
    high, wide = reach
    blocks = SpatialEncoding("block", factor)
    parts = F.pad(torch.stack([image, image.square()], 1), [wide, wide, high, high])
    rows, columns = image.shape[1:]
    left = torch.empty(2 * high + 1, 2 * wide + 1, dtype=y.dtype)
    for i in range(2 * high + 1):
        for j in range(2 * wide + 1):
            regressors = blocks.A(parts[..., i : i + rows, j : j + columns]).flatten(2)
            regressors = F.pad(regressors, [0, 0, 0, 1], value=1.0)
            products = regressors @ regressors.mT
            ridge = 1e-6 * products.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(3)
            weights = torch.linalg.solve(products + ridge, regressors @ y.movedim(0, 2))
            unexplained = (y - (weights.mT @ regressors).movedim(0, 1)).square().sum((1, 2))
            left[i, j] = unexplained.clamp(min=1e-12).log().sum()
    best = int(left.argmin())
    shift = high - best // (2 * wide + 1), wide - best % (2 * wide + 1)
    if abs(shift[0]) == high or abs(shift[1]) == wide:  # the optimum may lie out of range, or the heads may differ
        return (0, 0), 1.0
    return shift, float((left[high, wide] - left.flatten()[best]).exp())
