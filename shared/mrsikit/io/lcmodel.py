"""Read the results of one run of LCModel on a spectroscopic image.

Layouts: S. Provencher, LCModel & LCMgui User's Manual (version 6.3-1), and files that this version wrote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrsikit.io.errors import InputError
from mrsikit.io.fitted_maps import FittedMaps, some
from mrsikit.io.lcmodel_files import CUT_NAME, Position, Voxel, csv_header, place_of, read_slice, read_voxel

FAILED = 999.0
"""Percent; LCModel writes it where the concentration is 0, or its standard deviation this large or larger."""


def find_results(folder: str | Path) -> list[Path]:
    """Return the files that :func:`read_lcmodel` reads in a folder and the folders in it, sorted.

    ``.table`` comes first, then ``.coord``, then ``.csv``: the first kind that is there is read. A ``.csv`` counts if
    its first line is LCModel's.
    """
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and not path.name.startswith(".")]
    for ending in (".table", ".coord"):
        if found := [path for path in files if path.suffix.lower() == ending]:
            return found
    return [path for path in files if _is_csv(path) and csv_header(path)[:2] == ["Row", "Col"]]


def read_lcmodel(folder: str | Path, *, skip_invalid: bool = False) -> FittedMaps:
    """Read the results of one run of LCModel: a ``.table`` or ``.coord`` of each voxel, or a ``.csv`` of each slice.

    All rows are read, metabolites and sums. A voxel lies where the second line of its file says (``Slice#1 Row#3
    Col#5``), or where its name says, ``..._sl<slice>_<row>-<column>``, if that differs: what fits voxel by voxel leaves
    every second line the same. A ``.csv`` is of the slice in its name (``slice2`` or ``sl2``), or else of slice 1.
    Where LCModel gives a bound of 999 %, bound and concentration are NaN. So they are in voxels without a file, which
    the warnings count.

    The matrix is what the files state (``ndcols``, ``ndrows``, ``ndslic``), or else as large as the positions need.

    Args:
        folder: the folder of the results; folders in it are searched too.
        skip_invalid: leave voxels missing whose file cannot be used, instead of refusing all.

    Returns:
        Maps (columns, rows, slices), with ``snr`` and ``fwhm`` (ppm), but not from ``.csv``, which lack them.

    Raises:
        InputError: there is no result; or there are two of one voxel, as two runs leave; or files are cut short or hold
            something else, which gives a line for each.
    """
    files = find_results(folder)
    if not files:
        raise InputError(f"{folder}: holds no .table, .coord or .csv of LCModel; give the folder that holds them")
    by_slice = _is_csv(files[0])
    voxels: list[Voxel] = []
    problems: list[str] = []
    for path in files:
        found, wrong = read_slice(path) if by_slice else read_voxel(path)
        voxels += found
        problems += wrong
    if problems and not (skip_invalid and voxels):
        hint = "; --skip_invalid true leaves these voxels missing" if voxels else ""
        raise InputError("\n".join([*problems, f"{len(problems)} results cannot be used, nothing was written{hint}"]))
    _refuse_two_runs(Path(folder), voxels)
    stated = np.max([voxel.matrix or (0, 0, 0) for voxel in voxels], axis=0)
    needed = np.max([voxel.position for voxel in voxels], axis=0)
    matrix = tuple(np.maximum(stated, needed).tolist())
    names = list(dict.fromkeys(name for voxel in voxels for name in voxel.rows))
    quality = {} if by_slice else {
        "snr": _map(matrix, voxels, [voxel.snr for voxel in voxels]),
        "fwhm": _map(matrix, voxels, [voxel.fwhm for voxel in voxels]),
    }  # fmt: skip
    return FittedMaps(
        program="LCModel",
        version=" and ".join(dict.fromkeys(voxel.version for voxel in voxels if voxel.version)) or "not stated",
        unit="mM, scaled to water (DOWS = T)" if any(voxel.water for voxel in voxels) else "institutional units",
        concentrations={name: _map(matrix, voxels, [_measured(voxel, name)[0] for voxel in voxels]) for name in names},
        bounds={name: _map(matrix, voxels, [_measured(voxel, name)[1] for voxel in voxels]) for name in names},
        quality=quality,
        quality_units={} if by_slice else {"snr": "1, as LCModel defines S/N", "fwhm": "ppm"},
        files=files,
        larger=bool((needed > stated).any()),  # 1 x 1 x 1 is stated by what fits voxel by voxel
        warnings=[*(f"left out: {line}" for line in problems), *_warnings(voxels, names, matrix, by_slice)],
    )


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _measured(voxel: Voxel, name: str) -> tuple[float, float]:
    value, bound = voxel.rows.get(name, (np.nan, np.nan))
    return (value, bound) if bound < FAILED else (np.nan, np.nan)


def _map(matrix: Sequence[int], voxels: Iterable[Voxel], values: Iterable[float]) -> NDArray[np.float32]:
    out = np.full(matrix, np.nan, np.float32)
    for voxel, value in zip(voxels, values, strict=True):
        column, row, number = voxel.position
        out[column - 1, row - 1, number - 1] = value
    return out


def _refuse_two_runs(folder: Path, voxels: Iterable[Voxel]) -> None:
    files: dict[Position, list[str]] = {}
    for voxel in voxels:
        files.setdefault(voxel.position, []).append(voxel.path.relative_to(folder).as_posix())
    double = {position: names for position, names in files.items() if len(names) > 1}
    for position, names in double.items():
        example = f"{place_of(position)} in {' and '.join(dict.fromkeys(names[:2]))}"
        raise InputError(f"{folder}: holds {len(double)} voxels twice, such as {example}; give the folder of one run")


def _warnings(voxels: Sequence[Voxel], names: Sequence[str], matrix: Sequence[int], by_slice: bool) -> list[str]:
    """Say what is doubtful about the voxels together."""
    moved = [f"{voxel.path.name} says {place_of(voxel.second_line)}" for voxel in voxels if voxel.second_line]
    found = [f"{len(moved)} voxels lie where the file name says, not the second line: {some(moved)}"] if moved else []
    places = np.array([voxel.position for voxel in voxels])
    empty = np.zeros(matrix, bool)
    empty[tuple(slice(first - 1, last) for first, last in zip(places.min(0), places.max(0), strict=True))] = True
    empty[tuple(places.T - 1)] = False
    if empty.any():
        missing = [place_of(place) for place in (np.argwhere(empty) + 1).tolist()]
        found.append(f"{len(missing)} voxels between the fitted ones have no result and are missing: {some(missing)}")
    counts = Counter(name for voxel in voxels for name in voxel.rows)
    partial = [f"{name} ({counts[name]} of {len(voxels)})" for name in names if counts[name] < len(voxels)]
    if partial:
        found.append(f"rows that only some voxels have: {some(partial)}")
    if by_slice:
        found.append("a .csv states neither signal-to-noise ratio nor linewidth")
        cut = [name for name in names if len(name) == CUT_NAME]
        found += [f"names that LCModel may have cut in the .csv: {some(cut)}"] if cut else []
    return found
