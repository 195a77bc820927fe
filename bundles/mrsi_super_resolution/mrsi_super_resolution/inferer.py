"""Slices through the network, some at a time, with their MRIs and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor
from tqdm import tqdm

from mrsi_super_resolution.network import CHANNELS, MRIS, mri_set


class SliceStackInferer(Inferer):
    """Run the network over slices stacked on the channel axis, those that have an MRI a second time without it.

    So what the MRIs draw can be told from what was measured.

    Args:
        slices: at a time.
    """

    def __init__(self, slices: int = 8) -> None:
        super().__init__()
        self.slices = slices

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(B, 3 n, X, Y) of (B, 10 n, X, Y): each slice's map, its standard deviation, and the map without the MRIs."""
        stacked = inputs.reshape(-1, CHANNELS, *inputs.shape[-2:])
        out = []
        for part in tqdm(stacked.split(self.slices), desc="sharpening", unit="slices", delay=2, leave=False):
            pred = network(part, *args, **kwargs)
            alone = pred[:, :1]
            if mri_set(part).any():
                blind = part.clone()
                for channels in MRIS.values():
                    blind[:, channels] = 0
                alone = network(blind, *args, **kwargs)[:, :1]
            out.append(torch.cat([pred, alone], 1))
        return torch.cat(out).reshape(inputs.shape[0], -1, *inputs.shape[-2:])
