"""The published training data of mask-free inpainting: weighted maps with voxels removed by Algorithm 1."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import RandomizableTransform

from mrsikit.phantoms.algorithm1 import algorithm1
from mrsikit.phantoms.metabolites import TUMOUR_WEIGHTS, weighted_map
from mrsikit.phantoms.subject import Tissues

SMALLEST_BRAIN = 0.05
"""Slices of which the brain covers less are left out."""


class RandAlgorithm1d(RandomizableTransform):
    """Draw a weighted metabolite map of a virtual patient and remove clusters of voxels (Pham 2025).

    Physics: the map is 0.1 GM + 0.12 WM + tau TM, divided by its maximum, with tau one of 0.2, 0.3, ..., 0.8.
    Clusters of 1-3 voxels per side are set to zero. A progressive training removes one share after another; the
    attribute ``stage`` says which.

    Args:
        tissues: key of the (S, 8, ...) uint8 tissues of :class:`VirtualSubjectd`; a slice with more than 5 % brain is
            drawn.
        matrix: number of voxels along each side of the map; that of the tissues must be a multiple of it.
        fractions: share of the brain to remove in each stage, 0-1.
        count: see :func:`mrsikit.phantoms.algorithm1.algorithm1`.
        mask: what the tumour mask TM holds, see :func:`mrsikit.phantoms.metabolites.weighted_map`.
        cut: True makes a volume, removes voxels in three dimensions, and then cuts one axial slice with more than 5 %
            signal out of both maps. The maximum that scales the slice is that of the volume.

    Output:
        "image" (1, X, Y[, Z]): map with missing voxels at zero. "label" (2, X, Y[, Z]): complete map and mask of the
        missing voxels (1 = missing).
    """

    def __init__(
        self,
        tissues: str,
        *,
        matrix: int,
        fractions: Sequence[float],
        count: str = "unique",
        mask: str = "viable",
        cut: bool = False,
    ) -> None:
        super().__init__(1.0)
        self.tissues = tissues
        self.matrix = matrix
        self.fractions = tuple(fractions)
        self.count = count
        self.mask = mask
        self.cut = cut
        self.stage = 0

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make one pair of image and label."""
        rng = np.random.default_rng(self.R.randint(2**31))
        stack = data[self.tissues]
        fractions = stack[_usable(stack[:, 6].float().flatten(1).mean(1) / 255, rng)].float() / 255
        factor = fractions.shape[-1] // self.matrix
        if factor > 1:
            pool = F.avg_pool2d if fractions.ndim == 3 else F.avg_pool3d
            fractions = pool(fractions[None], factor)[0]
        clean = weighted_map(Tissues(*fractions), float(rng.choice(TUMOUR_WEIGHTS)), mask=self.mask)
        lost = algorithm1((clean > 0).numpy(), self.fractions[self.stage], rng, count=self.count)
        missing = torch.from_numpy(lost).to(clean.dtype)
        if self.cut:
            height = _usable((clean > 0).float().mean((0, 1)), rng)
            clean, missing = clean[..., height], missing[..., height]
        return {"image": (clean * (1 - missing))[None], "label": torch.stack([clean, missing])}


def _usable(shares: torch.Tensor, rng: np.random.Generator) -> int:
    """Draw one of the slices whose share of brain (S,) exceeds 5 %; without one, take that of the largest share."""
    usable = torch.nonzero(shares > SMALLEST_BRAIN).flatten()
    return int(usable[rng.integers(len(usable))]) if len(usable) else int(shares.argmax())
