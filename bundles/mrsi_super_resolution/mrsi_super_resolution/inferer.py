"""Slices through the network, some at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor
from tqdm import tqdm

from mrsi_super_resolution.network import CHANNELS


class SliceStackInferer(Inferer):
    """Run the network over slices stacked on the channel axis.

    Args:
        slices: at a time.
    """

    def __init__(self, slices: int = 8) -> None:
        super().__init__()
        self.slices = slices

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(B, 2 n, X, Y) of (B, 10 n, X, Y)."""
        stacked = inputs.reshape(-1, CHANNELS, *inputs.shape[-2:])
        bar = tqdm(stacked.split(self.slices), desc="sharpening", unit="slices", delay=2, leave=False)
        out = torch.cat([network(part, *args, **kwargs) for part in bar])
        return out.reshape(inputs.shape[0], -1, *inputs.shape[-2:])
