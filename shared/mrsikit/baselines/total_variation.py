r"""Sharpening by total variation, plain or weighted by an MRI.

.. math:: \min_x \lambda \sum_v w_v |\nabla x|_v + \tfrac{1}{2} \| A^+ (y - A x) \|^2,
          \qquad w = \eta / \sqrt{|\nabla R|^2 + \eta^2}

with the acquisition A of :mod:`mrsikit.measurement`; with no noise, the smallest variation among the maps that are
measured as y. Solved by the primal-dual algorithm of Chambolle and Pock (doi:10.1007/s10851-010-0251-1), whose data
step is closed: :math:`v + \kappa A^+ (y - A v)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mrsikit.kspace import low_pass_sample, zero_fill
from mrsikit.measurement import BLOCK, back, interpolated, measured

STEP = 8**-0.5
"""Primal and dual: one over the norm of the gradient."""

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
) -> Tensor:
    """Sharpen maps.

    Args:
        coarse: (..., X, Y), maximum about 1.
        factor: fine voxels a coarse one.
        psf: code of the point-spread function, of :mod:`mrsikit.measurement`.
        strength: lambda, or one a map, (..., 1, 1); 0: the coarse map is kept exactly. Twice the noise serves well.
        mri: (..., factor X, factor Y), brain about 0 to 1, whose edges cost less; None: none.
        eta: change of the MRI from which on an edge does.
        iterations: of the algorithm.

    Returns:
        (..., factor X, factor Y).
    """
    if psf != BLOCK:  # the encode without a counterpart is never explained, and would add up
        coarse = low_pass_sample(zero_fill(coarse, factor), factor)
    fine = interpolated(coarse, factor, psf)
    weight = torch.ones_like(fine)
    if mri is not None:
        weight = eta / torch.sqrt(_gradient(mri).square().sum(0) + eta**2)
    given = torch.as_tensor(strength, dtype=fine.dtype, device=fine.device)
    limit = given.clamp(min=LEAST_LIMIT)
    kappa = STEP * limit / (given + STEP * limit)
    dual = torch.zeros(2, *fine.shape, dtype=fine.dtype, device=fine.device)
    ahead = fine
    for _ in range(iterations):
        dual = dual + STEP * _gradient(ahead)
        length = dual.square().sum(0).sqrt().clamp(min=1e-12)
        dual = dual * torch.clamp(limit * weight / length, max=1.0)
        stepped = fine + STEP * _divergence(dual)
        new = stepped + kappa * back(coarse - measured(stepped, factor, psf), factor, psf)
        ahead, fine = 2 * new - fine, new
    return fine


def _gradient(image: Tensor) -> Tensor:
    """Forward differences (2, ..., X, Y), 0 at the far edges."""
    out = torch.zeros(2, *image.shape, dtype=image.dtype, device=image.device)
    out[0][..., :-1, :] = image[..., 1:, :] - image[..., :-1, :]
    out[1][..., :-1] = image[..., 1:] - image[..., :-1]
    return out


def _divergence(field: Tensor) -> Tensor:
    """Minus the adjoint of :func:`_gradient`."""
    out = torch.zeros_like(field[0])
    out[..., :-1, :] += field[0][..., :-1, :]
    out[..., 1:, :] -= field[0][..., :-1, :]
    out[..., :-1] += field[1][..., :-1]
    out[..., 1:] -= field[1][..., :-1]
    return out
