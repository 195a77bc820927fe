"""Read one file of LCModel: the ``.table`` or ``.coord`` of a voxel, or the ``.csv`` of a slice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

Position = tuple[int, int, int]
"""Column, row and slice of a voxel, each from 1."""

CUT_NAME = 13
"""Letters of a row's name that a ``.csv`` keeps: ``MM14+Lip13a+Lip13b+MM12`` is ``MM14+Lip13a+L`` there."""

SECTION = re.compile(r"(\d+) lines in following (concentration|misc\.)")
END = re.compile(r"^\s*\$\$|lines in following|points on ppm-axis")
NUMBER = r"[-+]?\d*\.?\d+(?:E[-+]?\d\d)?"
ROW = re.compile(rf"\s*({NUMBER})\s+(\d+)%\s*(?:{NUMBER}|\*+)[ +-](\S+)\s*")
"""Concentration, bound, ratio to a reference row, mark, name. The mark, blank, + or -, is not part of the name."""

QUALITY = re.compile(r"FWHM\s*=\s*(\S+)\s*ppm\s+S/N\s*=\s*(\S+)")
POSITION = re.compile(r"(?:Slice#\s*(\d+)\s+)?Row#\s*(\d+)\s+Col#\s*(\d+)")
NAMED_POSITION = re.compile(r"sl(\d+)_(\d+)-(\d+)(?!\d)")
NAMED_SLICE = re.compile(r"sl(?:ice)?_?(\d+)", re.IGNORECASE)
MATRIX = tuple(re.compile(rf"\b{key}\s*=\s*(\d+)", re.IGNORECASE) for key in ("ndcols", "ndrows", "ndslic"))
WATER = re.compile(r"\bdows\s*=\s*t", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Voxel:
    """What LCModel found in one voxel.

    Attributes:
        path: the file.
        position: column, row and slice.
        rows: concentration and bound (percent) of each row, by its name.
        snr: signal-to-noise ratio; NaN in a ``.csv``, which does not state it.
        fwhm: linewidth (ppm); NaN in a ``.csv``.
        version: version of LCModel; empty in a ``.csv``.
        matrix: columns, rows and slices that the file states; empty if it states none.
        water: whether the file says that the concentrations are scaled to water.
        second_line: position in the second line, if the file name states another, which is then the position.
    """

    path: Path
    position: Position
    rows: dict[str, tuple[float, float]]
    snr: float = float("nan")
    fwhm: float = float("nan")
    version: str = ""
    matrix: tuple[int, ...] = ()
    water: bool = False
    second_line: Position | None = None


def read_voxel(path: Path) -> tuple[list[Voxel], list[str]]:
    """Read a ``.table`` or ``.coord``, which begin alike; the spectra of a ``.coord`` are left unread.

    Returns:
        The voxel and no line; or no voxel and a line that says what is wrong with the file.
    """
    text = path.read_text(encoding="latin-1")
    lines = text.splitlines()
    sections = {
        head[2]: (int(head[1]), list(takewhile(lambda line: line.strip() and not END.search(line), lines[number:])))
        for number, line in enumerate(lines, start=1)
        if (head := SECTION.search(line))
    }
    if len(sections.get("concentration", (0, []))[1]) < 2:
        return [], [f"{path}: holds no concentration table of LCModel; it is cut short, or something else"]
    wanted, content = sections["concentration"]  # the line of titles counts
    rows = [ROW.fullmatch(line) for line in content[1:]]
    wanted_misc, misc = sections.get("misc.", (1, []))
    quality = QUALITY.search("\n".join(misc))
    named, stated = _named_position(path), _stated_position(lines[:3])
    position = named or stated
    if len(content) < wanted or not all(rows) or len(misc) < wanted_misc or quality is None:
        where = f" ({place_of(position)})" if position else ""
        whole = sum(row is not None for row in rows)
        return [], [f"{path}{where}: is cut short, {whole} of {wanted - 1} rows are whole; fit this voxel again"]
    if position is None:
        return [], [f"{path}: says no slice, row and column; name it ..._sl<slice>_<row>-<column>{path.suffix}"]
    matrix = [int(found[1]) for key in MATRIX if (found := key.search(text))]
    voxel = Voxel(
        path=path,
        position=position,
        rows={row[3]: (float(row[1]), float(row[2])) for row in rows if row},
        fwhm=_number(quality[1]),
        snr=_number(quality[2]),
        version=lines[0].partition("Copyright")[0].strip(),
        matrix=tuple(matrix) if len(matrix) == len(MATRIX) else (),
        water=bool(WATER.search(text)),
        second_line=stated if stated != position else None,
    )
    return [voxel], []


def read_slice(path: Path) -> tuple[list[Voxel], list[str]]:
    """Read a ``.csv``.

    Returns:
        Its voxels, and a line for each that cannot be used.
    """
    numbers = NAMED_SLICE.findall(path.stem)
    header = csv_header(path)
    names = header[2::3]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        return [], [f"{path}: has two rows {twice}, as LCModel cuts long names there; give its .table or .coord files"]
    voxels, problems = [], []
    for line, text in enumerate(path.read_text(encoding="latin-1").splitlines()[1:], start=2):
        words = text.split(",")
        try:
            position = _position(numbers[-1] if numbers else "1", words[0], words[1])
            values = [float(word) for word in words[2:]]
            by_name = zip(names, values[0::3], values[1::3], values[2::3], strict=True)
            rows = {name: (value, bound) for name, value, bound, _ in by_name}
        except (ValueError, IndexError):
            position = None
        if position:
            voxels.append(Voxel(path=path, position=position, rows=rows))
        elif text.strip():
            problems.append(f"{path}: line {line} is cut short, or no voxel of LCModel; fit this slice again")
    return voxels, problems or ([] if voxels else [f"{path}: holds no voxel; fit this slice again"])


def csv_header(path: Path) -> list[str]:
    """Return the words of the first line of a ``.csv``."""
    with path.open(encoding="latin-1") as stream:
        return [word.strip() for word in stream.readline().split(",")]


def place_of(position: Sequence[int]) -> str:
    """Say a position in words.

    Example:
        >>> place_of((5, 3, 1))
        'slice 1, row 3, column 5'
    """
    column, row, number = position
    return f"slice {number}, row {row}, column {column}"


def _named_position(path: Path) -> Position | None:
    found = NAMED_POSITION.findall(path.stem)
    return _position(*found[-1]) if found else None


def _stated_position(head: Sequence[str]) -> Position | None:
    found = POSITION.search("\n".join(head))
    return _position(found[1] or "1", found[2], found[3]) if found else None


def _position(number: str, row: str, column: str) -> Position | None:
    place = (int(column), int(row), int(number))
    return place if min(place) > 0 else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # stars, where a number has too many digits
        return float("nan")
