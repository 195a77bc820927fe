"""Whether an MRI lies where the map's head does."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from mrsikit.baselines import brain_outline
from mrsikit.transforms.mri_shift import mri_shift

ELSEWHERE = 0.08
"""Share of the tissue outside the brain of an MRI from which on that lies elsewhere; chosen on BrainWeb 1."""

DARK = 0.1
"""Of an MRI's brightest: under it lies no brain, but for fluid within."""

FARTHEST = 8.0
"""mm up to which it is looked for how far an MRI lies beside the map."""

MOST_SHIFT, MOST_SLICES = 3, 8
"""Coarse voxels up to which, and slices in which that is done."""

SHIFTED, FITS_BETTER = 2.0, 1.2
"""mm, and how many times less of the map an MRI leaves unexplained where it fits best, from which on it is told."""

COVERED = 0.95
"""Share of the tissue that an MRI must cover to be one of all of it."""


def beside(maps: Tensor, tissue: Tensor, mri: Tensor) -> float:
    """Share of a map's tissue that lies outside the brain of an MRI (X, Y, Z), of the map that fits it best.

    Counted where a map (M, X, Y, Z), of no sign, has half of the typical value of its tissue.
    """
    inside = np.stack([brain_outline((mri[..., z] > DARK).numpy()) for z in range(mri.shape[2])], -1)
    shares = []
    for one, where in zip(maps, tissue, strict=True):
        full = where & (one > 0.5 * one[where].median()) if where.any() else where
        shares.append(float((full & ~torch.from_numpy(inside)).sum() / full.sum().clamp(min=1)))
    return min(shares, default=0.0)


def shift_needed(maps: Tensor, tissue: Tensor, mri: Tensor, factor: int, affine: Tensor) -> list[float]:
    """Shift that an MRI needs to fit its maps.

    Args:
        maps: (M, X, Y, Z) coarse.
        tissue: same shape, of :func:`mrsikit.sharpening.tissue.tissue_of`; what is not beside any counts as 0.
        mri: (factor X, factor Y, Z) on the fine grid, brain about 0 to 1.
        factor: fine voxels a coarse one.
        affine: (4, 4) of the fine grid.

    Returns:
        Millimetres to the right, to the front and up, in plane; 0 where no shift is clearly better.
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
