"""Postprocessing: turn the network's output into the fine map, its ratios and the warnings.

Data consistency comes before, in the network or the inferer (:mod:`mrsikit.physics.spatial_encoding`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from torch import Tensor

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.runtime import as_flag
from mrsikit.super_resolution.options import Ratio, names_of, noise_levels, ratio_pairs
from mrsikit.super_resolution.preprocessing import turned
from mrsikit.super_resolution.scale_check import check_records, empty, summary_of
from mrsikit.super_resolution.tissue_mask import SUPPORT
from mrsikit.super_resolution.warnings import Case, warnings_of

LEAST_DENOMINATOR = 3.0
"""A ratio is NaN where its denominator is below 3 x the denominator's standard deviation."""

TYPICAL_SD = "median uncertainty / median of map"
"""Column of the run's table."""


class PostprocessFineMapd(Transform):
    """Assemble the network's slices into maps in the input's unit on the fine grid.

    Args:
        image: key of the network's input.
        pred: key of the inferer's output: "maps" (3 M, factor X, factor Y, Z or factor Z), each map, its standard
            deviation, and the map without the MRIs; "check" (M, 3, 5), see
            :mod:`mrsikit.super_resolution.scale_check`. Maps alone, as a tensor, are maps without a check.
        factor: as for :class:`mrsikit.super_resolution.preprocessing.PreprocessCoarseMapd`.
        psf: as for the same class.
        noise: as for the same class.
        ratio: as for the same class.
        ratios: ratios of the super-resolved maps to compute, as
            :func:`mrsikit.super_resolution.options.ratio_pairs` takes them.
        metabolites: names of the maps, as the same function takes them.
        dims: number of super-resolved axes, 2 or 3; None if the bundle offers no choice.
        method: how the bundle uses MRIs: 1, not at all; 2 or 3, the paper's methods; "auto", 2 if there is an MRI and 1
            otherwise; None if the bundle offers no choice.
        denoised: whether the user asked to denoise the map first, which requires a known noise.
        consistency: whether the maps follow the measurement where its noise is known.

    Output:
        "sr" and "uncertainty" (M, factor X, factor Y[, Z]) in the map's unit (the uncertainties of an interpolated map,
        and of a method that states none, are NaN); with MRIs, "without_mri", the map super-resolved without them (not
        where it is all NaN: the method needs its MRI); on request, "ratio" and "ratio_uncertainty", NaN where the
        denominator is below :data:`LEAST_DENOMINATOR` x its standard deviation or below :data:`SUPPORT` x its maximum;
        "names", the keys of these; "summary", one row of the run's table;
        "checks", what the report shows of the check; "flags", the warnings.
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
        consistency: bool | str = True,
    ) -> None:
        self.method = method
        self.consistency = as_flag(consistency, "consistency")
        self.denoised = as_flag(denoised, "denoised")
        self.image, self.pred = image, pred
        self.dims = dims
        self.factor, self.psf = factor, psf
        self.noise = noise_levels(noise)
        self.ratio = as_flag(ratio, "ratio")
        self.pairs, self.metabolites = ratio_pairs(ratios, metabolites), names_of(metabolites)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Compute the outputs of one file."""
        out = dict(data)
        plain = convert_to_tensor(out["map"]).cpu()
        maps, checks = self._parts(out[self.pred], len(plain))
        method = self.method if self.method != "auto" else 2 if out["used"] else 1
        if method == 1:
            out["used"], out["covered"] = "", {}
        meta, fine = self._fine_meta(out), self._fine_maps(out, maps, len(plain))
        for name, result in zip(("sr", "uncertainty", "without_mri"), fine, strict=True):
            out[name] = MetaTensor(result if plain.ndim == 4 else result[..., 0], meta=meta)
        share = convert_to_tensor(out["noise_share"]).cpu()
        noise = None if share.isnan().all() else share
        out["summary"] = self._summary(out, plain, method, noise) | summary_of(checks)
        out["checks"] = check_records(checks)
        out["flags"] = warnings_of(
            Case(
                data=out,
                maps=plain,
                checks=checks,
                noise=noise,
                given_noise=self.noise,
                ratio=self.ratio,
                denoised=self.denoised,
                consistency=self.consistency,
                encoding=SpatialEncoding(self.psf, self.factor),
                dims=self.dims,
            )
        )
        out["names"] = ["sr", "uncertainty"]
        without_mri = out.pop("without_mri")
        if out["used"] and without_mri.isfinite().any():
            out["without_mri"] = without_mri
            out["names"].append("without_mri")
            change = (out["sr"] - without_mri).abs()
            out["summary"]["median change by the MRIs / median of map"] = self._relative(change, out["sr"])
        self._add_ratios(out, len(plain), meta)
        if any(out["sampled"]) or out["uncertainty"].isnan().all():
            self._withdraw_uncertainty(out)
        return out

    @staticmethod
    def _withdraw_uncertainty(out: dict[Hashable, Any]) -> None:
        """Replace all standard deviations by NaN: those of an interpolated map would hold for measured voxels only."""
        for name in {"uncertainty", "ratio_uncertainty"} & set(out["names"]):
            out[name] = torch.full_like(out[name], torch.nan)
        out["summary"][TYPICAL_SD] = "not given"

    @staticmethod
    def _parts(pred: Any, count: int) -> tuple[Tensor, Tensor]:
        """Return the inferer's maps and their checks (M, 3, 5), NaN where there is none."""
        if isinstance(pred, Mapping):
            return tuple(convert_to_tensor(pred[name]).cpu().float() for name in ("maps", "check"))
        return convert_to_tensor(pred).cpu().float(), empty().expand(count, -1, -1)

    def _fine_maps(self, data: Mapping[Hashable, Any], pred: Tensor, count: int) -> Tensor:
        """Return map, standard deviation and map without the MRIs, (3, M, factor X, ...), in the map's unit.

        The standard deviation of imputed voxels is added in quadrature. Slices without a measurement are NaN.
        """
        slices = pred.shape[-1]
        pred = pred.reshape(count, 3, *pred.shape[1:]).movedim(1, 0)
        scale, unmeasured = (convert_to_tensor(data[name]).cpu() for name in ("scale", "unmeasured"))
        pred = pred * scale.repeat_interleave(slices // scale.shape[1], 1)[:, None, None]
        pred = torch.stack([pred[0], torch.hypot(pred[1], convert_to_tensor(data["imputed_sd"]).cpu()), pred[2]])
        unmeasured = unmeasured.repeat_interleave(slices // unmeasured.shape[1], 1)
        return torch.where(unmeasured[:, None, None], torch.nan, pred).movedim(-1, 2 + int(data["slice_axis"]))

    def _fine_meta(self, data: Mapping[Hashable, Any]) -> dict[str, Any]:
        """Return the map's metadata with the affine of the fine grid, axes in the order of the file."""
        image, values = data[self.image], data["map"]
        affine = image.affine if isinstance(image, MetaTensor) else torch.eye(4)
        affine = affine[:, np.argsort(turned(int(data["slice_axis"])))]
        return {**(values.meta if isinstance(values, MetaTensor) else {}), "affine": affine}

    def _summary(
        self, data: Mapping[Hashable, Any], plain: Tensor, method: int | str | None, noise: Tensor | None
    ) -> dict[str, Any]:
        """Return the file's row of the summary table."""
        shares = [] if noise is None else ["unknown" if s.isnan() else f"{float(s):.3g}" for s in noise]
        return {
            "matrix": "x".join(str(n) for n in plain.shape[1:]),
            "fine matrix": "x".join(str(n) for n in data["sr"].shape[1:]),
            "maps": len(plain),
            "point spread": self.psf,
            "MRI": data["used"] or "none",
            **({"method": method} if method else {}),
            "noise": data["noise_from"],
            "noise / maximum": shares[0] if len(set(shares)) == 1 else ", ".join(shares),
            TYPICAL_SD: self._relative(data["uncertainty"], data["sr"]),
        }

    def _add_ratios(self, out: dict[Hashable, Any], count: int, meta: Mapping[str, Any]) -> None:
        """Add the ratios whose maps the file has, and warn about the others."""
        pairs = [pair for pair in self.pairs if max(pair[1] + pair[2]) < count]
        if self.pairs and self.metabolites and len(self.metabolites) != count:
            out["flags"].append(f"--metabolites names {len(self.metabolites)} maps, the file has {count}: no ratios")
            return
        if len(pairs) < len(self.pairs):
            left_out = ", ".join(pair[0] for pair in self.pairs if pair not in pairs)
            out["flags"].append(f"--ratios {left_out}: left out, the file has {count} maps")
        if not pairs:
            return
        ratios, spread = self._ratios(out["sr"], out["uncertainty"], pairs)
        out["ratio"], out["ratio_uncertainty"] = (MetaTensor(x, meta=dict(meta)) for x in (ratios, spread))
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

    @staticmethod
    def _ratios(fine: Tensor, sd: Tensor, pairs: Sequence[Ratio]) -> tuple[Tensor, Tensor]:
        """Return the ratios, one channel each, and their standard deviations by first-order error propagation."""
        maps, spreads = convert_to_tensor(fine), convert_to_tensor(sd)
        out, errors = [], []
        for _, over, under in pairs:
            (a, sa), (b, sb) = (
                (maps[list(side)].sum(0), spreads[list(side)].square().sum(0).sqrt()) for side in (over, under)
            )
            lost = b < LEAST_DENOMINATOR * sb  # not so where no standard deviation is known
            measured = ~lost & (b >= SUPPORT * b.nan_to_num(0.0).max())
            ratio = torch.where(measured, a / b, torch.nan)
            out.append(ratio)
            errors.append(torch.sqrt(sa.square() + (ratio * sb).square()) / b)
        return torch.stack(out), torch.stack(errors)

    @staticmethod
    def _relative(sd: Tensor, fine: Tensor) -> float:
        """Median standard deviation over median value, in voxels above :data:`SUPPORT` x the map's maximum."""
        sds, values = convert_to_tensor(sd), convert_to_tensor(fine).nan_to_num(0.0)
        tissue = values > SUPPORT * values.flatten(1).amax(1).reshape(-1, *[1] * (values.ndim - 1))
        return round(float(sds[tissue].median() / values[tissue].median()), 4) if tissue.any() else 0.0
