"""What the default network is measured against: the published network, and a plain U-Net of as many parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.nets import BasicUNet
from torch import Tensor, nn

from mrsikit.sharpening.blocks import EnhancedResidualBlock, GatedFeedForward, HighFrequencyAttention
from mrsikit.sharpening.network import CHANNELS, MOST_LOG_SD, MRI_SETS, START, mri_set


class PaperNetwork(nn.Module):
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


class PlainUNet(nn.Module):
    """What the default is measured against: MONAI's U-Net of as many parameters, on the same input.

    It adds a residual to the interpolation, without classes and without data consistency.

    Args:
        features: as of :class:`monai.networks.nets.BasicUNet`.
    """

    def __init__(self, *, features: Sequence[int] = (16, 32, 64, 144, 288, 32)) -> None:
        super().__init__()
        self.unet = BasicUNet(spatial_dims=2, in_channels=CHANNELS, out_channels=2, features=features)
        self.log_sd_shift = nn.Buffer(torch.zeros(MRI_SETS))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2, X, Y) of (B, 10, X, Y), as :class:`SuperResolution`."""
        rows, columns = x.shape[-2:]
        padded = F.pad(x, [0, -columns % 16, 0, -rows % 16], mode="replicate")
        out = self.unet(padded)[..., :rows, :columns].float()
        shift = self.log_sd_shift[mri_set(x)]
        sd = torch.exp((out[:, 1] - 3.0 + shift[:, None, None]).clamp(-9.0, MOST_LOG_SD))
        return torch.stack([x[:, START] + out[:, 0], sd], 1)
