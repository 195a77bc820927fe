"""Sessions in NIfTI-MRS: transients along DIM_DYN, ON and OFF along DIM_EDIT or along DIM_DYN too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from mrs_vae_synthesis.conversion import SAME_ECHO, SAME_FIELD, converted, dwell_at, points_at
from mrs_vae_synthesis.options import EditOrder
from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrsikit.io import Fids, InputError, read_fids
from mrsikit.physics.nuclei import NUCLEI

DYNAMICS = ("DIM_DYN", "DIM_MEAS", None)
EDITED = {"dim_6": "DIM_EDIT", "dim_6_header": {"EditCondition": ["ON", "OFF"]}}
"""Header entries for ON and OFF, in the order of :func:`by_edit`."""


def measured_sessions(paths: Sequence[Path], *, edit_order: EditOrder = "header", conjugate: bool = False) -> Sessions:
    """Read sessions from NIfTI-MRS files, and cut all to the fewest transients and points of any of them.

    All are converted to the Larmor frequency and the SpecFreqChemShift of the first file, and to the smallest spectral
    width.

    Args:
        paths: files.
        edit_order: as of :func:`laid_out`.
        conjugate: whether the files hold the conjugates of NIfTI-MRS's FIDs.

    Raises:
        InputError: a file cannot be read, or the files are not of one protocol.
    """
    read = [
        read_session(path, edit_order=edit_order, conjugate=conjugate)
        for path in tqdm(paths, desc="reading sessions", delay=2, leave=False)
    ]
    first = read[0]
    echo = next((one.echo for one in read if one.echo > 0), 0.0)  # the echo time is optional in a file
    for path, one in zip(paths, read, strict=True):
        other_field = abs(one.larmor / first.larmor - 1) > SAME_FIELD
        other_echo = one.echo > 0 and abs(one.echo - echo) > SAME_ECHO
        if other_field or other_echo or bool(one.on.any()) != bool(first.on.any()):
            raise InputError(f"{path}: is not of the acquisition of {paths[0]}; give files of one protocol")
    known = [
        Acquisition(
            dwell=one.dwell, larmor=one.larmor, reference=one.reference, echo=echo, points=one.fids.shape[-1],
            edited=bool(one.on.any()), water=True,
        )
        for one in read
    ]  # fmt: skip
    dwell = max(dwell_at(one, first.larmor) for one in known)
    wanted = Acquisition(
        dwell=dwell, larmor=first.larmor, reference=first.reference, echo=echo,
        points=min(points_at(one, dwell, first.larmor) for one in known), edited=known[0].edited, water=True,
    )  # fmt: skip
    kept = _fewest_of_each(read)
    return Sessions(
        fids=torch.stack(
            [converted(one.fids[0, rows], own, wanted) for one, own, rows in zip(read, known, kept, strict=True)]
        ),
        on=torch.stack([one.on[0, rows] for one, rows in zip(read, kept, strict=True)]),
        dwell=dwell, larmor=first.larmor, reference=first.reference, echo=echo,
    )  # fmt: skip


def _fewest_of_each(sessions: Sequence[Sessions]) -> list[Tensor]:
    """Rows of each session's first transients, of each edit as many as every session has, in their order."""
    edits = [edit for edit in (True, False) if bool((sessions[0].on == edit).any())]
    fewest = min(int((one.on == edit).sum()) for one in sessions for edit in edits)
    return [torch.cat([(one.on[0] == edit).nonzero()[:fewest, 0] for edit in edits]).sort().values for one in sessions]


def read_session(path: str | Path, *, edit_order: EditOrder = "header", conjugate: bool = False) -> Sessions:
    """Read one session (S = 1) from a NIfTI-MRS file.

    Args:
        path: NIfTI-MRS file.
        edit_order: as of :func:`laid_out`.
        conjugate: whether the file holds the conjugates of NIfTI-MRS's FIDs.

    Raises:
        InputError: the file cannot be read, holds more than one voxel, or does not name its edits.
    """
    fids = read_fids(path)
    values, on = laid_out(fids, path, edit_order)
    reference = NUCLEI["1H"].reference if fids.reference is None else fids.reference
    return Sessions(
        fids=(values.conj().resolve_conj() if conjugate else values)[None], on=on[None], dwell=fids.dwell,
        larmor=fids.larmor, reference=reference, echo=fids.echo or 0.0,
    )  # fmt: skip


def laid_out(fids: Fids, path: str | Path, edit_order: EditOrder = "header") -> tuple[Tensor, Tensor]:
    """Transients (N, T) in the order of the file, and whether each is ON (N,).

    The header names the edits with EditCondition: along DIM_EDIT, or along another axis with a name for each of its
    places. Transients along DIM_EDIT alternate.

    Args:
        fids: FIDs of one voxel.
        path: name of the file, for the messages.
        edit_order: order of ON and OFF along the axis of transients where the header does not name it.

    Raises:
        InputError: the FIDs are of more than one voxel, have an axis of another kind, do not name their edits, or are
            not in the order that is given.
    """
    if np.prod(fids.values.shape[:3]) != 1:
        raise InputError(f"{path}: holds {np.prod(fids.values.shape[:3])} voxels; give one voxel a file")
    values: NDArray[Any] = fids.values.reshape(fids.values.shape[3:])
    sizes = {axis: size for axis, size in enumerate(values.shape[1:], start=5) if size > 1}
    values = values.reshape(values.shape[0], *sizes.values())
    tags = {axis: fids.extension.get(f"dim_{axis}") for axis in sizes}
    named = {axis: _named_edits(fids, path, axis) for axis in sizes if tags[axis] == "DIM_EDIT" or _names(fids, axis)}
    spare = [str(tag) for axis, tag in tags.items() if tag not in DYNAMICS and axis not in named]
    if spare or len(set(tags.values())) < len(tags):
        shown = ", ".join(map(str, tags.values()))
        raise InputError(f"{path}: has axes {shown}; give DIM_DYN and DIM_EDIT, coils combined")
    if len(named) > 1:
        shown = " and ".join(f"dim_{axis}_header" for axis in named)
        raise InputError(f"{path}: names edits in {shown}; give EditCondition of one axis")
    if not named:
        rows = torch.from_numpy(values.reshape(len(values), -1).T.copy())
        return rows, _unnamed_edits(fids, path, edit_order, [len(rows)] if len(sizes) < 2 else list(sizes.values()))
    axis, order = next(iter(named.items()))
    values = np.moveaxis(values, 1 + list(sizes).index(axis), -1).reshape(len(values), -1, len(order))
    on = torch.tensor(order).repeat(values.shape[1])
    if edit_order != "header" and not torch.equal(on, ordered_edits(len(on), edit_order)):
        raise InputError(
            f"{path}: has EditCondition in dim_{axis}_header, another order than --edit_order {edit_order}; leave that "
            "out"
        )
    return torch.from_numpy(values.reshape(len(values), -1).T.copy()), on


def ordered_edits(count: int, edit_order: EditOrder) -> Tensor:
    """Whether each of ``count`` transients is ON, (count,), in an order other than ``header``."""
    at = torch.arange(count)
    first = at % 2 == 0 if edit_order.endswith("interleaved") else at < count // 2
    return first if edit_order.startswith("on_") else ~first


def _unnamed_edits(fids: Fids, path: str | Path, edit_order: EditOrder, sizes: Sequence[int]) -> Tensor:
    """Whether each transient is ON where no axis of the file names edits; ``sizes`` of its axes of transients."""
    count = int(np.prod(sizes))
    if "DIM_EDIT" in (fids.extension.get(f"dim_{axis}") for axis in range(5, 8)):
        edited = edit_names(fids, path, alone=True)[0]
    else:
        edited = [str(name).upper() for name in fids.extension.get("EditCondition") or []] == ["ON"]
        if edit_order != "header":
            if len(sizes) > 1 or count % 2:
                shown = " x ".join(map(str, sizes))
                raise InputError(
                    f"{path}: holds {shown} transients, which --edit_order {edit_order} cannot part; give "
                    "EditCondition, a name for each, in dim_5_header"
                )
            return ordered_edits(count, edit_order)
    return torch.full((count,), edited)


def _names(fids: Fids, axis: int) -> list[str]:
    """Names of the edits along an axis, in capitals, as its header gives them; empty if it gives none."""
    header = fids.extension.get(f"dim_{axis}_header")
    names = header.get("EditCondition") if isinstance(header, dict) else None
    names = names.get("Value") if isinstance(names, dict) else names
    return [str(name).upper() for name in names] if isinstance(names, list) else []


def _named_edits(fids: Fids, path: str | Path, axis: int) -> list[bool]:
    """Whether each place along an axis whose header names edits is ON."""
    if fids.extension.get(f"dim_{axis}") == "DIM_EDIT":
        return edit_names(fids, path)
    names, count = _names(fids, axis), fids.values.shape[axis - 1]
    if len(names) != count or not set(names) <= {"ON", "OFF"}:
        raise InputError(
            f"{path}: names {len(names)} edits ({', '.join(dict.fromkeys(names))}) but holds {count} transients; give "
            f"ON or OFF for each in EditCondition of dim_{axis}_header"
        )
    return [name == "ON" for name in names]


def edit_names(fids: Fids, path: str | Path, *, alone: bool = False) -> list[bool]:
    """Whether each position along DIM_EDIT is ON, by EditCondition in the header; ``alone``: there may be one only.

    Raises:
        InputError: the names do not fit the edits, are of more than two, or are missing.
    """
    axis = next((k for k in range(5, 8) if fids.extension.get(f"dim_{k}") == "DIM_EDIT"), 6)
    listed = _names(fids, axis)
    known = set(listed)
    count = fids.values.shape[axis - 1] if fids.values.ndim >= axis else 0
    if known == {"ON", "OFF"} or (alone and len(known) == 1 and known <= {"ON", "OFF"}):
        if not alone and len(listed) != count:
            raise InputError(
                f"{path}: names {len(listed)} edits but holds {count}; "
                f"give one name for each in EditCondition of dim_{axis}_header"
            )
        return [name == "ON" for name in listed]
    if max(count, len(listed)) > 2:
        raise InputError(
            f"{path}: has {max(count, len(listed))} edits{' (' + ', '.join(listed) + ')' if listed else ''}, as HERMES "
            "has; keep one ON and one OFF, or sum those whose pulse is on the same line, before"
        )
    raise InputError(
        f"{path}: does not say which edit is ON; "
        f'set dim_{axis}_header to {{"EditCondition": ["ON", "OFF"]}} in its header'
    )


def by_edit(values: Tensor, on: Tensor) -> Tensor:
    """Arrange transients (N, T) as (T, M, 2), ON then OFF; M is the number of the rarer of the two."""
    count = min(int(on.sum()), int((~on).sum()))
    return torch.stack([values[on][:count], values[~on][:count]], -1).movedim(1, 0)
