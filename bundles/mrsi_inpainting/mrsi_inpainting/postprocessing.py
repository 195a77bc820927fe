"""Postprocessing: turn the network's output into the filled map, its uncertainty and its warnings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from torch import Tensor

from mrsi_inpainting.network import judged_missing
from mrsi_inpainting.preprocessing import outlines
from mrsikit.restoration.resampling import resampling_warnings, upright_axis
from mrsikit.restoration.sampled_matrix import interpolated_in_words, sampled_matrix

MATRIX = {2: (12, 128), 3: (12, 64)}
"""Smallest and largest matrix on which a network was trained or tested, by its number of dimensions."""

TRAINED_LOSS = 0.4
NEGATIVE_SHARE = 0.05


class PostprocessMapd(Transform):
    """Insert the network's estimate into the missing voxels of the measured map, and leave all other voxels unchanged.

    Args:
        image: key of the network's input.
        pred: key of the network's output.
        threshold: probability above which a zero of unknown state is judged missing; must equal the network's.
        wrong_threshold: probability above which another value is judged wrong; must equal the network's.

    Output:
        "inpainted" (M, X, Y[, Z]): filled map. "holes" (M, X, Y[, Z]) uint8: 1 = missing. "uncertainty" (M, X, Y[, Z]):
        standard deviation of the filled voxels in the map's unit, 0 where measured. "names": keys of these three
        images. "summary": row of the summary. "flags": warnings for the user.
    """

    def __init__(
        self, *, image: str = "image", pred: str = "pred", threshold: float = 0.5, wrong_threshold: float = 0.9
    ) -> None:
        self.image, self.pred = image, pred
        self.threshold, self.wrong_threshold = threshold, wrong_threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the outputs of one map."""
        out = dict(data)
        values = out["map"]
        plain = convert_to_tensor(values).cpu()
        upright = upright_axis(values.affine if isinstance(values, MetaTensor) else torch.eye(4))
        fill, sd, probability = self._unstacked(out[self.pred], plain, upright)
        measured, observation, brain = self._unstacked(out[self.image], plain, upright)
        judged = (observation < -0.5) & judged_missing(measured, probability, self.threshold, self.wrong_threshold)
        missing = (observation > 0.5) | judged
        # If the measured values are never negative (non-negative fits), the filled ones must not be either.
        negative = (torch.isfinite(plain) & ~missing & (plain < 0)).flatten(1).any(1)
        fill = torch.where(negative.reshape(-1, *[1] * (plain.ndim - 1)), fill, fill.clamp(min=0))
        out["inpainted"] = self._like(torch.where(missing, fill, plain), values)
        out["holes"] = self._like(missing.to(torch.uint8), values)
        out["uncertainty"] = self._like(torch.where(missing, sd, 0.0), values)
        signal = (measured != 0) & (brain != 0)
        lost = float(missing.sum() / (signal | missing).sum().clamp(min=1))
        out["names"] = ["inpainted", "holes", "uncertainty"]
        out["summary"] = {
            "matrix": "x".join(str(n) for n in plain.shape[1:]),
            "maps": plain.shape[0],
            "network": "2D" if out[self.image].ndim == 3 else "3D",
            "voxels filled": int(missing.sum()),
            "of these judged missing": int(judged.sum()),
            "of these judged wrong, not zero": int((judged & torch.isfinite(plain) & (plain != 0)).sum()),
            "share of map filled": round(lost, 4),
            "median uncertainty of filled / median of map": self._ratio(sd[missing], measured[signal & (measured > 0)]),
        }
        marked = convert_to_tensor(out["missing"]).cpu() > 0 if "missing" in out else None
        excited = convert_to_tensor(out["excited"]).cpu().bool()
        known = brain if "brain" in out else torch.full_like(brain, -1.0)
        out["flags"] = self._interpolation_flags(plain) + self._box_flags(excited, out["excited_certain"])
        out["flags"] += self._flags(
            plain, measured, missing, observation, known, excited, lost, out[self.image].ndim - 1
        )
        if plain.ndim == 4 and plain.shape[-1] > 1 and out[self.image].ndim == 3 and upright != 2:
            out["flags"].append("slices are not axial; the 2D network was trained on axial ones")
        if marked is not None:
            out["flags"] += self._mask_flags(marked.reshape(-1, *plain.shape[1:]).expand_as(plain), measured, known)
        out["flags"] += resampling_warnings(out)
        return out

    @staticmethod
    def _unstacked(stacked: Tensor, values: Tensor, upright: int) -> tuple[Tensor, Tensor, Tensor]:
        """Split the network's layout (3 n, X, Y[, Z]) into three tensors of the map's shape (M, X, Y[, Z])."""
        stacked = convert_to_tensor(stacked).cpu().float()
        stacked = stacked.reshape(-1, 3, *stacked.shape[1:])
        if stacked.ndim == 4 and values.ndim == 4:
            stacked = stacked.reshape(values.shape[0], values.shape[3], 3, *values.shape[1:3]).permute(0, 2, 3, 4, 1)
        elif stacked.ndim == 5:
            stacked = stacked.movedim(-1, 2 + upright)
        return stacked[:, 0], stacked[:, 1], stacked[:, 2]

    @staticmethod
    def _like(result: Tensor, values: Tensor) -> Tensor:
        return MetaTensor(result, meta=values.meta) if isinstance(values, MetaTensor) else result

    @staticmethod
    def _ratio(uncertainty: Tensor, values: Tensor) -> float:
        return round(float(uncertainty.median() / values.median()), 4) if len(uncertainty) and len(values) else 0.0

    def _flags(
        self,
        values: Tensor,
        measured: Tensor,
        missing: Tensor,
        observation: Tensor,
        brain: Tensor,
        excited: Tensor,
        lost: float,
        dims: int,
    ) -> list[str]:
        flags = []
        boxed = not excited.all()
        low, high = MATRIX[dims]
        if min(values.shape[1:3]) < low or max(values.shape[1:]) > high:
            flags.append(f"matrix {tuple(values.shape[1:])} outside the {low} to {high} a side that were tried")
        if lost > TRAINED_LOSS:
            flags.append(f"{lost:.0%} of the map is filled; the networks were trained up to {TRAINED_LOSS:.0%}")
        brain_known = bool((brain > -0.5).any())
        if bool((observation < -0.5).any()) and not brain_known and not boxed:
            flags.append("no brain mask: tissue lost at the rim or a slab edge cannot be told from a smaller brain")
        unknown = observation < -0.5
        if unknown.any() and not (missing | (unknown & (measured == 0))).any():
            flags.append("no voxel is zero, so none can be found failed: set failed ones to 0 or NaN, or mark them")
        below, signals = int((measured < 0).sum()), int((measured != 0).sum())
        if below > NEGATIVE_SHARE * signals:
            flags.append(f"{below} of {signals} values are negative; the networks were trained on concentrations")
        if not (measured != 0).any():
            flags.append("no voxel was left to fill the others from: are the Cramér-Rao bounds in percent?")
        if (measured.abs() * (brain == 0)).sum() > (measured.abs() * (brain != 0)).sum():
            flags.append("most of the map's signal lies outside the brain mask: is it inverted?")
        left = torch.isfinite(values) & (values != 0) & (measured == 0) & ~missing
        if left.any():
            where = "the brain mask" if brain_known else "the outline of the good fits: give a brain mask to fill them"
            where = "the signal" if boxed else where
            flags.append(f"{int(left.sum())} poor fits are still in the result, because they lie outside {where}")
        if (~torch.isfinite(values) & ~missing).any():
            flags.append("NaN or infinity outside the signal was left as it is")
        return flags

    @staticmethod
    def _interpolation_flags(plain: Tensor) -> list[str]:
        """Name the measured matrix of maps (M, X, Y[, Z]) that were interpolated."""
        sampled = sampled_matrix((plain if plain.ndim == 4 else plain[..., None]).numpy())
        if not any(sampled):
            return []
        return [
            f"{interpolated_in_words(sampled, plain.shape[1:])}: failed voxels have spread into their neighbours, "
            "which are taken for measured; fill the map on the matrix that was measured"
        ]

    @staticmethod
    def _box_flags(excited: Tensor, certain: bool) -> list[str]:
        """Name the excited volume (X, Y[, Z]), if the map's outline is or may be that of a box."""
        if excited.all():
            return []
        if not certain:
            return [
                "it cannot be told whether the map shows a whole section of a head or a box that PRESS or semi-LASER "
                f"excited: only voxels within the signal were filled ({int(excited.sum())} of {excited.numel()} "
                "voxels); if tissue is lost at the rim, give a brain mask"
            ]
        return [
            f"the map shows a box, as PRESS or semi-LASER excites it ({int(excited.sum())} of {excited.numel()} "
            "voxels): nothing outside it was filled; if it is a whole head, give a brain mask"
        ]

    @staticmethod
    def _mask_flags(marked: Tensor, measured: Tensor, brain: Tensor) -> list[str]:
        """Return warnings about the user's mask of missing voxels."""
        if (brain > -0.5).any():
            outside = int((marked & (brain == 0)).sum())
            return [f"{outside} voxels marked missing lie outside the brain mask and were left"] if outside else []
        outside, count = int((marked & ~outlines(measured)).sum()), int(marked.sum())
        if outside <= count / 2:
            return []
        return [f"{outside} of {count} voxels marked missing lie outside the map's outline: is its background marked?"]
