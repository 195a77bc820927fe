"""Maps through the network slice by slice, some at a time, with their MRIs and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor
from tqdm import tqdm

from mrsikit.physics.spatial_encoding import PSF_CODES
from mrsikit.super_resolution.network import MRIS, network_input

SLICES = 8
"""At a time."""


class SliceStackInferer(Inferer):
    """Run the network over every slice of every map, those that have an MRI a second time without it.

    So what the MRIs draw can be told from what was measured.

    Args:
        factor: fine voxels a coarse one along each axis in plane.
        psf: "block", "kspace" or "hamming".
    """

    def __init__(self, *, factor: int = 4, psf: str = "block") -> None:
        super().__init__()
        self.factor = factor
        self.psf = PSF_CODES[psf]

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Sharpen.

        Args:
            inputs: (B, 2 M + 2, X, Y, Z), of :class:`mrsikit.super_resolution.preprocessing.PreprocessCoarseMapd`.
            network: of (n, 10, X, Y), as :class:`mrsikit.super_resolution.network.SuperResolution`.
            args: not used.
            kwargs: likewise.

        Returns:
            (B, 3 M, X, Y, Z): each map, its standard deviation, and the map without the MRIs.
        """
        out = torch.cat([part for item in inputs for part in self._maps(item, network)])
        return out.reshape(len(inputs), -1, *inputs.shape[2:])

    def _maps(self, item: Tensor, network: Callable[..., Tensor]) -> list[Tensor]:
        """What is returned of one item, in parts (n, X, Y, Z), in order."""
        starts, noises, mris = parts(item)
        return [
            slices_through(network, start, noise, mris, self.factor, self.psf)
            for start, noise in zip(starts, noises, strict=True)
        ]


def parts(item: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """What (2 M + 2, X, Y, Z) holds: M maps, their noise, and by name the MRIs (X, Y, Z) that show anything."""
    count = (len(item) - len(MRIS)) // 2
    mris = {name: image for name, image in zip(MRIS, item[2 * count :], strict=True) if image.any()}
    return item[:count], item[count : 2 * count], mris


def slices_through(
    network: Callable[..., Tensor], start: Tensor, noise: Tensor, mris: dict[str, Tensor], factor: int, psf: int
) -> Tensor:
    """One map, slice by slice through the network, where there are MRIs a second time without them.

    Args:
        network: as of :class:`SliceStackInferer`.
        start: (X, Y, Z), interpolated.
        noise: same shape; NaN: not known.
        mris: by name, (X, Y, Z).
        factor: fine voxels a coarse one.
        psf: code of the point-spread function.

    Returns:
        (3, X, Y, Z): the map, its standard deviation, and the map without the MRIs.
    """
    out = []
    stacks = [image.movedim(-1, 0).split(SLICES) for image in (start, noise, *mris.values())]
    steps = list(zip(*stacks, strict=True))
    for plane, level, *images in tqdm(steps, desc="super-resolution", unit=f"{SLICES} slices", delay=2, leave=False):
        known = None if level.isnan().any() else level
        x = network_input(plane, factor, psf, noise=known, mris=dict(zip(mris, images, strict=True)))
        pred = network(x)
        alone = pred[:, :1]
        if mris:
            blind = x.clone()
            for channels in MRIS.values():
                blind[:, channels] = 0
            alone = network(blind)[:, :1]
        out.append(torch.cat([pred, alone], 1))
    return torch.cat(out).movedim(0, -1)
