"""Measured sessions as a network takes them, and what keeps a file from being one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from torch import Tensor

from mrs_vae_synthesis.alignment import similarities
from mrs_vae_synthesis.conversion import acquisition_of, conversion_problems, conversion_warnings, converted
from mrs_vae_synthesis.metabolite_signal import reference_problem
from mrs_vae_synthesis.nifti_sessions import laid_out, ordered_edits
from mrs_vae_synthesis.options import EditOrder
from mrs_vae_synthesis.sessions import Acquisition
from mrs_vae_synthesis.sign import ALIKE, find_sign
from mrsikit.fitting.sign_test import SignTest, sign_warnings
from mrsikit.io import Fids, InputError, read_fids
from mrsikit.runtime.options import Sign

FEWEST = 2
"""Fewest transients of each edit that a measured session must hold, for the default network."""

MISLABELLED = 0.2
"""Share of transients that look like the other edit from which on a session is refused; noise alone mistakes fewer."""


@dataclass(frozen=True, kw_only=True)
class MeasuredSession:
    """A measured session.

    Attributes:
        fids: (N, T) transients, converted to the network's acquisition.
        on: (N,) whether each is ON.
        sign: what the FIDs say of their sign.
        warnings: what was done to the FIDs that the user must know.
    """

    fids: Tensor
    on: Tensor
    sign: SignTest
    warnings: tuple[str, ...]


def measured_session(
    fids: Fids,
    known: Acquisition,
    templates: Tensor,
    name: str | Path,
    *,
    edit_order: EditOrder = "header",
    sign: Sign = "auto",
) -> MeasuredSession:
    """Lay FIDs out as transients, give them NIfTI-MRS's sign, and convert them to the network's acquisition.

    Args:
        fids: FIDs as read from a file or given from Python.
        known: acquisition that the network was trained on.
        templates: (2, 2 T) templates of the network.
        name: name of the file, for the messages.
        edit_order: as of :func:`mrs_vae_synthesis.nifti_sessions.laid_out`.
        sign: of the FIDs: "standard", NIfTI-MRS's; "conjugate", the other; "auto": that which the FIDs say.

    Raises:
        InputError: the FIDs are no transients of one voxel, or their edits cannot be known.
    """
    values, on = laid_out(fids, name, edit_order)
    own = acquisition_of(fids, known)
    test = find_sign(values, own, known, templates) if sign == "auto" else SignTest(finding=sign, given=True)
    if test.finding == "conjugate":
        values = values.conj().resolve_conj()
    warnings = [
        *sign_warnings(test, reference=own.reference, result="synthetic transients"),
        *conversion_warnings(own, known),
    ]
    count, rarer = len(on), min(int(on.sum()), int((~on).sum()))
    if 0 < rarer < count - rarer:
        warnings.append(f"of its {count} transients {int(on.sum())} are ON: a reconstruction holds {rarer} pairs")
    return MeasuredSession(fids=converted(values, own, known), on=on, sign=test, warnings=tuple(warnings))


def session_problems(
    path: str | Path,
    known: Acquisition,
    templates: Tensor,
    *,
    edit_order: EditOrder = "header",
    sign: Sign = "auto",
    fewest: int = FEWEST,
) -> list[str]:
    """List what keeps a file from being a session of the protocol that a network was trained on.

    Args:
        path: NIfTI-MRS file.
        known: acquisition that the network was trained on.
        templates: (2, 2 T) templates of the network.
        edit_order: as of :func:`measured_session`.
        sign: as of :func:`measured_session`.
        fewest: fewest transients of each edit.
    """
    given: dict[str, Any] = {"edit_order": edit_order, "sign": sign, "fewest": fewest}
    try:
        return acquisition_problems(read_fids(path), known, templates, path, **given)
    except InputError as error:
        return [str(error)]


def acquisition_problems(
    fids: Fids,
    known: Acquisition,
    templates: Tensor,
    name: str | Path,
    *,
    edit_order: EditOrder = "header",
    sign: Sign = "auto",
    fewest: int = FEWEST,
) -> list[str]:
    """List what keeps FIDs from being a session of the protocol that a network was trained on; see above."""
    if fids.nucleus != "1H":
        return [f"{name}: is of nucleus {fids.nucleus}; give 1H"]
    if not np.isfinite(fids.values).all():
        return [f"{name}: holds NaN or infinity; leave such transients out"]
    if problems := conversion_problems(acquisition_of(fids, known), known):
        return [f"{name}: {problem}" for problem in problems]
    try:
        values, on = laid_out(fids, name, edit_order)
        if not (values.abs().amax(-1) > 0).all():
            return [f"{name}: holds transients that are zero throughout; leave them out"]
        if len(values) < fewest * (1 + known.edited):
            return [
                f"{name}: holds {len(values)} transients; give at least {fewest} of each edit, before they are averaged"
            ]
        session = measured_session(fids, known, templates, name, edit_order=edit_order, sign=sign)
    except InputError as error:
        return [str(error)]
    if session.sign.finding == "real":
        return [f"{name}: holds real data stored as complex, so every line has a mirror image; give both channels"]
    if problem := reference_problem(session.fids, known.dwell, known.larmor, known.reference):
        return [f"{name}: {problem}"]
    alike = similarities(templates, known, session.fids)
    found = [_lines_problem(alike, session.sign), _edit_problem(alike, on, known, fewest)]
    if not known.edited:  # an edit that it does not know has no lines either
        found.reverse()
    return [f"{name}: {problem}" for problem in found if problem is not None][:1]


def _lines_problem(alike: Tensor, sign: SignTest) -> str | None:
    """Say that transients with similarities (N, 2) to OFF and ON have no lines where the network knows them."""
    best = float(alike.amax(1).median())
    if best >= ALIKE:
        return None
    what = f"has no lines where the network knows them ({best:.0%} alike): "
    if sign.finding == "reference":
        return f"{what}they fit with {sign.reference:.1f} ppm at zero frequency; correct SpecFreqChemShift"
    return f"{what}is the FID conjugated, of another region or sequence, or SpecFreqChemShift wrong?"


def _edit_problem(alike: Tensor, on: Tensor, known: Acquisition, fewest: int) -> str | None:
    """Say that the edits (N,) are not those of transients with similarities (N, 2) to OFF and ON."""
    if not known.edited:
        unknown = ~alike.any(0)[on.long()]
        edit = "ON" if on[unknown].any() else "OFF"
        return f"holds transients {edit}, on which the network was not trained" if unknown.any() else None
    looks_on = alike[:, 1] > alike[:, 0]
    if on.all() or not on.any():
        missing = "OFF" if on.any() else "ON"
        return (
            f"names no transient {missing}, and the network was trained on ON and OFF; "
            f"set EditCondition in the header, or {_advice(looks_on)}"
        )
    if min(int(on.sum()), int((~on).sum())) < fewest:
        return f"holds {int(on.sum())} transients ON and {int((~on).sum())} OFF; give at least {fewest} of each"
    wrong = float((looks_on != on).float().mean())
    if wrong < MISLABELLED:
        return None
    if wrong > 1 - MISLABELLED:
        return "its ON looks like OFF and its OFF like ON; are EditCondition and --edit_order right?"
    return (
        f"{wrong:.0%} of its transients look like the other edit; correct EditCondition in the header, or "
        f"{_advice(looks_on)}"
    )


def _advice(looks_on: Tensor) -> str:
    """Name the order that transients (N,) which look ON or OFF are in."""
    for order in get_args(EditOrder)[1:]:
        if float((looks_on != ordered_edits(len(looks_on), order)).float().mean()) < MISLABELLED:
            return f"set --edit_order {order}, as which they look"
    return "set --edit_order, though they look like no order that it knows"
