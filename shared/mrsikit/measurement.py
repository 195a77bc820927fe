r"""What an acquisition keeps of a fine map: the mean of each block, or the centre of k-space, plain or after Hamming.

The coarse map y = A x; :func:`back` is the pseudo-inverse :math:`A^+` (for Hamming's filter without its inverse), so
:math:`x + A^+ (y - A x)` is the map nearest to x that is measured as y. Images are real, their last two axes in plane,
and a coarse voxel is the middle of its fine ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mrsikit.kspace import hamming_weights, low_pass_sample, weighted, zero_fill

BLOCK, KSPACE, HAMMING = 0, 1, 2
"""Point-spread functions."""

PSF = {"block": BLOCK, "kspace": KSPACE, "hamming": HAMMING}
MOST_GAIN = 12.5
"""Of the inverse of Hamming's filter: that at the ends of an axis. The corners of k-space, which the filter leaves with
less than a hundredth, stay damped."""

HAMMING_NOISE = 0.397
"""Standard deviation of white noise after Hamming's filter in two dimensions, relative to before."""


def measured(fine: Tensor, factor: int, psf: int) -> Tensor:
    """Coarse map (..., X / factor, Y / factor) of a fine one (..., X, Y), without noise."""
    if psf == BLOCK:
        rows, columns = fine.shape[-2] // factor, fine.shape[-1] // factor
        return fine.reshape(*fine.shape[:-2], rows, factor, columns, factor).mean((-3, -1))
    if psf == HAMMING:
        fine = weighted(fine, hamming_weights(fine.shape[-2], fine.shape[-1], factor).to(fine))
    return low_pass_sample(fine, factor)


def back(coarse: Tensor, factor: int, psf: int) -> Tensor:
    """Fine map (..., factor X, factor Y) of least norm: each block constant, or zero filling."""
    if psf == BLOCK:
        return coarse.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    return zero_fill(coarse, factor)


def interpolated(coarse: Tensor, factor: int, psf: int) -> Tensor:
    """Fine map that gives the coarse one when it is measured again.

    Blocks: cubic interpolation, aligned to the block's centres, plus each block's difference. K-space: zero filling,
    and for Hamming's filter its inverse, of which the gain is limited; this alone agrees to about a thousandth only.

    Args:
        coarse: (..., X, Y).
        factor: fine voxels a coarse one.
        psf: code of the point-spread function.

    Returns:
        (..., factor X, factor Y).
    """
    if psf == BLOCK:
        fine = cubic(coarse, factor)
        return fine + back(coarse - measured(fine, factor, psf), factor, psf)
    fine = zero_fill(coarse, factor)
    if psf == HAMMING:
        filter_ = hamming_weights(fine.shape[-2], fine.shape[-1], factor).to(fine)
        fine = weighted(fine, torch.where(filter_ > 0, (1 / filter_).clamp(max=MOST_GAIN), 0.0))
    return fine


def cubic(coarse: Tensor, factor: int) -> Tensor:
    """Bicubic interpolation (..., factor X, factor Y), aligned to the centres of the coarse voxels."""
    images = coarse.reshape(-1, 1, *coarse.shape[-2:])
    fine = F.interpolate(images, scale_factor=float(factor), mode="bicubic", align_corners=False)
    return fine.reshape(*coarse.shape[:-2], *fine.shape[-2:])
