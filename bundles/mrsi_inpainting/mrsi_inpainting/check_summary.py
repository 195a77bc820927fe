"""What the check on hidden voxels found, in words and figures for the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

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
    chosen = {f"{found['filled by']} ({_known_by(state)})" if others else found["filled by"] for state, found in states}
    errors = [found["error / variance"] for _, found in states]
    return {
        "other maps": others if states else "",
        "filled by": "; ".join(sorted(chosen)) or ("kriging, not checked" if done else ""),
        "hidden voxels": sum(check.get("checked on", 0) for check in done),
        "check: error / variance": _mean([e[f["filled by"]] for e, (_, f) in zip(errors, states, strict=True)]),
        **{f"check: {name}": _mean([e[name] for e in errors if name in e]) for name in ("kriging", "biharmonic")},
    }


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
        return ["the fill was not checked on this map: too few voxels are known, or --check false"]
    if not outside:
        return []
    return [
        f"{outside} of {count} filled voxels are not like the hidden ones on which the fill was checked: do not rely "
        "on their standard deviation, which was doubled (0 in _calibrated)"
    ]
