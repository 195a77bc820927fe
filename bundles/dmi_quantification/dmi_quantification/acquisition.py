"""What describes an acquisition and what is asked of it: the model of its FIDs, and the options of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mrsikit.io import InputError
from mrsikit.io.fid_checks import LONGEST_DELAY
from mrsikit.nuclei import NUCLEI
from mrsikit.synthesis.fid import FidModel

METABOLITES = ("water", "Glc", "Glx", "Lac")
"""Of the config."""


def option_problems(
    metabolites: Sequence[str],
    *,
    t2_star: object = None,
    factors: object = None,
    delay: object = None,
    max_shift: object = 0.4,
    prior_strength: object = 1.0,
    water_mM: object = None,  # noqa: N803 (the unit)
    nucleus: str = "2H",
) -> list[str]:
    """Say what is wrong with the options of a run.

    Args:
        metabolites: to fit.
        t2_star: times (s) by metabolite.
        factors: by metabolite.
        delay: (s), or None.
        max_shift: (ppm).
        prior_strength: not below zero.
        water_mM: or None.
        nucleus: whose table must know the metabolites.

    Returns:
        A line a problem, with what would be right.
    """
    known = NUCLEI[nucleus].resonances if nucleus in NUCLEI else {}
    if not known:
        return [f"nucleus {nucleus}: has no metabolites here; give 2H data"]
    if isinstance(metabolites, str) or not metabolites:
        return [f"--metabolites {metabolites}: is no list; give for example \"['water','Glc']\""]
    problems = [
        f"--metabolites {name}: is not in the table of {nucleus}; it holds {', '.join(known)}"
        for name in metabolites
        if name not in known
    ]
    if problems:
        return problems
    if len(set(metabolites)) < len(metabolites):
        problems.append(f"--metabolites {metabolites}: names one twice")
    for option, values, high in (("t2_star", t2_star or {}, 2.0), ("factors", factors or {}, math.inf)):
        if not isinstance(values, Mapping):
            problems.append(f"--{option} {values}: is no table; give for example \"{{'{metabolites[-1]}':0.05}}\"")
            continue
        for name, value in values.items():
            if name not in metabolites:
                problems.append(f"--{option} {name}: is none of the metabolites {', '.join(metabolites)}")
            elif not _is_number(value) or not 0 < value < high:
                unit = " of seconds" if option == "t2_star" else ""
                problems.append(f"--{option} {name} {value}: is no number{unit} above 0 and below {high:g}")
    if delay is not None and not (_is_number(delay) and 0 <= delay < LONGEST_DELAY):  # type: ignore[operator]
        problems.append(f"--delay {delay}: is no number of seconds from 0 to {LONGEST_DELAY:g}; for example 0.0006")
    if not (_is_number(prior_strength) and prior_strength >= 0):  # type: ignore[operator]
        problems.append(f"--prior_strength {prior_strength}: is no number from 0 on; 0 switches the prior off")
    limit = nearest_lines([known[name].ppm for name in metabolites]) / 2
    if not (_is_number(max_shift) and 0 < max_shift < limit):  # type: ignore[operator]
        problems.append(
            f"--max_shift {max_shift}: is no number of ppm above 0 and below {limit:g}, half the distance of two lines"
        )
    if water_mM is not None and metabolites[0] != "water":
        problems.append(f"--water_mM {water_mM}: the first metabolite is {metabolites[0]}, not water")
    return problems


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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
