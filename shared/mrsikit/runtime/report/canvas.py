"""A sheet of images, colour bars and words, all on one matplotlib Axes: each Axes more costs as much as ten images."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

MISSING_COLOUR = "#8c8c8c"  # a grey that is in no colour map
OUTLINE_COLOUR = "#00e5ff"  # cyan stands out from every colour of inferno
DPI, BAR_WIDTH, TICK, LETTER, ARROW = 110, 0.12, 0.035, 0.15, 0.1  # inches but for the first
OPACITY = 0.5  # of a map over an MRI
TICKS, STEPS, DIGIT = 5, (1, 2, 2.5, 5, 10), 0.065


@dataclass(frozen=True)
class Box:
    """A rectangle on the sheet, in inches from the upper left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, lower and upper edge, as ``imshow`` takes them."""
        return self.left, self.left + self.width, self.top + self.height, self.top

    @property
    def corners(self) -> list[tuple[float, float]]:
        """The four corners (x, y)."""
        left, right, bottom, top = self.extent
        return [(left, top), (right, top), (right, bottom), (left, bottom)]

    def fitted(self, ratio: float) -> Box:
        """The largest box of a ratio of height to width in the middle of this one."""
        width = min(self.width, self.height / ratio)
        height = width * ratio
        return Box(self.left + (self.width - width) / 2, self.top + (self.height - height) / 2, width, height)


@dataclass
class Canvas:
    """A sheet of paper.

    Args:
        width: in inches.
        height: in inches.
    """

    width: float
    height: float
    _seams: list[NDArray[np.floating]] = field(default_factory=list)
    _edges: list[list[tuple[float, float]]] = field(default_factory=list)
    _shades: list[list[tuple[float, float]]] = field(default_factory=list)
    _letters: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the sheet."""
        self.figure = Figure(figsize=(self.width, self.height))
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1), xlim=(0, self.width), ylim=(self.height, 0), autoscale_on=False)
        self.axes.set_axis_off()

    def image(
        self,
        values: NDArray[np.floating],
        box: Box,
        colours: str,
        window: tuple[float, float],
        *,
        under: NDArray[np.floating] | None = None,
    ) -> None:
        """Draw an image (rows from the top, columns); NaN is grey.

        Args:
            values: the image.
            box: its place.
            colours: name of a matplotlib colour map.
            window: value of the first and of the last colour.
            under: image of the same place that shows through where the values are neither zero nor NaN, and alone
                where they are; None: none.
        """
        solid: dict[str, Any] = {"extent": box.extent, "aspect": "auto", "interpolation": "nearest"}
        opacity = None
        if under is not None:
            grey = colormaps["gray"].with_extremes(bad=MISSING_COLOUR)
            self.axes.imshow(under, cmap=grey, vmin=0, vmax=float(np.nanpercentile(under, 99.5)) or 1.0, **solid)
            opacity = np.where(np.isfinite(values) & (values != 0), OPACITY, 0.0)
        self.axes.imshow(values, cmap=_map(colours), vmin=window[0], vmax=window[1], alpha=opacity, **solid)
        self._edges.append(box.corners)

    def outline(self, lines: NDArray[np.floating], shape: tuple[int, ...], box: Box) -> None:
        """Draw lines (N, 2, 2) of points (x, y) in columns and rows of an image (rows, columns) in its box."""
        if len(lines):
            step = np.array([box.width / shape[1], box.height / shape[0]])
            self._seams.extend((lines + 0.5) * step + (box.left, box.top))

    def text(self, x: float, y: float, words: str, size: float, **options: Any) -> None:
        """Write words at a place (inches)."""
        self.axes.text(x, y, words, fontsize=size, **options)

    def directions(self, letters: tuple[str, str, str, str], box: Box) -> None:
        """Write the directions of the left, right, lower and upper edge of an image on dark ground."""
        left, right, bottom, top = box.extent
        across, down, half = (left + right) / 2, (top + bottom) / 2, LETTER / 2 + 0.03
        places = (left + half, down), (right - half, down), (across, bottom - half), (across, top + half)
        for (x, y), letter in zip(places, letters, strict=True):
            self._shades.append(Box(x - LETTER / 2, y - LETTER / 2, LETTER, LETTER).corners)
            self._letters.append(_letter(letter, x, y))

    def colour_bar(
        self, box: Box, colours: str, window: tuple[float, float], unit: str, *, below: bool, above: bool
    ) -> None:
        """Draw a colour bar with its numbers and unit, and an arrow at an end beyond which values lie.

        Args:
            box: its place, numbers and unit included.
            colours: name of a matplotlib colour map.
            window: value of the first and of the last colour.
            unit: of the values.
            below: whether there are values below the window.
            above: whether there are values above it.
        """
        bar = Box(box.left, box.top + ARROW * above, BAR_WIDTH, box.height - ARROW * (above + below))
        left, right, bottom, top = bar.extent
        gradient = np.linspace(1, 0, 256)[:, None]
        self.axes.imshow(gradient, cmap=colours, vmin=0, vmax=1, extent=bar.extent, aspect="auto")
        for there, edge, tip, end in ((below, bottom, bottom + ARROW, 0.0), (above, top, top - ARROW, 1.0)):
            if there:
                self.axes.fill([left, right, (left + right) / 2], [edge, edge, tip], color=colormaps[colours](end))
        middle = (left + right) / 2
        outline = [(left, top), *[(middle, top - ARROW)] * above, (right, top)]
        self._edges.append([*outline, (right, bottom), *[(middle, bottom + ARROW)] * below, (left, bottom)])
        low, high = window
        slack = 1e-9 * (high - low)
        values = [v for v in MaxNLocator(TICKS, steps=STEPS).tick_values(low, high) if low - slack <= v <= high + slack]
        numbers = [f"{0.0 if abs(value) < slack else value:.4g}" for value in values]
        for value, number in zip(values, numbers, strict=True):
            y = bottom - (value - low) / (high - low) * bar.height
            self._edges.append([(right, y), (right + TICK, y)])
            self.text(right + 1.6 * TICK, y, number, 7, va="center")
        x = right + 2 * TICK + DIGIT * max(map(len, numbers), default=0)
        self.text(x, (top + bottom) / 2, unit, 8, rotation="vertical", ha="left", va="center")

    def png(self) -> bytes:
        """The sheet as PNG."""
        for colour, line_width in (("black", 2.4), (OUTLINE_COLOUR, 1.1)):  # a dark seam, visible on pale tissue
            lines = LineCollection(self._seams, colors=colour, linewidths=line_width, capstyle="projecting", zorder=3)
            self.axes.add_collection(lines, autolim=False)
        edges = PolyCollection(self._edges, facecolors="none", edgecolors="black", linewidths=0.8, zorder=4)
        shades = PolyCollection(self._shades, facecolors="black", alpha=0.5, linewidths=0, zorder=5)
        self.axes.add_collection(edges, autolim=False)
        self.axes.add_collection(shades, autolim=False)
        if self._letters:
            letters = PathPatch(Path.make_compound_path(*self._letters), facecolor="white", linewidth=0, zorder=6)
            self.axes.add_artist(letters)  # add_patch would measure every curve
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()


def _map(colours: str) -> Colormap:
    return colormaps[colours].with_extremes(bad=MISSING_COLOUR)


@functools.cache
def _shape(letter: str) -> Path:
    """Shape of a letter around its middle, y downwards: a path costs a tenth of a text."""
    path = TextPath((0, 0), letter, size=9 / 72, prop=FontProperties(weight="bold"))
    middle = path.get_extents().get_points().mean(axis=0)
    return Path((np.asarray(path.vertices) - middle) * (1, -1), path.codes)


def _letter(letter: str, x: float, y: float) -> Path:
    shape = _shape(letter)
    return Path(np.asarray(shape.vertices) + (x, y), shape.codes)
