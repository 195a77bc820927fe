"""LPIPS: distance of two images in the features of a network trained on ImageNet."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
CONVOLUTIONS = (0, 3, 6, 8, 10)
"""Indices of AlexNet's convolutions in torchvision's ``features``."""

STRIDES, PADDINGS = (4, 1, 1, 1, 1), (2, 2, 1, 1, 1)
POOLED_AFTER = (0, 3)


class LPIPS(nn.Module):
    """Learned perceptual image patch similarity (LPIPS), version 0.1, with AlexNet.

    Zhang R. et al. The Unreasonable Effectiveness of Deep Features as a Perceptual Metric. CVPR 2018. The weights are
    not shipped and never downloaded.

    Args:
        alexnet: file of torchvision's AlexNet, ``features.N.weight`` and ``.bias``.
        heads: file of the linear heads of the ``lpips`` package, ``linK.model.1.weight``.

    Raises:
        OSError: if a file cannot be read.
        KeyError: if it does not hold these weights.
    """

    def __init__(self, alexnet: str | Path, heads: str | Path) -> None:
        super().__init__()
        features, linear = (torch.load(path, map_location="cpu", weights_only=True) for path in (alexnet, heads))
        for k, place in enumerate(CONVOLUTIONS):
            self.register_buffer(f"weight{k}", features[f"features.{place}.weight"].float())
            self.register_buffer(f"bias{k}", features[f"features.{place}.bias"].float())
            self.register_buffer(f"head{k}", linear[f"lin{k}.model.1.weight"].float())

    def forward(self, pred: Tensor, truth: Tensor) -> Tensor:
        """Distance (B,) of images (B, 1, X, Y) with values from 0 to 1; it is 0 for equal images."""
        total = pred.new_zeros(len(pred))
        for k, (a, b) in enumerate(zip(self._features(pred), self._features(truth), strict=True)):
            total = total + F.conv2d((a - b).square(), self.get_buffer(f"head{k}")).mean((1, 2, 3))
        return total

    def _features(self, image: Tensor) -> list[Tensor]:
        """Features after each convolution, scaled to unit length over the channels."""
        shift, scale = (image.new_tensor(values)[:, None, None] for values in (SHIFT, SCALE))
        z = ((2 * image - 1).expand(-1, 3, -1, -1) - shift) / scale
        out = []
        for k, place in enumerate(CONVOLUTIONS):
            weight, bias = self.get_buffer(f"weight{k}"), self.get_buffer(f"bias{k}")
            z = F.relu(F.conv2d(z, weight, bias, stride=STRIDES[k], padding=PADDINGS[k]))
            out.append(z / (z.square().sum(1, keepdim=True).sqrt() + 1e-10))
            if place in POOLED_AFTER:
                z = F.max_pool2d(z, 3, 2)
        return out
