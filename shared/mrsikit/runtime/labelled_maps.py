"""Find the maps of a folder, results of a bundle or others, and the label image of each."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsikit.io.errors import InputError
from mrsikit.io.readers import read_map, split_name, stem_of
from mrsikit.regions import whole_labels
from mrsikit.runtime.cases import Found, attach, is_mask
from mrsikit.runtime.file_names import read_name
from mrsikit.runtime.inputs import InputFolder
from mrsikit.runtime.provenance import read_record

ROIS = "rois"
"""Suffix of the label images, ``<case>_rois.nii.gz``."""

MAPS = {"mrsi_inpainting": "inpainted", "mrsi_super_resolution": "sr", "mrsi_gan_super_resolution": "sr"}
"""Suffix of the output that is the map, by bundle. Those of a quantification are named after its metabolites."""


@dataclass(frozen=True, kw_only=True)
class FoundMap:
    """A map of a folder.

    Attributes:
        path: its file.
        stem: where its input would lie in the folder, without ending: companions and outputs are named after it.
        case: folders below the folder, and session.
        metabolite: name of the metabolite; empty if the name of the file states none, or for several on a last axis.
        record: its provenance record; empty for a map without one.
    """

    path: Path
    stem: Path
    case: str
    metabolite: str
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Labels:
    """A label image: whole numbers (X, Y[, Z]), affine (4, 4) from voxel to mm, names of the labels, and the file."""

    path: Path
    values: NDArray[np.int64]
    affine: NDArray[np.float64]
    names: Mapping[int, str]


def find_maps(root: Path) -> list[FoundMap]:
    """Find the maps in a folder and in the folders in it: those that a bundle wrote, else all.

    Args:
        root: folder of results, with their records, or of maps.
    """
    out = []
    for file in sorted(root.rglob("*.json")):
        record, stem = read_record(file), file.with_suffix("")
        bundle = record.get("bundle", {}).get("name")
        named = bundle not in MAPS
        for suffix in (record.get("parameters", {}).get("metabolites") or ()) if named else (MAPS[bundle],):
            path = file.with_name(f"{stem.name}_{suffix}.nii.gz")
            if path.exists():
                metabolite = suffix if named else read_name(stem.name).metabolite
                out.append(FoundMap(path=path, stem=stem, case=_case(stem, root), metabolite=metabolite, record=record))
    return out or _maps_without_records(root)


def _maps_without_records(root: Path) -> list[FoundMap]:
    try:
        files = [path for path in InputFolder(dataset_dir=root, output_dir=None).files if not is_mask(path)]
    except InputError:  # there are none
        return []
    out = []
    for path in files:
        name = stem_of(path)
        for suffix in MAPS.values():
            name = name.removesuffix(f"_{suffix}")
        stem = path.with_name(name)
        out.append(FoundMap(path=path, stem=stem, case=_case(stem, root), metabolite=read_name(name).metabolite))
    return out


def _case(stem: Path, root: Path) -> str:
    folder, session = stem.parent.relative_to(root).as_posix(), read_name(stem.name).session
    return "/".join(part for part in (folder if folder != "." else "", session) if part) or root.name


def find_labels(maps: Sequence[FoundMap], root: Path, rois: Path | None) -> dict[Path, Path]:
    """Find the label image of each map: ``<map>_rois``, ``<session>_rois``, or ``rois`` in a folder of one session.

    Args:
        maps: maps of the folder ``root``.
        root: folder of the maps.
        rois: a label image for all maps, or a folder of label images laid out as ``root``; None: ``root`` itself.

    Returns:
        File of the label image of each map that has one, by the file of the map.

    Raises:
        InputError: ``rois`` does not exist, or two files claim to be the label image of one map.
    """
    source = root if rois is None else rois
    if source.is_file():
        return {found.path: source for found in maps}
    if not source.is_dir():
        raise InputError(f"--rois {source}: does not exist; give a label image or a folder of them")
    files = [path for path in sorted(source.rglob("*")) if split_name(path.name)[1] and not path.name.startswith(".")]
    files = [path for path in files if f"_{stem_of(path).lower()}".endswith(f"_{ROIS}")]
    # Places of the inputs among the labels, so that a label image is found as every companion is.
    places = {
        found.path: source / found.stem.relative_to(root).with_name(f"{found.stem.name}.nii.gz") for found in maps
    }
    inputs = list(dict.fromkeys(places.values()))
    named = attach(inputs, Found(root=source, neighbours=inputs, companions=files), {ROIS: "mask"})
    for found in (one[ROIS] for one in named.values() if ROIS in one):
        if len(found) > 1:
            raise InputError(f"{found[0]}: is there twice, also as {found[1].name}; keep one")
    return {path: named[place][ROIS][0] for path, place in places.items() if ROIS in named[place]}


def read_labels(path: Path) -> Labels:
    """Read a label image and the names of its labels, if they lie beside it.

    ``<stem>.tsv`` has the columns ``index`` and ``name``, as a BIDS ``dseg.tsv``; ``<stem>.json`` holds
    ``{"1": "frontal"}``.

    Args:
        path: the label image.

    Raises:
        InputError: a file cannot be used.
    """
    values, affine = read_map(path)
    try:
        whole = whole_labels(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    table, listed = (path.with_name(f"{stem_of(path)}{ending}") for ending in (".tsv", ".json"))
    names = _names(table) if table.exists() else _names(listed) if listed.exists() else {}
    return Labels(path=path, values=whole, affine=affine, names=names)


def _names(path: Path) -> dict[int, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            pairs = json.loads(text).items()
        else:
            pairs = [(row["index"], row["name"]) for row in csv.DictReader(text.splitlines(), delimiter="\t")]
        names = {int(label): str(name) for label, name in pairs}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        right = '{"1": "frontal"}' if path.suffix == ".json" else "the columns index and name, separated by tabs"
        raise InputError(f"{path}: names no labels ({type(error).__name__}); give {right}") from error
    if any(label < 0 for label in names):
        raise InputError(f"{path}: names a label below 0; labels are whole numbers from 0 on")
    return names
