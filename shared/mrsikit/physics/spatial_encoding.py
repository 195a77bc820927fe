r"""Spatial encoding: point spread functions, the forward operator from a fine to a coarse map, and data consistency.

The coarse map is y = A x. The forward operator A takes the mean of each block, or the centre of k-space with or without
a Hamming filter. :func:`pseudo_inverse` is :math:`A^+` (for the Hamming filter, without the filter's inverse), so
:math:`x + A^+ (y - A x)` is the map nearest to x that the forward operator maps to y. Images are real. Their last two
axes are the in-plane axes; where ``dims`` is 3, their last three axes are the spatial axes. A coarse voxel lies at the
centre of its fine voxels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mrsikit.physics.kspace import hamming_weights, low_pass_sample, weighted, zero_fill

BLOCK, KSPACE, HAMMING = 0, 1, 2
"""Codes of the point spread functions."""

PSF_CODES = {"block": BLOCK, "kspace": KSPACE, "hamming": HAMMING}
MOST_GAIN = 12.5
"""Maximum gain of the inverse Hamming filter: the inverse of the filter's value at the ends of an axis. The corners of
k-space, where the filter is below a hundredth, stay damped."""

HAMMING_NOISE = 0.397
"""Standard deviation of white noise after the two-dimensional Hamming filter, relative to that before it."""

NEIGHBOURS, ABOVE_NOISE = 3, 1.5
"""Side, in coarse voxels, of the window in which a difference is compared with the noise, and the factor c of
:func:`data_consistency`; chosen on BrainWeb 1."""

WIDE, MARGIN = 15, 1.0
"""The same side where the response to the noise is known, and by how many standard errors a difference must exceed the
noise. Chosen on shaded maps of BrainWeb 1: the error is 1.00 of that without the step where the network is right, and
.92 to .98 where it is not. Without the margin and in windows of 9, the first is up to 1.04."""


def forward_operator(fine: Tensor, factor: int, psf: int, dims: int = 2) -> Tensor:
    """Compute the noise-free coarse map of a fine map.

    Args:
        fine: (..., X, Y), or (..., X, Y, Z), any unit.
        factor: fine voxels per coarse voxel along each axis.
        psf: code of the point spread function.
        dims: number of spatial axes, 2 or 3.

    Returns:
        (..., X / factor, Y / factor[, Z / factor]), same unit.

    Raises:
        ValueError: the Hamming filter with three dimensions.
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
    """Compute the fine map of least norm: constant within each block, or zero-filled in k-space.

    Args:
        coarse: (..., X, Y), or (..., X, Y, Z), any unit.
        factor: fine voxels per coarse voxel along each axis.
        psf: code of the point spread function.
        dims: number of spatial axes, 2 or 3.

    Returns:
        (..., factor X, factor Y[, factor Z]), same unit.
    """
    if psf == BLOCK:
        for axis in range(-dims, 0):
            coarse = coarse.repeat_interleave(factor, axis)
        return coarse
    return zero_fill(coarse, factor, dims)


def interpolate(coarse: Tensor, factor: int, psf: int, dims: int = 2) -> Tensor:
    """Interpolate a coarse map so that the forward operator maps the result back to it.

    Block: cubic interpolation, aligned to the centres of the blocks, plus the difference that each block mean leaves.
    k-space: zero filling. Hamming: zero filling and the inverse filter with limited gain, which gives the coarse map
    back only to about a thousandth.

    Args:
        coarse: (..., X, Y), or (..., X, Y, Z), any unit.
        factor: fine voxels per coarse voxel along each axis.
        psf: code of the point spread function.
        dims: number of spatial axes, 2 or 3.

    Returns:
        (..., factor X, factor Y[, factor Z]), same unit.

    Raises:
        ValueError: the Hamming filter with three dimensions.
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
    fine: Tensor,
    coarse: Tensor,
    factor: int,
    psf: int,
    *,
    noise: float | Tensor = 0.0,
    response: Tensor | None = None,
    dims: int = 2,
) -> Tensor:
    r"""Enforce data consistency: correct a fine map where it differs from the measurement by more than the noise.

    .. math:: x \leftarrow x + B W (y - A x), \qquad W = \max(0, 1 - c \sigma^2 / \langle (y - A x)^2 \rangle)

    with B the interpolation of :func:`interpolate` and the mean over :data:`NEIGHBOURS` coarse voxels along each axis.
    W is a Wiener filter of the difference. Without noise, the forward operator maps the result to y (with the Hamming
    filter, to about a thousandth), except for the Nyquist encode of an even number of encodes, which has no
    counterpart. With noise, differences of the size of the noise remain and larger ones, such as those of a lesion, are
    removed.

    Where it is known how A x follows the noise of y, c is not chosen: the weight of least squared error is that of
    Stein's unbiased risk estimate, :math:`c = 1 - \langle \partial (A x) / \partial y \rangle`, means over
    :data:`WIDE` coarse voxels (doi:10.1214/aos/1176345632). A mean of n squares is uncertain by a share of
    :math:`\sqrt{2 / n}`, and c is larger by that share.

    Args:
        fine: (B, factor X, factor Y[, factor Z]), x, any unit.
        coarse: (B, X, Y[, Z]), y, same unit.
        factor: fine voxels per coarse voxel along each axis.
        psf: code of the point spread function.
        noise: standard deviation of the coarse map's noise, one number or a tensor of the shape of ``coarse``.
        response: derivative of each voxel of A x by that of y, of the shape of ``coarse``; NaN where y was not
            measured, and A x is kept. None: c is :data:`ABOVE_NOISE`.
        dims: number of spatial axes, 2 or 3.

    Returns:
        The corrected map, of the shape of ``fine``.

    Raises:
        ValueError: the Hamming filter with three dimensions.
    """
    wrong = coarse - forward_operator(fine, factor, psf, dims)
    if psf != BLOCK:  # A x never contains the Nyquist encode, so each pass would add it again
        wrong = low_pass_sample(zero_fill(wrong, factor, dims), factor, dims)
    variance = torch.as_tensor(noise, dtype=fine.dtype, device=fine.device).square()
    if not variance.any():
        return fine + interpolate(wrong, factor, psf, dims)
    if response is None:
        around = _sum_around(wrong.square(), NEIGHBOURS, dims) / _sum_around(torch.ones_like(wrong), NEIGHBOURS, dims)
        wrong = wrong * (1 - ABOVE_NOISE * variance / around.clamp(min=1e-20)).clamp(min=0)
    else:
        counts = (response.isfinite() & (variance > 0)).to(fine)
        expected = _sum_around(counts * (1 - response).nan_to_num(), WIDE, dims)
        found = _sum_around(counts * wrong.square() / variance.clamp(min=1e-20), WIDE, dims)
        margin = MARGIN * (2 / _sum_around(counts, WIDE, dims).clamp(min=1)).sqrt()
        weight = (1 - expected * (1 + margin) / found.clamp(min=1e-20)).clamp(0, 1)
        wrong = wrong * torch.where(variance > 0, weight * counts, 1.0)
        if psf == HAMMING:  # the inverse filter would amplify what is left of the noise
            return fine + pseudo_inverse(wrong, factor, psf, dims)
    return fine + interpolate(wrong, factor, psf, dims)


def noise_probe(noise: Tensor, factor: int, psf: int, seed: int = 0) -> Tensor:
    """Draw noise as the acquisition makes it, the same in every map.

    Args:
        noise: (B, X, Y) its standard deviation.
        factor: fine voxels per coarse voxel along each axis.
        psf: code of the point spread function.
        seed: seed of the signs.

    Returns:
        (B, X, Y), same unit: plus or minus the standard deviation, drawn for each voxel; with the Hamming filter,
        filtered.
    """
    generator = torch.Generator().manual_seed(seed)
    signs = (2.0 * torch.randint(0, 2, noise.shape[-2:], generator=generator) - 1).to(noise)
    if psf == HAMMING:
        fine = zero_fill(signs, factor)
        filter_ = hamming_weights(fine.shape[-2], fine.shape[-1], factor).to(fine)
        signs = low_pass_sample(weighted(fine, filter_), factor) / HAMMING_NOISE
    return noise * signs


def _sum_around(coarse: Tensor, width: int, dims: int) -> Tensor:
    """Sum over windows of ``width`` voxels along each axis."""
    pool = F.avg_pool2d if dims == 2 else F.avg_pool3d
    return pool(coarse[:, None], width, 1, width // 2, divisor_override=1)[:, 0]


def _in_plane(dims: int) -> None:
    if dims != 2:
        raise ValueError(f"Hamming's filter is known in two dimensions, not in {dims}")


def cubic(coarse: Tensor, factor: int, dims: int = 2) -> Tensor:
    """Interpolate cubically, aligned to the centres of the coarse voxels.

    Args:
        coarse: (..., X, Y), or (..., X, Y, Z), any unit.
        factor: fine voxels per coarse voxel along each axis.
        dims: number of spatial axes, 2 or 3.

    Returns:
        (..., factor X, factor Y[, factor Z]), same unit.
    """
    if dims == 3:  # in plane, then along the third axis, because PyTorch has no tricubic interpolation
        planes = cubic(coarse.movedim(-1, 0), factor)
        lines = planes.movedim(0, -1).flatten(0, -2)[:, None, None]
        fine = F.interpolate(lines, scale_factor=(1.0, float(factor)), mode="bicubic", align_corners=False)
        return fine.reshape(*planes.shape[1:], -1)
    images = coarse.reshape(-1, 1, *coarse.shape[-2:])
    fine = F.interpolate(images, scale_factor=float(factor), mode="bicubic", align_corners=False)
    return fine.reshape(*coarse.shape[:-2], *fine.shape[-2:])
