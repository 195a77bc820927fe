"""Report figure of one input: the measured map, super-resolved with and without its MRIs, the change, and ratios."""

from __future__ import annotations

import io
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image

from mrsikit.io import read_map
from mrsikit.io.readers import read_codes
from mrsikit.restoration.resampling import image_on_grid
from mrsikit.runtime import InputFolder
from mrsikit.runtime.provenance import read_record
from mrsikit.runtime.report import Panel, Picture, draw_case, view_of
from mrsikit.super_resolution.network import MRIS
from mrsikit.super_resolution.options import names_of
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd

PANELS = (
    Panel(title="as measured", image="input"),
    Panel(title="super-resolved", image="sr", sd="uncertainty"),
    Panel(title="super-resolved - interpolated", image="change", window="change", colour_map="RdBu_r", diverging=True),
    Panel(title="standard deviation", image="uncertainty", window="uncertainty", colour_map="viridis"),
)


def draw_fine(inputs: InputFolder, path: Path, *, unit: str = "map units", metabolites: object = None) -> Picture:
    """Draw one map, its outputs and its MRIs on the fine grid. Coarse voxels keep their true size.

    Args:
        inputs: inputs of the run.
        path: path of the input map.
        unit: unit of the map.
        metabolites: names of the maps, as :func:`mrsikit.super_resolution.options.names_of` takes them.

    Returns:
        The figure.
    """
    coarse, _ = read_map(path)
    own = inputs.name_of(path)
    shown = {}
    for name in ("sr", "uncertainty"):
        shown[name], affine = read_map(inputs.output_path(own, name))
    # Take the factor from the output files: another run may have made them.
    factors = [fine // n for fine, n in zip(shown["sr"].shape[:3], coarse.shape[:3], strict=True)]
    record = read_record(inputs.record_path(own))
    item = next(item for item in inputs.items() if Path(item["image"]) == Path(path))
    psf = record.get("parameters", {}).get("psf", "block")
    shown["change"] = shown["sr"] - _interpolated(item, factors, psf).reshape(shown["sr"].shape)
    coarse = np.where(np.isfinite(coarse), coarse, np.nan)
    for axis, factor in enumerate(factors):
        coarse = coarse.repeat(factor, axis)
    shown["input"] = coarse
    panels = list(PANELS)
    if inputs.output_path(own, "without_mri").exists():
        shown["without_mri"], _ = read_map(inputs.output_path(own, "without_mri"))
        panels.insert(2, Panel(title="without the MRI", image="without_mri"))
    mris = [name for name in MRIS if name in item]
    if mris:
        panels.append(Panel(title=f"where it lies in the {mris[0].upper()} (mixed colours)", image="sr", over=mris[0]))
    for name in mris:
        shown[name] = _on_grid(Path(item[name]), (*coarse.shape, 1)[:3], affine).reshape(coarse.shape[:3])
        panels.append(Panel(title=name.upper(), image=name, window=name, colour_map="gray", unit=""))
    # Move the slice axis, the one whose resolution did not change, to the end.
    across = factors.index(1) if len(factors) == 3 and 1 in factors[:2] else 2
    columns = [axis for axis in range(3) if axis != across] + [across, 3]
    shown = {name: np.moveaxis(values, across, 2) if values.ndim > 2 else values for name, values in shown.items()}
    affine = affine[:, columns]
    oriented = read_codes(path) != (0, 0)
    names = names_of(metabolites)
    names = names if len(names) == coarse.shape[-1] else []
    picture = draw_case(shown, affine, panels=panels, unit=unit, metabolites=names or None, oriented=oriented)
    stored = [panel for panel in panels if not panel.diverging]  # one can subtract what one can read
    view = view_of(shown, affine, panels=stored, unit=unit, metabolites=names or None, oriented=oriented)
    if not inputs.output_path(own, "ratio").exists():
        return Picture(png=picture, view=view)
    found = {"input": "ratio", "uncertainty": "ratio_uncertainty"}
    shown = {key: np.moveaxis(read_map(inputs.output_path(own, name))[0], across, 2) for key, name in found.items()}
    # Take the ratios' names from the record: another run may have made the file.
    names = str(record.get("summary", {}).get("ratios", "")).split(", ")
    panels = [
        Panel(title=names[0] if len(names) == 1 else "ratio", unit=""),
        Panel(title="standard deviation", image="uncertainty", window="uncertainty", colour_map="viridis", unit=""),
    ]
    names = names if shown["input"].ndim == 4 and len(names) == shown["input"].shape[3] else []
    below = draw_case(
        shown,
        affine,
        panels=panels,
        unit="",
        metabolites=names or None,
        oriented=oriented,
        grey="no value: no measured map, or a denominator lost in its deviation",
    )
    return Picture(png=_stacked(picture, below), view=view)


def _interpolated(item: Mapping[str, str], factors: Sequence[int], psf: str) -> np.ndarray:
    """Interpolate a map as the preprocessing does, in the order of axes of the file."""
    loaded: dict[Hashable, Any] = {}
    for name in ("image", "crlb"):
        if name in item:
            values, affine = read_map(Path(item[name]))
            volume = values if values.ndim == 4 else values[..., None]
            loaded[name] = MetaTensor(torch.from_numpy(np.moveaxis(volume, -1, 0)), affine=torch.from_numpy(affine))
    dims = 3 if len(factors) == 3 and min(factors) > 1 else 2
    done = PreprocessCoarseMapd("image", factor=max(factors), psf=psf, dims=dims)(loaded)
    starts = done["image"].as_tensor()[: len(loaded["image"])]
    scale = done["scale"].repeat_interleave(starts.shape[3] // done["scale"].shape[1], 1)
    return (starts * scale[:, None, None]).movedim(-1, 1 + done["slice_axis"]).movedim(0, -1).numpy()


def _on_grid(path: Path, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    values, own = read_map(path)
    image = MetaTensor(torch.from_numpy(values)[None], affine=torch.from_numpy(own))
    return image_on_grid(image, shape, torch.from_numpy(affine), points=(1, 1, 1))[0].numpy()


def _stacked(upper: bytes, lower: bytes) -> bytes:
    """Stack two PNGs, the second below the first."""
    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in (upper, lower)]
    out = Image.new("RGB", (max(i.width for i in images), sum(i.height for i in images)), "white")
    out.paste(images[0], (0, 0))
    out.paste(images[1], (0, images[0].height))
    buffer = io.BytesIO()
    out.save(buffer, format="png")
    return buffer.getvalue()
