"""From a coarse map and the MRIs of the same head to the network's input, and from its output to the fine map."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_tensor
from scipy import ndimage
from torch import Tensor

from mrsi_super_resolution.network import CHANNELS, MRIS, NO_TRUST, NOISE, NOISE_KNOWN, START, evidence
from mrsi_super_resolution.options import names_of, ratio_pairs
from mrsikit.baselines import brain_outline, nearest
from mrsikit.io import as_flag
from mrsikit.measurement import BLOCK, PSF, back, interpolated
from mrsikit.transforms.image_on_grid import image_on_grid

MATRIX = (16, 64)
"""Smallest and largest coarse matrix that was tried."""

MOST_POINTS = 6
"""At which an MRI is read along one axis of a fine voxel."""

LOUD = 0.1
"""Noise, of the map's maximum, beyond what was trained on."""

SUPPORT = 0.05
"""Of the map's maximum: above lies tissue."""

LEAST_DENOMINATOR = 3.0
"""Standard deviations of a ratio's denominator under which the ratio means nothing."""


class PrepareCoarsed(MapTransform):
    """Interpolate each slice of each map so that the acquisition would measure it alike, and lay the evidence out.

    The noise is the map's Cramér-Rao bounds, or ``noise`` everywhere, or unknown; a ratio's is never known, for it is
    no linear function of what was measured. In k-space bounds give one noise a slice, the median in tissue. NaN and
    infinity are 0 outside the head's outline; inside they take the value of the nearest voxel, and no trust. Each slice
    of each metabolite is divided by its own maximum.

    Args:
        keys: the coarse map, channel first: (M, X, Y[, Z]), one channel a metabolite.
        factor: fine voxels a coarse one along each axis in plane.
        psf: "block", "kspace" or "hamming".
        noise: standard deviation of the map's noise, in its unit; None: not known.
        ratio: whether the map is a ratio of two measured ones.
        crlb: key of the optional Cramér-Rao bounds in percent, 1 or M channels.

    Output:
        the key holds the network's input, 9 channels a slice and metabolite, (9 n, factor X, factor Y), with the affine
        of the fine grid; "map" the map as it came; "scale" (M, Z), what each slice was divided by; "covered", by MRI,
        the share of the tissue that it covers.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        factor: int = 4,
        psf: str = "block",
        noise: float | None = None,
        ratio: bool | str = False,
        crlb: str = "crlb",
    ) -> None:
        super().__init__(keys)
        self.factor = factor
        self.psf = PSF[psf]
        self.noise = noise
        self.ratio = as_flag(ratio, "ratio")
        self.crlb = crlb

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add "map" and replace the key by the network's input."""
        out = dict(data)
        for key in self.key_iterator(out):
            values = convert_to_tensor(out[key]).float()
            meta = out[key].meta if isinstance(out[key], MetaTensor) else {}
            affine = out[key].affine if isinstance(out[key], MetaTensor) else torch.eye(4)
            maps = values if values.ndim == 4 else values[..., None]
            maps, lost = _without_gaps(maps)
            scale = maps.abs().amax((1, 2)).clamp(min=1e-30)
            maps = maps / scale[:, None, None]
            level = self._noise(out, maps, scale, lost)
            fine_affine = affine.double() @ subdivided(self.factor)
            starts = interpolated(maps.movedim(-1, 1), self.factor, self.psf).movedim(1, -1)
            tissue = (starts.abs() > SUPPORT).any(0)
            images = self._mris(out, tissue, fine_affine)
            out["covered"] = {name: share for name, (_, share) in images.items()}
            layers = evidence(
                starts.movedim(-1, 1).flatten(0, 1),
                self.factor,
                self.psf,
                noise=None if level is None else back(level.movedim(-1, 1).flatten(0, 1), self.factor, BLOCK),
                mris={name: image.movedim(-1, 0).repeat(len(maps), 1, 1) for name, (image, _) in images.items()},
            )
            out["map"], out["scale"] = MetaTensor(values, meta={**meta, "affine": affine}), scale
            out[key] = MetaTensor(layers.flatten(0, 1), meta={**meta, "affine": fine_affine})
        return out

    def _noise(self, data: Mapping[Hashable, Any], maps: Tensor, scale: Tensor, lost: Tensor) -> Tensor | None:
        """Standard deviation (M, X, Y, Z) in units of the scaled maps."""
        if self.ratio:
            return None
        if self.crlb in data:
            bounds = convert_to_tensor(data[self.crlb]).float()
            level = (bounds if bounds.ndim == 4 else bounds[..., None]).expand_as(maps) / 100 * maps.abs()
        elif self.noise is not None:
            level = (self.noise / scale)[:, None, None].expand_as(maps)
        else:
            return None
        tissue = (maps.abs() > SUPPORT) & ~lost
        typical = torch.where(tissue & torch.isfinite(level), level, torch.nan).flatten(1, 2).nanmedian(1).values
        typical = typical.nan_to_num(NO_TRUST).clamp(max=NO_TRUST)[:, None, None].expand_as(maps)
        if self.psf != BLOCK:
            return typical
        # a voxel of tissue without a bound is not trusted; outside the head there is no fit, and nothing to doubt
        level = torch.where(tissue, torch.where(torch.isfinite(level), level, NO_TRUST), typical)
        level = torch.maximum(level, typical / 2).clamp(max=NO_TRUST)
        return torch.where(lost, NO_TRUST, level)

    @staticmethod
    def _mris(data: Mapping[Hashable, Any], tissue: Tensor, affine: Tensor) -> dict[str, tuple[Tensor, float]]:
        """Each MRI on the fine grid (X, Y, Z), 0 to about 1 where there is tissue, and the share that it covers."""
        out = {}
        near = torch.from_numpy(ndimage.binary_dilation(tissue.numpy(), np.ones((5, 5, 1), bool)))
        for name in MRIS:
            if name not in data:
                continue
            image, covered = image_on_grid(data[name], tissue.shape, affine, points=_points(affine, data[name].affine))
            inside = image[tissue & (covered > 0.5)]
            top = torch.quantile(inside[:: max(1, len(inside) // 100000)], 0.99) if len(inside) else torch.tensor(1.0)
            share = float((covered > 0.5)[tissue].float().mean()) if tissue.any() else 0.0
            out[name] = (image / top.clamp(min=1e-12) * near * (covered > 0.5), share)
        return out


def subdivided(factor: int) -> Tensor:
    """(4, 4) from the fine voxels to the coarse: each coarse voxel is cut into ``factor`` squared."""
    out = torch.eye(4, dtype=torch.float64)
    out[0, 0] = out[1, 1] = 1 / factor
    out[0, 3] = out[1, 3] = 0.5 / factor - 0.5
    return out


def _points(fine: Tensor, mri: Tensor) -> list[int]:
    """How often an MRI is read along each axis of a fine voxel: as often as its smallest voxel goes into it."""
    sizes = torch.linalg.vector_norm(fine[:3, :3].double(), dim=0)
    smallest = torch.linalg.vector_norm(mri[:3, :3].double(), dim=0).min()
    return [min(MOST_POINTS, max(1, math.ceil(float(size / smallest) - 0.1))) for size in sizes]


def _without_gaps(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (M, X, Y, Z) whose voxels all hold a number, and which voxels within the head did not."""
    missing = ~torch.isfinite(maps)
    filled = torch.where(missing, 0.0, maps)
    lost = torch.zeros_like(missing)
    for m, z in torch.nonzero(missing.any(1).any(1)).tolist():
        head = torch.from_numpy(brain_outline(filled[m, :, :, z].abs().numpy()))
        lost[m, :, :, z] = missing[m, :, :, z] & head
        if lost[m, :, :, z].any():
            full = torch.from_numpy(nearest(filled[m, :, :, z].numpy(), missing[m, :, :, z].numpy()))
            filled[m, :, :, z] = torch.where(lost[m, :, :, z], full, filled[m, :, :, z])
    return filled, lost


class RestoreFined(Transform):
    """Put the network's slices back together, in the map's unit and on the fine grid.

    Args:
        image: key of the network's input.
        pred: key of its output, (2 n, X, Y).
        factor: as of :class:`PrepareCoarsed`.
        ratio: as of it.
        ratios: of sharpened maps to make, as of :func:`mrsi_super_resolution.options.ratio_pairs`.
        metabolites: likewise.

    Output:
        "sr" and "uncertainty" (M, factor X, factor Y[, Z]) and, where asked for, "ratio" and "ratio_uncertainty", NaN
        where the denominator is under :data:`LEAST_DENOMINATOR` of its standard deviation or :data:`SUPPORT` of its
        maximum; "names" of these; "summary", a row of numbers; "flags".
    """

    def __init__(
        self,
        *,
        image: str = "image",
        pred: str = "pred",
        factor: int = 4,
        ratio: bool | str = False,
        ratios: object = None,
        metabolites: object = None,
    ) -> None:
        self.image, self.pred = image, pred
        self.factor = factor
        self.ratio = as_flag(ratio, "ratio")
        self.pairs, self.metabolites = ratio_pairs(ratios, metabolites), names_of(metabolites)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the outputs of one file."""
        out = dict(data)
        values = out["map"]
        plain = convert_to_tensor(values).cpu()
        pred = convert_to_tensor(out[self.pred]).cpu().float()
        seen = convert_to_tensor(out[self.image]).cpu().reshape(-1, CHANNELS, *pred.shape[1:])
        count, slices = plain.shape[0], plain.shape[3] if plain.ndim == 4 else 1
        pred = pred.reshape(count, slices, 2, *pred.shape[1:]).permute(2, 0, 3, 4, 1)
        pred = pred * convert_to_tensor(out["scale"]).cpu()[:, None, None]
        affine = out[self.image].affine if isinstance(out[self.image], MetaTensor) else torch.eye(4)
        meta = {**(values.meta if isinstance(values, MetaTensor) else {}), "affine": affine}
        for name, result in zip(("sr", "uncertainty"), pred, strict=True):
            out[name] = MetaTensor(result if plain.ndim == 4 else result[..., 0], meta=meta)
        used = [name for name, (_, flag) in MRIS.items() if bool((seen[:, flag] > 0).any())]
        known = bool((seen[:, NOISE_KNOWN] > 0).any()) and bool((seen[:, START].abs() > SUPPORT).any())
        typical = float(seen[:, NOISE][seen[:, START].abs() > SUPPORT].median()) if known else None
        out["summary"] = {
            "matrix": "x".join(str(n) for n in plain.shape[1:]),
            "fine matrix": "x".join(str(n) for n in out["sr"].shape[1:]),
            "maps": count,
            "MRI": " and ".join(used) or "none",
            "noise / maximum": "" if typical is None else round(typical, 4),
            "median uncertainty / median of map": self._relative(out["uncertainty"], out["sr"], seen, count, slices),
        }
        out["flags"] = self._flags(plain, typical, out.get("covered") or {})
        out["names"] = ["sr", "uncertainty"]
        pairs = [pair for pair in self.pairs if max(pair[1:]) < count]
        if self.metabolites and len(self.metabolites) != count:
            out["flags"].append(f"--metabolites names {len(self.metabolites)} maps, the file has {count}: no ratios")
            pairs = []
        elif len(pairs) < len(self.pairs):
            left_out = ", ".join(pair[0] for pair in self.pairs if pair not in pairs)
            out["flags"].append(f"--ratios {left_out}: left out, the file has {count} maps")
        if pairs:
            ratios, spread = self._ratios(out["sr"], out["uncertainty"], pairs)
            out["ratio"], out["ratio_uncertainty"] = (MetaTensor(x, meta=meta) for x in (ratios, spread))
            out["names"] += ["ratio", "ratio_uncertainty"]
            out["summary"]["ratios"] = ", ".join(name for name, _, _ in pairs)
        return out

    @staticmethod
    def _ratios(fine: Tensor, sd: Tensor, pairs: Sequence[tuple[str, int, int]]) -> tuple[Tensor, Tensor]:
        """Each ratio of two maps, one channel each, and its standard deviation to first order."""
        maps, spreads = convert_to_tensor(fine), convert_to_tensor(sd)
        out, errors = [], []
        for _, over, under in pairs:
            a, b, sa, sb = maps[over], maps[under], spreads[over], spreads[under]
            measured = (b >= LEAST_DENOMINATOR * sb) & (b >= SUPPORT * b.max())
            ratio = torch.where(measured, a / b, torch.nan)
            out.append(ratio)
            errors.append(torch.sqrt(sa.square() + (ratio * sb).square()) / b)
        return torch.stack(out), torch.stack(errors)

    @staticmethod
    def _relative(sd: Tensor, fine: Tensor, seen: Tensor, count: int, slices: int) -> float:
        tissue = (seen[:, START].abs() > SUPPORT).reshape(count, slices, *seen.shape[2:]).permute(0, 2, 3, 1)
        tissue = tissue.reshape(fine.shape)
        plain = [convert_to_tensor(values)[tissue] for values in (sd, fine)]
        return round(float(plain[0].median() / plain[1].median()), 4) if tissue.any() else 0.0

    def _flags(self, values: Tensor, noise: float | None, covered: Mapping[str, float]) -> list[str]:
        flags = []
        if noise is None and not self.ratio:
            flags.append(
                "the noise is not known, so the result need not agree with the measured map: give --noise or "
                "<stem>_crlb.nii.gz"
            )
        low, high = MATRIX
        if min(values.shape[1:3]) < low or max(values.shape[1:3]) > high:
            flags.append(f"matrix {tuple(values.shape[1:3])} outside the {low} to {high} a side that were tried")
        gaps = int((~torch.isfinite(values)).sum())
        if gaps:
            flags.append(
                f"{gaps} voxels hold no number: inside the head they took their neighbours' (mrsi_inpainting fills "
                "them better), outside 0"
            )
        if (values < -0.05 * values.nan_to_num(0, 0, 0).abs().max()).any():
            flags.append("the map has negative values, which no network was trained on")
        if noise is not None and noise > LOUD:
            flags.append(f"the noise is over {LOUD:.0%} of the maximum, more than was trained on")
        for name, share in covered.items():
            if share < 0.95:
                flags.append(f"the {name} covers {share:.0%} of the tissue; the rest was sharpened without it")
        return flags
