r"""Sharpening by total variation, plain or weighted by an MRI.

.. math:: \min_x \lambda \sum_v w_v |\nabla x|_v + \tfrac{1}{2} \| A^+ (y - A x) \|^2,
          \qquad w = \eta / \sqrt{|\nabla R|^2 + \eta^2}

with the forward operator A of :mod:`mrsikit.physics.spatial_encoding`. Without noise this is the smallest variation
among the maps that are measured as y. The solver is the primal-dual algorithm of Chambolle and Pock
(doi:10.1007/s10851-010-0251-1), whose data step has a closed form: :math:`v + \kappa A^+ (y - A v)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mrsikit.physics.kspace import low_pass_sample, zero_fill
from mrsikit.physics.spatial_encoding import BLOCK, forward_operator, interpolate, pseudo_inverse

LEAST_LIMIT = 0.02
"""Of the dual: with a smaller lambda the data step is scaled up instead, or nothing would move for long."""


def total_variation(
    coarse: Tensor,
    factor: int,
    psf: int,
    *,
    strength: float | Tensor = 0.0,
    mri: Tensor | None = None,
    eta: float = 0.03,
    iterations: int = 200,
    dims: int = 2,
) -> Tensor:
    """Sharpen maps.

    Args:
        coarse: (..., X, Y), or (..., X, Y, Z), maximum about 1.
        factor: fine voxels a coarse one.
        psf: code of the point-spread function, of :mod:`mrsikit.physics.spatial_encoding`.
        strength: lambda, or one a map, (..., 1, 1[, 1]); 0: the coarse map is kept exactly. Twice the noise serves
            well.
        mri: (..., factor X, factor Y[, factor Z]), brain about 0 to 1, whose edges cost less; None: none.
        eta: change of the MRI from which on an edge does.
        iterations: of the algorithm.
        dims: axes of space.

    Returns:
        (..., factor X, factor Y[, factor Z]).
    """
    if psf != BLOCK:  # the encode without a counterpart is never explained, and would add up
        coarse = low_pass_sample(zero_fill(coarse, factor, dims), factor, dims)
    fine = interpolate(coarse, factor, psf, dims)
    weight = torch.ones_like(fine)
    if mri is not None:
        weight = eta / torch.sqrt(_gradient(mri, dims).square().sum(0) + eta**2)
    given = torch.as_tensor(strength, dtype=fine.dtype, device=fine.device)
    limit = given.clamp(min=LEAST_LIMIT)
    step = (4 * dims) ** -0.5  # primal and dual: one over the norm of the gradient
    kappa = step * limit / (given + step * limit)
    dual = torch.zeros(dims, *fine.shape, dtype=fine.dtype, device=fine.device)
    ahead = fine
    for _ in range(iterations):
        dual = dual + step * _gradient(ahead, dims)
        length = dual.square().sum(0).sqrt().clamp(min=1e-12)
        dual = dual * torch.clamp(limit * weight / length, max=1.0)
        stepped = fine + step * _divergence(dual)
        new = stepped + kappa * pseudo_inverse(coarse - forward_operator(stepped, factor, psf, dims), factor, psf, dims)
        ahead, fine = 2 * new - fine, new
    return fine


def _gradient(image: Tensor, dims: int = 2) -> Tensor:
    """Forward differences (dims, ..., X, Y[, Z]), 0 at the far edges."""
    out = image.new_zeros(dims, *image.shape)
    for slopes, axis in zip(out, range(-dims, 0), strict=True):
        count = image.shape[axis] - 1
        slopes.narrow(axis, 0, count).copy_(image.narrow(axis, 1, count) - image.narrow(axis, 0, count))
    return out


def _divergence(field: Tensor) -> Tensor:
    """Minus the adjoint of :func:`_gradient`."""
    out = torch.zeros_like(field[0])
    for slopes, axis in zip(field, range(-len(field), 0), strict=True):
        count = out.shape[axis] - 1
        inner = slopes.narrow(axis, 0, count)
        out.narrow(axis, 0, count).add_(inner)
        out.narrow(axis, 1, count).sub_(inner)
    return out
