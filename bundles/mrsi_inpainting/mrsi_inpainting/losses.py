"""Losses for finding and filling failed voxels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DetectionLoss(nn.Module):
    """Cross-entropy of what is missing, over the voxels of unknown state, by their weights."""

    def forward(self, probability: Tensor, label: Tensor) -> Tensor:
        """Loss of one batch.

        Args:
            probability: (B, 1, ...) of being missing.
            label: (B, 4, ...) of :class:`mrsikit.transforms.missing_voxels.RandMissingVoxelsd`.
        """
        missing, judge = label[:, 1:2], label[:, 2:3]
        entropy = F.binary_cross_entropy(probability, missing, reduction="none")
        return (judge * entropy).sum() / judge.sum().clamp(min=1)


class InpaintingLoss(nn.Module):
    r"""Fill, standard deviation and judgement of the missing voxels.

    .. math:: L = \langle 10\,(e/p)^2 + \tfrac{1}{2}|e|/p \rangle_H
              + \lambda_r \langle \log(1 + 10^5\langle (e/p)^2 \rangle_{H_m}) \rangle_m
              + \lambda_\sigma \langle \tfrac{5}{2}\log(1 + e^2/4\sigma^2) + \log\sigma \rangle_H
              + \lambda_d \langle \mathrm{BCE} \rangle_U

    with the error e, the map's maximum p, the holes H (those judged missing too), of map m :math:`H_m`, and the voxels
    of unknown state U. The second term weighs every map alike by its *relative* gain, so that clean maps, which a
    classical fill restores well, are not sacrificed to noisy ones. The third is the likelihood of a Student
    distribution with 4 degrees of freedom, so that a few large errors do not set the standard deviation; its gradient
    does not reach the fill.

    Args:
        relative: weight of the second term.
        uncertainty: weight of the third.
        detection: weight of the last.
    """

    def __init__(self, relative: float = 0.1, uncertainty: float = 0.05, detection: float = 1.0) -> None:
        super().__init__()
        self.relative = relative
        self.uncertainty = uncertainty
        self.detection = detection
        self.judgement = DetectionLoss()

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Loss of one batch.

        Args:
            pred: (B, 3, ...): fill, standard deviation, probability of being missing.
            label: (B, 4, ...) of :class:`mrsikit.transforms.missing_voxels.RandMissingVoxelsd`.
        """
        filled, sd, probability = pred.split(1, 1)
        clean, missing, judge, inverse_peak = label.split(1, 1)
        where = torch.maximum(missing, ((probability > 0.5) & (judge > 0)).to(missing.dtype))
        count = where.sum().clamp(min=1)
        error = filled - clean
        scaled = error * inverse_peak
        fill = (where * (10 * scaled.square() + 0.5 * scaled.abs())).sum() / count
        of_map = (where * scaled.square()).flatten(1).sum(1) / where.flatten(1).sum(1).clamp(min=1)
        relative = torch.log1p(of_map / 1e-5).mean()
        squared = error.detach().square() / sd.square()
        spread = (where * (2.5 * torch.log1p(squared / 4) + sd.log())).sum() / count
        detection = self.judgement(probability, label)
        return fill + self.relative * relative + self.uncertainty * spread + self.detection * detection
