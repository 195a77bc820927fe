"""The figure of ``regions.csv``: mean and standard deviation of each region, a panel for each metabolite and ratio."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

IMPUTED = 0.1
"""A dot is open if more than this share of its region was imputed."""

NEEDED = ("map", "case", "metabolite", "ratio", "label", "name", "SD", "share imputed")
COLUMNS, WIDTH, HEIGHT, DPI = 3, 4.6, 3.2, 90
OFFSET = 0.6
"""Width over which the dots of several cases stand side by side, in distances of two regions."""

CAPTION = (
    "From regions.csv: mean and standard deviation of the voxels of each region, a dot for each case. Open dots: more "
    f"than {IMPUTED:.0%} of the region was imputed. Regions without a voxel have no dot."
)


def draw_regions(table: Path) -> bytes:
    """Draw the table that :func:`mrsikit.runtime.region_table.write_region_table` wrote.

    Args:
        table: ``regions.csv``.

    Returns:
        The picture as PNG; empty if no region has a voxel, or if the file is another table.
    """
    with table.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("mean")]
    if not rows or not set(NEEDED) <= set(rows[0]):
        return b""
    names = [row["ratio"] or row["metabolite"] or row["map"] for row in rows]
    panels, cases = list(dict.fromkeys(names)), list(dict.fromkeys(row["case"] for row in rows))
    labels = {int(row["label"]): row["label"] for row in rows}
    labels = dict(sorted((labels | {int(row["label"]): row["name"] for row in rows if row["name"]}).items()))
    across = min(COLUMNS, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(WIDTH * across, HEIGHT * down), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, axes in zip(panels, figure.subplots(down, across, squeeze=False).flat, strict=False):
        for row in (row for row, name in zip(rows, names, strict=True) if name == panel):
            beyond = (cases.index(row["case"]) + 0.5) / len(cases) - 0.5
            place = list(labels).index(int(row["label"])) + OFFSET * beyond
            face = "white" if float(row["share imputed"] or 0) > IMPUTED else "C0"
            axes.errorbar(place, float(row["mean"]), float(row["SD"]), fmt="o", color="C0", markerfacecolor=face)
        axes.set_title(panel)
        axes.set_xticks(range(len(labels)), list(labels.values()), rotation=20, ha="right")
        axes.set_xlim(-0.5, len(labels) - 0.5)
    for axes in figure.axes[len(panels) :]:
        axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
