"""The other maps of a session and its MRIs, as the fill of one map uses them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from torch import Tensor

from mrsi_inpainting.fit_quality import CRLB, FWHM, FitQuality
from mrsikit.io import read_map
from mrsikit.restoration.resampling import companions_to_map_grid, mean_over_voxels
from mrsikit.runtime import as_flag
from mrsikit.runtime.inputs import SESSION
from mrsikit.runtime.pipeline import channel_first

MAJORITY = {"missing": True, CRLB: False, FWHM: False, "brain": True}
"""Companions of a map; on a finer grid than the map's a mask counts by the majority, and bounds by the nearest."""

MRIS = ("flair", "t1")
"""MRIs of the head, under the names that the super-resolution bundles give them."""


class LoadImagesOfSessiond(Transform):
    """Read the other maps of an input's session, which stand under ``session/<stem>`` with their companions.

    Args:
        max_crlb: see :class:`mrsi_inpainting.fit_quality.FitQuality`.
        rule: see the same.
        max_fwhm: see the same.

    Output:
        "others" (K, X, Y[, Z]): the other maps, NaN where they are not known: failed, zero, or outside the brain mask.
        "other names": their names, joined by commas. Neither is there for a map without a session. The keys of the
        files are removed.
    """

    def __init__(self, *, max_crlb: float | None = 20.0, rule: str = "absolute", max_fwhm: float | None = 0.1) -> None:
        self.quality = FitQuality(max_crlb=max_crlb, rule=rule, max_fwhm=max_fwhm)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the other maps.

        Raises:
            InputError: a file cannot be read.
        """
        out = {key: value for key, value in data.items() if not str(key).startswith(SESSION)}
        files = {str(key): value for key, value in data.items() if str(key).startswith(SESSION)}
        maps, names = [], []
        for key in files:
            stem, _, companion = key.removeprefix(SESSION).partition("/")
            if not companion:
                found = self._known(files, key)
                maps.append(found)
                names += [stem] * len(found)
        if maps:
            out["others"], out["other names"] = torch.cat(maps), ", ".join(names)
        return out

    def _known(self, files: Mapping[str, str], key: str) -> Tensor:
        """Return one of the other maps (M, X, Y[, Z]), NaN where it is not known."""
        item: dict[Hashable, Any] = {"image": channel_first(*read_map(files[key]))}
        for name in MAJORITY:
            if f"{key}/{name}" in files:
                item[name] = channel_first(*read_map(files[f"{key}/{name}"]))
        values = item["image"]
        companions_to_map_grid(item, values.shape[1:], values.affine, majority=MAJORITY)
        plain = values.as_tensor()
        companions = {
            name: torch.as_tensor(np.asarray(item[name])).reshape(-1, *plain.shape[1:]).expand_as(plain)
            for name in MAJORITY
            if name in item
        }
        known = torch.isfinite(plain) & (plain != 0) & self.quality.good(plain.nan_to_num(0, 0, 0), companions)
        if "missing" in companions:
            known = known & ~(companions["missing"] > 0)
        if "brain" in companions:
            known = known & (companions["brain"] > 0)
        return torch.where(known, plain, torch.nan)


class AverageMrisd(Transform):
    """Average the MRIs of an input's session over the voxels of its map.

    Args:
        session: whether to use them, yes or no (also as text, as a command line gives it).

    Output:
        "mris" (A, X, Y[, Z]): the MRIs, NaN beyond them and where they are 0, which is background. "mri names": their
        names, joined by commas. Neither is there without an MRI that covers at least half of the map's signal; "beside"
        names those that do not. The MRIs themselves are removed.
    """

    def __init__(self, *, session: bool | str = True) -> None:
        self.session = as_flag(session, "session")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the MRIs by their means."""
        mris = {name: data[name] for name in MRIS if name in data}
        out = {key: value for key, value in data.items() if key not in mris}
        if mris and self.session:
            image = out["image"]
            signal = (image.as_tensor().nan_to_num(0, 0, 0) != 0).any(0)
            means = {name: mean_over_voxels(mri, image.shape[1:], image.affine) for name, mri in mris.items()}
            means = {name.upper(): torch.where(mean == 0, torch.nan, mean) for name, mean in means.items()}
            there = {name: mean for name, mean in means.items() if mean[signal].isfinite().float().mean() >= 0.5}
            if there:
                out["mris"], out["mri names"] = torch.stack(list(there.values())), ", ".join(there)
            if len(there) < len(means):
                out["beside"] = ", ".join(name for name in means if name not in there)
        return out
