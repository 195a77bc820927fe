"""The published method of Pham 2025: its U-Net, its loss, and what a run of it needs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.losses import SSIMLoss
from monai.networks.nets import BasicUNet
from monai.utils import convert_to_tensor
from torch import Tensor, nn

from mrsi_inpainting.network import STRIDE
from mrsi_inpainting.postprocessing import PostprocessMapd
from mrsi_inpainting.preprocessing import outlines
from mrsikit.restoration.resampling import resampling_warnings, upright_axis
from mrsikit.runtime.options import flag_or

SIDE = 64
"""Voxels a side of the published maps; smaller maps are padded to it."""

TOGETHER = 16
"""Slices that the network takes at once."""


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


class PhamInpainter(PhamUNet):
    """The published U-Net with the default network's interface: it sees the map alone, and no mask.

    Each slice (each volume in 3D) is divided by its maximum. Negative values become zero, because the published maps
    hold none. Zeros pad the map to 64 voxels a side, and a larger one to a multiple of 16. The network is
    convolutional, so a larger map keeps its resolution. Nothing is resampled: that would spread the missing voxels
    into their neighbours.

    Args:
        volumetric: whether the network is the 3D one, yes or no (also as text). Other text counts as no: the options'
            own check refuses it.
    """

    def __init__(self, *, volumetric: bool | str | None = False) -> None:
        super().__init__(spatial_dims=3 if flag_or(volumetric, False) else 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's map for every voxel.

        Args:
            x: (B, 3 M, X, Y) or (B, 3 M, X, Y, Z): map, observation mask and brain mask of each of M maps; the masks
                are not used.

        Returns:
            Same shape: for each map the network's map in the map's unit, and NaN twice. The published method gives
            neither a standard deviation nor a probability of being missing.
        """
        if isinstance(x, MetaTensor):
            x = x.as_tensor()
        maps = x.reshape(-1, 3, *x.shape[2:])[:, :1].clamp(min=0)
        filled = torch.cat([self._filled(few) for few in maps.split(TOGETHER if x.dim() == 4 else 1)])
        nothing = torch.full_like(filled, torch.nan)
        return torch.cat([filled, nothing, nothing], 1).reshape(x.shape)

    def _filled(self, maps: Tensor) -> Tensor:
        size = maps.shape[2:]
        peaks = maps.flatten(1).amax(1).clamp(min=1e-30).reshape(-1, *[1] * (maps.dim() - 1))
        padding = [n for side in reversed(size) for n in _padding(side)]
        whole = super().forward(F.pad(maps / peaks, padding))
        inner = [slice(_padding(side)[0], _padding(side)[0] + side) for side in size]
        return peaks * whole[(slice(None), slice(None), *inner)]


def _padding(side: int) -> tuple[int, int]:
    """Return the zeros before and after a side."""
    missing = max(SIDE, -(-side // STRIDE) * STRIDE) - side
    return missing // 2, missing - missing // 2


class PhamPostprocessMapd(PostprocessMapd):
    """Give the network's map as it is: every voxel is the network's, the measured ones too.

    Output:
        "inpainted" (M, X, Y[, Z]): the network's map. "holes" uint8: 1 where a voxel was zero in the network's input,
        within the brain mask or the outline of the map, so that the network's value stands for a zero. The published
        method tells failed voxels and ventricles apart by the value that it gives, not by a mask. "uncertainty": NaN
        everywhere, because the method gives none. "calibrated": 0 everywhere. "names", "summary" and "flags" as in
        :class:`mrsi_inpainting.postprocessing.PostprocessMapd`; "checks" is empty.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the outputs of one map."""
        out = dict(data)
        values = out["map"]
        plain = convert_to_tensor(values).cpu()
        upright = upright_axis(values.affine if isinstance(values, MetaTensor) else torch.eye(4))
        filled = self._unstacked(out[self.pred], plain, upright)[0]
        measured, _, brain = self._unstacked(out[self.image], plain, upright)
        inside = torch.where(brain > -0.5, brain > 0.5, outlines(measured))
        holes = (measured == 0) & inside
        signal = (measured != 0) & inside
        change = (filled - measured)[signal].abs()
        changed = self._ratio(change, measured[signal].abs())
        out["inpainted"] = self._like(filled, values)
        out["holes"] = self._like(holes.to(torch.uint8), values)
        out["uncertainty"] = self._like(torch.full_like(filled, torch.nan), values)
        out["calibrated"] = self._like(torch.zeros_like(holes, dtype=torch.uint8), values)
        out["names"] = ["inpainted", "holes", "uncertainty", "calibrated"]
        out["checks"] = []
        out["summary"] = {
            "matrix": "x".join(str(n) for n in plain.shape[1:]),
            "maps": plain.shape[0],
            "network": f"Pham 2025, {out[self.image].ndim - 1}D",
            "zeros replaced": int(holes.sum()),
            "share of map filled": round(float(holes.sum() / inside.sum().clamp(min=1)), 4),
            "median change of measured voxels / median of map": changed,
        }
        out["flags"] = [
            "the published network gives every voxel its own value: measured voxels changed too, in the median by "
            f"{changed} of the map's median",
            "the published network gives no standard deviation: _uncertainty holds no number, and _calibrated is 0",
            "the published network gives no mask: _holes marks each zero in the brain or the map's outline, ventricles "
            "too",
            *self._input_flags(measured, out[self.image].ndim - 1),
            *resampling_warnings(out),
        ]
        if out["misjudged"]:
            out["flags"].append(f"{out['misjudged']}: linewidths were not used; give the limit in their unit")
        return out

    @staticmethod
    def _input_flags(measured: Tensor, dims: int) -> list[str]:
        """Name what the network was not trained for, in maps (M, X, Y[, Z]) of which it takes ``dims`` axes."""
        flags = []
        size = tuple(measured.shape[1 : 1 + dims])
        if any(side != SIDE for side in size):
            padded = tuple(side + sum(_padding(side)) for side in size)
            how = f"it was padded with zeros to {padded}" if padded != size else "it was taken as it is"
            flags.append(f"matrix {size}: the published maps have {SIDE} voxels a side; {how}")
        if below := int((measured < 0).sum()):
            flags.append(f"{below} negative values were set to 0, because the published maps hold none")
        return flags
