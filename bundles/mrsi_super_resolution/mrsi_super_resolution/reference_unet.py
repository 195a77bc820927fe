"""Reference method: a plain U-Net with as many parameters as the bundle's network and the same input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.nets import BasicUNet
from torch import Tensor, nn

from mrsikit.super_resolution.network import CHANNELS, INTERPOLATED, MOST_LOG_SD, MRI_SETS, mri_set


class PlainUNet(nn.Module):
    """Baseline for the default network: MONAI's U-Net with as many parameters and the same input.

    It adds a residual to the interpolation, without classes and without data consistency.

    Args:
        features: as for :class:`monai.networks.nets.BasicUNet`.
    """

    def __init__(self, *, features: Sequence[int] = (16, 32, 64, 144, 288, 32)) -> None:
        super().__init__()
        self.unet = BasicUNet(spatial_dims=2, in_channels=CHANNELS, out_channels=2, features=features)
        self.log_sd_shift = nn.Buffer(torch.zeros(MRI_SETS))

    def forward(self, x: Tensor) -> Tensor:
        """Return map and standard deviation (B, 2, X, Y) of the default network's input (B, 10, X, Y)."""
        rows, columns = x.shape[-2:]
        padded = F.pad(x, [0, -columns % 16, 0, -rows % 16], mode="replicate")
        out = self.unet(padded)[..., :rows, :columns].float()
        shift = self.log_sd_shift[mri_set(x)]
        sd = torch.exp((out[:, 1] - 3.0 + shift[:, None, None]).clamp(-9.0, MOST_LOG_SD))
        return torch.stack([x[:, INTERPOLATED] + out[:, 0], sd], 1)
