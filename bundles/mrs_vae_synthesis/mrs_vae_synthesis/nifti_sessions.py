"""Sessions in NIfTI-MRS: transients along DIM_DYN, ON and OFF along DIM_EDIT."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample
from torch import Tensor
from tqdm import tqdm

from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrsikit.io import Fids, InputError, read_fids
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.physics.spectra import shifted, times

DYNAMICS = ("DIM_DYN", "DIM_MEAS", None)
EDITED = {"dim_6": "DIM_EDIT", "dim_6_header": {"EditCondition": ["ON", "OFF"]}}
"""Header entries for ON and OFF, in the order of :func:`by_edit`."""

SAME, SAME_FIELD = 1e-4, 0.02
"""Largest relative differences of dwell times and of Larmor frequencies within one protocol."""

SAME_ECHO = 0.002
"""Largest difference of echo times within one protocol (s)."""

FINEST = 10000
"""Largest denominator of the ratio of two dwell times."""


def measured_sessions(paths: Sequence[Path]) -> Sessions:
    """Read sessions from NIfTI-MRS files, and cut all to the fewest transients and points of any of them.

    Files with a larger spectral width are resampled to the smallest one. Files with another SpecFreqChemShift are
    shifted to that of the first file.

    Raises:
        InputError: a file cannot be read, or the files are not of one protocol.
    """
    read = [read_session(path) for path in tqdm(paths, desc="reading sessions", delay=2, leave=False)]
    first = read[0]
    echo = next((one.echo for one in read if one.echo > 0), 0.0)  # the echo time is optional in a file
    for path, one in zip(paths, read, strict=True):
        other_field = abs(one.larmor / first.larmor - 1) > SAME_FIELD
        other_echo = one.echo > 0 and abs(one.echo - echo) > SAME_ECHO
        if other_field or other_echo or bool(one.on.any()) != bool(first.on.any()):
            raise InputError(f"{path}: is not of the acquisition of {paths[0]}; give files of one protocol")
    dwell = max(one.dwell for one in read)
    fids = [
        rereferenced(resampled(one.fids, one.dwell, dwell), dwell, one.larmor * (first.reference - one.reference))
        for one in read
    ]
    fewest, points = (min(one.shape[axis] for one in fids) for axis in (1, 2))
    return Sessions(
        fids=torch.cat([one[:, :fewest, :points] for one in fids]), on=torch.cat([one.on[:, :fewest] for one in read]),
        dwell=dwell, larmor=first.larmor, reference=first.reference, echo=echo,
    )  # fmt: skip


def resampled(fids: Tensor, dwell: float, wanted: float) -> Tensor:
    """Resample FIDs (..., T) to a longer dwell time (s): only the narrower spectral width remains."""
    if abs(dwell / wanted - 1) < SAME:
        return fids
    share = Fraction(dwell / wanted).limit_denominator(FINEST)
    # zero-fill to twice the length: ringing before the first sample would wrap to the end and be taken for noise
    points = -(-2 * fids.shape[-1] // share.denominator) * share.denominator
    padded = torch.nn.functional.pad(fids, (0, points - fids.shape[-1]))
    found = resample(padded.numpy(), points * share.numerator // share.denominator, axis=-1)
    return torch.from_numpy(found[..., : int(fids.shape[-1] * share)]).to(fids)


def read_session(path: str | Path) -> Sessions:
    """Read one session (S = 1) from a NIfTI-MRS file; ON and OFF transients alternate in the order of DIM_EDIT.

    Raises:
        InputError: the file cannot be read, holds more than one voxel, or does not name its edits.
    """
    fids = read_fids(path)
    values, on = laid_out(fids, path)
    reference = NUCLEI["1H"].reference if fids.reference is None else fids.reference
    return Sessions(
        fids=values[None], on=on[None], dwell=fids.dwell, larmor=fids.larmor, reference=reference,
        echo=fids.echo or 0.0,
    )  # fmt: skip


def laid_out(fids: Fids, path: str | Path) -> tuple[Tensor, Tensor]:
    """Transients (N, T), edits alternating, and whether each is ON (N,).

    Raises:
        InputError: the FIDs are of more than one voxel, have an axis of another kind, or do not name their edits.
    """
    if np.prod(fids.values.shape[:3]) != 1:
        raise InputError(f"{path}: holds {np.prod(fids.values.shape[:3])} voxels; give one voxel a file")
    values: NDArray[Any] = fids.values.reshape(fids.values.shape[3:])
    tags = [tag for tag, size in zip(fids.tags, values.shape[1:], strict=True) if size > 1]
    values = values.reshape(values.shape[0], *[size for size in values.shape[1:] if size > 1])
    spare = [str(tag) for tag in tags if tag not in (*DYNAMICS, "DIM_EDIT")]
    if spare or len(set(tags)) < len(tags):
        raise InputError(f"{path}: has axes {', '.join(map(str, tags))}; give DIM_DYN and DIM_EDIT, coils combined")
    if "DIM_EDIT" not in tags:
        rows = torch.from_numpy(values.reshape(len(values), -1).T.copy())
        if "DIM_EDIT" in (fids.extension.get(f"dim_{axis}") for axis in range(5, 8)):
            edited = edit_order(fids, path, alone=True)[0]
        else:
            edited = [str(name).upper() for name in fids.extension.get("EditCondition") or []] == ["ON"]
        return rows, torch.full((len(rows),), edited)
    order = edit_order(fids, path)
    values = np.moveaxis(values, 1 + tags.index("DIM_EDIT"), -1).reshape(len(values), -1, len(order))
    on = torch.tensor(order).repeat(values.shape[1])
    return torch.from_numpy(values.reshape(len(values), -1).T.copy()), on


def referenced(values: Tensor, fids: Fids, known: Acquisition) -> Tensor:
    """Shift transients (N, T) of a file to the network's reference, the chemical shift of zero frequency."""
    if fids.reference is None or abs(fids.reference - known.reference) < 1e-6:
        return values
    return rereferenced(values, fids.dwell, (known.reference - fids.reference) * fids.larmor)


def rereferenced(values: Tensor, dwell: float, hz: float) -> Tensor:
    """Shift FIDs (..., T) by ``hz``, as another chemical shift of zero frequency requires."""
    if hz == 0:
        return values
    moved = torch.tensor(hz, dtype=torch.float64).expand(values.shape[:-1])
    return shifted(values, moved, times(values.shape[-1], dwell))


def edit_order(fids: Fids, path: str | Path, *, alone: bool = False) -> list[bool]:
    """Whether each position along DIM_EDIT is ON, by EditCondition in the header; ``alone``: there may be one only.

    Raises:
        InputError: the header has no EditCondition, one with other names than ON and OFF, or not one name for each
            position along DIM_EDIT.
    """
    axis = next((k for k in range(5, 8) if fids.extension.get(f"dim_{k}") == "DIM_EDIT"), 6)
    names = (fids.extension.get(f"dim_{axis}_header") or {}).get("EditCondition")
    listed = [str(name).upper() for name in names] if isinstance(names, list) else []
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
