"""Check the edits of transients against each other, where no template is known: before a training."""

from __future__ import annotations

import math
from typing import get_args

import torch
from torch import Tensor

from mrs_vae_synthesis.matched_filter import in_band, matched, turned, without_water
from mrs_vae_synthesis.nifti_sessions import EditOrder, ordered_edits
from mrs_vae_synthesis.sessions import Sessions

FEWEST = 8
"""Fewest transients that are judged."""

MISLABELLED = 0.2
"""Share of transients that are nearer to those of the other edit from which on their edits are wrong."""

APART = 0.3
"""Difference of the means of two groups, over their size, from which on they are of two edits; NAA alone gives more."""


def edit_problem(session: Sessions) -> str | None:
    """Say that the edits of a session (S = 1) are not those that its transients show.

    The transients are aligned, and each is compared with the means of the others of its own edit and of the other one.
    """
    fids, on = session.fids[0], session.on[0]
    if len(fids) < FEWEST:
        return None
    about = (session.dwell, session.larmor, session.reference)
    dry = in_band(without_water(fids, *about), *about)
    phase, shift, _ = matched(dry, dry[:1].expand_as(dry), session.dwell)
    rows = turned(dry, -phase, -shift.double(), session.dwell)
    looks = {order: _nearer(rows, ordered_edits(len(rows), order)) for order in _ORDERS}
    likely = [order for order, (share, apart) in looks.items() if share > 1 - MISLABELLED / 2 and apart > APART]
    if not on.any():
        if not likely:
            return None
        swapped = likely[0].replace("on_off", "off_on")
        return f"looks as if ON and OFF were {_words(likely[0])}; set --edit_order {likely[0]} or {swapped}"
    if on.all() or _nearer(rows, on)[0] > 1 - MISLABELLED:
        return None
    hint = f", which look {_words(likely[0])}" if likely else ""
    return f"does not have the edits of its header or of --edit_order: ON are not like ON, OFF not like OFF{hint}"


_ORDERS: tuple[EditOrder, ...] = tuple(order for order in get_args(EditOrder) if order.startswith("on_"))
"""Orders that part the transients in two groups; those that begin with OFF part them alike."""


def _words(order: str) -> str:
    return "in turn" if order.endswith("interleaved") else "in blocks"


def _nearer(rows: Tensor, on: Tensor) -> tuple[float, float]:
    """Share of transients (N, T) nearer to the others of their edit, and the distance of the two edits' means."""
    sums = {edit: rows[on == edit].sum(0) for edit in (True, False)}
    counts = {edit: int((on == edit).sum()) for edit in (True, False)}
    if min(counts.values()) < 2:
        return 1.0, 0.0
    near = []
    for row, edit in zip(rows, on.tolist(), strict=True):
        own = (sums[edit] - row) / (counts[edit] - 1)
        other = sums[not edit] / counts[not edit]
        near.append(float(torch.linalg.vector_norm(row - own) < torch.linalg.vector_norm(row - other)))
    one, other = (sums[edit] / counts[edit] for edit in (True, False))
    size = math.sqrt(0.5 * float(one.abs().square().sum() + other.abs().square().sum()))
    return sum(near) / len(near), float(torch.linalg.vector_norm(one - other)) / max(size, 1e-30)
