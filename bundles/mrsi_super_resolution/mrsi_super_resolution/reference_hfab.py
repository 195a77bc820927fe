"""Reference method: the published network of high-frequency attention blocks, its loss and its training pairs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from monai.transforms import Transform
from torch import Tensor, nn

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.blocks import EnhancedResidualBlock, GatedFeedForward, HighFrequencyAttention


class HfabNetwork(nn.Module):
    """Published network: turns a 32 x 32 map and a 128 x 128 FLAIR into a 128 x 128 map. About 650,000 parameters.

    Args:
        channels: number of channels n.
        narrow: number of channels m of the attention branch.
        depth: number of blocks.
        factor: fine voxels per coarse voxel along each axis.
        gated: whether to include a GDFN in each block. The paper states that training is unstable without it.
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
        """Super-resolve a batch of slices.

        Args:
            x: (B, 2, X, Y) on the fine grid: the map with each coarse voxel repeated, and the FLAIR.

        Returns:
            (B, 1, X, Y), the super-resolved map.
        """
        coarse = F.avg_pool2d(x[:, :1], self.factor)
        head = self.head(torch.cat([coarse, F.pixel_unshuffle(x[:, 1:2], self.factor)], 1))
        fine = F.pixel_shuffle(self.tail(self.body(head) + head), self.factor)
        return fine + x[:, :1]


class LogCoshLoss(nn.Module):
    """Mean of log cosh of the error, the paper's training loss, in a form that cannot overflow."""

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Compute the loss of a map (B, 1, X, Y) against the true map of the same shape."""
        error = (pred - label).abs()
        return (error + F.softplus(-2 * error) - math.log(2)).mean()


class HfabPaird(Transform):
    """Build the paper's training pair: the mean of each block, repeated over the block, and the FLAIR.

    Args:
        factor: fine voxels per coarse voxel along each axis.

    Output:
        "image" (2, X, Y), the input of :class:`mrsi_super_resolution.reference_hfab.HfabNetwork`; "label" (1, X, Y),
        the true map.
    """

    def __init__(self, *, factor: int = 4) -> None:
        self.encoding = SpatialEncoding("block", factor)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make one pair."""
        coarse = self.encoding.A_dagger(self.encoding.A(data["map"]))
        return {"image": torch.stack([coarse, data["flair"]]), "label": data["map"][None]}
