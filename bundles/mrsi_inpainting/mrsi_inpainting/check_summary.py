"""What the check on hidden voxels found, in words and figures for the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from mrsikit.restoration.inpainting.session_fill import CORRELATION, FEWEST_HIDDEN, FILLED, HIDDEN

MOST_SHOWN = 200
"""Hidden voxels that the record keeps for the report."""
STATES = ("all", "some", "none")


def summary_of(checks: Sequence[Mapping[str, Any]], others: str) -> dict[str, Any]:
    """Return the columns of the summary for the checks of an input's maps.

    Args:
        checks: record of each map, see :class:`mrsikit.restoration.inpainting.session_fill.Filled`; empty for a map in
            which nothing was filled.
        others: names of the other maps of the session.
    """
    done = [check for check in checks if check]
    states = [(state, check[state]) for check in done for state in STATES if state in check]
    shares = {state: _shares([found for s, found in states if s == state]) for state, _ in states}
    chosen = [f"{share} ({_known_by(state)})" if others else share for state, share in shares.items()]
    errors = [found["error / variance"] for _, found in states]
    return {
        "other maps (correlation)": _correlations(done, others) if states else "",
        "filled by": "; ".join(sorted(chosen)) or ("kriging and network alike, not checked" if done else ""),
        "hidden voxels": sum(check.get("checked on", 0) for check in done),
        "check: error / variance": _mean([e[FILLED] for e in errors]),
        **{f"check: {name}": _mean([e[name] for e in errors if name in e]) for name in ("kriging", "biharmonic")},
    }


def check_records(checks: Sequence[Mapping[str, Any]], others: str) -> list[dict[str, Any]]:
    """Return what the report shows of the checks of an input's maps, one entry for each map and state of the others.

    Args:
        checks: see :func:`summary_of`.
        others: names of the other maps of the session.
    """
    out = []
    for number, check in enumerate(checks, start=1):
        for state in (s for s in STATES if s in check):
            found, errors = check[state], check[state]["error / variance"]
            which = f"map {number}, " if len(checks) > 1 else ""
            known = f" where {state} of the other maps are known" if others or len(checks) > 1 else ""
            hidden = np.stack(found[HIDDEN])
            hidden = hidden[:, np.isfinite(hidden).all(0)]
            chosen = np.linspace(0, hidden.shape[1] - 1, min(MOST_SHOWN, hidden.shape[1])).astype(int)
            measured, result, sd = hidden[:, chosen]
            candidates = {
                name: {"share": found["weights"].get(name), "squared error / variance": error}
                for name, error in errors.items()
            }
            out.append(
                {
                    "title": f"The check: {which}{found['voxels']} voxels filled{known}, "
                    f"{check['checked on']} hidden (effective number {found['n_eff']:.0f})",
                    "candidates": candidates,
                    "measured": [float(f"{value:.4g}") for value in measured],
                    "result": [float(f"{value:.4g}") for value in result],
                    "sd": [float(f"{value:.4g}") for value in sd],
                }
            )
    return out


def _correlations(checks: Sequence[Mapping[str, Any]], others: str) -> str:
    """Name the other maps, each with the correlation of its innovations with those of the one map that was filled."""
    names = others.split(", ") if others else []
    found = checks[0].get(CORRELATION, []) if len(checks) == 1 else []
    if len(found) != len(names):
        return others
    return ", ".join(f"{name} {correlation:.2f}" for name, correlation in zip(names, found, strict=True))


def _shares(found: Sequence[Mapping[str, Any]]) -> str:
    """Name the candidates with their mean shares over the maps, the largest first."""
    names = dict.fromkeys(name for state in found for name in state["weights"])
    shares = {name: sum(state["weights"].get(name, 0.0) for state in found) / len(found) for name in names}
    most = sorted(shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{100 * share:.0f} % {name}" for name, share in most if share >= 0.01)


def _known_by(state: str) -> str:
    return f"{state} of the other maps known"


def _mean(values: Sequence[float]) -> float | str:
    return round(sum(values) / len(values), 4) if values else ""


def check_warnings(checks: Sequence[Mapping[str, Any]], missing: Tensor, calibrated: Tensor) -> list[str]:
    """Return warnings about what the check does not reach.

    Args:
        checks: see :func:`summary_of`.
        missing: bool, the filled voxels.
        calibrated: bool, those of them that are like the voxels of the check.
    """
    count, outside = int(missing.sum()), int((missing & ~calibrated.bool()).sum())
    if not count:
        return []
    if not any(state in check for check in checks for state in STATES):
        hidden = sum(check.get("checked on", 0) for check in checks)
        why = (
            f"only {hidden} known voxels could be hidden, {FEWEST_HIDDEN} are needed"
            if hidden
            else "no voxel was hidden"
        )
        return [f"the fill was not checked on this map ({why}): do not rely on its standard deviation"]
    if not outside:
        return []
    return [
        f"{outside} of {count} filled voxels are not like the hidden ones on which the fill was checked: their value "
        "and its standard deviation, which was doubled, were not checked (0 in the file _calibrated)"
    ]
