"""Basis sets: FIDs of metabolites, stored as NIfTI-MRS files or in LCModel's ``.BASIS`` format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrsikit.io.errors import InputError
from mrsikit.io.nifti_mrs import Fids, read_fids, write_fids
from mrsikit.physics.nuclei import NUCLEI

LCMODEL_REFERENCE = 4.65
"""Chemical shift at zero frequency in LCModel (ppm)."""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """FIDs of metabolites, acquired or simulated with one sequence.

    Attributes:
        fids: FID of each metabolite by name, complex (T,). With an ideal sequence each proton contributes an amplitude
            of 1 at time 0.
        dwell: dwell time (s).
        larmor: Larmor frequency (MHz).
        reference: chemical shift at zero frequency (ppm).
        echo: echo time (s).
        sequence: name of the sequence.
    """

    fids: Mapping[str, NDArray[np.complex64]]
    dwell: float
    larmor: float
    reference: float
    echo: float
    sequence: str


def write_basis(folder: str | Path, basis: Mapping[str, Basis]) -> list[Path]:
    """Write one NIfTI-MRS file per metabolite and editing condition: ``GABA_ON.nii.gz``, or ``GABA.nii.gz``.

    Args:
        folder: folder of the files; created if it does not exist.
        basis: basis set of each editing condition, as :func:`simulated_basis` returns them.

    Returns:
        The paths of the files.
    """
    paths = []
    Path(folder).mkdir(parents=True, exist_ok=True)
    for edit, one in basis.items():
        for name, fid in one.fids.items():
            extension = {
                "EchoTime": one.echo, "SequenceName": one.sequence, "SpecFreqChemShift": one.reference,
                "ConversionMethod": "mrsikit.simulation.density_matrix",
                "mrsikit": {"metabolite": name, "edit": edit, "unit": "one proton at time 0 is 1"},
            }  # fmt: skip
            path = Path(folder) / f"{name}{'_' if edit else ''}{edit}.nii.gz"
            values = np.asarray(fid, np.complex64).reshape(1, 1, 1, -1)
            fids = Fids(
                values=values, affine=np.eye(4), dwell=one.dwell, larmor=one.larmor, nucleus="1H",
                reference=one.reference, delay=None, extension=extension, echo=one.echo,
            )  # fmt: skip
            write_fids(path, fids)
            paths.append(path)
    return paths


def read_basis(folder: str | Path) -> dict[str, Basis]:
    """Read the basis sets that :func:`write_basis` wrote, by editing condition.

    Raises:
        InputError: a file is not NIfTI-MRS, the files of a condition differ in acquisition, or there is no file.
    """
    found: dict[str, dict[str, Fids]] = {}
    for path in sorted(Path(folder).glob("*.nii.gz")):
        fids = read_fids(path)
        name, _, edit = path.name.removesuffix(".nii.gz").partition("_")
        found.setdefault(edit, {})[name] = fids
    out = {}
    for edit, members in found.items():
        first = next(iter(members.values()))
        acquisitions = {(m.dwell, m.larmor, m.values.size) for m in members.values()}
        if len(acquisitions) > 1:
            raise InputError(f"{folder}: the files are not of one acquisition")
        reference = NUCLEI["1H"].reference if first.reference is None else first.reference
        out[edit] = Basis(
            fids={name: m.values.reshape(-1) for name, m in members.items()}, dwell=first.dwell, larmor=first.larmor,
            reference=reference, echo=first.echo or 0.0, sequence=str(first.extension.get("SequenceName", "")),
        )  # fmt: skip
    if not out:
        command = f"python -m mrsikit.simulation.density_matrix {folder}"
        raise InputError(f"{folder}: holds no basis; write one with {command}")
    return out


def read_lcmodel(path: str | Path) -> Basis:
    """Read an LCModel ``.BASIS`` file, which holds spectra as text, and convert the spectra to FIDs.

    Raises:
        InputError: the file cannot be read or does not have this format.
    """
    try:
        text = Path(path).read_text(encoding="latin-1")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return _basis_of(path, text)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: {error}; give a .BASIS file of LCModel") from error


def _basis_of(path: str | Path, text: str) -> Basis:
    head, *members = re.split(r"^ *\$BASIS\b", text, flags=re.MULTILINE)
    points = int(_field(path, head, "NDATAB"))
    fids = {}
    for member in members:
        described, _, numbers = member.partition("$END")
        values = np.array(re.split(r"^ *\$", numbers, maxsplit=1, flags=re.MULTILINE)[0].split(), float)
        if len(values) != 2 * points:
            raise InputError(f"{path}: a metabolite has {len(values)} numbers instead of {2 * points}")
        fid = np.fft.ifft(values[0::2] + 1j * values[1::2])
        fids[_field(path, described, "METABO")] = fid.astype(np.complex64)
    if not fids:
        raise InputError(f"{path}: holds no metabolite; give a .BASIS file of LCModel")
    return Basis(
        fids=fids,
        dwell=float(_field(path, head, "BADELT")),
        larmor=float(_field(path, head, "HZPPPM")),
        reference=LCMODEL_REFERENCE,
        echo=float(_field(path, head, "ECHOT")) / 1000,
        sequence=_field(path, head, "SEQ"),
    )


def _field(path: str | Path, text: str, name: str) -> str:
    found = re.search(rf"\b{name}\s*=\s*'?([^',\n]+)", text)
    if found is None:
        raise InputError(f"{path}: says nothing of {name}; give a .BASIS file of LCModel")
    return found[1].strip()
