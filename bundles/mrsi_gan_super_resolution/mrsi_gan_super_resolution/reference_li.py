"""Reference method: the published U-Net generator, with or without an MRI, and the discriminator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mrsikit.physics.spatial_encoding import SpatialEncoding, cubic
from mrsikit.super_resolution.network import FACTOR, FLAIR, HAS_FLAIR, INTERPOLATED, PSF_CHANNEL, T1

WIDTHS = (24, 48, 96, 192)
"""Channels of the U-Net at each resolution; the paper does not state them."""

LEVELS = (64, 64, 128, 128, 256, 256, 512, 512)
"""Number of kernels of each of the discriminator's eight convolutions; every second convolution halves the image."""

POOLED = 6
"""Side, in voxels, of the features that the discriminator's dense layers take, whatever the size of the image."""


class Generator(nn.Module):
    """U-Net generator of convolutions and PReLU only: it adds a residual to an interpolated map.

    Strided convolutions halve the resolution, not pooling; transposed convolutions double it. The buffer ``error`` is
    the root mean square error in tissue at the end of the training, relative to the map's maximum; no run states it.

    Args:
        two_inputs: whether the second input channel is an MRI.
        widths: channels at each resolution, finest first.
    """

    def __init__(self, *, two_inputs: bool = False, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.multiple = 2 ** len(pairs)
        self.head = _twice(2 if two_inputs else 1, widths[0])
        self.encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(fine, coarse, 3, stride=2, padding=1), nn.PReLU(coarse), _twice(coarse, coarse))
            for fine, coarse in pairs
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs[::-1])
        self.decoder = nn.ModuleList(_twice(2 * fine, fine) for fine, _ in pairs[::-1])
        self.tail = nn.Conv2d(widths[0], 1, 1)
        self.error = nn.Buffer(torch.tensor(0.05))
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Super-resolve a batch of slices.

        Args:
            x: (B, 1, X, Y), the map interpolated to the fine grid, maximum about 1; or (B, 2, X, Y), this map and the
                MRI, brain about 0 to 1.

        Returns:
            (B, 1, X, Y), the super-resolved map.
        """
        rows, columns = x.shape[-2], x.shape[-1]
        padded = F.pad(x, [0, -columns % self.multiple, 0, -rows % self.multiple], mode="replicate")
        z = self.head(padded.contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for part in self.encoder:
            skips.append(z)
            z = part(z)
        for up, part in zip(self.up, self.decoder):  # noqa: B905 (TorchScript)
            z = part(torch.cat([up(z), skips.pop()], 1))
        return x[:, :1] + self.tail(z)[..., :rows, :columns].float()


class LiSuperResolution(Generator):
    """Published network with the default network's interface. Its input is the cubic interpolation, as in training.

    It states no standard deviation, as the paper does not: that is NaN.

    Args:
        two_inputs: whether the second input channel is an MRI: FLAIR, or T1 if there is no FLAIR.
    """

    def __init__(self, *, two_inputs: bool = False) -> None:
        super().__init__(two_inputs=two_inputs)
        self.two_inputs = two_inputs

    def forward(self, x: Tensor) -> Tensor:
        """Return map and standard deviation (B, 2, X, Y) of the default network's input (B, 10, X, Y)."""
        encoding = SpatialEncoding.of(int(x[0, PSF_CHANNEL, 0, 0]), int(x[0, FACTOR, 0, 0]))
        images = [cubic(encoding.A(x[:, INTERPOLATED]), encoding.factor)]
        if self.two_inputs:
            images.append(torch.where(x[:, HAS_FLAIR] > 0, x[:, FLAIR], x[:, T1]))
        fine = super().forward(torch.stack(images, 1))
        return torch.cat([fine, torch.full_like(fine, torch.nan)], 1)


def _twice(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.PReLU(after), nn.Conv2d(after, after, 3, padding=1), nn.PReLU(after)
    )


class Discriminator(nn.Module):
    """Discriminator between true and generated fine maps, as in SRGAN: eight convolutions and two dense layers.

    Args:
        levels: number of kernels of each convolution.
    """

    def __init__(self, *, levels: tuple[int, ...] = LEVELS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for k, (before, after) in enumerate(zip((1, *levels), levels, strict=False)):
            layers.append(nn.Conv2d(before, after, 3, stride=1 + k % 2, padding=1, bias=k == 0))
            layers += [nn.BatchNorm2d(after)] if k else []
            layers.append(nn.LeakyReLU(0.2))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(POOLED), nn.Flatten())
        self.judge = nn.Sequential(nn.Linear(levels[-1] * POOLED**2, 1024), nn.LeakyReLU(0.2), nn.Linear(1024, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the log odds (B, 1) that maps (B, 1, X, Y) are true; the loss applies the sigmoid."""
        return self.judge(self.features(x.contiguous(memory_format=torch.channels_last))).float()
