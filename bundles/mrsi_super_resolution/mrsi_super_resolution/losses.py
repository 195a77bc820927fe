"""The loss of the published network."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn


class LogCoshLoss(nn.Module):
    """Mean of log cosh of the error, as the paper trains with, in a form that cannot overflow."""

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Loss of (B, 1, X, Y) against the same."""
        error = (pred - label).abs()
        return (error + F.softplus(-2 * error) - math.log(2)).mean()
