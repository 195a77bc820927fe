"""Three ways to use an MRI: none, non-local means after the network, or inside the network; slices or volumes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mrsikit.physics.kspace import merged
from mrsikit.physics.spatial_encoding import data_consistency, forward_operator, interpolate
from mrsikit.restoration.guided_non_local_means import guided_non_local_means
from mrsikit.restoration.non_local_means import mri_features, non_local_means
from mrsikit.runtime import as_flag
from mrsikit.super_resolution.inferer import SliceStackInferer, parts, slices_through

SLAB = 16
"""Fine voxels along the last axis that the non-local means of a volume take at a time."""

DENOISING = 1.5
"""Width of the denoising before the network, in standard deviations of the noise."""


class MethodInferer(SliceStackInferer):
    """Sharpen maps by the paper's DLmethod_1, 2 or 3, and keep them to what was measured.

    DLmethod_1: the network sees the map alone. DLmethod_2: feature non-local means along the MRIs follow. DLmethod_3:
    the network sees the MRIs. Every slice goes through the network by itself, of a volume those across each of its
    axes; a volume's non-local means and data consistency are three-dimensional.

    Args:
        factor: fine voxels a coarse one along each axis.
        psf: "block", "kspace" or "hamming".
        dims: axes that are sharpened: 2, in plane, or 3.
        method: 1, 2 or 3; None: 2 where there is an MRI, else 1.
        consistency: whether the result is kept to what was measured, as far as that stands out of the noise. Not where
            the noise is not known.
        denoised: whether the coarse map goes through non-local means first; where the noise is known.
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
        self.dims, self.method = dims, method
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
        """One map, its deviation, and it without the MRIs, (3, X, Y, Z)."""
        coarse = forward_operator(self._batched(start), self.factor, self.psf, self.dims)
        every = [slice(None)] + [slice(None, None, self.factor)] * self.dims
        level = self._batched(noise)[tuple(every)]
        known = not bool(level.isnan().any())
        if self.denoised and known:
            smooth = non_local_means(coarse, h=DENOISING * level.flatten(1).median(1).values)
            start = self._unbatched(interpolate(smooth, self.factor, self.psf, self.dims))
        fine_map, spread, alone = self._network_maps(network, start, noise, mris)
        if features is not None:
            # of what is measured the network's map stays as it is: the MRI only adds what the acquisition does not see
            begun = self._batched(fine_map)
            fine = guided_non_local_means(
                forward_operator(begun, self.factor, self.psf, self.dims),
                self.factor,
                self.psf,
                features,
                start=begun,
                dims=self.dims,
                slab=SLAB if self.dims == 3 else None,
            )
            fine_map, spread = self._unbatched(fine), self.guided_spread * spread
        if self.consistency and known:
            fine_map, alone = (self._data_consistent(fine, coarse, level) for fine in (fine_map, alone))
        return torch.stack([fine_map, spread, alone])

    def _network_maps(
        self, network: Callable[..., Tensor], start: Tensor, noise: Tensor, mris: dict[str, Tensor]
    ) -> Tensor:
        """As :func:`slices_through`: of axial slices, or of those across each axis, merged."""
        if self.dims == 2:
            return slices_through(network, start, noise, mris, self.factor, self.psf)
        found = []
        for axis in range(3):
            across = [image.movedim(axis, -1) for image in (start, noise, *mris.values())]
            images = dict(zip(mris, across[2:], strict=True))
            part = slices_through(network, across[0], across[1], images, self.factor, self.psf)
            found.append(part.movedim(-1, axis + 1))
        maps, spreads, alone = torch.stack(found).unbind(1)
        return torch.stack([merged(maps, self.factor), spreads.mean(0), merged(alone, self.factor)])

    def _data_consistent(self, fine: Tensor, coarse: Tensor, level: Tensor) -> Tensor:
        kept = data_consistency(self._batched(fine), coarse, self.factor, self.psf, noise=level, dims=self.dims)
        return self._unbatched(kept)

    def _features(self, mris: dict[str, Tensor]) -> Tensor:
        images = [self._batched(image) for image in mris.values()]
        return mri_features(images, torch.stack(images).amax(0))

    def _batched(self, volume: Tensor) -> Tensor:
        """(Z, X, Y) of (X, Y, Z), or (1, X, Y, Z) where that is sharpened as a whole."""
        return volume.movedim(-1, 0) if self.dims == 2 else volume[None]

    def _unbatched(self, volume: Tensor) -> Tensor:
        return volume.movedim(0, -1) if self.dims == 2 else volume[0]
