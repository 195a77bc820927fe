"""The published method of Pham 2025: its U-Net and its loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.losses import SSIMLoss
from monai.networks.nets import BasicUNet
from torch import Tensor, nn


class PhamUNet(nn.Module):
    """The U-Net of Pham 2025: 32-64-128-256-512 channels, batch norm, max-pooling, transposed convolution, sigmoid.

    Args:
        spatial_dims: 2 or 3.
        features: channels of the five levels; the last entry is the finest decoder's.
    """

    def __init__(self, *, spatial_dims: int, features: tuple[int, ...] = (32, 64, 128, 256, 512, 32)) -> None:
        super().__init__()
        self.unet = BasicUNet(
            spatial_dims=spatial_dims,
            in_channels=1,
            out_channels=1,
            features=features,
            act=("RELU", {"inplace": True}),
            norm="batch",
            upsample="deconv",
        )

    def forward(self, x: Tensor) -> Tensor:
        """Fill maps (B, 1, X, Y[, Z]) scaled to 0-1, with missing voxels at zero and sides a multiple of 16."""
        return torch.sigmoid(self.unet(x))


class PhamLoss(nn.Module):
    """alpha MSE + (1 - alpha) (1 - SSIM) over the whole map (Pham 2025, Eq. 2 with alpha = 0.5)."""

    def __init__(self, *, spatial_dims: int, alpha: float = 0.5) -> None:
        super().__init__()
        self.alpha = alpha
        self.ssim = SSIMLoss(spatial_dims=spatial_dims, data_range=1.0)

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Loss of filled maps (B, 1, X, Y[, Z]) against the clean ones, the first channel of the label (B, 1+, ...)."""
        clean = label[:, :1]
        return self.alpha * F.mse_loss(pred, clean) + (1 - self.alpha) * self.ssim(pred, clean)
