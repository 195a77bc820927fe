"""Run an estimator over the voxels in chunks, so that memory stays bounded and the user sees the progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor
from tqdm import tqdm


class VoxelInferer(Inferer):
    """Run a network over the FIDs, a chunk at a time; each chunk gets the rows that describe the acquisition.

    Args:
        peaks: number K of lines; the first 1 + K rows of the input describe the acquisition.
        voxels: number of FIDs in a chunk; the default is small enough for the processor's cache.
    """

    def __init__(self, *, peaks: int, voxels: int = 512) -> None:
        super().__init__()
        self.first = 1 + peaks
        self.voxels = voxels

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Estimate all voxels.

        Args:
            inputs: (B, 2, 1 + K + V, T).
            network: from rows of the acquisition and some FIDs to estimates (B, P, number of FIDs).
            args: further arguments of the network.
            kwargs: further arguments of the network.

        Returns:
            (B, P, V) estimates.
        """
        head, fids = inputs[:, :, : self.first], inputs[:, :, self.first :]
        parts = fids.split(self.voxels, 2)
        bar = tqdm(parts, desc="fitting", unit="chunk", delay=2, leave=False)
        return torch.cat([network(torch.cat([head, part], 2), *args, **kwargs) for part in bar], 2)
