"""Training pairs of the default network."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import RandomizableTransform
from torch import Tensor

from mrsikit.physics.kspace import hamming_weights, weighted
from mrsikit.physics.spatial_encoding import (
    BLOCK,
    HAMMING,
    HAMMING_NOISE,
    KSPACE,
    forward_operator,
    interpolate,
    pseudo_inverse,
)
from mrsikit.super_resolution.network import MRIS, NO_TRUST, network_input


class RandCoarseMapd(RandomizableTransform):
    """Measure a fine map coarsely, and lay out the default network's input.

    Drawn: factor 4, 3 or 2; in one of seven heads half the size, as a coarse matrix or a large field of view makes it;
    block, k-space or Hamming; no noise, or SD log-uniform .003 to .08 of the coarse maximum, in half of the maps
    nowhere outside the head; Hamming's filter smooths the noise, too. For blocks the noise may vary over the map, and
    a few voxels may have no trust. Whether the noise is known: 17 in 20.

    Args:
        psf: shares of blocks, k-space and Hamming.

    Output:
        "image" (10, X, Y) of :class:`mrsikit.super_resolution.network.SuperResolution`; "label" (1 + 2 n, X, Y), the
        fine map, its n lesions and the n of the MRIs alone.
    """

    def __init__(self, *, psf: Sequence[float] = (0.45, 0.35, 0.2)) -> None:
        super().__init__(1.0)
        self.psf = tuple(psf)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make one pair."""
        rng = np.random.default_rng(self.R.randint(2**31))
        images = {name: data[name] for name in ("map", *MRIS) if name in data}
        lesions = data["lesions"]
        if rng.random() < 0.15:
            images, lesions = {name: _half(image) for name, image in images.items()}, _half(lesions)
        fine = images["map"]
        factor = int(rng.choice([4, 3, 2], p=[0.7, 0.15, 0.15]))
        psf = int(rng.choice([BLOCK, KSPACE, HAMMING], p=self.psf))
        coarse = forward_operator(fine, factor, psf)
        noise = 0.0 if rng.random() < 0.4 else float(np.exp(rng.uniform(np.log(0.003), np.log(0.08))))
        level = torch.full_like(coarse, noise)
        if psf == BLOCK and rng.random() < 0.3:
            waves = torch.from_numpy(rng.uniform(-0.7, 0.7, (1, 1, 3, 3)).astype(np.float32))
            size = (coarse.shape[0], coarse.shape[1])
            level = level * torch.exp(F.interpolate(waves, size=size, mode="bicubic")[0, 0])
            if rng.random() < 0.3:
                lost = torch.from_numpy(rng.random(coarse.shape) < rng.uniform(0, 0.05))
                level = torch.where(lost, NO_TRUST, level)
        spread = torch.from_numpy(rng.standard_normal(coarse.shape, dtype=np.float32))
        if psf == HAMMING:
            spread = weighted(spread, hamming_weights(coarse.shape[0], coarse.shape[1], 1)) / HAMMING_NOISE
        spread = level * spread
        coarse = coarse + (spread * (coarse > 0.02) if rng.random() < 0.5 else spread)
        top = coarse.max().clamp(min=1e-6)
        coarse, level, fine = coarse / top, level / top, fine / top
        known = rng.random() < 0.85
        image = network_input(
            interpolate(coarse, factor, psf)[None],
            factor,
            psf,
            noise=pseudo_inverse(level, factor, BLOCK)[None] if known else None,
            mris={name: images[name][None] for name in MRIS if name in images},
        )
        return {"image": image[0], "label": torch.cat([fine[None], lesions])}


def _half(image: Tensor) -> Tensor:
    """An image (..., X, Y) at half its size, zeros around it."""
    small = F.avg_pool2d(image.reshape(1, -1, *image.shape[-2:]), 2)[0]
    small = small.reshape(*image.shape[:-2], *small.shape[-2:])
    rows, columns = (n - m for n, m in zip(image.shape[-2:], small.shape[-2:], strict=True))
    return F.pad(small, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
