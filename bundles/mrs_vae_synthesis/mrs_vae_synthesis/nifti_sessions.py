"""Sessions as NIfTI-MRS holds them: transients on DIM_DYN, ON and OFF on DIM_EDIT."""

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
"""What the header says of ON and OFF, in the order of :func:`by_edit`."""

SAME, SAME_FIELD = 1e-4, 0.02
"""Parts by which dwell times and fields may differ in one protocol."""

SAME_ECHO = 0.002
"""Seconds by which echo times may."""

FINEST = 10000
"""Denominator of the ratio of two dwell times."""


def measured_sessions(paths: Sequence[Path]) -> Sessions:
    """Sessions of NIfTI-MRS files, cut to the fewest transients and points that one of them has.

    Files of another bandwidth are resampled to the narrowest, and those of another SpecFreqChemShift shifted to the
    first's.

    Raises:
        InputError: a file cannot be read, or they are not of one protocol.
    """
    read = [read_session(path) for path in tqdm(paths, desc="reading sessions", delay=2, leave=False)]
    first = read[0]
    echo = next((one.echo for one in read if one.echo > 0), 0.0)  # a file need not say
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
    """FIDs (..., T) of a dwell time with a longer one (s): of their spectra what the narrower bandwidth holds."""
    if abs(dwell / wanted - 1) < SAME:
        return fids
    share = Fraction(dwell / wanted).limit_denominator(FINEST)
    # twice as long, for what rings before the first sample would else come back at the last, and pass for noise
    points = -(-2 * fids.shape[-1] // share.denominator) * share.denominator
    padded = torch.nn.functional.pad(fids, (0, points - fids.shape[-1]))
    found = resample(padded.numpy(), points * share.numerator // share.denominator, axis=-1)
    return torch.from_numpy(found[..., : int(fids.shape[-1] * share)]).to(fids)


def read_session(path: str | Path) -> Sessions:
    """One session, S = 1, of a NIfTI-MRS file: transients on DIM_DYN, ON and OFF on DIM_EDIT, in turn.

    Raises:
        InputError: the file cannot be read, holds more than one voxel, or edits without names.
    """
    fids = read_fids(path)
    values, on = laid_out(fids, path)
    reference = NUCLEI["1H"].reference if fids.reference is None else fids.reference
    return Sessions(
        fids=values[None], on=on[None], dwell=fids.dwell, larmor=fids.larmor, reference=reference,
        echo=fids.echo or 0.0,
    )  # fmt: skip


def laid_out(fids: Fids, path: str | Path) -> tuple[Tensor, Tensor]:
    """Transients (N, T) and whether each is ON (N,), edits in turn.

    Raises:
        InputError: there is more than one voxel, an axis of another kind, or edits without names.
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
    """Transients (N, T) of a file with their frequencies as the network counts them."""
    if fids.reference is None or abs(fids.reference - known.reference) < 1e-6:
        return values
    return rereferenced(values, fids.dwell, (known.reference - fids.reference) * fids.larmor)


def rereferenced(values: Tensor, dwell: float, hz: float) -> Tensor:
    """FIDs (..., T) with their frequencies counted from another one, ``hz`` away."""
    if hz == 0:
        return values
    moved = torch.tensor(hz, dtype=torch.float64).expand(values.shape[:-1])
    return shifted(values, moved, times(values.shape[-1], dwell))


def edit_order(fids: Fids, path: str | Path, *, alone: bool = False) -> list[bool]:
    """Whether each place on DIM_EDIT is ON, as the header's EditCondition names it; ``alone``: there is but one.

    Raises:
        InputError: the header does not say, or names other than ON and OFF.
    """
    for axis in range(5, 8):
        if fids.extension.get(f"dim_{axis}") == "DIM_EDIT":
            names = (fids.extension.get(f"dim_{axis}_header") or {}).get("EditCondition")
            listed = names if isinstance(names, list) else []
            known = {str(name).upper() for name in listed}
            if known == {"ON", "OFF"} or (alone and len(known) == 1 and known <= {"ON", "OFF"}):
                return [str(name).upper() == "ON" for name in listed]
    raise InputError(
        f'{path}: does not say which edit is ON; set dim_6_header to {{"EditCondition": ["ON", "OFF"]}} in its header'
    )


def by_edit(values: Tensor, on: Tensor) -> Tensor:
    """(T, N / 2, 2), ON and OFF, of transients (N, T): as many of each as there are of the rarer."""
    count = min(int(on.sum()), int((~on).sum()))
    return torch.stack([values[on][:count], values[~on][:count]], -1).movedim(1, 0)
