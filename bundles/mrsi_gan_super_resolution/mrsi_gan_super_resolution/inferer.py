"""Inferer with three methods: no MRI, MRI-guided non-local means after the network, or the MRI inside the network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mrsikit.physics.kspace import merged
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.guided_non_local_means import guided_non_local_means
from mrsikit.restoration.non_local_means import mri_features, non_local_means
from mrsikit.runtime import as_flag
from mrsikit.super_resolution.inferer import SliceStackInferer, parts, slices_through

SLAB = 16
"""Number of fine voxels along the last axis that the non-local means process at a time in a volume."""

DENOISING = 1.5
"""Filter width h of the denoising before the network, in standard deviations of the noise."""


class MethodInferer(SliceStackInferer):
    """Super-resolve maps by the paper's DLmethod_1, 2 or 3, then enforce data consistency.

    DLmethod_1: the network takes only the map. DLmethod_2: feature non-local means along the MRIs follow the network.
    DLmethod_3: the network also takes the MRIs. The network processes each slice separately; for ``dims`` 3 it
    processes the slices across each of the three axes. The non-local means and data consistency are then
    three-dimensional.

    Args:
        factor: fine voxels per coarse voxel along each axis.
        psf: point spread function, "block", "kspace" or "hamming".
        dims: number of super-resolved axes: 2 (in plane) or 3.
        method: 1, 2 or 3; None: 2 if there is an MRI, else 1. Without an MRI the method is always 1.
        consistency: whether to enforce data consistency, as far as differences exceed the noise. It requires a known
            noise.
        denoised: whether non-local means denoise the coarse map first. It requires a known noise.
        guided_spread: standard deviation after the non-local means over that before.
    """

    def __init__(
        self,
        *,
        factor: int = 4,
        psf: str = "kspace",
        dims: int = 2,
        method: int | None = None,
        consistency: bool | str = True,
        denoised: bool | str = False,
        guided_spread: float = 1.0,
    ) -> None:
        super().__init__(factor=factor, psf=psf)
        # The network works in plane, by self.encoding; everything else by the encoding of all axes.
        self.whole, self.method = SpatialEncoding(psf, factor, dims), method
        self.consistency = as_flag(consistency, "consistency")
        self.denoised = as_flag(denoised, "denoised")
        self.guided_spread = guided_spread

    def _maps(self, item: Tensor, network: Callable[..., Tensor]) -> list[Tensor]:
        starts, noises, mris = parts(item)
        method = (self.method or 2) if mris else 1
        features = self._features(mris) if method == 2 else None
        return [
            self._super_resolved(network, start, noise, mris if method == 3 else {}, features)
            for start, noise in zip(starts, noises, strict=True)
        ]

    def _super_resolved(
        self,
        network: Callable[..., Tensor],
        start: Tensor,
        noise: Tensor,
        mris: dict[str, Tensor],
        features: Tensor | None,
    ) -> Tensor:
        """Super-resolve one map; return it, its standard deviation, and the map without the MRIs, (3, X, Y, Z)."""
        coarse = self.whole.A(self._batched(start))
        every = [slice(None)] + [slice(None, None, self.whole.factor)] * self.whole.dims
        level = self._batched(noise)[tuple(every)]
        known = not bool(level.isnan().any())
        if self.denoised and known:
            smooth = non_local_means(coarse, h=DENOISING * level.flatten(1).median(1).values)
            start = self._unbatched(self.whole.interpolate(smooth))
        fine_map, spread, alone = self._network_maps(network, start, noise, mris)
        if features is not None:
            # Keep the measurable part of the network's map: the MRI only adds what the acquisition cannot measure.
            begun = self._batched(fine_map)
            fine = guided_non_local_means(
                self.whole.A(begun),
                self.whole,
                features,
                start=begun,
                slab=SLAB if self.whole.dims == 3 else None,
            )
            fine_map, spread = self._unbatched(fine), self.guided_spread * spread
        if self.consistency and known:
            fine_map, alone = (self._data_consistent(fine, coarse, level) for fine in (fine_map, alone))
        return torch.stack([fine_map, spread, alone])

    def _network_maps(
        self, network: Callable[..., Tensor], start: Tensor, noise: Tensor, mris: dict[str, Tensor]
    ) -> Tensor:
        """Run :func:`slices_through` in plane, or for ``dims`` 3 across each axis and merge; return (3, X, Y, Z)."""
        # A denoised start no longer has the noise from which the correction reads the network's error.
        consistency = self.consistency and not self.denoised
        if self.whole.dims == 2:
            return slices_through(network, start, noise, mris, self.encoding, consistency=consistency)
        found = []
        for axis in range(3):
            across = [image.movedim(axis, -1) for image in (start, noise, *mris.values())]
            images = dict(zip(mris, across[2:], strict=True))
            part = slices_through(network, across[0], across[1], images, self.encoding, consistency=consistency)
            found.append(part.movedim(-1, axis + 1))
        maps, spreads, alone = torch.stack(found).unbind(1)
        return torch.stack([merged(maps, self.whole.factor), spreads.mean(0), merged(alone, self.whole.factor)])

    def _data_consistent(self, fine: Tensor, coarse: Tensor, level: Tensor) -> Tensor:
        kept = self.whole.data_consistency(self._batched(fine), coarse, noise=level)
        return self._unbatched(kept)

    def _features(self, mris: dict[str, Tensor]) -> Tensor:
        images = [self._batched(image) for image in mris.values()]
        return mri_features(images, torch.stack(images).amax(0))

    def _batched(self, volume: Tensor) -> Tensor:
        """Reshape (X, Y, Z) to a batch: (Z, X, Y) of slices, or (1, X, Y, Z) for ``dims`` 3."""
        return volume.movedim(-1, 0) if self.whole.dims == 2 else volume[None]

    def _unbatched(self, volume: Tensor) -> Tensor:
        return volume.movedim(0, -1) if self.whole.dims == 2 else volume[0]
