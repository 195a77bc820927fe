r"""Spatial encoding: the forward operator from a fine map to the coarse map that an acquisition measures.

The forward operator A takes the mean of each block, or the centre of k-space, with or without a Hamming filter, and the
coarse map is y = A x. :func:`pseudo_inverse` is :math:`A^+` (for the Hamming filter without the filter's inverse), so
:math:`x + A^+ (y - A x)` is the map nearest to x that is measured as y. Images are real. Their last two axes are in
plane; where ``dims`` is 3, their last three axes are those of space. A coarse voxel is the centre of its fine voxels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mrsikit.physics.kspace import hamming_weights, low_pass_sample, weighted, zero_fill

BLOCK, KSPACE, HAMMING = 0, 1, 2
"""Point-spread functions."""

PSF_CODES = {"block": BLOCK, "kspace": KSPACE, "hamming": HAMMING}
MOST_GAIN = 12.5
"""Of the inverse of Hamming's filter: that at the ends of an axis. The corners of k-space, which the filter leaves with
less than a hundredth, stay damped."""

HAMMING_NOISE = 0.397
"""Standard deviation of white noise after Hamming's filter in two dimensions, relative to before."""

NEIGHBOURS, ABOVE_NOISE = 3, 1.5
"""Coarse voxels in which a difference is held against the noise, and c; chosen on BrainWeb 1."""


def forward_operator(fine: Tensor, factor: int, psf: int, dims: int = 2) -> Tensor:
    """Coarse map (..., X / factor, Y / factor) of a fine one (..., X, Y), without noise.

    Raises:
        ValueError: Hamming's filter in three dimensions.
    """
    if psf == BLOCK:
        blocks = fine
        for axis in range(fine.ndim - 1, fine.ndim - 1 - dims, -1):
            blocks = blocks.unflatten(axis, (fine.shape[axis] // factor, factor))
        return blocks.mean([-1 - 2 * k for k in range(dims)])
    if psf == HAMMING:
        _in_plane(dims)
        fine = weighted(fine, hamming_weights(fine.shape[-2], fine.shape[-1], factor).to(fine))
    return low_pass_sample(fine, factor, dims)


def pseudo_inverse(coarse: Tensor, factor: int, psf: int, dims: int = 2) -> Tensor:
    """Fine map (..., factor X, factor Y) of least norm: each block constant, or zero filling."""
    if psf == BLOCK:
        for axis in range(-dims, 0):
            coarse = coarse.repeat_interleave(factor, axis)
        return coarse
    return zero_fill(coarse, factor, dims)


def interpolate(coarse: Tensor, factor: int, psf: int, dims: int = 2) -> Tensor:
    """Fine map that gives the coarse one when it is measured again.

    Blocks: cubic interpolation, aligned to the block's centres, plus each block's difference. K-space: zero filling,
    and for Hamming's filter its inverse, of which the gain is limited; this alone agrees to about a thousandth only.

    Args:
        coarse: (..., X, Y).
        factor: fine voxels a coarse one.
        psf: code of the point-spread function.
        dims: axes of space.

    Returns:
        (..., factor X, factor Y[, factor Z]).
    """
    if psf == BLOCK:
        fine = cubic(coarse, factor, dims)
        return fine + pseudo_inverse(coarse - forward_operator(fine, factor, psf, dims), factor, psf, dims)
    fine = zero_fill(coarse, factor, dims)
    if psf == HAMMING:
        _in_plane(dims)
        filter_ = hamming_weights(fine.shape[-2], fine.shape[-1], factor).to(fine)
        fine = weighted(fine, torch.where(filter_ > 0, (1 / filter_).clamp(max=MOST_GAIN), 0.0))
    return fine


def data_consistency(
    fine: Tensor, coarse: Tensor, factor: int, psf: int, *, noise: float | Tensor = 0.0, dims: int = 2
) -> Tensor:
    r"""Give a fine map back what it has lost of the measurement, as far as that stands out of the noise.

    .. math:: x \leftarrow x + A^+ W (y - A x), \qquad W = \max(0, 1 - c \sigma^2 / \langle (y - A x)^2 \rangle)

    with the mean over :data:`NEIGHBOURS` coarse voxels along each axis: Wiener's filter of the difference. Without
    noise x is measured as y, but for the encode of an even number that has no counterpart; with noise a difference like
    noise stays, and one that a lesion has made goes.

    Args:
        fine: (B, factor X, factor Y[, factor Z]).
        coarse: (B, X, Y[, Z]), y.
        factor: fine voxels a coarse one.
        psf: code of the point-spread function.
        noise: standard deviation of the coarse map's noise, one number or as ``coarse``.
        dims: axes of space.

    Returns:
        As ``fine``.
    """
    wrong = coarse - forward_operator(fine, factor, psf, dims)
    if psf != BLOCK:  # the encode without a counterpart is never explained, and would be added again each time
        wrong = low_pass_sample(zero_fill(wrong, factor, dims), factor, dims)
    variance = torch.as_tensor(noise, dtype=fine.dtype, device=fine.device).square()
    if variance.any():
        pool = F.avg_pool2d if dims == 2 else F.avg_pool3d
        around = pool(wrong.square()[:, None], NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False)[:, 0]
        wrong = wrong * (1 - ABOVE_NOISE * variance / around.clamp(min=1e-20)).clamp(min=0)
    return fine + interpolate(wrong, factor, psf, dims)


def _in_plane(dims: int) -> None:
    if dims != 2:
        raise ValueError(f"Hamming's filter is known in two dimensions, not in {dims}")


def cubic(coarse: Tensor, factor: int, dims: int = 2) -> Tensor:
    """Cubic interpolation (..., factor X, factor Y[, factor Z]), aligned to the centres of the coarse voxels."""
    if dims == 3:  # in plane, and then along the third axis, for PyTorch has none of three axes
        planes = cubic(coarse.movedim(-1, 0), factor)
        lines = planes.movedim(0, -1).flatten(0, -2)[:, None, None]
        fine = F.interpolate(lines, scale_factor=(1.0, float(factor)), mode="bicubic", align_corners=False)
        return fine.reshape(*planes.shape[1:], -1)
    images = coarse.reshape(-1, 1, *coarse.shape[-2:])
    fine = F.interpolate(images, scale_factor=float(factor), mode="bicubic", align_corners=False)
    return fine.reshape(*coarse.shape[:-2], *fine.shape[-2:])
