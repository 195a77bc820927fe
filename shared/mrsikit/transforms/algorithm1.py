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


class RandAlgorithm1d(RandomizableTransform):
    """Draw a weighted metabolite map of a virtual patient and remove clusters of voxels (Pham 2025).

    Physics: the map is 0.1 GM + 0.12 WM + tau tumour, divided by its maximum, with tau one of 0.2, 0.3, ..., 0.8.
    Clusters of 1-3 voxels per side are set to zero. The share of missing voxels grows in equal stages of the training
    (progressive) or is a single number (direct).

    Args:
        tissues: key of the (S, 8, ...) uint8 tissues of :class:`VirtualSubjectd`; a slice with more than 5 % brain is
            drawn.
        matrix: number of voxels along each side of the map; that of the tissues must be a multiple of it.
        fractions: share of the brain to remove in each stage, 0-1.
        epochs: number of epochs, divided equally among the stages; :class:`mrsikit.runtime.data.SeededDataset` provides
            the key "epoch".
        count: see :func:`mrsikit.phantoms.algorithm1.algorithm1`.

    Output:
        "image" (1, X, Y[, Z]): map with missing voxels at zero. "label" (2, X, Y[, Z]): complete map and mask of the
        missing voxels (1 = missing).
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
        """Make one pair of image and label."""
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
