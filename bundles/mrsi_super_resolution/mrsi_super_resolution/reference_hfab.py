"""Reference method: the published network of high-frequency attention blocks, its loss and its training pairs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from torch import Tensor, nn

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.runtime.options import flag_or
from mrsikit.super_resolution.blocks import EnhancedResidualBlock, GatedFeedForward, HighFrequencyAttention
from mrsikit.super_resolution.network import FLAIR, HAS_FLAIR, INTERPOLATED

RATES = {"printed": 1e-5, "high": 1e-3}
"""Learning rate of a training, by the option ``rate``."""

BLOCKS = 8
"""Number of blocks of the paper's network."""


def weights_name(*, rate: str = "printed", gated: bool | str = True, blocks: int | str = BLOCKS) -> str:
    """Return the name of the weights of one variant of the network; ``models/model_<name>.pt`` holds them.

    Args:
        rate: one of :data:`RATES`.
        gated: whether the network has GDFNs.
        blocks: number of blocks.

    Example:
        >>> weights_name(rate="high", gated=False, blocks=4)
        'paper_high_rate_without_gdfn_blocks_4'
    """
    parts = ["paper"] + ["high_rate"] * (rate == "high") + ["without_gdfn"] * (not flag_or(gated, True))
    return "_".join(parts + [f"blocks_{blocks}"] * (str(blocks) != str(BLOCKS)))


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


class HfabSuperResolution(HfabNetwork):
    """Published network with the default network's interface. It takes the coarse map and the FLAIR.

    It states no standard deviation, and without a FLAIR it has no result: both are NaN.

    Args:
        gated: as for :class:`HfabNetwork`, or the option as text.
        blocks: number of blocks; what is no number counts as the paper's, as for the other options.
    """

    def __init__(self, *, gated: bool | str = True, blocks: int | str = BLOCKS) -> None:
        super().__init__(depth=int(blocks) if str(blocks).isdecimal() else BLOCKS, gated=flag_or(gated, True))
        self.encoding = SpatialEncoding("block", self.factor)

    def forward(self, x: Tensor) -> Tensor:
        """Return map and standard deviation (B, 2, X, Y) of the default network's input (B, 10, X, Y)."""
        coarse = self.encoding.A_dagger(self.encoding.A(x[:, INTERPOLATED]))
        fine = super().forward(torch.stack([coarse, x[:, FLAIR]], 1))
        fine = torch.where(x[:, HAS_FLAIR, None] > 0, fine, torch.nan)
        return torch.cat([fine, torch.full_like(fine, torch.nan)], 1)


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
        From "map" and "flair", each (X, Y) or (1, X, Y): "image" (2, X, Y), the input of
        :class:`mrsi_super_resolution.reference_hfab.HfabNetwork`; "label" (1, X, Y), the true map.
    """

    def __init__(self, *, factor: int = 4) -> None:
        self.encoding = SpatialEncoding("block", factor)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make one pair."""
        fine, flair = (convert_to_tensor(data[name], track_meta=False) for name in ("map", "flair"))
        fine, flair = (image.reshape(1, *image.shape[-2:]) for image in (fine, flair))
        return {"image": torch.cat([self.encoding.A_dagger(self.encoding.A(fine)), flair]), "label": fine}
