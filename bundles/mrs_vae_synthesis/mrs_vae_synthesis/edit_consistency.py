"""Check the edits of transients against each other, where no template is known: before a training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mrs_vae_synthesis.matched_filter import in_band, matched, turned, without_water
from mrs_vae_synthesis.nifti_sessions import ordered_edits
from mrs_vae_synthesis.sessions import Sessions

FEWEST = 8
"""Fewest transients that are judged."""

CLEAR, APART = 0.9, 0.3
"""Share of transients that are nearer to the others of their group, and difference of the groups' means over their
size, from which on two groups are of two edits. NAA alone sets ON and OFF further apart."""

AGREE = 0.8
"""Share of transients on which the edits that are named must agree with those that are seen."""


def edit_problem(session: Sessions) -> str | None:
    """Say that the edits of a session (S = 1) are not those that its transients show.

    The transients are aligned and parted in two groups: in turn, in blocks, and two by two. If each is clearly nearer
    to the others of its group, the groups are the edits.
    """
    fids, on = session.fids[0], session.on[0]
    if len(fids) < FEWEST:
        return None
    about = (session.dwell, session.larmor, session.reference)
    dry = in_band(without_water(fids, *about), *about)
    phase, shift, _ = matched(dry, dry[:1].expand_as(dry), session.dwell)
    rows = turned(dry, -phase, -shift.double(), session.dwell)
    at = torch.arange(len(rows))
    groups = {
        "in turn": ordered_edits(len(rows), "on_off_interleaved"),
        "in blocks": ordered_edits(len(rows), "on_off_blocks"),
        "two by two": at % 4 < 2,
    }
    for words, group in groups.items():
        near, apart = _nearer(rows, group)
        agreement = float((group == on).float().mean())
        if near > CLEAR and apart > APART and 1 - AGREE < agreement < AGREE:
            return f"has two edits {words}, not the ON and OFF of EditCondition or --edit_order; correct them"
    return None


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
