"""Inferer: run the network over the slices of a map, in batches, with and without its MRIs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_tensor
from torch import Tensor
from tqdm import tqdm

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.network import MRIS, NO_TRUST, network_input

SLICES = 8
"""Number of slices per batch."""

PROBE = 0.1
"""Standard deviation, over that of the noise, of the change of the map that shows how the result follows the noise."""


class SliceStackInferer(Inferer):
    """Run the network over every slice of every map, and a second time without the MRIs where there are any.

    The comparison of the two results shows what the MRIs contribute.

    Args:
        factor: fine voxels per coarse voxel along each in-plane axis.
        psf: point spread function, "block", "kspace" or "hamming".
    """

    def __init__(self, *, factor: int = 4, psf: str = "block") -> None:
        super().__init__()
        self.encoding = SpatialEncoding(psf, factor)

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Super-resolve a batch.

        Args:
            inputs: (B, 2 M + 2, X, Y, Z), from :class:`mrsikit.super_resolution.preprocessing.PreprocessCoarseMapd`.
            network: network that takes (n, 10, X, Y), such as
                :class:`mrsikit.super_resolution.network.SuperResolution`.
            args: not used.
            kwargs: not used.

        Returns:
            (B, 3 M, X, Y, Z): for each of the M maps the super-resolved map, its standard deviation, and the
            super-resolved map without the MRIs.
        """
        # Plain tensors: a MetaTensor's bookkeeping takes longer than most of the operations on a slice.
        inputs = convert_to_tensor(inputs, track_meta=False)
        out = torch.cat([part for item in inputs for part in self._maps(item, network)])
        return out.reshape(len(inputs), -1, *inputs.shape[2:])

    def _maps(self, item: Tensor, network: Callable[..., Tensor]) -> list[Tensor]:
        """Super-resolve one item; the list holds one (3, X, Y, Z) tensor per map, in order."""
        starts, noises, mris = parts(item)
        return [
            slices_through(network, start, noise, mris, self.encoding)
            for start, noise in zip(starts, noises, strict=True)
        ]


def parts(item: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Split (2 M + 2, X, Y, Z) into M maps, their noise, and a dictionary of the MRIs (X, Y, Z) that are not empty."""
    count = (len(item) - len(MRIS)) // 2
    mris = {name: image for name, image in zip(MRIS, item[2 * count :], strict=True) if image.any()}
    return item[:count], item[count : 2 * count], mris


def slices_through(
    network: Callable[..., Tensor],
    start: Tensor,
    noise: Tensor,
    mris: dict[str, Tensor],
    encoding: SpatialEncoding,
    *,
    consistency: bool = True,
) -> Tensor:
    """Super-resolve one map slice by slice, and a second time without the MRIs where there are any.

    Args:
        network: as for :class:`SliceStackInferer`.
        start: (X, Y, Z) interpolated map.
        noise: (X, Y, Z) standard deviation of the noise; NaN where it is unknown.
        mris: MRIs by name, each (X, Y, Z).
        encoding: encoding of the coarse map, in plane.
        consistency: whether to correct the maps by the measurement, where its noise is known.

    Returns:
        (3, X, Y, Z): the map, its standard deviation, and the map without the MRIs.
    """
    out = []
    stacks = [image.movedim(-1, 0).split(SLICES) for image in (start, noise, *mris.values())]
    steps = list(zip(*stacks, strict=True))
    for plane, level, *images in tqdm(steps, desc="super-resolution", unit=f"{SLICES} slices", delay=2, leave=False):
        known = None if level.isnan().any() else level
        given = dict(zip(mris, images, strict=True))
        inputs = [network_input(plane, encoding, noise=known, mris=given)]
        coarse, coarse_noise = encoding.A(plane), level[:, :: encoding.factor, :: encoding.factor]
        probe = encoding.noise_probe(coarse_noise * (coarse_noise < NO_TRUST))
        if consistency and known is not None and known.any():
            moved = plane + PROBE * encoding.interpolate(probe)
            inputs.append(network_input(moved, encoding, noise=known, mris=given))
        pred = _consistent([network(x) for x in inputs], coarse, coarse_noise, probe, encoding)
        alone = pred
        if mris:
            blind = [network(_without_mris(x)) for x in inputs]
            alone = _consistent(blind, coarse, coarse_noise, probe, encoding)
        out.append(torch.cat([pred, alone[:, :1]], 1))
    return torch.cat(out).movedim(0, -1)


def _without_mris(x: Tensor) -> Tensor:
    blind = x.clone()
    for channels in MRIS.values():
        blind[:, channels] = 0
    return blind


def _consistent(preds: list[Tensor], coarse: Tensor, noise: Tensor, probe: Tensor, encoding: SpatialEncoding) -> Tensor:
    """Correct maps by the measurement as far as the data themselves say that they err in what was measured.

    How far the network can be trusted was learnt on virtual patients. On this map it is read from the difference to
    the measurement, and from how the result follows a small change of it, see
    :meth:`mrsikit.physics.spatial_encoding.SpatialEncoding.data_consistency`.

    Args:
        preds: the network's maps and standard deviations (B, 2, X, Y), and, where there is noise, those from the
            measurement plus :data:`PROBE` times the probe.
        coarse: (B, X / factor, Y / factor) measurement.
        noise: same shape, standard deviation of its noise.
        probe: same shape, see :meth:`mrsikit.physics.spatial_encoding.SpatialEncoding.noise_probe`.
        encoding: encoding of the measurement.

    Returns:
        (B, 2, X, Y): the corrected maps, and the standard deviations as they were.
    """
    if len(preds) == 1:
        return preds[0]
    maps, moved = (pred[:, 0] for pred in preds)
    response = probe * encoding.A(moved - maps) / PROBE / noise.square().clamp(min=1e-20)
    # Outside the head many maps are exactly 0. Nothing was measured there.
    response = torch.where((noise < NO_TRUST) & (coarse != 0), response, torch.nan)
    found = encoding.data_consistency(maps, coarse, noise=noise, response=response)
    noisy = noise.flatten(1).any(1)[:, None, None]  # without noise the network follows the measurement by itself
    return torch.cat([torch.where(noisy, found, maps)[:, None], preds[0][:, 1:]], 1)
