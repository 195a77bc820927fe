"""The published training data for mask-free inpainting: weighted maps spoilt by Algorithm 1."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import RandomizableTransform

from mrsikit.phantoms.metabolites import TUMOUR_WEIGHTS, weighted_map
from mrsikit.phantoms.subject import Tissues
from mrsikit.phantoms.voxel_loss import algorithm1


class RandAlgorithm1d(RandomizableTransform):
    """Weighted metabolite map of a virtual patient with clusters of voxels removed (Pham 2025).

    Physics: map = .1 GM + .12 WM + tau tumour over its maximum, tau one of .2 to .8; clusters of 1-3 voxels a side are
    set to zero. The share lost grows in equal stages of the training (progressive) or is one number (direct).

    Args:
        tissues: key of the (S, 8, ...) uint8 tissues of :class:`VirtualSubjectd`; a slice with over 5 % brain is drawn.
        matrix: voxels a side of the map; the tissues' must be a multiple.
        fractions: share of the brain to remove in each stage.
        epochs: length of the training, of which each stage takes an equal part; "epoch" comes from
            :class:`mrsikit.runtime.data.SeededDataset`.
        count: see :func:`mrsikit.phantoms.voxel_loss.algorithm1`.

    Output:
        "image" (1, X, Y[, Z]) spoilt map, "label" (2, ...) complete map and holes.
    """

    def __init__(
        self, tissues: str, *, matrix: int, fractions: Sequence[float], epochs: int = 1, count: str = "unique"
    ) -> None:
        super().__init__(1.0)
        self.tissues = tissues
        self.matrix = matrix
        self.fractions = tuple(fractions)
        self.epochs = epochs
        self.count = count

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make one pair."""
        rng = np.random.default_rng(self.R.randint(2**31))
        stack = data[self.tissues]
        brain_share = stack[:, 6].float().flatten(1).mean(1) / 255
        usable = torch.nonzero(brain_share > 0.05).flatten()
        chosen = int(usable[rng.integers(len(usable))]) if len(usable) else int(brain_share.argmax())
        fractions = stack[chosen].float() / 255
        factor = fractions.shape[-1] // self.matrix
        if factor > 1:
            pool = F.avg_pool2d if fractions.ndim == 3 else F.avg_pool3d
            fractions = pool(fractions[None], factor)[0]
        clean = weighted_map(Tissues(*fractions), float(rng.choice(TUMOUR_WEIGHTS)))
        stage = min(len(self.fractions) - 1, max(0, data["epoch"] - 1) * len(self.fractions) // self.epochs)
        lost = algorithm1((clean > 0).numpy(), self.fractions[stage], rng, count=self.count)
        missing = torch.from_numpy(lost).to(clean.dtype)
        return {"image": (clean * (1 - missing))[None], "label": torch.stack([clean, missing])}
