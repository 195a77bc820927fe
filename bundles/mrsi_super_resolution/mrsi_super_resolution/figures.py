"""The figure of one input in the report: as measured, sharpened, and its standard deviation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mrsikit.io import InputFolder, read_map, stem_of
from mrsikit.io.readers import read_codes
from mrsikit.report import Panel, draw_case

PANELS = (
    Panel(title="as measured", image="input"),
    Panel(title="sharpened", image="sr"),
    Panel(title="standard deviation", image="uncertainty", window="uncertainty", colour_map="viridis"),
)


def draw_fine(inputs: InputFolder, path: Path, *, unit: str = "map units") -> bytes:
    """Draw one map from its outputs, the coarse voxels as large as they are.

    Args:
        inputs: of the run.
        path: the input.
        unit: of the map.

    Returns:
        The picture, PNG.
    """
    coarse, _ = read_map(path)
    shown = {}
    for name in ("sr", "uncertainty"):
        shown[name], affine = read_map(inputs.output_path(stem_of(path), name))
    # that of the run that made the outputs, which need not be this one
    factor = shown["sr"].shape[0] // coarse.shape[0]
    coarse = np.where(np.isfinite(coarse), coarse, np.nan)
    shown["input"] = coarse.repeat(factor, 0).repeat(factor, 1)
    return draw_case(shown, affine, panels=PANELS, unit=unit, oriented=read_codes(path) != (0, 0))
