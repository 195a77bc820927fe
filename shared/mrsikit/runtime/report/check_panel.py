"""What a check on the user's own data found, for the report: a table of the candidates, and a plot of hidden voxels."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mrsikit.metrics.calibration import Z90

SIDE, DPI = 3.6, 100
MEASURED, RESULT = "#8c8c8c", "#0b57d0"


def check_views(checks: Sequence[Mapping[str, Any]], unit: str) -> list[dict[str, Any]]:
    """Return what the page shows of each check.

    Args:
        checks: from the record. Each has "title", "candidates" (error and share of each by its name, in the order of
            the table). A check on hidden voxels also has their "measured", "result" and "sd" (N,), in the map's unit.
        unit: unit of the map.

    Returns:
        For each check: title, columns, rows (cells as text, the name first); with hidden voxels png (base64) and its
        alternative text.
    """
    out = []
    for check in checks:
        columns = list(dict.fromkeys(name for found in check["candidates"].values() for name in found))
        rows = [[name, *(_text(found.get(c)) for c in columns)] for name, found in check["candidates"].items()]
        out.append({"title": check["title"], "columns": columns, "rows": rows})
        if "measured" not in check:
            continue
        png = base64.b64encode(draw_hidden(check["measured"], check["result"], check["sd"], unit)).decode("ascii")
        inside = np.abs(np.subtract(check["measured"], check["result"])) <= Z90 * np.asarray(check["sd"])
        alt = (
            f"{inside.size} hidden voxels, result against measured value; bars of {Z90} SD hold {inside.sum()}, as the "
            "SD was set so that they hold nine of ten"
        )
        out[-1] |= {"png": png, "alt": alt}
    return out


def _text(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def draw_hidden(measured: Sequence[float], result: Sequence[float], sd: Sequence[float], unit: str) -> bytes:
    """Plot the result of hidden voxels, with bars of 1.645 standard deviations, against what was measured in them.

    Args:
        measured: (N,) values, in the map's unit.
        result: (N,) what the estimator made of them.
        sd: (N,) its standard deviation.
        unit: unit at the axes.

    Returns:
        The picture as PNG.
    """
    figure = Figure(figsize=(SIDE, SIDE), layout=None)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.21, 0.15, 0.76, 0.82))
    ends = [min(0.0, *measured, *result), max(*measured, *result)]
    axes.plot(ends, ends, color=MEASURED, linewidth=1)
    axes.errorbar(measured, result, Z90 * np.asarray(sd), fmt=".", color=RESULT, ecolor=RESULT + "50", elinewidth=0.8)
    axes.set_xlabel(f"measured ({unit})")
    axes.set_ylabel(f"result ({unit})")
    axes.set_ylim(ends[0] - 0.05 * (ends[1] - ends[0]), ends[1] + 0.15 * (ends[1] - ends[0]))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
