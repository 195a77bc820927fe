"""Losses for finding and filling failed voxels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DetectionLoss(nn.Module):
    """Weighted binary cross-entropy of the probability of being missing, over the voxels of unknown state."""

    def forward(self, probability: Tensor, label: Tensor) -> Tensor:
        """Loss of one batch.

        Args:
            probability: (B, 1, ...) probability of being missing, 0-1.
            label: (B, 4, ...) of :class:`mrsikit.transforms.missing_voxels.RandMissingVoxelsd`.
        """
        missing, judge = label[:, 1:2], label[:, 2:3]
        entropy = F.binary_cross_entropy(probability, missing, reduction="none")
        return (judge * entropy).sum() / judge.sum().clamp(min=1)


class InpaintingLoss(nn.Module):
    r"""Loss of the fill, its standard deviation and the detection of the missing voxels.

    .. math:: L = \langle 10\,(e/p)^2 + \tfrac{1}{2}|e|/p \rangle_H
              + \lambda_r \langle \log(1 + 10^5\langle (e/p)^2 \rangle_{H_m}) \rangle_m
              + \lambda_\sigma \langle \tfrac{5}{2}\log(1 + e^2/4\sigma^2) + \log\sigma \rangle_H
              + \lambda_d \langle \mathrm{BCE} \rangle_U

    with the error e, the map's robust maximum p, the missing voxels H (including voxels of unknown state that the
    network judges missing), those of map m :math:`H_m`, and the voxels of unknown state U. The logarithm in the second
    term counts the *relative* gain of every map equally, so that clean maps, which classical methods already fill
    well, are not sacrificed to noisy ones. The third term is the negative log likelihood of a Student distribution
    with 4 degrees of freedom, so that a few large errors do not determine the standard deviation. Its gradient does not
    reach the fill.

    Args:
        relative: weight of the second term.
        uncertainty: weight of the third term.
        detection: weight of the last term.
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
            pred: (B, 3, ...): filled map, standard deviation, probability of being missing.
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
