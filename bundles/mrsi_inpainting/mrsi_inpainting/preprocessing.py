"""Preprocessing: turn a metabolite map and its companions (masks, Cramér-Rao bounds) into the network's input."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor
from torch import Tensor

from mrsi_inpainting.excited_volume import excited_volume
from mrsi_inpainting.fit_quality import FitQuality
from mrsi_inpainting.fluid import CSF, MOSTLY
from mrsi_inpainting.session import MAJORITY
from mrsikit.io import InputError
from mrsikit.restoration.brain_mask import brain_outline
from mrsikit.restoration.inpainting.hidden_voxels import hide
from mrsikit.restoration.resampling import companions_to_map_grid, mean_over_voxels, upright_axis
from mrsikit.runtime import as_flag

MISSING, OBSERVED, UNKNOWN = 1.0, 0.0, -1.0
FEWEST_SLICES = 8
CHECKED, MOST_FOLDS = 3000, 4
"""Voxels with signal of which one fold of the check suffices; smaller maps get up to so many folds."""


def outlines(maps: Tensor) -> Tensor:
    """Return the closed outline of the head in each of the maps (M, X, Y[, Z]), bool."""
    return torch.stack([torch.from_numpy(brain_outline(values.abs().numpy())) for values in maps])


class PreprocessMapd(MapTransform):
    """Build the observation mask of a map and arrange map and masks for the network.

    The optional companions of the map are "missing", a mask, 1 = missing; "crlb", Cramér-Rao bounds in percent; "fwhm",
    linewidths; and "brain", a mask, 1 = inside. Each has 1 or M channels. "csf", on any grid, is the fraction of fluid.

    Voxels are certainly missing if the user's mask marks them, or if they lie in the head and hold NaN, infinity or
    a fit with too large a Cramér-Rao bound (``max_crlb``, ``rule``) or too broad a line (``max_fwhm``). The head is
    the brain mask or, without one, the outline of the good fits. Outside the head, NaN and poor fits are the
    background that many pipelines write, and they become zero in the network's input. If the user gives a mask of
    missing voxels, all other voxels count as observed. Without it they are unknown, and the network decides. Where at
    least half of a voxel is fluid, a zero or NaN counts as observed, unless the user's mask marks it.

    Without a mask of either kind, a map with the straight outline of a box shows the excited volume of PRESS or
    semi-LASER. Beyond it no voxel is missing, and the box takes the brain mask's place in the network's input. Where a
    box and a head cannot be told apart, the convex hull of the signal does. The maps of a session are judged together.

    Volumes with nearly cubic voxels and at least 8 slices go to the 3D network, oriented so that its slices are axial.
    Other volumes go slice by slice, as they were measured, to the 2D network.

    Args:
        keys: the map, channel first: (M, X, Y[, Z]) with one channel per metabolite; NaN allowed.
        max_crlb: largest Cramér-Rao bound of a usable fit, in percent; None: no bound is too large.
        anisotropy: largest ratio of voxel sides for which the 3D network is used.
        rule: whether ``max_crlb`` is a percentage of each value or of the map's median, see
            :func:`mrsi_inpainting.fit_quality.poor_fits`.
        max_fwhm: largest linewidth of a usable fit, in the unit of the linewidths; None: none is too large.
        check: whether to hide known voxels for the check, yes or no (also as text).
        seed: seed of the choice of the hidden voxels.
        volumetric: whether to use the 3D network, yes or no (also as text, as a command line gives it); None: decided
            by the voxels.

    Raises:
        InputError: ``volumetric`` is neither yes nor no.

    Output:
        The key: the network's input (3 n, X, Y[, Z]), with map, observation mask and brain mask of each of n maps or
        slices; then the same again for each fold of the check, with further voxels missing. "map": the map unchanged.
        "hidden" (F M, X, Y[, Z]): bool, those voxels, one mask for each map and fold; absent without a check.
        Companions on a finer grid than the map's are resampled onto it, and "resampled" names them.
        "excited" (X, Y[, Z]): bool, the excited volume; True everywhere if the map's outline is a head's or a mask is
        given. "excited_certain": bool, False if that outline may as well be a head's. "broad lines": number of voxels
        that are missing and whose line is too broad. "misjudged": why the linewidths were not used; empty if they were.
        "fluid": number of the voxels that count as observed for the fluid in them.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        max_crlb: float | None = 20.0,
        rule: str = "absolute",
        max_fwhm: float | None = 0.1,
        check: bool | str = True,
        seed: int = 0,
        anisotropy: float = 1.75,
        volumetric: bool | str | None = None,
    ) -> None:
        super().__init__(keys)
        self.quality = FitQuality(max_crlb=max_crlb, rule=rule, max_fwhm=max_fwhm)
        self.check = as_flag(check, "check")
        self.seed = seed
        self.anisotropy = anisotropy
        self.volumetric = None if volumetric is None else as_flag(volumetric, "volumetric")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add "map" and replace the key by the network's input.

        Raises:
            InputError: a companion does not have the map's shape.
        """
        out = dict(data)
        for key in self.key_iterator(out):
            values = convert_to_tensor(out[key]).float()
            meta = out[key].meta if isinstance(out[key], MetaTensor) else {}
            affine = out[key].affine if isinstance(out[key], MetaTensor) else torch.eye(4)
            companions_to_map_grid(out, values.shape[1:], affine, majority=MAJORITY)
            companions = {name: self._companion(out, name, values) for name in MAJORITY if name in out}
            finite = values.nan_to_num(0, 0, 0)
            out["misjudged"] = self.quality.misjudges(finite, companions)
            masked = "brain" in companions or "missing" in companions
            out["excited"], out["excited_certain"] = torch.ones(values.shape[1:], dtype=torch.bool), True
            if not masked:
                maps = finite
                if "others" in out:  # all maps of a session show one volume: each is given the same ones
                    maps = torch.where(self.quality.good(maps, companions), maps, 0.0)
                    maps = torch.cat([maps, convert_to_tensor(out["others"]).float().nan_to_num(0, 0, 0)])
                out["excited"], out["excited_certain"] = self._excited(maps, affine)
            layers = self._layers(values, companions, out["excited"])
            fluid = torch.zeros_like(layers[1], dtype=torch.bool)
            if CSF in out:
                share = mean_over_voxels(out.pop(CSF), values.shape[1:], affine)
                marked = companions["missing"] > 0 if "missing" in companions else torch.zeros_like(fluid)
                fluid = (finite == 0) & (layers[1] != OBSERVED) & ~marked & (share >= MOSTLY)
            layers[1][fluid] = OBSERVED
            out["fluid"] = int(fluid.sum())
            broad = self.quality.broad(finite, companions)
            out["broad lines"] = int((broad & (layers[1] == MISSING)).sum())
            stacked = torch.stack(layers, 1)
            if self.check and len(hidden := self._hidden(*layers)):
                out["hidden"] = hidden
                stacked = torch.cat([stacked, _without(stacked, hidden)])
            if values.ndim == 4 and self._is_volumetric(values, affine):
                stacked = stacked.movedim(2 + upright_axis(affine), -1)
            elif values.ndim == 4:
                stacked = stacked.permute(0, 4, 1, 2, 3).flatten(0, 1)
            out["map"] = MetaTensor(values, meta={**meta, "affine": affine})
            out[key] = MetaTensor(stacked.flatten(0, 1), meta={**meta, "affine": affine})
        return out

    def _excited(self, maps: Tensor, affine: Tensor) -> tuple[Tensor, bool]:
        """Return the excited volume (X, Y[, Z]), and whether it is certain; slices of volumes are read axially."""
        spacing = affine_to_spacing(affine, 3)
        axis = upright_axis(affine) if maps.ndim == 4 and self._is_volumetric(maps, affine) else 2
        shape = maps.shape[1:]
        maps = maps.movedim(1 + axis, -1) if maps.ndim == 4 else maps
        # Arrays without an affine have voxels of 1 mm.
        known = not torch.allclose(spacing, torch.ones_like(spacing))
        side = float(torch.cat([spacing[:axis], spacing[axis + 1 :]]).mean()) if known else None
        found = excited_volume(maps.numpy(), side)
        if found is None:
            return torch.ones(shape, dtype=torch.bool), True
        mask = torch.from_numpy(found.mask)
        return mask.movedim(-1, axis) if mask.ndim == 3 else mask, found.certain

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

    def _layers(self, values: Tensor, companions: Mapping[str, Tensor], excited: Tensor) -> list[Tensor]:
        finite = torch.isfinite(values)
        clean = torch.where(finite, values, 0.0)
        observation = torch.full_like(values, UNKNOWN)
        brain = torch.full_like(values, UNKNOWN)
        lost = ~finite | self.quality.lost(clean, companions)
        if "brain" in companions:
            brain = (companions["brain"] > 0).float()
            head = brain > 0
        elif not excited.all():
            brain = excited.expand_as(brain).float()
            head = brain > 0
        elif not lost.any():
            head = torch.ones_like(lost)
        else:
            head = outlines(torch.where(lost, 0.0, clean))
        observation[lost & head] = MISSING
        observation[lost & ~head & (clean != 0)] = OBSERVED
        clean = torch.where(lost & ~head, 0.0, clean)
        if "missing" in companions:
            observation[observation == UNKNOWN] = OBSERVED
            observation[(companions["missing"] > 0) & (brain != 0)] = MISSING
        # Outside a known brain no voxel is missing.
        observation[(brain == 0) & (observation == UNKNOWN)] = OBSERVED
        return [torch.where(observation == MISSING, 0.0, clean), observation, brain]

    def _hidden(self, clean: Tensor, observation: Tensor, brain: Tensor) -> Tensor:
        """Draw the voxels (F M, X, Y[, Z]) that the check hides, one mask for each map and fold."""
        signal = ((clean != 0) & (brain != 0)).numpy()
        missing = (observation == MISSING).numpy()
        folds = int(np.clip(round(CHECKED / max(signal[0].sum(), 1)), 1, MOST_FOLDS))
        rng = np.random.default_rng(self.seed)
        masks = np.zeros((folds, *signal.shape), bool)
        for fold in range(folds):
            for k, values in enumerate(clean.double().numpy()):
                masks[fold, k] = hide(signal[k], missing[k], rng, values=values, avoid=np.any(masks[:fold, k], 0))
        return torch.from_numpy(masks.reshape(-1, *signal.shape[1:])) if masks.any() else torch.empty(0)

    def _is_volumetric(self, values: Tensor, affine: Tensor) -> bool:
        if self.volumetric is not None:
            return self.volumetric and values.shape[-1] > 1
        spacing = affine_to_spacing(affine, 3)
        return values.shape[-1] >= FEWEST_SLICES and float(spacing.max() / spacing.min()) <= self.anisotropy


def _without(stacked: Tensor, hidden: Tensor) -> Tensor:
    """Repeat the layers (M, 3, X, Y[, Z]) for each fold, with the hidden voxels (F M, X, Y[, Z]) marked as missing."""
    copies = stacked.repeat(len(hidden) // len(stacked), *[1] * (stacked.ndim - 1))
    copies[:, 0] = torch.where(hidden, 0.0, copies[:, 0])
    copies[:, 1] = torch.where(hidden, MISSING, copies[:, 1])
    return copies
