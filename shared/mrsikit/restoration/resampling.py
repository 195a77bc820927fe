"""Resampling: average an image over the voxels of another grid."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import SpatialResample
from monai.utils import convert_to_tensor
from torch import Tensor


def upright_axis(affine: Tensor) -> int:
    """Return the axis of a volume (0, 1 or 2) that runs along the body, that is, across axial slices."""
    towards = nib.io_orientation(convert_to_tensor(affine).cpu().numpy())[:, 0]
    return int(np.flatnonzero(towards == 2)[0])


def image_on_grid(
    image: MetaTensor, shape: Sequence[int], affine: Tensor, *, points: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Average an image over the voxels of a grid that is as coarse as the image or coarser.

    Args:
        image: (1, X', Y'[, Z']) image with its affine, any unit.
        shape: shape (X, Y, Z) of the grid.
        affine: (4, 4) of the grid, voxel to mm.
        points: number of evenly spaced sampling points along each axis of a voxel. Their mean is the voxel's value.

    Returns:
        The mean (X, Y, Z), float32, over the part of each voxel that the image covers, and the share (X, Y, Z) of each
        voxel that it covers.
    """
    values = convert_to_tensor(image).float()
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
