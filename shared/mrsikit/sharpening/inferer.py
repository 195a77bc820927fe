"""Maps through the network slice by slice, some at a time, with their MRIs and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor
from tqdm import tqdm

from mrsikit.measurement import PSF
from mrsikit.sharpening.network import MRIS, evidence

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
        self.psf = PSF[psf]

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Sharpen.

        Args:
            inputs: (B, 2 M + 2, X, Y, Z), of :class:`mrsikit.sharpening.prepare.PrepareCoarsed`.
            network: of (n, 10, X, Y), as :class:`mrsikit.sharpening.network.SuperResolution`.
            args: not used.
            kwargs: likewise.

        Returns:
            (B, 3 M, X, Y, Z): each map, its standard deviation, and the map without the MRIs.
        """
        out = []
        for item in inputs:
            starts, noises, mris = parts(item)
            for start, noise in zip(starts, noises, strict=True):
                seen = slices_through(network, start, noise, mris, self.factor, self.psf)
                blind = slices_through(network, start, noise, {}, self.factor, self.psf) if mris else seen
                out += [seen, blind[:1]]
        return torch.cat(out).reshape(len(inputs), -1, *inputs.shape[2:])


def parts(item: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """What (2 M + 2, X, Y, Z) holds: M maps, their noise, and by name the MRIs (X, Y, Z) that show anything."""
    count = (len(item) - len(MRIS)) // 2
    mris = {name: image for name, image in zip(MRIS, item[2 * count :], strict=True) if image.any()}
    return item[:count], item[count : 2 * count], mris


def slices_through(
    network: Callable[..., Tensor], start: Tensor, noise: Tensor, mris: dict[str, Tensor], factor: int, psf: int
) -> Tensor:
    """One map, slice by slice through the network.

    Args:
        network: as of :class:`SliceStackInferer`.
        start: (X, Y, Z), interpolated.
        noise: same shape; NaN: not known.
        mris: by name, (X, Y, Z).
        factor: fine voxels a coarse one.
        psf: code of the point-spread function.

    Returns:
        (2, X, Y, Z): the map and its standard deviation.
    """
    out = []
    stacks = [image.movedim(-1, 0).split(SLICES) for image in (start, noise, *mris.values())]
    steps = list(zip(*stacks, strict=True))
    for plane, level, *images in tqdm(steps, desc="sharpening", unit=f"{SLICES} slices", delay=2, leave=False):
        known = None if level.isnan().any() else level
        x = evidence(plane, factor, psf, noise=known, mris=dict(zip(mris, images, strict=True)))
        out.append(network(x))
    return torch.cat(out).movedim(0, -1)
