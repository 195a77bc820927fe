"""Voxels in chunks: memory stays bounded whatever the data set, and progress is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor
from tqdm import tqdm


class VoxelInferer(Inferer):
    """Run a network over the FIDs a chunk at a time; the rows that describe the acquisition go with each.

    Args:
        peaks: number K of lines; the input's first 1 + K rows describe the acquisition.
        voxels: FIDs at a time; so few stay in the processor's cache.
    """

    def __init__(self, *, peaks: int, voxels: int = 512) -> None:
        super().__init__()
        self.first = 1 + peaks
        self.voxels = voxels

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Estimates (B, P, V) of an input (B, 2, 1 + K + V, T)."""
        head, fids = inputs[:, :, : self.first], inputs[:, :, self.first :]
        parts = fids.split(self.voxels, 2)
        bar = tqdm(parts, desc="fitting", unit="chunk", delay=2, leave=False)
        return torch.cat([network(torch.cat([head, part], 2), *args, **kwargs) for part in bar], 2)
