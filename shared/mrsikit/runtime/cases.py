"""Find the files of a run: maps, their companions, and what is left aside, grouped by case.

What belongs together on one grid is one case: the maps of a session, their bounds, masks, MRIs and repeats. The names
of a session's maps differ in the metabolite alone (:mod:`mrsikit.runtime.file_names`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from mrsikit.io.readers import split_name, stem_of
from mrsikit.runtime.file_names import NO_MAPS, is_time_point, read_name
from mrsikit.runtime.provenance import read_record

UNREAD = (
    ".mnc.gz",
    ".mgz",
    ".mgh",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
    ".hdr",
    ".img",
    ".nii.bz2",
    ".nii.zip",
    ".nii.zst",
)
"""Endings of image formats that are not read."""

SHARED_KINDS = ("missing", "mask", "width", "anatomy", "fraction")
"""Kinds of companions of which one file may serve all maps of a case."""

FILLED = "_inpainted"
"""End of the name of a filled map, which takes the place of the map."""

SIDE_OUTPUTS = ("holes", "uncertainty", "calibrated")
"""Outputs of any bundle that are no maps. A record of their name lies beside them."""

ALL_BUT_MASKS = 8
"""Slices of a map in which a value other than 0 and 1 is sought before the whole map is read."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Files of a folder.

    Attributes:
        root: the folder, from which the folders of the outputs are named.
        maps: inputs in the order of their names; a map may be the folder of a DICOM series.
        neighbours: all maps of the folders, also those that are no inputs because one file was asked for.
        companions: files named as companions that the bundle uses.
        results: outputs of earlier runs.
        unused: reason for each further image.
    """

    root: Path
    maps: list[Path] = field(default_factory=list)
    neighbours: list[Path] = field(default_factory=list)
    companions: list[Path] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)
    unused: dict[Path, str] = field(default_factory=dict)

    def holds(self, path: Path) -> bool:
        """Whether a map is one of :attr:`neighbours`, or lies in their folder."""
        return path.parent == self.root or path in self.neighbours


def find_files(
    source: Path,
    *,
    companions: Mapping[str, str],
    outputs: Sequence[str],
    left_out: Path | None = None,
    fids: bool = False,
    deep: bool = True,
) -> Found:
    """Sort the images of a folder into maps, companions, results and others.

    Args:
        source: the folder, or one map.
        companions: kind of each companion by its suffix.
        outputs: suffixes of the bundle's outputs. A file with such a suffix is a result if a map or a record of its
            name lies beside it.
        left_out: folder in ``source`` that is not searched, that of the outputs.
        fids: whether the inputs are NIfTI-MRS, which the header says whatever the name.
        deep: whether to search the folders in the folder too.
    """
    alone = source if source.is_file() else None
    found = Found(root=source.parent if alone else source)
    for paths in _folders(found.root, left_out, deep=deep and alone is None):
        names = {stem_of(path) for path in paths if split_name(path.name)[1]}
        for path in paths:
            if path == alone:
                found.maps.append(path)
                found.neighbours.append(path)
            elif reason := _unreadable(path):
                found.unused[path] = reason
            elif _is_result(path, outputs, names):
                found.results.append(path)
            elif is_time_point(stem_of(path), names):
                found.neighbours.append(path)
            elif _companion_name(path, companions):
                found.companions.append(path)
            elif (kind := read_name(stem_of(path)).kind) and not (fids and _holds_fids(path)):
                found.unused[path] = f"is named as {NO_MAPS[kind]}, not as a map; if it is a map, rename it"
            elif path.is_dir() and fids:
                found.unused[path] = "holds DICOM; convert it to NIfTI-MRS"
            else:
                found.neighbours.append(path)
    filled = {path.with_name(path.name.replace(FILLED, "", 1)): path for path in found.neighbours if _is_filled(path)}
    for path in [path for path in found.neighbours if path in filled and path != alone]:
        found.neighbours.remove(path)
        found.unused[path] = f"was filled: {filled[path].name} takes its place"
    if alone is None:
        found.maps.extend(found.neighbours)
    return found


def _is_filled(path: Path) -> bool:
    return stem_of(path).endswith(FILLED)


def _folders(root: Path, left_out: Path | None, *, deep: bool) -> Iterator[list[Path]]:
    """Yield the images and DICOM series of each folder, sorted, without hidden files."""
    visited: set[str] = set()
    if deep and _is_series(root):
        yield [root]
        return
    for name, folders, files in os.walk(root, followlinks=True):
        here = Path(name)
        real = os.path.realpath(here)
        inner = sorted(f for f in folders if not f.startswith(".") and here / f != left_out)
        series = [here / f for f in inner if _series_folder(here / f)]
        folders[:] = [f for f in inner if here / f not in series] if deep and real not in visited else []
        visited.add(real)
        images = [here / f for f in files if not f.startswith(".") and (split_name(f)[1] or _ending(f, UNREAD))]
        yield sorted([*images, *series])


def _ending(name: str, endings: Sequence[str]) -> str:
    return next((ending for ending in endings if name.lower().endswith(ending)), "")


def _unreadable(path: Path) -> str:
    """Return why a file cannot be used; empty if it may be."""
    if path.is_symlink() and not path.exists():
        return "is a link to a file that is not here; fetch the file first"
    if not path.is_dir() and (ending := _ending(path.name, UNREAD)):
        return f"{ending} is not read; convert it to .nii.gz"
    return ""


def _is_series(folder: Path) -> bool:
    """Whether a folder holds DICOM files, by the first files in it."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    for path in files[:3]:
        if split_name(path.name)[1]:
            continue
        with path.open("rb") as stream:
            if stream.read(132)[128:] == b"DICM":
                return True
    return False


def _series_folder(folder: Path) -> Path | None:
    """Return the folder of a DICOM series: this one, or the only one in it."""
    try:
        while not _is_series(folder):
            inner = [path for path in folder.iterdir() if not path.name.startswith(".")]
            if len(inner) != 1 or not inner[0].is_dir():
                return None
            folder = inner[0]
    except OSError:
        return None
    return folder


def _is_result(path: Path, outputs: Sequence[str], names: set[str]) -> bool:
    stem = stem_of(path)
    bases = [stem.removesuffix(f"_{name}") for name in outputs if stem.endswith(f"_{name}")]
    recorded = bases + [stem.removesuffix(f"_{name}") for name in SIDE_OUTPUTS if stem.endswith(f"_{name}")]
    return any(base in names for base in bases) or any(read_record(path.with_name(f"{base}.json")) for base in recorded)


def _holds_fids(path: Path) -> bool:
    """Whether a file is NIfTI-MRS."""
    try:
        image: Any = nib.load(path)
        return str(image.header.get_intent()[2]).startswith("mrs_v")
    except Exception:  # what cannot be read is judged by its name
        return False


def _companion_name(path: Path, companions: Mapping[str, str]) -> str:
    """Return the companion that a file is named as; empty if none."""
    stem = stem_of(path)
    for name in companions:
        if stem.lower().endswith(f"_{name}") or stem.lower() == name:
            return name
    kind = read_name(stem).kind
    return kind if kind in companions else ""


def attach(maps: Sequence[Path], found: Found, companions: Mapping[str, str]) -> dict[Path, dict[str, list[Path]]]:
    """Find the companions of each map: its own, else those that serve all maps of its case.

    A mask, linewidths or an MRI serve a case if their name is that of the session (``sub-01_brain``), or has no other
    part (``brain``) where the folder holds one session only.

    Args:
        maps: files of the maps.
        found: files of their folders.
        companions: kind of each companion by its suffix.

    Returns:
        For each map the files of each companion that it has. More than one file is an error of the user.
    """
    named: dict[tuple[Path, str, str], list[Path]] = {}
    for path in found.companions:
        name = _companion_name(path, companions)
        named.setdefault((path.parent, name, _base_of(path, name)), []).append(path)
    sessions: dict[Path, set[str]] = {}
    for path in found.neighbours:
        sessions.setdefault(path.parent, set()).add(read_name(stem_of(path)).session)
    out: dict[Path, dict[str, list[Path]]] = {}
    for path in maps:
        this = read_name(stem_of(path))
        out[path] = {}
        for name, kind in companions.items():
            files = named.get((path.parent, name, stem_of(path)), [])
            if not files and not (kind == "percent" and stem_of(path).endswith(FILLED)):  # bounds of before the fill
                files = named.get((path.parent, name, this.base), [])
            if not files and kind in SHARED_KINDS:
                files = named.get((path.parent, name, this.session), [])
                if not files and len(sessions.get(path.parent, ())) <= 1:
                    files = named.get((path.parent, name, ""), [])
            if files:
                out[path][name] = _distinct(files)
    return out


def _distinct(paths: Sequence[Path]) -> list[Path]:
    """Leave out further names of one file, and replace a folder by that of the DICOM series in it."""
    files: dict[tuple[int, int], Path] = {}
    for path in paths:
        entry = path.stat()
        files.setdefault((entry.st_dev, entry.st_ino), (_series_folder(path) or path) if path.is_dir() else path)
    return list(files.values())


def _base_of(path: Path, name: str) -> str:
    """Return the name of the map or of the session that a companion belongs to."""
    stem = stem_of(path)
    if stem.lower().endswith(f"_{name}"):
        return stem[: -len(name) - 1]
    return "" if stem.lower() == name else read_name(stem).base


@dataclass(frozen=True, kw_only=True)
class Case:
    """What belongs together on one grid.

    Attributes:
        name: folders below the root and the session.
        maps: files of the maps.
    """

    name: str
    maps: tuple[Path, ...]


def group(maps: Sequence[Path], root: Path) -> list[Case]:
    """Group maps by folder, session and grid.

    Args:
        maps: files of the maps.
        root: folder from which the cases are named.
    """
    cases: dict[tuple[str, object], list[Path]] = {}
    for path in maps:
        session = read_name(stem_of(path)).session
        folder = path.parent.relative_to(root).as_posix() if path.parent.is_relative_to(root) else path.parent.name
        name = "/".join(part for part in (folder if folder != "." else "", session) if part) or root.name
        cases.setdefault((name, _grid(path)), []).append(path)
    count: dict[str, int] = {}
    out = []
    for (name, _), files in cases.items():
        count[name] = count.get(name, 0) + 1
        out.append(Case(name=name if count[name] == 1 else f"{name} ({count[name]})", maps=tuple(files)))
    return out


def _grid(path: Path) -> object:
    """Return what tells the grids of two maps apart; None for a file that cannot be read."""
    try:
        image: Any = nib.load(path)
        return tuple(image.shape[:3]), tuple(np.round(np.asarray(image.affine, float), 3).ravel().tolist())
    except Exception:  # unreadable files are reported by the checks
        return None


def is_mask(path: Path) -> bool:
    """Whether a map holds only 0 and 1, both of them."""
    try:
        image: Any = nib.load(path)
        size = image.shape[2] if len(image.shape) > 2 else 1
        for place in np.unique(np.linspace(0, size - 1, ALL_BUT_MASKS).astype(int)):
            part = np.asarray(image.dataobj[:, :, place] if len(image.shape) > 2 else image.dataobj)
            if not np.isin(part, (0, 1)).all():
                return False
        values = np.asarray(image.dataobj)
        return bool(np.isin(values, (0, 1)).all() and values.any() and not values.all())
    except Exception:  # unreadable files are reported by the checks
        return False


def table(
    cases: Sequence[Case],
    items: Sequence[Mapping[str, str]],
    *,
    companions: Iterable[str],
    results: int,
    unused: Mapping[str, str],
) -> list[str]:
    """Describe what was found: a headline, a line for each case, and a line for each unused file.

    Args:
        cases: cases of the run.
        items: inputs with their companions, see :meth:`mrsikit.runtime.InputFolder.items`.
        companions: suffixes of the companions.
        results: number of outputs of earlier runs in the folder.
        unused: reason for each file that is not used, by its name.
    """
    files = {name: {item[name] for item in items if name in item} for name in companions}
    counts = [_count(sum(len(case.maps) for case in cases), "map")]
    counts += [f"{len(paths)} {name}" for name, paths in files.items() if paths]
    headline = f"{_count(len(cases), 'case')}: {', '.join(counts)}"
    if results:
        headline += f"; {_count(results, 'result')} of earlier runs"
    if unused:
        headline += f"; {_count(len(unused), 'file')} not used"
    width = max((len(case.name) for case in cases), default=0)
    by_map = {item["image"]: item for item in items}
    lines = [headline]
    for case in cases:
        extra = {n: {by_map[str(p)][n] for p in case.maps if n in by_map.get(str(p), {})} for n in files}
        counted = "".join(f", {len(paths)} {name}" for name, paths in extra.items() if paths)
        names = " ".join(read_name(stem_of(path)).metabolite or path.name for path in case.maps)
        lines.append(f"  {case.name:{width}}  {_count(len(case.maps), 'map')}{counted}: {names}")
    return [*lines, *(f"  not used: {path}: {reason}" for path, reason in unused.items())]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
