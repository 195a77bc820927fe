"""From the network's output to the fine map, its ratios, and what the user must know."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from torch import Tensor

from mrsikit.restoration.resampling import upright_axis
from mrsikit.runtime import as_flag
from mrsikit.runtime.map_checks import FAILED_FIT
from mrsikit.super_resolution.mri_alignment import COVERED, ELSEWHERE
from mrsikit.super_resolution.options import Ratio, names_of, noise_levels, ratio_pairs
from mrsikit.super_resolution.preprocessing import turned, without_position
from mrsikit.super_resolution.tissue_mask import SUPPORT

FEWEST_SLICES = 8
"""Of a volume that may have been encoded in three dimensions."""

RINGING = 0.15
"""How far sampled k-space alone goes below zero, of the maximum."""

LOUD = 0.1
"""Noise, of the map's maximum, beyond what was trained on."""

LEAST_DENOMINATOR = 3.0
"""Standard deviations of a ratio's denominator under which the ratio means nothing."""

OVERSHOOT, UNDERSHOOT = 2.0, -0.3
"""Of the measured maximum: a result beyond is none."""

MATRIX = (16, 64)
"""Smallest and largest coarse matrix that was tried."""


class PostprocessFineMapd(Transform):
    """Put the network's slices back together, in the map's unit and on the fine grid.

    Args:
        image: key of the network's input.
        pred: key of what the inferer makes of it, (3 M, factor X, factor Y, Z or factor Z): each map, its standard
            deviation, and the map without the MRIs.
        factor: as of :class:`PreprocessCoarseMapd`.
        psf: as of it, as the next two.
        noise: likewise.
        ratio: likewise.
        ratios: of sharpened maps to make, as of :func:`mrsikit.super_resolution.options.ratio_pairs`.
        metabolites: likewise.
        dims: likewise, where there is a choice; else None.
        method: how MRIs are used, where there is a choice: 1, not at all; 2 or 3; "auto", as 2 where there is one.
        denoised: whether the map was to be denoised first, which asks for a known noise.

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
        dims: int | None = None,
        method: int | str | None = None,
        denoised: bool | str = False,
    ) -> None:
        self.method = method
        self.denoised = as_flag(denoised, "denoised")
        self.image, self.pred = image, pred
        self.dims = dims
        self.factor, self.psf = factor, psf
        self.noise = noise_levels(noise)
        self.ratio = as_flag(ratio, "ratio")
        self.pairs, self.metabolites = ratio_pairs(ratios, metabolites), names_of(metabolites)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the outputs of one file."""
        out = dict(data)
        values = out["map"]
        plain = convert_to_tensor(values).cpu()
        method = self.method if self.method != "auto" else 2 if out["used"] else 1
        if method == 1:
            out["used"], out["covered"] = "", {}
        pred = convert_to_tensor(out[self.pred]).cpu().float()
        axis = int(out["slice_axis"])
        count, slices = plain.shape[0], pred.shape[-1]
        pred = pred.reshape(count, 3, *pred.shape[1:]).movedim(1, 0)
        scale, unmeasured = (convert_to_tensor(out[name]).cpu() for name in ("scale", "unmeasured"))
        pred = pred * scale.repeat_interleave(slices // scale.shape[1], 1)[:, None, None]
        pred = torch.stack([pred[0], torch.hypot(pred[1], convert_to_tensor(out["imputed_sd"]).cpu()), pred[2]])
        unmeasured = unmeasured.repeat_interleave(slices // unmeasured.shape[1], 1)
        pred = torch.where(unmeasured[:, None, None], torch.nan, pred).movedim(-1, 2 + axis)
        affine = out[self.image].affine if isinstance(out[self.image], MetaTensor) else torch.eye(4)
        affine = affine[:, np.argsort(turned(axis))]
        meta = {**(values.meta if isinstance(values, MetaTensor) else {}), "affine": affine}
        for name, result in zip(("sr", "uncertainty", "without_mri"), pred, strict=True):
            out[name] = MetaTensor(result if plain.ndim == 4 else result[..., 0], meta=meta)
        share = convert_to_tensor(out["noise_share"]).cpu()
        typical = None if share.isnan().all() else share
        shares = [] if typical is None else ["unknown" if s.isnan() else f"{float(s):.3g}" for s in typical]
        out["summary"] = {
            "matrix": "x".join(str(n) for n in plain.shape[1:]),
            "fine matrix": "x".join(str(n) for n in out["sr"].shape[1:]),
            "maps": count,
            "point spread": self.psf,
            "MRI": out["used"] or "none",
            **({"method": method} if method else {}),
            "noise": out["noise_from"],
            "noise / maximum": shares[0] if len(set(shares)) == 1 else ", ".join(shares),
            "median uncertainty / median of map": self._relative(out["uncertainty"], out["sr"]),
        }
        out["flags"] = self._flags(out, plain, typical)
        out["names"] = ["sr", "uncertainty"]
        alone = out.pop("without_mri")
        if out["used"]:
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
        if self.denoised and (noise is None or noise.isnan().any()):
            flags.append("--denoised: maps whose noise is not known were not denoised")
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
        if self.dims == 2 and self.psf != "block" and _is_cubic(matrix, across, values.shape[1:]):
            flags.append(
                "the voxels are about as deep as wide: if k-space was sampled in three dimensions, --dims 3 sharpens "
                "across the slices too"
            )
        if upright_axis(matrix) != across:
            flags.append("slices are not axial; the network was trained on axial ones")
        if covered and (without_position(out["map"]) or torch.equal(matrix.cpu().double(), torch.eye(4).double())):
            flags.append("the map's header gives no position: where the MRI lies on it is a guess")
        if out["unplaced"]:
            flags.append(f"the header of {out['unplaced']} gives no position: where it lies on the map is a guess")
        for m, z in torch.nonzero(convert_to_tensor(out["unmeasured"])).tolist():
            flags.append(f"metabolite {m + 1}, slice {z + 1}: no voxel was measured, none is given")
        if noise is not None and noise.isnan().any():
            flags.append("the bounds of a metabolite hold no number in its tissue: its noise is not known")
        floor = torch.tensor(0.1) if noise is None else (5 * noise).nan_to_num(0.1).clamp(min=0.05)
        floor = floor + (RINGING if self.psf != "block" else 0.0)
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
            elif out["outside_brain"][name] > ELSEWHERE:
                flags.append(
                    f"{out['outside_brain'][name]:.0%} of the tissue lies outside the brain that the {name} shows: "
                    "check its registration"
                )
            elif any(shift):
                moved = ", ".join(f"{round(way):+d}" for way in shift)
                flags.append(
                    f"the {name} would fit the map better moved by {moved} mm (right, front, up): check its "
                    "registration"
                )
        return flags


def _is_cubic(affine: Tensor, across: int, shape: Sequence[int]) -> bool:
    """Whether a volume's voxels are about as deep, along an axis, as they are wide."""
    sides = torch.linalg.vector_norm(affine[:3, :3].double(), dim=0)
    wide = torch.cat([sides[:across], sides[across + 1 :]]).max()
    return len(shape) == 3 and shape[across] >= FEWEST_SLICES and float(sides[across]) < 1.3 * float(wide)
