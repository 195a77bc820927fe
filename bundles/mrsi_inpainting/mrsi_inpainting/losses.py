"""Losses for finding and filling failed voxels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.losses import SSIMLoss
from torch import Tensor, nn


class InpaintingLoss(nn.Module):
    r"""Fill, standard deviation and judgement of the missing voxels.

    .. math:: L = \langle 20\,(e/p)^2 + |e|/p \rangle_H
              + \lambda_\sigma \langle \tfrac{5}{2}\log(1 + e^2/4\sigma^2) + \log\sigma \rangle_H
              + \lambda_d \langle \mathrm{BCE} \rangle_U

    with the error e, the map's maximum p, the holes H (those judged missing too) and the voxels of unknown state U. The
    middle term is the likelihood of a Student distribution with 4 degrees of freedom, so that a few large errors do
    not set the standard deviation; its gradient does not reach the fill.

    Args:
        uncertainty: weight of the middle term.
        detection: weight of the last term.
    """

    def __init__(self, uncertainty: float = 0.05, detection: float = 1.0) -> None:
        super().__init__()
        self.uncertainty = uncertainty
        self.detection = detection

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Loss of one batch.

        Args:
            pred: (B, 3, ...): fill, standard deviation, probability of being missing.
            label: (B, 4, ...) of :class:`mrsikit.transforms.missing_voxels.RandMissingVoxelsd`.
        """
        filled, sd, probability = pred.split(1, 1)
        clean, hole, judge, inverse_peak = label.split(1, 1)
        where = torch.maximum(hole, ((probability > 0.5) & (judge > 0)).to(hole.dtype))
        count = where.sum().clamp(min=1)
        error = filled - clean
        relative = error * inverse_peak
        fill = (where * (20 * relative.square() + relative.abs())).sum() / count
        squared = error.detach().square() / sd.square()
        spread = (where * (2.5 * torch.log1p(squared / 4) + sd.log())).sum() / count
        entropy = F.binary_cross_entropy(probability, hole, reduction="none")
        detection = (judge * entropy).sum() / judge.sum().clamp(min=1)
        return fill + self.uncertainty * spread + self.detection * detection


class PaperLoss(nn.Module):
    """Half mean squared error, half one minus SSIM over the whole map (Pham 2025, Eq. 2 with alpha = 0.5)."""

    def __init__(self, *, spatial_dims: int, alpha: float = 0.5) -> None:
        super().__init__()
        self.alpha = alpha
        self.ssim = SSIMLoss(spatial_dims=spatial_dims, data_range=1.0)

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Loss of restored maps against clean ones; only the label's first channel is used, both (B, 1+, ...)."""
        clean = label[:, :1]
        return self.alpha * F.mse_loss(pred, clean) + (1 - self.alpha) * self.ssim(pred, clean)
