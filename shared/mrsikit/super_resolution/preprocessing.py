"""From a coarse map and the MRIs of the same head to what the networks are told of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
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
from mrsikit.physics.spatial_encoding import BLOCK, PSF_CODES, interpolate, pseudo_inverse
from mrsikit.restoration.resampling import image_on_grid, upright_axis
from mrsikit.runtime import as_flag
from mrsikit.runtime.map_checks import FAILED_FIT
from mrsikit.super_resolution.mri_alignment import COVERED, share_outside_brain, shift_needed
from mrsikit.super_resolution.network import MRIS, NO_TRUST
from mrsikit.super_resolution.options import noise_levels
from mrsikit.super_resolution.tissue_mask import SUPPORT, background, impute_missing, tissue_mask

MOST_POINTS = 6
"""At which an MRI is read along one axis of a fine voxel."""

THICKER = 1.2
"""How much longer than the others the side of a voxel across its slice must be to tell which axis that is."""


class PreprocessCoarseMapd(MapTransform):
    """Interpolate each map so that the acquisition would measure it alike, beside its noise and the MRIs.

    The noise is the map's Cramér-Rao bounds, or ``noise`` everywhere, or unknown; a ratio's is never known, for it is
    no linear function of what was measured. In k-space bounds give one noise a slice, the median in tissue. NaN,
    infinity and failed fits (bounds from :data:`FAILED_FIT` on) are 0 outside the head's outline; inside they take the
    value of the nearest voxel, no trust, and the spread of the tissue as their deviation. A failed fit of next to no
    signal keeps its value, for it may be fluid, and one at the rim, which the nearest voxel need not be like; their
    deviation reaches to the tissue. Each slice of each metabolite is divided by its own maximum, or, where the map is
    sharpened along all three axes, each metabolite. Slices are those of the third axis, or, where that does not run
    along the body, as :func:`slice_axis` finds them.

    Args:
        keys: the coarse map, channel first: (M, X, Y[, Z]), one channel a metabolite.
        factor: fine voxels a coarse one along each axis in plane.
        psf: "block", "kspace" or "hamming".
        noise: standard deviation of the map's noise, in its unit, or one for each metabolite, as of
            :func:`mrsikit.super_resolution.options.noise_levels`; None: not known.
        ratio: whether the map is a ratio of two measured ones.
        crlb: key of the optional Cramér-Rao bounds in percent, 1 or M channels.
        dims: axes that are sharpened: 2, those in plane, or 3.

    Output:
        the key holds (2 M + 2, factor X, factor Y, Z or factor Z) with the affine of the fine grid: the M interpolated
        maps, the standard deviation of each one's noise, NaN where it is not known, FLAIR and T1, 0 where there is
        none; "map" the map as it came; "scale" (M, Z or 1), what each slice was divided by; "covered", by MRI, the
        share of the tissue that it covers; "used", the MRIs that show anything; "shifted", by MRI, mm (right, front,
        up) by which it would fit the map better; "outside_brain", by MRI, the share of the tissue that lies outside its
        brain; "imputed_sd" (M, factor X, factor Y, Z or factor Z), the standard deviation of imputed voxels in the
        map's unit, 0 elsewhere; "slice_axis", that of the map; "noise_from" and "noise_share" (M,), where the noise is
        from and its median over the maximum (NaN: unknown); "lost", voxels of the head that were not measured;
        "unmeasured" (M, Z), slices that hold no measurement at all; "lowest" (M,), the lowest value over the maximum;
        "unplaced", MRIs whose headers give no position.
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
    ) -> None:
        super().__init__(keys)
        self.factor = factor
        self.psf = PSF_CODES[psf]
        self.noise = noise_levels(noise)
        self.ratio = as_flag(ratio, "ratio")
        self.crlb = crlb
        self.dims = dims

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add "map" and replace the key by the network's input."""
        out = dict(data)
        for key in self.key_iterator(out):
            values = convert_to_tensor(out[key]).float()
            meta = out[key].meta if isinstance(out[key], MetaTensor) else {}
            affine = out[key].affine if isinstance(out[key], MetaTensor) else torch.eye(4)
            maps = values if values.ndim == 4 else values[..., None]
            axis = slice_axis(affine) if maps.shape[3] > 1 else 2
            maps = maps.movedim(1 + axis, -1)
            bounds = self._bounds(out, axis, maps)
            missing = ~torch.isfinite(maps)
            missing = missing if bounds is None else missing | ~(bounds < FAILED_FIT)
            quiet = background(maps)
            maps, lost, imputed_sd = impute_missing(maps, missing)
            out["unmeasured"] = missing.any(1).any(1) & ~maps.any(1).any(1)
            scale = maps.abs().amax((1, 2)).clamp(min=1e-30)
            scale = scale if self.dims == 2 else scale.amax(1, keepdim=True)
            out["lowest"] = (maps * ~lost).flatten(1).amin(1) / scale.amax(1)
            maps = maps / scale[:, None, None]
            level = self._noise(out, maps, scale, lost, bounds)
            fine_affine = affine.double()[:, turned(axis)] @ subdivided(self.factor, self.dims)
            starts = self._spatial(interpolate, maps, self.psf)
            coarse = tissue_mask(maps, quiet / scale)
            tissue = (self._spatial(pseudo_inverse, coarse.float(), BLOCK) > 0) & (starts.abs() > SUPPORT)
            images = self._mris(out, (starts.abs() > SUPPORT).any(0), tissue.any(0), fine_affine)
            out["covered"] = {name: share for name, (_, share) in images.items()}
            out["used"] = " and ".join(name for name, (image, _) in images.items() if image.any())
            deep = starts.shape[3] // maps.shape[3]
            out["shifted"] = {
                name: shift_needed(maps, coarse, image.unflatten(-1, (-1, deep)).mean(-1), self.factor, fine_affine)
                if share >= COVERED
                else [0.0] * 3
                for name, (image, share) in images.items()
            }
            whole = starts.abs() * scale.repeat_interleave(starts.shape[3] // scale.shape[1], 1)[:, None, None]
            out["outside_brain"] = {
                name: share_outside_brain(whole, tissue, image) for name, (image, _) in images.items()
            }
            noise = starts.new_full((), torch.nan) if level is None else self._spatial(pseudo_inverse, level, BLOCK)
            layers = [starts, noise.expand_as(starts)]
            layers += [
                images[name][0][None] if name in images else starts.new_zeros(1, *starts.shape[1:]) for name in MRIS
            ]
            out["map"], out["scale"] = MetaTensor(values, meta={**meta, "affine": affine}), scale
            out["slice_axis"], out["lost"] = axis, int(lost.sum())
            out["imputed_sd"] = self._spatial(pseudo_inverse, imputed_sd, BLOCK)
            out["unplaced"] = " and ".join(name for name in images if without_position(out[name]))
            out[key] = MetaTensor(torch.cat(layers), meta={**meta, "affine": fine_affine})
        return out

    def _spatial(self, function: Callable[..., Tensor], maps: Tensor, psf: int) -> Tensor:
        """Apply a function of the spatial encoding that makes maps (M, X, Y, Z) finer, in plane or along all axes."""
        if self.dims == 3:
            return function(maps, self.factor, psf, 3)
        return function(maps.movedim(-1, 1), self.factor, psf).movedim(1, -1)

    def _bounds(self, data: Mapping[Hashable, Any], axis: int, maps: Tensor) -> Tensor | None:
        """Cramér-Rao bounds (M, X, Y, Z) in percent."""
        if self.crlb not in data:
            return None
        bounds = convert_to_tensor(data[self.crlb]).float()
        return (bounds if bounds.ndim == 4 else bounds[..., None]).movedim(1 + axis, -1).expand_as(maps)

    def _noise(
        self, out: dict[Hashable, Any], maps: Tensor, scale: Tensor, lost: Tensor, bounds: Tensor | None
    ) -> Tensor | None:
        """Standard deviation (M, X, Y, Z) in units of the scaled maps; adds where it is from."""
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
        if self.dims == 3:  # one k-space, one noise
            typical = out["noise_share"][:, None].expand_as(typical)
        typical = typical.nan_to_num(NO_TRUST).clamp(max=NO_TRUST)[:, None, None].expand_as(maps)
        if self.psf != BLOCK:
            return typical
        # outside the head there is no fit, and nothing to doubt
        level = torch.where(tissue, level, typical)
        level = torch.maximum(level, typical / 2).clamp(max=NO_TRUST)
        return torch.where(lost, NO_TRUST, level)

    @staticmethod
    def _mris(
        data: Mapping[Hashable, Any], signal: Tensor, tissue: Tensor, affine: Tensor
    ) -> dict[str, tuple[Tensor, float]]:
        """Each MRI on the fine grid (X, Y, Z), 0 to about 1 where there is signal, and its share of the tissue."""
        out = {}
        near = torch.from_numpy(ndimage.binary_dilation(signal.numpy(), np.ones((5, 5, 1), bool)))
        for name in MRIS:
            if name not in data:
                continue
            image, covered = image_on_grid(data[name], tissue.shape, affine, points=_points(affine, data[name].affine))
            inside = image[signal & (covered > 0.5)]
            top = torch.quantile(inside[:: max(1, len(inside) // 100000)], 0.99) if len(inside) else torch.tensor(1.0)
            share = float((covered > 0.5)[tissue].float().mean()) if tissue.any() else 0.0
            out[name] = (image / top.clamp(min=1e-12) * near * (covered > 0.5), share)
        return out


def subdivided(factor: int, dims: int = 2) -> Tensor:
    """(4, 4) from the fine voxels to the coarse: each coarse voxel is cut into ``factor`` along ``dims`` axes."""
    out = torch.eye(4, dtype=torch.float64)
    for axis in range(dims):
        out[axis, axis], out[axis, 3] = 1 / factor, 0.5 / factor - 0.5
    return out


def _points(fine: Tensor, mri: Tensor) -> list[int]:
    """How often an MRI is read along each axis of a fine voxel: as often as its smallest voxel goes into it."""
    sizes = torch.linalg.vector_norm(fine[:3, :3].double(), dim=0)
    smallest = torch.linalg.vector_norm(mri[:3, :3].double(), dim=0).min()
    return [min(MOST_POINTS, max(1, math.ceil(float(size / smallest) - 0.1))) for size in sizes]


def slice_axis(affine: Tensor) -> int:
    """Axis of a volume (0, 1 or 2) across its slices: along the body, unless the voxels' longest side is another's.

    Volumes of which the third axis runs along the body are taken as they are, whatever the sides of their voxels.
    """
    matrix = convert_to_tensor(affine).cpu().double()
    if upright_axis(matrix) == 2:
        return 2
    sides = torch.linalg.vector_norm(matrix[:3, :3], dim=0)
    longest = int(sides.argmax())
    others = torch.cat([sides[:longest], sides[longest + 1 :]])
    return longest if sides[longest] > THICKER * others.max() else upright_axis(matrix)


def without_position(image: Any) -> bool:
    """Whether an image's header says that its position is not known."""
    codes = image.meta.get(CODES) if isinstance(image, MetaTensor) else None
    return codes is not None and not any(int(code) for code in codes)


def turned(axis: int) -> list[int]:
    """Columns of an affine once ``axis`` is the last of the three."""
    return [n for n in range(3) if n != axis] + [axis, 3]
