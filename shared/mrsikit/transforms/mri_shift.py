"""How far an MRI lies beside the coarse maps of the same head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mrsikit.measurement import BLOCK, measured


def mri_shift(coarse: Tensor, mri: Tensor, factor: int, reach: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """Find the shift at which an MRI tells most of coarse maps.

    For each shift each slice of each map is regressed on the block means of the MRI and of its square, so any contrast
    between them will do; a map of noise alone says nothing for or against any shift. Turns are not looked for.
    Beyond its border the MRI counts as 0.

    Args:
        coarse: (M, Z, X, Y) maps.
        mri: (Z, factor X, factor Y) on their fine grid, brain about 0 to 1.
        factor: fine voxels a coarse one.
        reach: fine voxels along X and Y up to which shifts are tried.

    Returns:
        The shift along X and Y, in fine voxels, that the MRI needs, and how many times more of the maps' variance it
        leaves unexplained where it lies, the product over the maps; (0, 0) and 1 where no shift within reach is best,
        or the maps or the MRI are empty.
    """
    filled = coarse.flatten(2).std(2) > 0
    slices = filled.any(0) & (mri.flatten(1).amax(1) > 0)
    if not slices.any():
        return (0, 0), 1.0
    y = coarse[:, slices].flatten(2).double()
    y = (y - y.mean(2, keepdim=True)) / y.std(2, keepdim=True).clamp(min=1e-30)
    image = mri[slices].double()
    high, wide = reach
    parts = F.pad(torch.stack([image, image.square()], 1), [wide, wide, high, high])
    rows, columns = image.shape[1:]
    left = torch.empty(2 * high + 1, 2 * wide + 1, dtype=y.dtype)
    for i in range(2 * high + 1):
        for j in range(2 * wide + 1):
            told = measured(parts[..., i : i + rows, j : j + columns], factor, BLOCK).flatten(2)
            told = F.pad(told, [0, 0, 0, 1], value=1.0)
            products = told @ told.mT
            ridge = 1e-6 * products.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(3)
            weights = torch.linalg.solve(products + ridge, told @ y.movedim(0, 2))
            unexplained = (y - (weights.mT @ told).movedim(0, 1)).square().sum((1, 2))
            left[i, j] = unexplained.clamp(min=1e-12).log().sum()
    best = int(left.argmin())
    shift = high - best // (2 * wide + 1), wide - best % (2 * wide + 1)
    if abs(shift[0]) == high or abs(shift[1]) == wide:  # the best may lie farther off: the map may not be of this head
        return (0, 0), 1.0
    return shift, float((left[high, wide] - left.flatten()[best]).exp())
