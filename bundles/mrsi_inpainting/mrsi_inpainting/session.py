"""The other maps of a session, as the fill of one map uses them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from torch import Tensor

from mrsikit.io import read_map
from mrsikit.restoration.resampling import companions_to_map_grid
from mrsikit.runtime.inputs import SESSION
from mrsikit.runtime.pipeline import channel_first

NEVER_FITTED = 999.0
"""Bound, in percent, that LCModel writes where it has found no signal."""


def poor_fits(bounds: Tensor, values: Tensor, max_crlb: float | None, rule: str) -> Tensor:
    """Mark the fits that are too poor to use, by their Cramér-Rao bounds.

    A fit without a finite bound, or with one of 999 %, never counts, nor does a value of 0 with a high bound. By the
    rule "percent" a fit is poor if its bound exceeds ``max_crlb``. By the rule "absolute" it must also exceed, in the
    map's unit, ``max_crlb`` percent of the median of the fits below it: a sound fit of a low signal is a measurement,
    however high its bound is in percent. The rule "percent" drops low values for being low, so that what is filled in
    their place is too high: a lesion vanishes.

    Args:
        bounds: Cramér-Rao bounds in percent.
        values: the map (M, X, Y[, Z]), same shape.
        max_crlb: largest bound of a usable fit in percent; None: no bound is too large.
        rule: "percent" or "absolute".

    Returns:
        bool, same shape.

    References:
        Kreis 2016, doi:10.1002/mrm.25568.
    """
    never = ~torch.isfinite(bounds) | (bounds >= NEVER_FITTED)
    if max_crlb is None:
        return never
    never = never | ((values == 0) & (bounds > max_crlb))  # its bound in the map's unit is not known
    if rule == "percent":
        return never | (bounds > max_crlb)
    amount = bounds / 100 * values.nan_to_num(0, 0, 0).abs()
    sound = ~never & (bounds > 0) & (bounds <= max_crlb) & (amount > 0)
    limits = [
        max_crlb / 100 * map[ok].abs().median() if ok.any() else map.new_zeros(())
        for map, ok in zip(values, sound, strict=True)
    ]
    return never | ((bounds > max_crlb) & (amount > torch.stack(limits).reshape(-1, *[1] * (values.ndim - 1))))


def good_fits(bounds: Tensor, values: Tensor, max_crlb: float | None, rule: str) -> Tensor:
    """Mark the fits that count as measured: with a bound above 0, and not poor, see :func:`poor_fits`."""
    return (bounds > 0) & ~poor_fits(bounds, values, max_crlb, rule)


class LoadImagesOfSessiond(Transform):
    """Read the other maps of an input's session, which stand under ``session/<stem>`` with their companions.

    Args:
        max_crlb: largest Cramér-Rao bound of a usable fit, see :func:`poor_fits`.
        rule: "percent" or "absolute", see :func:`poor_fits`.

    Output:
        "others" (K, X, Y[, Z]): the other maps, NaN where they are not known: failed, zero, or outside the brain mask.
        "other names": their names, joined by commas. Neither is there for a map without a session. The keys of the
        files are removed.
    """

    def __init__(self, *, max_crlb: float | None = 20.0, rule: str = "absolute") -> None:
        self.max_crlb, self.rule = max_crlb, rule

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
        for name in ("missing", "crlb", "brain"):
            if f"{key}/{name}" in files:
                item[name] = channel_first(*read_map(files[f"{key}/{name}"]))
        values = item["image"]
        majority = {"missing": True, "crlb": False, "brain": True}
        companions_to_map_grid(item, values.shape[1:], values.affine, majority=majority)
        plain = values.as_tensor()
        lost = ~torch.isfinite(plain) | (plain == 0)
        for name in ("missing", "crlb", "brain"):
            if name not in item:
                continue
            companion = torch.as_tensor(np.asarray(item[name])).reshape(-1, *plain.shape[1:]).expand_as(plain)
            if name == "missing":
                lost = lost | (companion > 0)
            elif name == "brain":
                lost = lost | (companion <= 0)
            else:
                lost = lost | ~good_fits(companion, plain, self.max_crlb, self.rule)
        return torch.where(lost, torch.nan, plain)
