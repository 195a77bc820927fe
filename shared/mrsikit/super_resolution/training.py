"""Training pairs for the default network."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import RandomizableTransform
from scipy import ndimage
from torch import Tensor

from mrsikit.physics.spatial_encoding import PSFS, SpatialEncoding
from mrsikit.super_resolution.network import MRIS, NO_TRUST, network_input


class RandCoarseMapd(RandomizableTransform):
    """Simulate a coarse measurement of a fine map and build the default network's input.

    The transform draws at random:

    - the factor: 4 (70 %), 3 (15 %) or 2 (15 %);
    - the size: 15 % of the heads are halved, as a coarse matrix or a large field of view would show them;
    - the point spread function: block, k-space or Hamming;
    - the noise: none (40 %), or a standard deviation log-uniform from .003 to ``noisiest`` of the fine map's maximum.
      Half of the maps have noise only in the head. The Hamming filter smooths the noise too. With the block point
      spread function, the noise may vary over the map and grow towards the rim (30 %), and up to 5 % of
      the voxels may then be lost, with a standard deviation of :data:`mrsikit.super_resolution.network.NO_TRUST`;
    - whether the network is given the noise (85 %).

    Args:
        psf: probabilities of block, k-space and Hamming.
        noisiest: largest standard deviation of the noise.
        rim: largest share by which noise that varies is higher at the rim.

    Output:
        "image" (10, X, Y), the input of :class:`mrsikit.super_resolution.network.SuperResolution`; "label"
        (1 + 2 n, X, Y), the fine map, its n lesions, and the n decoys that only the MRIs show.
    """

    def __init__(self, *, psf: Sequence[float] = (0.45, 0.35, 0.2), noisiest: float = 0.08, rim: float = 0.0) -> None:
        super().__init__(1.0)
        self.psf = tuple(psf)
        self.noisiest, self.rim = noisiest, rim

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw one pair."""
        rng = np.random.default_rng(self.R.randint(2**31))
        images = {name: data[name] for name in ("map", *MRIS) if name in data}
        lesions = data["lesions"]
        if rng.random() < 0.15:
            images, lesions = {name: _half(image) for name, image in images.items()}, _half(lesions)
        fine = images["map"]
        factor = int(rng.choice([4, 3, 2], p=[0.7, 0.15, 0.15]))
        encoding = SpatialEncoding.of(int(rng.choice(len(PSFS), p=self.psf)), factor)
        coarse = encoding.A(fine)
        noise = 0.0 if rng.random() < 0.4 else float(np.exp(rng.uniform(np.log(0.003), np.log(self.noisiest))))
        level = torch.full_like(coarse, noise)
        if not encoding.in_kspace and rng.random() < 0.3:
            waves = torch.from_numpy(rng.uniform(-0.7, 0.7, (1, 1, 3, 3)).astype(np.float32))
            size = (coarse.shape[0], coarse.shape[1])
            level = level * torch.exp(F.interpolate(waves, size=size, mode="bicubic")[0, 0])
            if self.rim:
                depth = torch.from_numpy(ndimage.distance_transform_edt((coarse > 0.02).numpy())).float()
                level = (level * (1 + rng.uniform(0, self.rim) * torch.exp(-depth / 3))).clamp(max=NO_TRUST)
            if rng.random() < 0.3:
                lost = torch.from_numpy(rng.random(coarse.shape) < rng.uniform(0, 0.05))
                level = torch.where(lost, NO_TRUST, level)
        spread = torch.from_numpy(rng.standard_normal(coarse.shape, dtype=np.float32))
        spread = level * encoding.coloured(spread)
        coarse = coarse + (spread * (coarse > 0.02) if rng.random() < 0.5 else spread)
        top = coarse.max().clamp(min=1e-6)
        coarse, level, fine = coarse / top, level / top, fine / top
        known = rng.random() < 0.85
        image = network_input(
            encoding.interpolate(coarse)[None],
            encoding,
            noise=SpatialEncoding("block", factor).A_dagger(level)[None] if known else None,
            mris={name: images[name][None] for name in MRIS if name in images},
        )
        return {"image": image[0], "label": torch.cat([fine[None], lesions])}


def _half(image: Tensor) -> Tensor:
    """Shrink an image (..., X, Y) to half its size and pad it with zeros to its former shape."""
    small = F.avg_pool2d(image.reshape(1, -1, *image.shape[-2:]), 2)[0]
    small = small.reshape(*image.shape[:-2], *small.shape[-2:])
    rows, columns = (n - m for n, m in zip(image.shape[-2:], small.shape[-2:], strict=True))
    return F.pad(small, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
