"""Checks of the FIDs of one NIfTI-MRS file and of their companion files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsikit.io.errors import InputError
from mrsikit.io.nifti_mrs import Fids, read_fids
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.runtime.map_checks import problems_of_companions
from mrsikit.runtime.options import LONGEST_DELAY

FEWEST_POINTS = 32
DWELL = (1e-6, 0.1)
"""Shortest and longest plausible dwell time (s)."""

FIELDS = (0.2, 30.0)
"""Lowest and highest plausible field strength (T)."""


def fid_problems(item: Mapping[str, str], kinds: Mapping[str, str]) -> list[str]:
    """Check the FIDs of one NIfTI-MRS file and their companions.

    Args:
        item: ``{"image": path, <companion>: path, ...}``.
        kinds: kind of each companion, see :class:`mrsikit.runtime.InputFolder`.

    Returns:
        One line per problem: the file, what is wrong, and what would be right. Empty if there is no problem.
    """
    path = item["image"]
    try:
        fids = read_fids(path)
    except InputError as error:
        return [str(error)]
    problems = [f"{path}: {problem}" for problem in acquisition_problems(fids)]
    if problems:
        return problems
    return problems_of_companions(item, kinds, largest_magnitude(fids.values), fids.affine)


def largest_magnitude(values: NDArray[Any]) -> NDArray[Any]:
    """Largest magnitude (X, Y, Z) of FIDs (X, Y, Z, T[, ...]), which says where there is a signal."""
    return np.abs(values).reshape(*values.shape[:3], -1).max(-1)


def acquisition_problems(fids: Fids) -> list[str]:
    """Check FIDs and their acquisition parameters.

    Args:
        fids: FIDs (X, Y, Z, T[, ...]) as read from a file, or as given from Python.

    Returns:
        One line per problem: what is wrong and what would be right. Empty if there is no problem.
    """
    problems = []
    if not np.isfinite(fids.values).all():
        problems.append("holds NaN or infinity; set voxels without data to zero")
    elif not fids.values.any():
        problems.append("is zero in every sample; give measured FIDs")
    if fids.values.shape[3] < FEWEST_POINTS:
        problems.append(f"has FIDs of {fids.values.shape[3]} points; at least {FEWEST_POINTS} are needed")
    problems += _dwell_problems(fids)
    if fids.delay is not None and not 0 <= fids.delay < LONGEST_DELAY:
        problems.append(
            f"has an acquisition delay of {fids.delay:g} s in its header; give seconds, under {LONGEST_DELAY:g}"
        )
    nucleus = NUCLEI.get(fids.nucleus)
    if nucleus is None or not nucleus.resonances:
        known = ", ".join(name for name, entry in NUCLEI.items() if entry.resonances)
        problems.append(f"is of nucleus {fids.nucleus}; give {known}")
    elif not FIELDS[0] <= nucleus.field_of(fids.larmor) <= FIELDS[1]:
        field = nucleus.field_of(fids.larmor)
        problems.append(
            f"has a SpectrometerFrequency of {fids.larmor:g} MHz, which for {fids.nucleus} is {field:.3g} T; give MHz"
        )
    if sum(size > 1 for size in fids.values.shape[4:]) > 1:
        problems.append(
            f"has the axes {' x '.join(map(str, fids.values.shape[4:]))} after the fourth; give one, of time"
        )
    spare = [
        tag
        for tag, size in zip(fids.tags, fids.values.shape[4:], strict=True)
        if size > 1 and tag not in ("DIM_DYN", "DIM_MEAS", "DIM_USER_0", None)
    ]
    if spare:
        problems.append(f"has axes {', '.join(spare)}; combine coils and average first, time points go on DIM_DYN")
    return problems


def _dwell_problems(fids: Fids) -> list[str]:
    """Check the dwell time: it is plausible, and the bandwidth holds the nucleus's lines."""
    if not DWELL[0] <= fids.dwell <= DWELL[1]:
        unit = " (in ms?)" if DWELL[1] < fids.dwell < 1000 * DWELL[1] else ""
        return [f"has a dwell time of {fids.dwell:g} s{unit}; set pixdim[4] in seconds"]
    nucleus = NUCLEI.get(fids.nucleus)
    lines = [line.ppm for line in nucleus.resonances.values()] if nucleus is not None else []
    span = (max(lines) - min(lines)) * fids.larmor if lines else 0.0
    if nucleus is None or 1 / fids.dwell > span or nucleus.field_of(fids.larmor) > FIELDS[1]:
        return []
    return [
        f"has a bandwidth of {1 / fids.dwell:.4g} Hz, in which lines {span:.0f} Hz apart have no room: is the dwell "
        f"time of {fids.dwell:g} s in ms? set pixdim[4] in seconds"
    ]
