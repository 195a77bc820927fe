"""The acquisition of a file: the model of its FIDs, and the names of the maps made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mrsikit.io import InputError
from mrsikit.physics.fid_model import FidModel
from mrsikit.physics.nuclei import NUCLEI


def nearest_lines(ppm: Sequence[float]) -> float:
    """Smallest distance (ppm) of two lines; that of the nucleus's range if there is one line."""
    ordered = sorted(ppm)
    return min((b - a for a, b in zip(ordered[:-1], ordered[1:], strict=True)), default=2.0)


def output_names(metabolites: Sequence[str], *, prior: bool = False) -> list[str]:
    """Suffixes of the maps that are always written, or (``prior``) of what only some runs write."""
    others = list(metabolites)[1:]
    if prior:
        return ["fit", f"{metabolites[0]}_amplitude_bias", *(f"{name}_bias" for name in others)]
    amplitudes = [f"{name}_amplitude{what}" for name in metabolites for what in ("", "_sd")]
    ratios = [f"{name}{what}" for name in others for what in ("", "_sd")]
    return [*amplitudes, *ratios, "shift", "linewidth", "quality"]


def fid_model(
    meta: Mapping[str, Any],
    points: int,
    *,
    metabolites: Sequence[str],
    t2_star: Mapping[str, float],
    delay: float | None,
) -> FidModel:
    """Model of a file's FIDs.

    Args:
        meta: of a MetaTensor read by :class:`mrsikit.io.NiftiMRSReader`.
        points: samples of a FID.
        metabolites: names in the nucleus's table.
        t2_star: relaxation times (s) that replace those of the table.
        delay: from excitation to the first sample (s), None: the file's, or 0.

    Raises:
        InputError: the nucleus or a metabolite is unknown.
    """
    nucleus = NUCLEI.get(str(meta["nucleus"]))
    if nucleus is None or not nucleus.resonances:
        raise InputError(f"nucleus {meta['nucleus']} has no metabolites here; give 2H data")
    unknown = [name for name in metabolites if name not in nucleus.resonances]
    if unknown:
        raise InputError(f"{', '.join(unknown)}: not in the table of {nucleus.name}: {', '.join(nucleus.resonances)}")
    larmor, dwell = float(meta["larmor"]), float(meta["dwell"])
    reference, stored = float(meta["reference"]), float(meta["delay"])
    known = [nucleus.resonances[name] for name in metabolites]
    tesla = nucleus.field_of(larmor)
    return FidModel(
        ppm=[line.ppm for line in known],
        t2_star=[t2_star.get(line.name) or line.t2_star_at(tesla) for line in known],
        larmor=larmor,
        reference=nucleus.reference if math.isnan(reference) else reference,
        dwell=dwell,
        points=points,
        delay=delay if delay is not None else 0.0 if math.isnan(stored) else stored,
    )
