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

from mrsi_super_resolution.network import CHANNELS, MRIS, NO_TRUST, evidence
from mrsi_super_resolution.options import Ratio, names_of, noise_levels, ratio_pairs
from mrsi_super_resolution.tissue import SUPPORT, background, tissue_of, without_gaps
from mrsikit.baselines import brain_outline
from mrsikit.io import as_flag
from mrsikit.io.file_checks import FAILED_FIT
from mrsikit.io.readers import CODES
from mrsikit.measurement import BLOCK, PSF, back, interpolated
from mrsikit.transforms.image_on_grid import image_on_grid, upright_axis
from mrsikit.transforms.mri_shift import mri_shift

MATRIX = (16, 64)
"""Smallest and largest coarse matrix that was tried."""

MOST_POINTS = 6
"""At which an MRI is read along one axis of a fine voxel."""

LOUD = 0.1
"""Noise, of the map's maximum, beyond what was trained on."""

LEAST_DENOMINATOR = 3.0
"""Standard deviations of a ratio's denominator under which the ratio means nothing."""

COVERED = 0.95
"""Share of the tissue that an MRI must cover to be one of all of it."""

ELSEWHERE = 0.08
"""Share of the tissue outside the brain of an MRI from which on that lies elsewhere; chosen on BrainWeb 1."""

DARK = 0.1
"""Of an MRI's brightest: under it lies no brain, but for fluid within."""

OVERSHOOT, UNDERSHOOT = 2.0, -0.3
"""Of the measured maximum: a result beyond is none."""

FARTHEST = 8.0
"""mm up to which it is looked for how far an MRI lies beside the map."""

MOST_SHIFT, MOST_SLICES = 3, 8
"""Coarse voxels up to which, and slices in which that is done."""

SHIFTED, FITS_BETTER = 2.0, 1.2
"""mm, and how many times less of the map an MRI leaves unexplained where it fits best, from which on it is told."""

THICKER = 1.2
"""How much longer than the others the side of a voxel across its slice must be to tell which axis that is."""


class PrepareCoarsed(MapTransform):
    """Interpolate each slice of each map so that the acquisition would measure it alike, and lay the evidence out.

    The noise is the map's Cramér-Rao bounds, or ``noise`` everywhere, or unknown; a ratio's is never known, for it is
    no linear function of what was measured. In k-space bounds give one noise a slice, the median in tissue. NaN,
    infinity and failed fits (bounds from :data:`FAILED_FIT` on) are 0 outside the head's outline; inside they take the
    value of the nearest voxel, no trust, and the spread of the tissue as their deviation. A failed fit of next to no
    signal keeps its value, for it may be fluid, and one at the rim, which the nearest voxel need not be like; their
    deviation reaches to the tissue. Each slice of each metabolite is divided by its own maximum. Slices are those of
    the third axis, or, where that does not run along the body, as :func:`slice_axis` finds them.

    Args:
        keys: the coarse map, channel first: (M, X, Y[, Z]), one channel a metabolite.
        factor: fine voxels a coarse one along each axis in plane.
        psf: "block", "kspace" or "hamming".
        noise: standard deviation of the map's noise, in its unit, or one for each metabolite, as of
            :func:`mrsi_super_resolution.options.noise_levels`; None: not known.
        ratio: whether the map is a ratio of two measured ones.
        crlb: key of the optional Cramér-Rao bounds in percent, 1 or M channels.

    Output:
        the key holds the network's input, 10 channels a slice and metabolite, (10 n, factor X, factor Y), with the
        affine of the fine grid; "map" the map as it came; "scale" (M, Z), what each slice was divided by; "covered", by
        MRI, the share of the tissue that it covers; "shifted", by MRI, mm (right, front, up) by which it would fit the
        map better; "beside", by MRI, the share of the tissue that lies outside its brain; "doubt" (M, factor X, factor
        Y, Z), the deviation of what was not measured in the map's unit, 0 elsewhere; "slice_axis", that of the map;
        "noise_from" and "noise_share" (M,), where the noise is from and its median over the maximum (NaN: unknown);
        "lost", voxels of the head that were not measured; "unmeasured" (M, Z), slices that hold no measurement at all;
        "lowest" (M,), the lowest value over the maximum; "unplaced", MRIs whose headers give no position.
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
    ) -> None:
        super().__init__(keys)
        self.factor = factor
        self.psf = PSF[psf]
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
            maps = values if values.ndim == 4 else values[..., None]
            axis = slice_axis(affine) if maps.shape[3] > 1 else 2
            maps = maps.movedim(1 + axis, -1)
            bounds = self._bounds(out, axis, maps)
            missing = ~torch.isfinite(maps)
            missing = missing if bounds is None else missing | ~(bounds < FAILED_FIT)
            quiet = background(maps)
            maps, lost, doubt = without_gaps(maps, missing)
            out["unmeasured"] = missing.any(1).any(1) & ~maps.any(1).any(1)
            scale = maps.abs().amax((1, 2)).clamp(min=1e-30)
            out["lowest"] = (maps * ~lost).flatten(1).amin(1) / scale.amax(1)
            maps = maps / scale[:, None, None]
            level = self._noise(out, maps, scale, lost, bounds)
            fine_affine = affine.double()[:, _turned(axis)] @ subdivided(self.factor)
            starts = interpolated(maps.movedim(-1, 1), self.factor, self.psf).movedim(1, -1)
            coarse = tissue_of(maps, quiet / scale)
            wide = back(coarse.movedim(-1, 1).float(), self.factor, BLOCK).movedim(1, -1) > 0
            tissue = wide & (starts.abs() > SUPPORT)
            images = self._mris(out, (starts.abs() > SUPPORT).any(0), tissue.any(0), fine_affine)
            out["covered"] = {name: share for name, (_, share) in images.items()}
            out["shifted"] = {
                name: shift_needed(maps, coarse, image, self.factor, fine_affine) if share >= COVERED else [0.0] * 3
                for name, (image, share) in images.items()
            }
            whole = starts.abs() * scale[:, None, None]
            out["beside"] = {name: _beside(whole, tissue, image) for name, (image, _) in images.items()}
            layers = evidence(
                starts.movedim(-1, 1).flatten(0, 1),
                self.factor,
                self.psf,
                noise=None if level is None else back(level.movedim(-1, 1).flatten(0, 1), self.factor, BLOCK),
                mris={name: image.movedim(-1, 0).repeat(len(maps), 1, 1) for name, (image, _) in images.items()},
            )
            out["map"], out["scale"] = MetaTensor(values, meta={**meta, "affine": affine}), scale
            out["slice_axis"], out["lost"] = axis, int(lost.sum())
            out["doubt"] = back(doubt.movedim(-1, 1), self.factor, BLOCK).movedim(1, -1)
            out["unplaced"] = " and ".join(name for name in images if _nowhere(out[name]))
            out[key] = MetaTensor(layers.flatten(0, 1), meta={**meta, "affine": fine_affine})
        return out

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


def _beside(maps: Tensor, tissue: Tensor, mri: Tensor) -> float:
    """Share of a map's tissue that lies outside the brain of an MRI (X, Y, Z), of the map that fits it best.

    Counted where a map (M, X, Y, Z), of no sign, has half of the typical value of its tissue.
    """
    inside = np.stack([brain_outline((mri[..., z] > DARK).numpy()) for z in range(mri.shape[2])], -1)
    shares = []
    for one, where in zip(maps, tissue, strict=True):
        full = where & (one > 0.5 * one[where].median()) if where.any() else where
        shares.append(float((full & ~torch.from_numpy(inside)).sum() / full.sum().clamp(min=1)))
    return min(shares, default=0.0)


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


def shift_needed(maps: Tensor, tissue: Tensor, mri: Tensor, factor: int, affine: Tensor) -> list[float]:
    """Shift that an MRI needs to fit its maps.

    Args:
        maps: (M, X, Y, Z) coarse.
        tissue: same shape, of :func:`mrsi_super_resolution.tissue.tissue_of`; what is not beside any counts as 0.
        mri: (factor X, factor Y, Z) on the fine grid, brain about 0 to 1.
        factor: fine voxels a coarse one.
        affine: (4, 4) of the fine grid.

    Returns:
        Millimetres to the right, to the front and up, in plane; 0 where no shift is clearly better.
    """
    around = ndimage.binary_dilation(tissue.any(0).numpy(), np.ones((3, 3, 1), bool))
    maps = maps * torch.from_numpy(around)
    steps = affine[:3, :2].double()
    rows, columns = (1 + round(FARTHEST / side) for side in torch.linalg.vector_norm(steps, dim=0).tolist())
    reach = min(rows, MOST_SHIFT * factor), min(columns, MOST_SHIFT * factor)
    some = torch.linspace(0, maps.shape[3] - 1, min(MOST_SLICES, maps.shape[3])).round().long()
    voxels, better = mri_shift(maps[..., some].movedim(-1, 1), mri[..., some].movedim(-1, 0), factor, reach)
    shift = steps @ torch.tensor(voxels, dtype=torch.float64)
    clear = better >= FITS_BETTER and float(torch.linalg.vector_norm(shift)) >= SHIFTED
    return shift.tolist() if clear else [0.0, 0.0, 0.0]


def _nowhere(image: Any) -> bool:
    """Whether an image's header says that its position is not known."""
    codes = image.meta.get(CODES) if isinstance(image, MetaTensor) else None
    return codes is not None and not any(int(code) for code in codes)


def _turned(axis: int) -> list[int]:
    """Columns of an affine once ``axis`` is the last of the three."""
    return [n for n in range(3) if n != axis] + [axis, 3]


class RestoreFined(Transform):
    """Put the network's slices back together, in the map's unit and on the fine grid.

    Args:
        image: key of the network's input.
        pred: key of what :class:`mrsi_super_resolution.inferer.SliceStackInferer` makes of it, (3 n, X, Y).
        factor: as of :class:`PrepareCoarsed`.
        psf: as of it, as the next two.
        noise: likewise.
        ratio: likewise.
        ratios: of sharpened maps to make, as of :func:`mrsi_super_resolution.options.ratio_pairs`.
        metabolites: likewise.

    Output:
        "sr" and "uncertainty" (M, factor X, factor Y[, Z]); where there are MRIs, "without_mri", the map sharpened
        without them; where asked for, "ratio" and "ratio_uncertainty", NaN where the denominator is under
        :data:`LEAST_DENOMINATOR` of its standard deviation or :data:`SUPPORT` of its maximum; "names" of these;
        "summary", a row of numbers; "flags".
    """

    def __init__(
        self,
        *,
        image: str = "image",
        pred: str = "pred",
        factor: int = 4,
        psf: str = "block",
        noise: object = None,
        ratio: bool | str = False,
        ratios: object = None,
        metabolites: object = None,
    ) -> None:
        self.image, self.pred = image, pred
        self.factor, self.psf = factor, psf
        self.noise = noise_levels(noise)
        self.ratio = as_flag(ratio, "ratio")
        self.pairs, self.metabolites = ratio_pairs(ratios, metabolites), names_of(metabolites)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the outputs of one file."""
        out = dict(data)
        values = out["map"]
        plain = convert_to_tensor(values).cpu()
        pred = convert_to_tensor(out[self.pred]).cpu().float()
        seen = convert_to_tensor(out[self.image]).cpu().reshape(-1, CHANNELS, *pred.shape[1:])
        axis = int(out["slice_axis"])
        count, slices = plain.shape[0], plain.shape[1 + axis] if plain.ndim == 4 else 1
        pred = pred.reshape(count, slices, 3, *pred.shape[1:]).permute(2, 0, 3, 4, 1)
        doubt = convert_to_tensor(out["doubt"]).cpu()
        pred = pred * convert_to_tensor(out["scale"]).cpu()[:, None, None]
        pred = torch.stack([pred[0], torch.hypot(pred[1], doubt), pred[2]])
        unmeasured = convert_to_tensor(out["unmeasured"]).cpu()
        pred = torch.where(unmeasured[:, None, None], torch.nan, pred).movedim(-1, 2 + axis)
        affine = out[self.image].affine if isinstance(out[self.image], MetaTensor) else torch.eye(4)
        affine = affine[:, np.argsort(_turned(axis))]
        meta = {**(values.meta if isinstance(values, MetaTensor) else {}), "affine": affine}
        for name, result in zip(("sr", "uncertainty", "without_mri"), pred, strict=True):
            out[name] = MetaTensor(result if plain.ndim == 4 else result[..., 0], meta=meta)
        used = [name for name, (_, flag) in MRIS.items() if bool((seen[:, flag] > 0).any())]
        share = convert_to_tensor(out["noise_share"]).cpu()
        typical = None if share.isnan().all() else share
        told = [] if typical is None else ["unknown" if s.isnan() else f"{float(s):.3g}" for s in typical]
        out["summary"] = {
            "matrix": "x".join(str(n) for n in plain.shape[1:]),
            "fine matrix": "x".join(str(n) for n in out["sr"].shape[1:]),
            "maps": count,
            "point spread": self.psf,
            "MRI": " and ".join(used) or "none",
            "noise": out["noise_from"],
            "noise / maximum": told[0] if len(set(told)) == 1 else ", ".join(told),
            "median uncertainty / median of map": self._relative(out["uncertainty"], out["sr"]),
        }
        out["flags"] = self._flags(out, plain, typical)
        out["names"] = ["sr", "uncertainty"]
        alone = out.pop("without_mri")
        if used:
            out["without_mri"] = alone
            out["names"].append("without_mri")
            out["summary"]["median change by the MRIs / median of map"] = self._relative(
                (out["sr"] - alone).abs(), out["sr"]
            )
        pairs = [pair for pair in self.pairs if max(pair[1] + pair[2]) < count]
        if self.pairs and self.metabolites and len(self.metabolites) != count:
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
            for (name, _, under), values in zip(pairs, ratios, strict=True):
                below = convert_to_tensor(out["sr"])[list(under)].sum(0).nan_to_num(0.0)
                tissue = below > SUPPORT * below.max()
                share = float(values[tissue].isnan().float().mean()) if tissue.any() else 0.0
                if share > 0.01:
                    out["flags"].append(
                        f"{name} has no value in {share:.0%} of its tissue, where the denominator is under "
                        f"{LEAST_DENOMINATOR:g} standard deviations: means of the rest are not those of the region"
                    )
        return out

    @staticmethod
    def _ratios(fine: Tensor, sd: Tensor, pairs: Sequence[Ratio]) -> tuple[Tensor, Tensor]:
        """Each ratio of two maps or sums, one channel each, and its standard deviation to first order."""
        maps, spreads = convert_to_tensor(fine), convert_to_tensor(sd)
        out, errors = [], []
        for _, over, under in pairs:
            (a, sa), (b, sb) = (
                (maps[list(side)].sum(0), spreads[list(side)].square().sum(0).sqrt()) for side in (over, under)
            )
            measured = (b >= LEAST_DENOMINATOR * sb) & (b >= SUPPORT * b.nan_to_num(0.0).max())
            ratio = torch.where(measured, a / b, torch.nan)
            out.append(ratio)
            errors.append(torch.sqrt(sa.square() + (ratio * sb).square()) / b)
        return torch.stack(out), torch.stack(errors)

    @staticmethod
    def _relative(sd: Tensor, fine: Tensor) -> float:
        """Over the voxels above :data:`SUPPORT` of their metabolite's maximum."""
        sds, values = convert_to_tensor(sd), convert_to_tensor(fine).nan_to_num(0.0)
        tissue = values > SUPPORT * values.flatten(1).amax(1).reshape(-1, *[1] * (values.ndim - 1))
        return round(float(sds[tissue].median() / values[tissue].median()), 4) if tissue.any() else 0.0

    def _flags(self, out: Mapping[Hashable, Any], values: Tensor, noise: Tensor | None) -> list[str]:
        flags = []
        covered = out.get("covered") or {}
        if self.noise and out["noise_from"] == "unknown" and not self.ratio:
            flags.append(f"--noise gives {len(self.noise)} values, the file has {len(values)} maps: not used")
        elif self.noise and self.ratio:
            flags.append("--noise is not used: the noise of a ratio is no one number")
        elif self.noise and out["noise_from"] != "--noise":
            flags.append("--noise is not used: the file has Cramér-Rao bounds")
        if noise is None and not self.ratio:
            flags.append(
                "the noise is not known, so the result need not agree with the measured map: give --noise or "
                "<stem>_crlb.nii.gz"
            )
        low, high = MATRIX
        plane = [n for a, n in enumerate(values.shape[1:]) if a != out["slice_axis"] or values.ndim == 3]
        if min(plane) < low or max(plane) > high:
            flags.append(f"matrix {tuple(plane)} outside the {low} to {high} a side that were tried")
        if out["lost"]:
            flags.append(
                f"{out['lost']} voxels of the head hold no number or a failed fit (bound of {FAILED_FIT:g} % or more): "
                "they took their neighbours' value, but for fits at the rim or of next to no signal, which may be "
                "fluid, and the spread of the tissue as deviation; mrsi_inpainting fills them better"
            )
        matrix = out["map"].affine if isinstance(out["map"], MetaTensor) else torch.eye(4)
        across = out["slice_axis"] if values.ndim == 4 and values.shape[3] > 1 else 2
        if upright_axis(matrix) != across:
            flags.append("slices are not axial; the network was trained on axial ones")
        if covered and (_nowhere(out["map"]) or torch.equal(matrix.cpu().double(), torch.eye(4).double())):
            flags.append("the map's header gives no position: where the MRI lies on it is a guess")
        if out["unplaced"]:
            flags.append(f"the header of {out['unplaced']} gives no position: where it lies on the map is a guess")
        for m, z in torch.nonzero(convert_to_tensor(out["unmeasured"])).tolist():
            flags.append(f"metabolite {m + 1}, slice {z + 1}: no voxel was measured, none is given")
        if noise is not None and noise.isnan().any():
            flags.append("the bounds of a metabolite hold no number in its tissue: its noise is not known")
        floor = torch.tensor(0.1) if noise is None else (5 * noise).nan_to_num(0.1).clamp(min=0.05)
        lowest = convert_to_tensor(out["lowest"]).cpu()
        if (lowest < -floor).any():
            beyond = "beyond its noise" if noise is not None else f"down to {-float(lowest.min()):.0%} of its maximum"
            flags.append(f"the map has negative values {beyond}, which no network was trained on")
        loudest = 0.0 if noise is None else float(noise.nan_to_num(0.0).max())
        if loudest > LOUD:
            flags.append(f"the noise is {loudest:.1%} of the maximum; the network was trained on up to {LOUD:.0%}")
        tops = convert_to_tensor(out["scale"]).cpu().amax(1)
        for m, (fine, top) in enumerate(zip(convert_to_tensor(out["sr"]).nan_to_num(0.0), tops, strict=True)):
            if fine.max() > OVERSHOOT * top or fine.min() < UNDERSHOOT * top:
                flags.append(
                    f"metabolite {m + 1}: the result reaches from {float(fine.min()):.3g} to {float(fine.max()):.3g}, "
                    "far beyond the measured values: is the point-spread function (--psf) right?"
                )
        for name, share in covered.items():
            shift = out["shifted"][name]
            if share < COVERED:
                flags.append(f"the {name} covers {share:.0%} of the tissue; the rest was sharpened without it")
            elif out["beside"][name] > ELSEWHERE:
                flags.append(
                    f"{out['beside'][name]:.0%} of the tissue lies outside the brain that the {name} shows: check its "
                    "registration"
                )
            elif any(shift):
                told = ", ".join(f"{round(way):+d}" for way in shift)
                flags.append(
                    f"the {name} would fit the map better moved by {told} mm (right, front, up): check its registration"
                )
        return flags
