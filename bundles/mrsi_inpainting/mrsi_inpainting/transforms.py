"""From a metabolite map and what is known of it to the network's input, and from its output to the filled map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_tensor
from torch import Tensor

from mrsi_inpainting.network import judged_missing
from mrsikit.baselines.zero_rule import brain_outline
from mrsikit.io import InputError, as_flag
from mrsikit.transforms.image_on_grid import upright_axis

MISSING, OBSERVED, UNKNOWN = 1.0, 0.0, -1.0
MATRIX = {2: (12, 128), 3: (12, 64)}
"""Smallest and largest matrix a network was trained or measured on, by its dimensions."""

TRAINED_LOSS = 0.4
NEGATIVE_SHARE = 0.05
FEWEST_SLICES = 8


def _outlines(maps: Tensor) -> Tensor:
    """Closed outline of each of the maps (M, X, Y[, Z]), bool."""
    return torch.stack([torch.from_numpy(brain_outline(values.abs().numpy())) for values in maps])


class PrepareMapd(MapTransform):
    """Gather the evidence on each voxel and lay maps out for the network.

    Missing for sure: what the user's mask marks; NaN, infinity and fits with a Cramér-Rao bound above ``max_crlb``
    inside the head. The head is the brain mask, or else the outline of the good fits: outside it NaN and bad fits are
    the background that many pipelines write, and the network sees them as that. A mask given makes all other voxels
    observed; without one they are unknown, and the network judges them.

    Volumes with nearly cubic voxels and at least 8 slices go to the 3D network, turned so that its slices are axial;
    others slice by slice, as they were measured, to the 2D one.

    Args:
        keys: the map, channel first: (M, X, Y[, Z]) with one channel a metabolite; NaN allowed.
        missing: key of the optional mask, 1 = missing; 1 or M channels.
        crlb: key of the optional Cramér-Rao bounds in percent; 1 or M channels.
        brain: key of the optional brain mask, 1 = inside; 1 channel.
        max_crlb: percent.
        anisotropy: largest ratio of voxel sides for which the 3D network is used.
        volumetric: yes or no to choose the network (also as text, as a command line gives it), None: by the voxels.

    Raises:
        InputError: when ``volumetric`` is neither yes nor no.

    Output:
        the key holds the network's input (3 n, X, Y[, Z]); "map" the map as it came.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        missing: str = "missing",
        crlb: str = "crlb",
        brain: str = "brain",
        max_crlb: float = 20.0,
        anisotropy: float = 1.75,
        volumetric: bool | str | None = None,
    ) -> None:
        super().__init__(keys)
        self.missing, self.crlb, self.brain = missing, crlb, brain
        self.max_crlb = max_crlb
        self.anisotropy = anisotropy
        self.volumetric = None if volumetric is None else as_flag(volumetric, "volumetric")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add "map" and replace the key by the network's input.

        Raises:
            InputError: when a companion's shape is not the map's.
        """
        out = dict(data)
        for key in self.key_iterator(out):
            values = convert_to_tensor(out[key]).float()
            meta = out[key].meta if isinstance(out[key], MetaTensor) else {}
            affine = out[key].affine if isinstance(out[key], MetaTensor) else torch.eye(4)
            companions = {
                name: self._companion(out, name, values)
                for name in (self.missing, self.crlb, self.brain)
                if name in out
            }
            layers = self._layers(values, companions)
            stacked = torch.stack(layers, 1)
            if values.ndim == 4 and self._is_volumetric(values, affine):
                stacked = stacked.movedim(2 + upright_axis(affine), -1)
            elif values.ndim == 4:
                stacked = stacked.permute(0, 4, 1, 2, 3).flatten(0, 1)
            out["map"] = MetaTensor(values, meta={**meta, "affine": affine})
            out[key] = MetaTensor(stacked.flatten(0, 1), meta={**meta, "affine": affine})
        return out

    @staticmethod
    def _companion(data: Mapping[Hashable, Any], name: str, values: Tensor) -> Tensor:
        companion = convert_to_tensor(data[name]).float()
        if companion.ndim == values.ndim - 1 and values.shape[-1] == 1:
            companion = companion[..., None]
        elif companion.ndim == values.ndim + 1 and companion.shape[-1] == 1:
            companion = companion[..., 0]
        if companion.shape[1:] != values.shape[1:] or companion.shape[0] not in (1, values.shape[0]):
            raise InputError(
                f"{name} is of shape {tuple(companion.shape[1:])}, the map of {tuple(values.shape[1:])}; "
                "give it on the map's grid"
            )
        return companion.expand_as(values)

    def _layers(self, values: Tensor, companions: Mapping[str, Tensor]) -> list[Tensor]:
        finite = torch.isfinite(values)
        clean = torch.where(finite, values, 0.0)
        evidence = torch.full_like(values, UNKNOWN)
        brain = torch.full_like(values, UNKNOWN)
        lost = ~finite
        if self.crlb in companions:
            bound = companions[self.crlb]
            lost = lost | ~torch.isfinite(bound) | (bound > self.max_crlb)
        if self.brain in companions:
            brain = (companions[self.brain] > 0).float()
            head = brain > 0
        elif not lost.any():
            head = torch.ones_like(lost)
        else:
            head = _outlines(torch.where(lost, 0.0, clean))
        evidence[lost & head] = MISSING
        evidence[lost & ~head & (clean != 0)] = OBSERVED
        clean = torch.where(lost & ~head, 0.0, clean)
        if self.missing in companions:
            evidence[evidence == UNKNOWN] = OBSERVED
            evidence[(companions[self.missing] > 0) & (brain != 0)] = MISSING
        # Outside a known brain nothing is missing
        evidence[(brain == 0) & (evidence == UNKNOWN)] = OBSERVED
        return [torch.where(evidence == MISSING, 0.0, clean), evidence, brain]

    def _is_volumetric(self, values: Tensor, affine: Tensor) -> bool:
        if self.volumetric is not None:
            return self.volumetric and values.shape[-1] > 1
        spacing = affine_to_spacing(affine, 3)
        return values.shape[-1] >= FEWEST_SLICES and float(spacing.max() / spacing.min()) <= self.anisotropy


class FillHolesd(Transform):
    """Put the network's fill into the missing voxels of the map as it came, and nowhere else.

    Args:
        image: key of the network's input.
        pred: key of its output.
        threshold: probability from which a zero of unknown state is judged missing; the network's own.
        wrong_threshold: probability from which another value is judged wrong; the network's own.

    Output:
        "inpainted" (M, X, Y[, Z]); "holes" uint8, 1 = missing; "uncertainty", the standard deviation of the fill in the
        map's unit, 0 where measured; "summary", a row of numbers; "flags", what the user must know.
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
        seen, evidence, brain = self._unstacked(out[self.image], plain, upright)
        judged = (evidence < -0.5) & judged_missing(seen, probability, self.threshold, self.wrong_threshold)
        holes = (evidence > 0.5) | judged
        # A fit that cannot be negative must not become so in a hole
        negative = (torch.isfinite(plain) & ~holes & (plain < 0)).flatten(1).any(1)
        fill = torch.where(negative.reshape(-1, *[1] * (plain.ndim - 1)), fill, fill.clamp(min=0))
        out["inpainted"] = self._like(torch.where(holes, fill, plain), values)
        out["holes"] = self._like(holes.to(torch.uint8), values)
        out["uncertainty"] = self._like(torch.where(holes, sd, 0.0), values)
        signal = (seen != 0) & (brain != 0)
        lost = float(holes.sum() / (signal | holes).sum().clamp(min=1))
        out["summary"] = {
            "matrix": "x".join(str(n) for n in plain.shape[1:]),
            "maps": plain.shape[0],
            "network": "2D" if out[self.image].ndim == 3 else "3D",
            "voxels filled": int(holes.sum()),
            "of these judged missing": int(judged.sum()),
            "of these judged wrong, not zero": int((judged & torch.isfinite(plain) & (plain != 0)).sum()),
            "share of map filled": round(lost, 4),
            "median uncertainty of filled / median of map": self._ratio(sd[holes], seen[signal & (seen > 0)]),
        }
        marked = convert_to_tensor(out["missing"]).cpu() > 0 if "missing" in out else None
        out["flags"] = self._flags(plain, seen, holes, evidence, brain, lost, out[self.image].ndim - 1)
        if plain.ndim == 4 and plain.shape[-1] > 1 and out[self.image].ndim == 3 and upright != 2:
            out["flags"].append("slices are not axial; the 2D network was trained on axial ones")
        if marked is not None:
            out["flags"] += self._mask_flags(marked.reshape(-1, *plain.shape[1:]).expand_as(plain), seen, brain)
        return out

    @staticmethod
    def _unstacked(stacked: Tensor, values: Tensor, upright: int) -> tuple[Tensor, Tensor, Tensor]:
        """Three tensors of the map's shape (M, X, Y[, Z]) from (3 n, X, Y[, Z]) as the network had it."""
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
        self, values: Tensor, seen: Tensor, holes: Tensor, evidence: Tensor, brain: Tensor, lost: float, dims: int
    ) -> list[str]:
        flags = []
        low, high = MATRIX[dims]
        if min(values.shape[1:3]) < low or max(values.shape[1:]) > high:
            flags.append(f"matrix {tuple(values.shape[1:])} outside the {low} to {high} a side that were tried")
        if lost > TRAINED_LOSS:
            flags.append(f"{lost:.0%} of the map is filled; the networks were trained up to {TRAINED_LOSS:.0%}")
        brain_known = bool((brain > -0.5).any())
        if bool((evidence < -0.5).any()) and not brain_known:
            flags.append("no brain mask: tissue lost at the rim or a slab edge cannot be told from a smaller brain")
        unknown = evidence < -0.5
        if unknown.any() and not (holes | (unknown & (seen == 0))).any():
            flags.append("no voxel is zero, so none can be found failed: set failed ones to 0 or NaN, or mark them")
        below, signals = int((seen < 0).sum()), int((seen != 0).sum())
        if below > NEGATIVE_SHARE * signals:
            flags.append(f"{below} of {signals} values are negative; the networks were trained on concentrations")
        if not (seen != 0).any():
            flags.append("no voxel was left to fill the others from: are the Cramér-Rao bounds in percent?")
        if (seen.abs() * (brain == 0)).sum() > (seen.abs() * (brain != 0)).sum():
            flags.append("most of the map's signal lies outside the brain mask: is it inverted?")
        left = torch.isfinite(values) & (values != 0) & (seen == 0) & ~holes
        if left.any():
            where = "the brain mask" if brain_known else "the outline of the good fits: give a brain mask to fill them"
            flags.append(f"{int(left.sum())} poor fits were left as they are, for they lie outside {where}")
        if (~torch.isfinite(values) & ~holes).any():
            flags.append("NaN or infinity outside the head was left as it is")
        return flags

    @staticmethod
    def _mask_flags(marked: Tensor, seen: Tensor, brain: Tensor) -> list[str]:
        """What is odd about the user's mask of missing voxels."""
        if (brain > -0.5).any():
            outside = int((marked & (brain == 0)).sum())
            return [f"{outside} voxels marked missing lie outside the brain mask and were left"] if outside else []
        outside, count = int((marked & ~_outlines(seen)).sum()), int(marked.sum())
        if outside <= count / 2:
            return []
        return [f"{outside} of {count} voxels marked missing lie outside the map's outline: is its background marked?"]
