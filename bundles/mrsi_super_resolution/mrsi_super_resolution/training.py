"""Training pairs of the published network."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

from mrsikit.measurement import BLOCK, back, measured


class PaperPaird(Transform):
    """The paper's training pair: the mean of each block, repeated over it, beside the FLAIR.

    Args:
        factor: fine voxels a coarse one.

    Output:
        "image" (2, X, Y) of :class:`mrsi_super_resolution.network.PaperNetwork`, "label" (1, X, Y).
    """

    def __init__(self, *, factor: int = 4) -> None:
        self.factor = factor

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make one pair."""
        coarse = back(measured(data["map"], self.factor, BLOCK), self.factor, BLOCK)
        return {"image": torch.stack([coarse, data["flair"]]), "label": data["map"][None]}
