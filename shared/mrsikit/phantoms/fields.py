"""Smooth random fields that can be evaluated at any point in space."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

FIELD_OF_VIEW_MM = (208.0, 256.0, 208.0)
"""Extent (mm) around the brain's centre on which fields are defined; beyond it they keep the value at the border."""


def sample_trilinear(volume: Tensor, points: Tensor, extent: tuple[float, float, float] = FIELD_OF_VIEW_MM) -> Tensor:
    """Interpolate a volume that covers ``extent`` mm around the origin at arbitrary points.

    Args:
        volume: (C, X, Y, Z) values at the centres of equal cells.
        points: (..., 3) positions in mm from the centre.
        extent: size in mm that the volume covers.

    Returns:
        (C, ...) values; points outside take the value at the border.
    """
    normalised = points / (torch.tensor(extent, dtype=points.dtype) / 2)
    grid = normalised.flip(-1).reshape(1, -1, 1, 1, 3)
    values = F.grid_sample(volume[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return values.reshape(volume.shape[0], *points.shape[:-1])


@functools.cache
def _refinement(n: int) -> Tensor:
    """(n, 2 n) matrix that refines n cells to half their size: linear interpolation, then the mean of three cells."""
    fine = F.interpolate(torch.eye(n)[None], scale_factor=2, mode="linear", align_corners=False)
    return F.avg_pool1d(F.pad(fine, [1, 1], mode="replicate"), 3, stride=1)[0]


class SmoothField:
    """Gaussian-like random field of zero mean and unit variance with a chosen correlation length.

    White noise on a lattice of ``spacing`` is refined to half that spacing by smoothing. Evaluating the field then
    costs one trilinear interpolation per point, and no volume of full resolution is needed.

    Args:
        rng: random generator of the noise.
        channels: number of independent fields C.
        spacing: correlation length in mm.
    """

    def __init__(self, rng: np.random.Generator, channels: int, spacing: float) -> None:
        coarse = [max(4, round(size / spacing)) for size in FIELD_OF_VIEW_MM]
        smooth = torch.from_numpy(rng.standard_normal((channels, *coarse), dtype=np.float32))
        for n in coarse:
            smooth = torch.tensordot(smooth, _refinement(n), dims=([1], [0]))
        flat = smooth.flatten(1)
        flat = flat - flat.mean(1, keepdim=True)
        norm = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
        self.values = (flat * (flat.shape[1] ** 0.5 / norm)).reshape(smooth.shape)

    def __call__(self, points: Tensor) -> Tensor:
        """Field values (C, ...) at ``points`` (..., 3) in mm."""
        return sample_trilinear(self.values, points)


def waves(shape: Sequence[int], knots: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Smooth unit-variance noise on a grid: a quadratic spline through white noise at regularly spaced knots.

    Args:
        shape: shape of the grid.
        knots: number of knots along each axis.
        rng: random generator of the noise.

    Returns:
        float32 array of shape ``shape``.
    """
    coarse = rng.standard_normal(knots)
    smooth = ndimage.zoom(coarse, [n / k for n, k in zip(shape, knots, strict=True)], order=2)
    return (smooth / max(smooth.std(), 1e-6)).astype(np.float32)
