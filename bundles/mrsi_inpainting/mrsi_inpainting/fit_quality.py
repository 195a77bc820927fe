"""Which fits of a map count as measured, by their Cramér-Rao bounds and linewidths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

CRLB, FWHM = "crlb", "fwhm"
"""Companions that tell of the fits."""
ANOTHER_UNIT = 10.0
"""Times the limit above which the median linewidth is taken to be of another unit: Hz instead of ppm."""
NEVER_FITTED = 999.0
"""Bound, in percent, that LCModel writes where it has found no signal."""


@dataclass(frozen=True, kw_only=True)
class FitQuality:
    """Limits of a usable fit.

    Attributes:
        max_crlb: largest Cramér-Rao bound in percent; None: no bound is too large.
        rule: "percent" or "absolute", see :func:`poor_fits`.
        max_fwhm: largest linewidth, in the unit of the linewidths; None: none is too large.
    """

    max_crlb: float | None = 20.0
    rule: str = "absolute"
    max_fwhm: float | None = 0.1

    def lost(self, values: Tensor, companions: Mapping[str, Tensor]) -> Tensor:
        """Mark the fits of a map that are too poor to use, or broken; False where no companion tells.

        Args:
            values: the map (M, X, Y[, Z]), finite.
            companions: bounds in percent ("crlb") and linewidths ("fwhm"), each of the same shape or not there.

        Returns:
            bool, same shape.
        """
        lost = torch.zeros(values.shape, dtype=torch.bool)
        if CRLB in companions:
            lost = lost | poor_fits(companions[CRLB], values, self.max_crlb, self.rule)
        return lost | self.broad(values, companions)

    def good(self, values: Tensor, companions: Mapping[str, Tensor]) -> Tensor:
        """Mark the fits that count as measured: not lost, and with a bound above 0 where there are bounds."""
        good = ~self.lost(values, companions)
        return good & (companions[CRLB] > 0) if CRLB in companions else good

    def misjudges(self, values: Tensor, companions: Mapping[str, Tensor]) -> str:
        """Return why the linewidths cannot be used: they are of another unit than the limit. Empty if they can be."""
        if FWHM not in companions or self.max_fwhm is None:
            return ""
        median = _median_width(values, companions)
        too_far = median > ANOTHER_UNIT * self.max_fwhm
        return f"the median linewidth is {median:.3g}, --max_fwhm is {self.max_fwhm:g}" if too_far else ""

    def broad(self, values: Tensor, companions: Mapping[str, Tensor]) -> Tensor:
        """Mark fits of broad lines; none if the limit is of another unit. A width of 0 or NaN says nothing."""
        if FWHM not in companions or self.max_fwhm is None or self.misjudges(values, companions):
            return torch.zeros((), dtype=torch.bool)
        return companions[FWHM] > self.max_fwhm


def _median_width(values: Tensor, companions: Mapping[str, Tensor]) -> float:
    """Return the median linewidth where the map holds a signal, inside the brain mask if there is one."""
    width = companions[FWHM]
    shown = torch.isfinite(width) & (width > 0) & (values != 0)
    if "brain" in companions:
        shown = shown & (companions["brain"] > 0)
    return float(width[shown].median()) if shown.any() else 0.0


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
