"""The options of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dmi_quantification.acquisition import nearest_lines
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.runtime.fid_checks import LONGEST_DELAY

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
