"""The table ``regions.csv``: statistics of labelled regions for the maps of a folder and for the ratios of its maps."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsikit.io.atomic import write_text_atomically
from mrsikit.io.errors import InputError
from mrsikit.io.readers import read_codes, read_map
from mrsikit.regions import labels_on_grid, region_statistics, shares_on_grid
from mrsikit.runtime.file_names import read_name
from mrsikit.runtime.labelled_maps import ROIS, FoundMap, Labels, find_labels, find_maps, read_labels

logger = logging.getLogger(__name__)

TABLE = "regions.csv"
COLUMNS = (
    "map", "case", "metabolite", "ratio", "label", "name", "share on the grid", "voxels", "voxels zero", "voxels NaN",
    "mean", "median", "SD", "share imputed", "share not calibrated",
)  # fmt: skip
"""Columns of the table. ``voxels`` have a value; the shares but the first are of these."""

TOTAL_CREATINE = ("tcr", "cr+pcr", "pcr+cr", "crpcr", "cr", "creatine")
"""Names of the default denominator of ratios; the first that a case has is taken."""

NO_RATIO = "none"
SAME_GRID = 1e-3
"""Largest difference of the affines of one grid (mm)."""


@dataclass(frozen=True, kw_only=True)
class _Metabolite:
    """One metabolite of a map.

    Attributes:
        found: the map.
        name: of the metabolite, or its number on the last axis.
        values: (X, Y[, Z]).
        affine: (4, 4), voxel to mm.
        imputed: which voxels were filled; None: not known.
        unlike: which of these are not calibrated; None: not known.
    """

    found: FoundMap
    name: str
    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    imputed: NDArray[np.bool_] | None
    unlike: NDArray[np.bool_] | None

    @property
    def key(self) -> str:
        """Name by which a denominator is found: ``cr+pcr`` for ``Cr_PCr``."""
        return _key(self.name)

    @property
    def others(self) -> set[str]:
        """Words of the file's name but for the metabolite: the same for all maps of one repeat."""
        return set(re.split(r"[_\-. +]+", self.found.stem.name)) - set(self.found.metabolite.split("+"))

    def is_on(self, affine: NDArray[np.float64], shape: tuple[int, ...]) -> bool:
        """Whether the map lies on a grid."""
        return self.values.shape == shape and bool(np.abs(self.affine - affine).max() < SAME_GRID)


def write_region_table(
    folder: str | Path, *, rois: str | Path | None = None, ratio_to: str | None = None
) -> list[dict[str, Any]]:
    """Write ``regions.csv`` in a folder: a row for each region of each map, and of each ratio to one metabolite.

    Args:
        folder: results of a bundle, or maps.
        rois: a label image for all cases, or the folder of ``<case>_rois.nii.gz``, laid out as ``folder``; None:
            ``folder`` itself. See :func:`mrsikit.runtime.labelled_maps.find_labels` and ``read_labels``.
        ratio_to: metabolite by which the others of a case are divided; "none": no ratios; None: total creatine where a
            case has it.

    Returns:
        The rows by :data:`COLUMNS`; None where a figure is not known. See :class:`mrsikit.regions.RegionStatistics`.

    Raises:
        InputError: there are no maps or no labels, or files cannot be used; a line for each problem. Nothing is then
            written.
    """
    root = Path(folder).expanduser().absolute()
    maps = find_maps(root)
    if not maps:
        raise InputError(f"{root}: holds no maps; give a folder of results or of maps")
    images = find_labels(maps, root, None if rois is None else Path(rois).expanduser().absolute())
    if not images:
        wanted = f"{maps[0].case.rsplit('/', maxsplit=1)[-1]}_{ROIS}.nii.gz"
        raise InputError(f"{root if rois is None else rois}: holds no labels of these maps; give {wanted}, or --rois")
    cases: dict[str, list[FoundMap]] = {}
    for found in maps:
        cases.setdefault(found.case, []).append(found)
    rows: list[dict[str, Any]] = []
    problems, known = [], set()
    for case, members in cases.items():
        labelled = [found for found in members if found.path in images]
        if len(labelled) < len(members):
            logger.warning("%s: %d maps have no labels and are left out", case, len(members) - len(labelled))
        try:
            loaded = [one for found in labelled for one in _metabolites(found)]
            labels = {path: read_labels(path) for path in dict.fromkeys(images[found.path] for found in labelled)}
            known |= {one.name for one in loaded if one.name}
            rows += _rows(root, loaded, {found.path: labels[images[found.path]] for found in labelled}, ratio_to)
        except InputError as error:
            problems.append(str(error))
    if ratio_to is not None and ratio_to != NO_RATIO and not problems and not any(row["ratio"] for row in rows):
        problems = [
            f"--ratio_to {ratio_to}: divides no other map of a case; the maps are of {', '.join(sorted(known))}"
        ]
    if problems:
        raise InputError("\n".join(problems))
    write_text_atomically(root / TABLE, _as_csv(rows))
    logger.info("%s: %d rows, of %d maps in %d cases", root / TABLE, len(rows), len(images), len(cases))
    return rows


def _metabolites(found: FoundMap) -> Iterator[_Metabolite]:
    """Read a map, one metabolite after the other."""
    values, affine = read_map(found.path)
    imputed, calibrated = (_mask(found, what, values.shape) for what in ("holes", "calibrated"))
    unlike = None if imputed is None or calibrated is None else imputed & ~calibrated
    several = values.ndim == 4
    for k, name in enumerate(_names(found.record, values.shape[3]) if several else [found.metabolite]):
        part: Any = (..., k) if several else ...
        yield _Metabolite(
            found=found, name=name, values=values[part], affine=affine,
            imputed=None if imputed is None else imputed[part], unlike=None if unlike is None else unlike[part],
        )  # fmt: skip


def _mask(found: FoundMap, what: str, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Read one of a map's masks; None if it has none.

    Raises:
        InputError: the mask cannot be read, or has another matrix than the map.
    """
    path = found.stem.with_name(f"{found.stem.name}_{what}.nii.gz")
    if not path.exists():
        return None
    mask = read_map(path)[0] > 0
    if mask.shape != shape:
        raise InputError(f"{path}: has a matrix of {mask.shape}; {found.path.name} has {shape}")
    return mask


def _names(record: Mapping[str, Any], count: int) -> list[str]:
    """Names of the metabolites on a last axis: those that the run was given, else numbers from 1 on."""
    given = record.get("parameters", {}).get("metabolites") or ()
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else [str(name) for name in given]
    return names if len(names) == count else [str(k + 1) for k in range(count)]


def _rows(
    root: Path, loaded: Sequence[_Metabolite], labels: Mapping[Path, Labels], ratio_to: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one case: for each metabolite its regions, then those of its ratio.

    Raises:
        InputError: it is not known where a label image lies.
    """
    grids: dict[tuple[Any, ...], tuple[NDArray[np.int64], dict[int, float]]] = {}
    for one in loaded:
        own = labels[one.found.path]
        grid = (own.path, one.values.shape, one.affine.tobytes())
        if grid not in grids:
            grids[grid] = _on_map(own, one)
        on_map, shares = grids[grid]
        file = one.found.path.relative_to(root).as_posix()
        about: dict[str, Any] = {"map": file, "case": one.found.case, "metabolite": one.name}
        below = _denominator(one, loaded, ratio_to)
        for divisor in (None,) if below is None else (None, below):
            imputed, unlike = one.imputed, one.unlike
            if divisor is not None:
                imputed, unlike = _either(imputed, divisor.imputed), _either(unlike, divisor.unlike)
            regions = region_statistics(
                one.values,
                on_map,
                denominator=None if divisor is None else divisor.values,
                imputed=imputed,
                calibrated=None if unlike is None else ~unlike,
                names=dict.fromkeys(shares, "") | dict(own.names),
            )
            ratio = "" if divisor is None else f"{one.name}/{divisor.name}"
            for region in regions:
                figures = (*region[:2], shares.get(region.label, 0.0), *region[2:])
                yield about | {"ratio": ratio} | dict(zip(COLUMNS[4:], figures, strict=True))


def _on_map(labels: Labels, one: _Metabolite) -> tuple[NDArray[np.int64], dict[int, float]]:
    """Return the labels on the grid of a map, and of each label the share of its volume that lies there."""
    path = one.found.path
    if not one.is_on(labels.affine, labels.values.shape) and (0, 0) in (read_codes(labels.path), read_codes(path)):
        why = f"is on another grid than {path.name}, and one of their headers gives no position"
        raise InputError(f"{labels.path}: {why}; give it on the map's grid")
    shares = shares_on_grid(labels.values, labels.affine, one.values.shape, one.affine)
    if not any(shares.values()):
        logger.warning("%s: no label of %s lies on it", path, labels.path)
    return labels_on_grid(labels.values, labels.affine, one.values.shape, one.affine), shares


def _denominator(one: _Metabolite, loaded: Sequence[_Metabolite], ratio_to: str | None) -> _Metabolite | None:
    """Return what a metabolite is divided by: that of its file, else of its repeat, else the only one of its case."""
    if ratio_to == NO_RATIO or not one.name:
        return None
    names = {other.key for other in loaded}
    wanted = _key(ratio_to) if ratio_to is not None else next((name for name in TOTAL_CREATINE if name in names), None)
    if one.key == wanted:
        return None
    found = [other for other in loaded if other.key == wanted and other.is_on(one.affine, one.values.shape)]
    nearest = [other for other in found if other.found == one.found]
    nearest = nearest or [other for other in found if other.others == one.others]
    nearest = nearest or found
    return nearest[0] if len(nearest) == 1 else None


def _key(name: str) -> str:
    return (read_name(name).metabolite or name).lower()


def _either(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    return None if one is None or other is None else one | other


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table; figures that are not known are empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value != value else value for name, value in row.items()} for row in rows)
    return buffer.getvalue()
