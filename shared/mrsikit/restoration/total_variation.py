r"""Super-resolution by total variation (TV), or by total variation weighted by an MRI (wTV).

.. math:: \min_x \lambda \sum_v w_v |\nabla x|_v + \tfrac{1}{2} \| A^+ (y - A x) \|^2,
          \qquad w = \eta / \sqrt{|\nabla R|^2 + \eta^2}

with the forward operator A of :mod:`mrsikit.physics.spatial_encoding`, the coarse map y and the MRI R. With
:math:`\lambda = 0` the result is the map of least variation among those that the forward operator maps to y. The solver
is the primal-dual algorithm of Chambolle and Pock (doi:10.1007/s10851-010-0251-1), whose data step has a closed form:
:math:`v + \kappa A^+ (y - A v)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mrsikit.physics.spatial_encoding import SpatialEncoding

LEAST_LIMIT = 0.02
"""Smallest bound of the dual variable. For a smaller lambda the data step is scaled up instead, because the iteration
would otherwise converge very slowly."""


def total_variation(
    coarse: Tensor,
    encoding: SpatialEncoding,
    *,
    strength: float | Tensor = 0.0,
    mri: Tensor | None = None,
    eta: float = 0.03,
    iterations: int = 200,
) -> Tensor:
    """Super-resolve maps by total variation.

    Args:
        coarse: (..., X, Y), or (..., X, Y, Z), coarse maps y with a maximum of about 1.
        encoding: encoding that measured them.
        strength: lambda, one number or one per map, (..., 1, 1[, 1]). With 0 the coarse map is kept exactly. Twice the
            standard deviation of the noise works well.
        mri: MRI R, (..., factor X, factor Y[, factor Z]), brain about 0 to 1. Edges of the map that coincide with edges
            of the MRI are penalised less. None: no weighting.
        eta: gradient of the MRI, per fine voxel, above which an edge is penalised clearly less.
        iterations: number of iterations.

    Returns:
        (..., factor X, factor Y[, factor Z]), in the unit of ``coarse``.
    """
    dims = encoding.dims
    coarse = encoding.in_range(coarse)  # the error of what A x never contains would accumulate
    fine = encoding.interpolate(coarse)
    weight = torch.ones_like(fine)
    if mri is not None:
        weight = eta / torch.sqrt(_gradient(mri, dims).square().sum(0) + eta**2)
    given = torch.as_tensor(strength, dtype=fine.dtype, device=fine.device)
    limit = given.clamp(min=LEAST_LIMIT)
    step = (4 * dims) ** -0.5  # primal and dual step: one over the norm of the gradient operator
    kappa = step * limit / (given + step * limit)
    dual = torch.zeros(dims, *fine.shape, dtype=fine.dtype, device=fine.device)
    ahead = fine
    for _ in range(iterations):
        dual = dual + step * _gradient(ahead, dims)
        length = dual.square().sum(0).sqrt().clamp(min=1e-12)
        dual = dual * torch.clamp(limit * weight / length, max=1.0)
        stepped = fine + step * _divergence(dual)
        new = stepped + kappa * encoding.A_dagger(coarse - encoding.A(stepped))
        ahead, fine = 2 * new - fine, new
    return fine


def _gradient(image: Tensor, dims: int = 2) -> Tensor:
    """Forward differences (dims, ..., X, Y[, Z]); 0 in the last voxel of each axis."""
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
