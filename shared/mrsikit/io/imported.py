"""Import the results of a fitting program: write them as the maps of one case, ready for the bundles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

import mrsikit
from mrsikit.io.atomic import whole_or_nothing, write_text_atomically
from mrsikit.io.errors import InputError
from mrsikit.io.fitted_maps import FittedMaps, file_word
from mrsikit.io.fsl_mrs import is_fsl_mrs, read_fsl_mrs
from mrsikit.io.grid import Grid, grid_of_file, grid_of_sizes
from mrsikit.io.lcmodel import find_results, read_lcmodel

PROGRAMS = ("lcmodel", "fsl_mrs")


def import_case(
    folder: str | Path,
    output_dir: str | Path,
    *,
    name: str | None = None,
    reference: str | Path | None = None,
    voxel_size: str | Sequence[float] | None = None,
    program: str | None = None,
    scaling: str | None = None,
    metabolites: Sequence[str] | None = None,
    overwrite: bool = False,
    skip_invalid: bool = False,
) -> dict[str, Any]:
    """Read the results of LCModel or FSL-MRS and write them as one case.

    ``<name>_<metabolite>.nii.gz`` and ``<name>_<metabolite>_crlb.nii.gz`` (percent), for sums ``<name>_NAA_NAAG``;
    ``<name>_snr.nii.gz`` and ``<name>_fwhm.nii.gz``, from FSL-MRS one of each metabolite; all float32. The record
    ``<name>_import.json`` is written last. Rows that were measured nowhere are left out, since the bundles would
    refuse their maps; the record says which.

    Args:
        folder: results of :func:`mrsikit.io.lcmodel.read_lcmodel` or :func:`mrsikit.io.fsl_mrs.read_fsl_mrs`.
        output_dir: folder of the maps; created if it does not exist.
        name: name of the case; None: that of the folder.
        reference: a NIfTI, NIfTI-MRS or SPAR file on the grid of the maps, see :func:`mrsikit.io.grid.grid_of_file`.
            LCModel's files state no position, so this or ``voxel_size`` must be given for them.
        voxel_size: three sides of a voxel (mm), as ``(10, 10, 12)`` or ``"10,10,12"``, where there is no reference:
            the position is unknown.
        program: ``lcmodel`` or ``fsl_mrs``; None: what the folder holds.
        scaling: of FSL-MRS's concentrations: ``internal`` (None), ``raw``, ``molarity`` or ``molality``.
        metabolites: rows to write, such as ``["NAA+NAAG", "Cr+PCr"]``; None: all.
        overwrite: replace the maps of an earlier import of this name.
        skip_invalid: leave voxels of LCModel missing whose file cannot be used.

    Returns:
        The record.

    Raises:
        InputError: the results, the reference or an argument cannot be used, or files of this name are there.
    """
    folder, output_dir = Path(folder).expanduser(), Path(output_dir).expanduser()
    maps = _read(folder, program, scaling, skip_invalid)
    maps, grid = _placed(maps, reference, voxel_size)
    name = folder.resolve().name if name is None else name
    if not name or name.startswith(".") or Path(name).name != name:
        raise InputError(f"--name {name}: is no name for files; give one without / and without a dot in front")
    rows = maps.chosen(metabolites)
    left_out = {row: why for row in rows if (why := maps.why_left_out(row))}
    rows = [row for row in rows if row not in left_out]
    if not rows:
        raise InputError(f"{folder}: holds no map of use: {'; '.join(f'{row} {why}' for row, why in left_out.items())}")
    images = _images(name, rows, maps)
    record = output_dir / f"{name}_import.json"
    old = _old_files(output_dir, record, images, overwrite)
    for stem, values in images.items():
        with whole_or_nothing(output_dir / f"{stem}.nii.gz") as partial:
            nib.save(grid.image(values), partial)
    for path in old:
        path.unlink()
    content = _record(folder, name, rows, left_out, maps, grid)
    write_text_atomically(record, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return content


def _read(folder: Path, program: str | None, scaling: str | None, skip_invalid: bool) -> FittedMaps:
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; give the folder of the results")
    if program is None:
        found = [name for name, holds in zip(PROGRAMS, (find_results, is_fsl_mrs), strict=True) if holds(folder)]
        if len(found) != 1:
            what = "results of both LCModel and FSL-MRS" if found else "no results of LCModel or FSL-MRS"
            hint = "give --program" if found else "give the folder with .table, .coord or .csv, or with concs"
            raise InputError(f"{folder}: holds {what}; {hint}")
        program = found[0]
    if program not in PROGRAMS:
        raise InputError(f"--program {program}: is not read; give {' or '.join(PROGRAMS)}")
    if program == "fsl_mrs":
        return read_fsl_mrs(folder, scaling=scaling)
    if scaling is not None:
        raise InputError(f"--scaling {scaling}: LCModel writes concentrations of one scaling; leave --scaling out")
    return read_lcmodel(folder, skip_invalid=skip_invalid)


def _placed(
    maps: FittedMaps, reference: str | Path | None, voxel_size: str | Sequence[float] | None
) -> tuple[FittedMaps, Grid]:
    """Return the maps with the matrix of their grid, and the grid."""
    given = [f"--{name}" for name, value in (("reference", reference), ("voxel_size", voxel_size)) if value is not None]
    if maps.grid is not None:
        if given:
            raise InputError(f"{given[0]}: the files of {maps.program} state their own position; leave it out")
        return maps, maps.grid
    if len(given) != 1:
        wrong = "both are given" if given else f"the files of {maps.program} state neither position nor voxel size"
        raise InputError(
            f"{wrong}; give --reference with a file on the same grid (NIfTI or SPAR), or --voxel_size in mm"
        )
    if reference is None:
        sizes = voxel_size if isinstance(voxel_size, str) else ",".join(str(side) for side in voxel_size or ())
        return maps, grid_of_sizes(sizes)
    grid = grid_of_file(reference)
    if grid.shape == maps.shape:
        return maps, grid
    if maps.larger and grid.shape and all(np.less_equal(maps.shape, grid.shape)):
        return _in_matrix(maps, grid.shape), grid
    ours, theirs = (" x ".join(map(str, shape)) for shape in (maps.shape, grid.shape or ()))
    raise InputError(
        f"--reference {reference}: has a matrix of {theirs}, the results one of {ours} columns, rows and slices"
    )


def _in_matrix(maps: FittedMaps, matrix: Sequence[int]) -> FittedMaps:
    """Return maps with voxels that are missing after their own, up to a larger matrix."""

    def grown(images: Any) -> dict[str, NDArray[np.float32]]:
        ends = [(0, wanted - have) for have, wanted in zip(maps.shape, matrix, strict=True)]
        return {key: np.pad(image, ends, constant_values=np.nan) for key, image in images.items()}

    said = "the files do not state their matrix: that of the reference was taken"
    return replace(
        maps,
        concentrations=grown(maps.concentrations),
        bounds=grown(maps.bounds),
        quality=grown(maps.quality),
        warnings=[*maps.warnings, said],
    )


def _images(name: str, rows: Sequence[str], maps: FittedMaps) -> dict[str, NDArray[np.float32]]:
    """Return the values of each file, by its stem."""
    words = [file_word(row) for row in rows]
    twins = [row for row, word in zip(rows, words, strict=True) if [w.lower() for w in words].count(word.lower()) > 1]
    if twins:
        raise InputError(f"the rows {' and '.join(twins)} would have one file name; choose with --metabolites")
    images = {f"{name}_{word}": maps.concentrations[row] for row, word in zip(rows, words, strict=True)}
    images |= {f"{name}_{file_word(row)}_crlb": maps.bounds[row] for row in rows if row in maps.bounds}
    return images | {
        f"{name}_{end}": values
        for end, values in maps.quality.items()
        if "_" not in end or end.rpartition("_")[0] in words  # of all rows, or of one that is written
    }


def _old_files(output_dir: Path, record: Path, images: Sequence[str] | dict[str, Any], overwrite: bool) -> list[Path]:
    """Return the maps of an earlier import that this one does not replace; refuse to replace any unless told to."""
    there = [path for path in (*(output_dir / f"{stem}.nii.gz" for stem in images), record) if path.exists()]
    if there and not overwrite:
        raise InputError(f"{there[0]}: is there; give --overwrite true to replace it, or another --name")
    try:
        stems = json.loads(record.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    before = [output_dir / f"{Path(str(stem)).name}.nii.gz" for stem in stems if stem not in images]
    return [path for path in before if path.is_file()]


def _record(
    folder: Path, name: str, rows: Sequence[str], left_out: dict[str, str], maps: FittedMaps, grid: Grid
) -> dict[str, Any]:
    images = _images(name, rows, maps)
    measured = {row: int(np.isfinite(maps.concentrations[row]).sum()) for row in rows}
    return {
        "mrsikit": mrsikit.__version__,
        "program": maps.program,
        "version": maps.version,
        "source": {"folder": folder.resolve().name, "files": len(maps.files), "sha256": _sha256(folder, maps.files)},
        "position": grid.position,
        "matrix": list(maps.shape),
        "voxel_size_mm": [round(side, 4) for side in grid.voxel_size],
        "axes": "column, row, slice" if maps.program == "LCModel" else "as in the files",
        "units": {"concentration": maps.unit, "crlb": "percent of the concentration", **maps.quality_units},
        "rows": {f"{name}_{file_word(row)}": {"row": row, "voxels_measured": measured[row]} for row in rows},
        "left_out": left_out,
        "files": list(images),
        "warnings": list(dict.fromkeys([*maps.warnings, *grid.warnings])),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _sha256(folder: Path, files: Sequence[Path]) -> str:
    """Return the SHA-256 of the files that were read: that of the lines of their names and hashes."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in files
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
