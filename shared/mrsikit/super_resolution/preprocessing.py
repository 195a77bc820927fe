"""Preprocessing: turn a coarse map and its MRIs into the network's input."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor
from scipy import ndimage
from torch import Tensor

from mrsikit.io.readers import CODES
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.resampling import companions_to_map_grid, image_on_grid, upright_axis
from mrsikit.restoration.sampled_matrix import sampled_matrix
from mrsikit.runtime import as_flag
from mrsikit.runtime.map_checks import FAILED_FIT
from mrsikit.super_resolution.mri_alignment import COVERED, share_outside_brain, shift_needed
from mrsikit.super_resolution.network import MRIS, NO_TRUST
from mrsikit.super_resolution.options import noise_levels
from mrsikit.super_resolution.rigid_check import NO_MOVE, move_needed
from mrsikit.super_resolution.scalp import RING, scalp_share
from mrsikit.super_resolution.tissue_mask import SUPPORT, background, impute_missing, tissue_mask

MOST_POINTS = 6
"""Largest number of points at which an MRI is sampled along one axis of a fine voxel."""

HALF = 0.5
"""The rigid check needs an MRI that covers at least half of the map's tissue."""

THICKER = 1.2
"""The longest side of a voxel marks the slice axis if it exceeds 1.2 x the other sides."""


class PreprocessCoarseMapd(MapTransform):
    """Interpolate each map and stack it with its noise and the MRIs on the fine grid.

    Interpolation: the forward operator maps the interpolated map back to the coarse map.

    Noise: it comes from the map's Cramér-Rao bounds, or is ``noise`` everywhere, or is unknown. The noise of a ratio is
    always unknown, because a ratio is not a linear function of the measurement. With k-space sampling the bounds give
    one noise level per slice (per volume if ``dims`` is 3), the median in tissue.

    Missing voxels: NaN, infinity and failed fits (bounds of :data:`FAILED_FIT` percent or more) become 0 outside the
    outline of the head. Inside, they take the value of the nearest measured voxel. Two kinds of failed fits keep their
    own value: those with almost no signal, which may be fluid, and those at the rim, which may differ from the nearest
    voxel. The standard deviation of imputed voxels is that of the tissue. Where there is no number or almost no signal,
    it also includes the distance to the mean of the tissue. With the block point spread function, a known noise is set
    to :data:`NO_TRUST` in all these voxels.

    Scale: each slice of each metabolite is divided by its own maximum. If ``dims`` is 3, each metabolite is divided by
    the maximum of the volume. Slices lie across the third axis if that runs along the body, otherwise across the axis
    that :func:`slice_axis` finds.

    Args:
        keys: key of the coarse map, channel first: (M, X, Y[, Z]), one channel per metabolite.
        factor: fine voxels per coarse voxel along each in-plane axis.
        psf: point spread function, "block", "kspace" or "hamming".
        noise: standard deviation of the map's noise in the map's unit, or one value per metabolite, as
            :func:`mrsikit.super_resolution.options.noise_levels` takes it; None: unknown.
        ratio: whether the map is a ratio of two measured maps.
        crlb: key of the optional Cramér-Rao bounds in percent, 1 or M channels.
        dims: number of super-resolved axes: 2 (in plane) or 3.
        mris: names of the MRIs that the method takes; others are not used.

    Output:
        The key itself holds (2 M + 2, factor X, factor Y, Z or factor Z) with the affine of the fine grid: the M
        interpolated maps; the standard deviation of the noise of each, NaN where unknown; FLAIR and T1, 0 if missing.

        Further keys: "map", the map as it came; "scale" (M, Z or 1), the divisor of each slice; "covered", for each MRI
        the share of the tissue that it covers; "used", the names of the MRIs that are not empty; "shifted", for each
        MRI the shift in mm (right, front, up) that would align it better; "move", for each MRI of a volume the
        rigid move that it needs, zeros if none or if it shows the scalp; "outside_brain", for each MRI the share of
        the tissue outside its brain; "scalp", for each MRI the share of the directions in which it shows the scalp;
        "imputed_sd" (M, factor X, factor Y, Z or factor Z), the standard deviation of
        imputed voxels in the map's unit, 0 elsewhere; "slice_axis", the slice axis of the map; "noise_from", the source
        of the noise; "noise_share" (M,), the median noise over the maximum (NaN: unknown); "lost", the number of voxels
        of the head that were not measured; "unmeasured" (M, Z), True for slices without any measurement; "lowest" (M,),
        the lowest measured value over the maximum; "unplaced", the names of the MRIs whose headers give no position;
        "resampled", the names of the companions that were resampled onto the map's grid; "sampled", for each axis of
        the file the number of measured voxels if the map was interpolated, else 0
        (:func:`mrsikit.restoration.sampled_matrix.sampled_matrix`).
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        factor: int = 4,
        psf: str = "block",
        noise: object = None,
        ratio: bool | str = False,
        crlb: str = "crlb",
        dims: int = 2,
        mris: Sequence[str] = tuple(MRIS),
    ) -> None:
        super().__init__(keys)
        self.mris = tuple(mris)
        self.encoding, self.blocks = (SpatialEncoding(name, factor, dims) for name in (psf, "block"))
        self.noise = noise_levels(noise)
        self.ratio = as_flag(ratio, "ratio")
        self.crlb = crlb

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add "map" and replace the key by the network's input."""
        out = dict(data)
        for key in self.key_iterator(out):
            values = convert_to_tensor(out[key]).float()
            meta = out[key].meta if isinstance(out[key], MetaTensor) else {}
            affine = out[key].affine if isinstance(out[key], MetaTensor) else torch.eye(4)
            companions_to_map_grid(out, values.shape[1:], affine, majority={self.crlb: False})
            maps = values if values.ndim == 4 else values[..., None]
            out["sampled"] = sampled_matrix(maps.numpy())
            axis = slice_axis(affine) if maps.shape[3] > 1 else 2
            maps = maps.movedim(1 + axis, -1)
            bounds = self._bounds(out, axis, maps)
            missing = ~torch.isfinite(maps)
            missing = missing if bounds is None else missing | ~(bounds < FAILED_FIT)
            quiet = background(maps)
            maps, lost, imputed_sd = impute_missing(maps, missing)
            out["unmeasured"] = missing.any(1).any(1) & ~maps.any(1).any(1)
            scale = maps.abs().amax((1, 2)).clamp(min=1e-30)
            scale = scale if self.encoding.dims == 2 else scale.amax(1, keepdim=True)
            out["lowest"] = (maps * ~lost).flatten(1).amin(1) / scale.amax(1)
            maps = maps / scale[:, None, None]
            level = self._noise(out, maps, scale, lost, bounds)
            fine_affine = affine.double()[:, turned(axis)] @ subdivided(self.encoding.factor, self.encoding.dims)
            starts = self._spatial(self.encoding.interpolate, maps)
            coarse = tissue_mask(maps, quiet / scale)
            tissue = (self._spatial(self.blocks.A_dagger, coarse.float()) > 0) & (starts.abs() > SUPPORT)
            images = self._mris(out, (starts.abs() > SUPPORT).any(0), tissue.any(0), fine_affine)
            out["covered"] = {name: share for name, (_, share) in images.items()}
            out["used"] = " and ".join(name for name, (image, _) in images.items() if image.any())
            deep = starts.shape[3] // maps.shape[3]
            out["shifted"] = {
                name: shift_needed(
                    maps, coarse, image.unflatten(-1, (-1, deep)).mean(-1), self.encoding.factor, fine_affine
                )
                if share >= COVERED
                else [0.0] * 3
                for name, (image, share) in images.items()
            }
            whole = starts.abs() * scale.repeat_interleave(starts.shape[3] // scale.shape[1], 1)[:, None, None]
            out["outside_brain"] = {
                name: share_outside_brain(whole, tissue, image) for name, (image, _) in images.items()
            }
            own_affine, usual = affine.double()[:, turned(axis)], coarse.float().mean(0) >= 0.5
            out["scalp"] = {name: scalp_share(out[name], usual, own_affine) for name in images}
            out["move"] = {
                name: list(move_needed(maps * scale[:, None, None], coarse, out[name], own_affine))
                if share >= HALF and out["scalp"][name] < RING
                else list(NO_MOVE)
                for name, (_, share) in images.items()
            }
            noise = starts.new_full((), torch.nan) if level is None else self._spatial(self.blocks.A_dagger, level)
            layers = [starts, noise.expand_as(starts)]
            layers += [
                images[name][0][None] if name in images else starts.new_zeros(1, *starts.shape[1:]) for name in MRIS
            ]
            out["map"], out["scale"] = MetaTensor(values, meta={**meta, "affine": affine}), scale
            out["slice_axis"], out["lost"] = axis, int(lost.sum())
            out["imputed_sd"] = self._spatial(self.blocks.A_dagger, imputed_sd)
            out["unplaced"] = " and ".join(name for name in images if without_position(out[name]))
            out[key] = MetaTensor(torch.cat(layers), meta={**meta, "affine": fine_affine})
        return out

    def _spatial(self, upsample: Callable[[Tensor], Tensor], maps: Tensor) -> Tensor:
        """Apply a method of the spatial encoding to maps (M, X, Y, Z), in plane or along all axes."""
        return upsample(maps) if self.encoding.dims == 3 else upsample(maps.movedim(-1, 1)).movedim(1, -1)

    def _bounds(self, data: Mapping[Hashable, Any], axis: int, maps: Tensor) -> Tensor | None:
        """Return the Cramér-Rao bounds (M, X, Y, Z) in percent, or None if the file has none."""
        if self.crlb not in data:
            return None
        bounds = convert_to_tensor(data[self.crlb]).float()
        return (bounds if bounds.ndim == 4 else bounds[..., None]).movedim(1 + axis, -1).expand_as(maps)

    def _noise(
        self, out: dict[Hashable, Any], maps: Tensor, scale: Tensor, lost: Tensor, bounds: Tensor | None
    ) -> Tensor | None:
        """Return the standard deviation of the noise (M, X, Y, Z) in units of the scaled maps; None if unknown.

        Adds "noise_from" and "noise_share" to ``out``.
        """
        out["noise_from"], out["noise_share"] = "unknown", torch.full((len(maps),), torch.nan)
        if self.ratio:
            return None
        if bounds is not None:
            level, out["noise_from"] = bounds / 100 * maps.abs(), "Cramér-Rao bounds"
        elif len(self.noise) in (1, len(maps)):
            level = (torch.tensor(self.noise)[:, None] / scale)[:, None, None].expand_as(maps)
            out["noise_from"] = "--noise"
        else:
            return None
        tissue = (maps.abs() > SUPPORT) & ~lost
        typical = torch.where(tissue, level, torch.nan).flatten(1, 2).nanmedian(1).values
        out["noise_share"] = typical.nanmedian(1).values
        if self.encoding.dims == 3:  # the volume was sampled in one k-space, so its noise is uniform
            typical = out["noise_share"][:, None].expand_as(typical)
        typical = typical.nan_to_num(NO_TRUST).clamp(max=NO_TRUST)[:, None, None].expand_as(maps)
        if self.encoding.in_kspace:
            return typical
        # Outside the head there is no fit, so the noise there is the typical noise of the tissue.
        level = torch.where(tissue, level, typical)
        level = torch.maximum(level, typical / 2).clamp(max=NO_TRUST)
        return torch.where(lost, NO_TRUST, level)

    def _mris(
        self, data: Mapping[Hashable, Any], signal: Tensor, tissue: Tensor, affine: Tensor
    ) -> dict[str, tuple[Tensor, float]]:
        """Return each MRI on the fine grid (X, Y, Z), 0 to about 1 near signal, and the share of tissue it covers."""
        out = {}
        near = torch.from_numpy(ndimage.binary_dilation(signal.numpy(), np.ones((5, 5, 1), bool)))
        for name in self.mris:
            if name not in data:
                continue
            image, covered = image_on_grid(data[name], tissue.shape, affine, points=_points(affine, data[name].affine))
            inside = image[signal & (covered > 0.5)]
            top = torch.quantile(inside[:: max(1, len(inside) // 100000)], 0.99) if len(inside) else torch.tensor(1.0)
            share = float((covered > 0.5)[tissue].float().mean()) if tissue.any() else 0.0
            out[name] = (image / top.clamp(min=1e-12) * near * (covered > 0.5), share)
        return out


def subdivided(factor: int, dims: int = 2) -> Tensor:
    """Affine (4, 4) from fine to coarse voxel indices; each coarse voxel is cut into ``factor`` along ``dims`` axes."""
    out = torch.eye(4, dtype=torch.float64)
    for axis in range(dims):
        out[axis, axis], out[axis, 3] = 1 / factor, 0.5 / factor - 0.5
    return out


def _points(fine: Tensor, mri: Tensor) -> list[int]:
    """Number of MRI samples along each axis of a fine voxel: its size over the smallest voxel size of the MRI."""
    sizes = torch.linalg.vector_norm(fine[:3, :3].double(), dim=0)
    smallest = torch.linalg.vector_norm(mri[:3, :3].double(), dim=0).min()
    return [min(MOST_POINTS, max(1, math.ceil(float(size / smallest) - 0.1))) for size in sizes]


def slice_axis(affine: Tensor) -> int:
    """Return the axis of a volume (0, 1 or 2) that runs across its slices.

    If the third axis runs along the body, it is the slice axis, whatever the size of the voxels. Otherwise the slice
    axis is that of the voxel's longest side if that exceeds :data:`THICKER` x the other sides, and else the axis along
    the body.

    Args:
        affine: (4, 4) voxel to mm.
    """
    matrix = convert_to_tensor(affine).cpu().double()
    if upright_axis(matrix) == 2:
        return 2
    sides = torch.linalg.vector_norm(matrix[:3, :3], dim=0)
    longest = int(sides.argmax())
    others = torch.cat([sides[:longest], sides[longest + 1 :]])
    return longest if sides[longest] > THICKER * others.max() else upright_axis(matrix)


def without_position(image: Any) -> bool:
    """Return whether an image's header states that its position is unknown."""
    codes = image.meta.get(CODES) if isinstance(image, MetaTensor) else None
    return codes is not None and not any(int(code) for code in codes)


def turned(axis: int) -> list[int]:
    """Return the order of an affine's columns that makes ``axis`` the last of the three spatial axes."""
    return [n for n in range(3) if n != axis] + [axis, 3]
