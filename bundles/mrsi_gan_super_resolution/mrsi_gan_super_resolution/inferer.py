"""Inferer with three methods: no MRI, MRI-guided non-local means after the network, or the MRI inside the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mrsikit.physics.kspace import merged
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.guided_non_local_means import guided_non_local_means
from mrsikit.restoration.non_local_means import mri_features, non_local_means
from mrsikit.runtime import as_flag
from mrsikit.super_resolution.inferer import SliceStackInferer, estimates, parts, super_resolved, weighed
from mrsikit.super_resolution.scale_check import NETWORK, NOT_ASKED, WITH_MRI, Coarse, Estimates, unchecked

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
        check: whether to check the methods on each map, see :mod:`mrsikit.super_resolution.scale_check`. It requires
            ``dims`` 2, data consistency, a known noise, and a map that is not denoised first.
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
        check: bool | str = True,
    ) -> None:
        super().__init__(factor=factor, psf=psf, consistency=consistency, check=check)
        # The network works in plane, by self.encoding; everything else by the encoding of all axes.
        self.whole, self.method = SpatialEncoding(psf, factor, dims), method
        self.denoised = as_flag(denoised, "denoised")
        self.guided_spread = guided_spread

    def _maps(self, item: Tensor, network: Callable[..., Tensor]) -> list[tuple[Tensor, Tensor]]:
        starts, noises, mris = parts(item)
        method = (self.method or 2) if mris else 1
        in_plane = self.whole.dims == 2 and not self.denoised
        run = self._in_plane if in_plane else self._by_the_network
        coarse = [
            Coarse(*pair, {} if method == 1 else mris, self.encoding) for pair in zip(starts, noises, strict=True)
        ]
        features = self._features(mris) if method == 2 else None  # all maps share them
        return [run(network, one, method, features) for one in coarse]

    def _in_plane(
        self, network: Callable[..., Tensor], coarse: Coarse, method: int, features: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Super-resolve one map slice by slice, with a check on the map itself."""

        def estimate(given: Coarse) -> Estimates:
            if features is None:
                return estimates(network, given, consistency=self.consistency)
            found = estimates(network, replace(given, mris={}), consistency=self.consistency)
            here = features if given is coarse else self._features(given.mris)
            guided = self._guided(found.maps[NETWORK].movedim(-1, 0), here, given.encoding).movedim(0, -1)
            responses = {WITH_MRI: found.responses[NETWORK], **found.responses} if found.responses else {}
            sds = {WITH_MRI: self.guided_spread * found.sds[NETWORK], **found.sds}
            return Estimates({WITH_MRI: guided, **found.maps}, responses, sds)

        return weighed(estimate, coarse, consistency=self.consistency, check=self.check)

    def _by_the_network(
        self, network: Callable[..., Tensor], coarse: Coarse, method: int, features: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Super-resolve one map by the network alone: a volume along all axes, or a map that is denoised first."""
        measured = self.whole.A(self._batched(coarse.start))
        every = [slice(None)] + [slice(None, None, self.whole.factor)] * self.whole.dims
        level = self._batched(coarse.noise)[tuple(every)]
        start = coarse.start
        if self.denoised and coarse.noise_known:
            smooth = non_local_means(measured, h=DENOISING * level.flatten(1).median(1).values)
            start = self._unbatched(self.whole.interpolate(smooth))
        given = replace(coarse, start=start, mris=coarse.mris if method == 3 else {})
        fine_map, spread, alone = self._network_maps(network, given)
        if features is not None:
            fine_map = self._unbatched(self._guided(self._batched(fine_map), features, self.whole))
            spread = self.guided_spread * spread
        if self.consistency and coarse.noise_known:
            fine_map, alone = (self._data_consistent(fine, measured, level) for fine in (fine_map, alone))
        return torch.stack([fine_map, spread, alone]), unchecked(
            {WITH_MRI if coarse.mris else NETWORK: fine_map}, NOT_ASKED
        )

    def _guided(self, begun: Tensor, features: Tensor, encoding: SpatialEncoding) -> Tensor:
        """Average maps (B, X, Y[, Z]) along the features of the MRIs.

        The measurable part stays that of the maps: the MRI only adds what the acquisition cannot measure.
        """
        slab = SLAB if encoding.dims == 3 else None
        return guided_non_local_means(encoding.A(begun), encoding, features, start=begun, slab=slab)

    def _features(self, mris: Mapping[str, Tensor]) -> Tensor:
        images = [self._batched(image) for image in mris.values()]
        return mri_features(images, torch.stack(images).amax(0))

    def _network_maps(self, network: Callable[..., Tensor], coarse: Coarse) -> Tensor:
        """Run the network in plane, or for ``dims`` 3 across each axis and merge; return (3, X, Y, Z)."""
        # A denoised start no longer has the noise from which the correction reads the network's error.
        consistency = self.consistency and not self.denoised
        if self.whole.dims == 2:
            return super_resolved(network, coarse, consistency=consistency, check=False)[0]
        found = []
        for axis in range(3):
            across = replace(
                coarse,
                start=coarse.start.movedim(axis, -1),
                noise=coarse.noise.movedim(axis, -1),
                mris={name: image.movedim(axis, -1) for name, image in coarse.mris.items()},
            )
            part = super_resolved(network, across, consistency=consistency, check=False)[0]
            found.append(part.movedim(-1, axis + 1))
        maps, spreads, alone = torch.stack(found).unbind(1)
        return torch.stack([merged(maps, self.whole.factor), spreads.mean(0), merged(alone, self.whole.factor)])

    def _data_consistent(self, fine: Tensor, coarse: Tensor, level: Tensor) -> Tensor:
        kept = self.whole.data_consistency(self._batched(fine), coarse, noise=level)
        return self._unbatched(kept)

    def _batched(self, volume: Tensor) -> Tensor:
        """Reshape (X, Y, Z) to a batch: (Z, X, Y) of slices, or (1, X, Y, Z) for ``dims`` 3."""
        return volume.movedim(-1, 0) if self.whole.dims == 2 else volume[None]

    def _unbatched(self, volume: Tensor) -> Tensor:
        return volume.movedim(0, -1) if self.whole.dims == 2 else volume[0]
