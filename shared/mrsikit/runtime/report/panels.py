"""What a report's figure is made of: its panels, each with the image that it shows and how; and the figure itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

INPUT = "input"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One column of the figure.

    Attributes:
        title: text above the column.
        image: ``"input"`` or the suffix of an output.
        outline: suffix of a mask output whose voxels are outlined, or None.
        blank: suffix of a mask output, or None. Voxels of this mask whose image value is zero or not finite are grey.
            Other voxels that are not finite are grey too.
        window: panels with the same window share their colour range, so that they can be compared.
        colour_map: name of a perceptually uniform matplotlib colour map.
        unit: unit at the colour bar; None: that of the map.
        over: name of an MRI under the map, which shows through; None: none.
        diverging: whether the colour range is as wide below zero as above, for a difference.
        sd: suffix of the output with the standard deviations, shown with the values under the pointer; None: none.
    """

    title: str
    image: str = INPUT
    outline: str | None = None
    blank: str | None = None
    window: str = "map"
    colour_map: str = "inferno"
    unit: str | None = None
    over: str | None = None
    diverging: bool = False
    sd: str | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Figure of one input.

    Attributes:
        png: the static picture.
        view: what the page needs to show more, see :func:`mrsikit.runtime.report.viewer.view_of`; None: no more.
    """

    png: bytes
    view: Mapping[str, Any] | None = None
