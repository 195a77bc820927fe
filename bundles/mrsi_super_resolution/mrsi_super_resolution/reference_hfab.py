"""The published network (high-frequency attention blocks), its loss and its training pairs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from monai.transforms import Transform
from torch import Tensor, nn

from mrsikit.physics.spatial_encoding import BLOCK, forward_operator, pseudo_inverse
from mrsikit.super_resolution.blocks import EnhancedResidualBlock, GatedFeedForward, HighFrequencyAttention


class HfabNetwork(nn.Module):
    """The published network: 32 x 32 map and FLAIR of 128 x 128 to the map at 128 x 128, about 650,000 parameters.

    Args:
        channels: n.
        narrow: m.
        depth: blocks.
        factor: of the sharpening.
        gated: with GDFN; the paper says that training is unstable without.
    """

    def __init__(
        self, *, channels: int = 24, narrow: int = 16, depth: int = 8, factor: int = 4, gated: bool = True
    ) -> None:
        super().__init__()
        self.factor = factor
        self.head = nn.Conv2d(1 + factor**2, channels, 3, padding=1)
        blocks: list[nn.Module] = []
        for _ in range(depth):
            blocks += [EnhancedResidualBlock(channels), HighFrequencyAttention(channels, narrow)]
            blocks += [GatedFeedForward(channels)] if gated else []
        self.body = nn.Sequential(*blocks, nn.Conv2d(channels, channels, 3, padding=1))
        self.tail = nn.Conv2d(channels, factor**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Sharpen.

        Args:
            x: (B, 2, X, Y) on the fine grid: the map, each coarse voxel repeated, and FLAIR.

        Returns:
            (B, 1, X, Y).
        """
        coarse = F.avg_pool2d(x[:, :1], self.factor)
        head = self.head(torch.cat([coarse, F.pixel_unshuffle(x[:, 1:2], self.factor)], 1))
        fine = F.pixel_shuffle(self.tail(self.body(head) + head), self.factor)
        return fine + x[:, :1]


class LogCoshLoss(nn.Module):
    """Mean of log cosh of the error, as the paper trains with, in a form that cannot overflow."""

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Loss of (B, 1, X, Y) against the same."""
        error = (pred - label).abs()
        return (error + F.softplus(-2 * error) - math.log(2)).mean()


class HfabPaird(Transform):
    """The paper's training pair: the mean of each block, repeated over it, beside the FLAIR.

    Args:
        factor: fine voxels a coarse one.

    Output:
        "image" (2, X, Y) of :class:`mrsi_super_resolution.reference_hfab.HfabNetwork`, "label" (1, X, Y).
    """

    def __init__(self, *, factor: int = 4) -> None:
        self.factor = factor

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make one pair."""
        coarse = pseudo_inverse(forward_operator(data["map"], self.factor, BLOCK), self.factor, BLOCK)
        return {"image": torch.stack([coarse, data["flair"]]), "label": data["map"][None]}
