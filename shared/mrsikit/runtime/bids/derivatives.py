"""Write the results of a bundle as a BIDS derivative dataset: names, sidecars and the description of the dataset."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mrsikit
from mrsikit.io.atomic import whole_or_nothing, write_text_atomically
from mrsikit.io.errors import InputError
from mrsikit.io.readers import stem_of
from mrsikit.runtime.bids.dataset import BidsFile, BidsMap
from mrsikit.runtime.provenance import read_record

BIDS_VERSION = "1.10.0"
DESCRIPTION = "dataset_description.json"
DATATYPE = "mrs"
NO_UNIT = "arbitrary"
"""BIDS's word for the unit of values that have none."""


class Output(NamedTuple):
    """How an output of a bundle is named in BIDS.

    Attributes:
        desc: label of ``desc``.
        suffix: last part of the name.
        about: what the image holds.
    """

    desc: str
    suffix: str
    about: str


OUTPUTS = {
    "inpainted": Output("inpainted", "mrsimap", "Metabolite map with its missing voxels filled"),
    "holes": Output("filled", "mask", "1 where a voxel of the map was filled"),
    "calibrated": Output("calibrated", "mask", "1 where a filled voxel is like those that checked the fill"),
    "inpainted_crlb": Output("crlb", "mrsimap", "Cramér-Rao bounds; where a voxel was filled, its standard deviation"),
    "sr": Output("sr", "mrsimap", "Super-resolved metabolite map"),
    "without_mri": Output("srWithoutMRI", "mrsimap", "Metabolite map, super-resolved without the MRI"),
    "ratio": Output("ratio", "mrsimap", "Ratio of super-resolved metabolite maps"),
    "ratio_uncertainty": Output("ratioUncertainty", "mrsimap", "Standard deviation of the ratio"),
    "uncertainty": Output("uncertainty", "mrsimap", "Standard deviation of the map"),
}
"""BIDS's name of each output of the bundles that read maps, by its suffix there."""

PERCENT = ("inpainted_crlb",)
WITHOUT_UNIT = ("holes", "calibrated", "ratio", "ratio_uncertainty")


def link_names(datasets: Sequence[Path]) -> dict[Path, str]:
    """Name datasets for BIDS URIs (``bids:<name>:<path>``) by their folders; further ones of a name get a number."""
    out: dict[Path, str] = {}
    for dataset in datasets:
        name = re.sub(r"[^A-Za-z0-9]+", "-", dataset.resolve().name).strip("-") or "input"
        taken = sum(re.fullmatch(rf"{re.escape(name)}(-\d+)?", other) is not None for other in out.values())
        out[dataset] = f"{name}-{taken + 1}" if taken else name
    return out


def write_derivatives(found: BidsMap, results: Path, out: Path, names: Mapping[Path, str]) -> list[Path]:
    """Give the results of one map their names in BIDS, each with a sidecar.

    The images are hard links to the bundle's own files where the file system has them, else copies.

    Args:
        found: the map that was the input.
        results: folder of the bundle's results.
        out: root of the derivative dataset.
        names: see :func:`link_names`.

    Returns:
        The images; none if the map is not computed yet.
    """
    stem, name = stem_of(found.file.path), found.file.name
    record = read_record(results / f"{stem}.json")
    if not record:
        return []
    folder = out / f"sub-{name.participant}" / (f"ses-{name.session}" if name.session else "") / DATATYPE
    images = []
    for what, output in OUTPUTS.items():
        made = results / f"{stem}_{what}.nii.gz"
        image = folder / f"{name.described(output.desc, output.suffix)}.nii.gz"
        sidecar = image.with_name(f"{stem_of(image)}.json")
        if not made.exists():
            image.unlink(missing_ok=True)  # of an earlier run with other options
            sidecar.unlink(missing_ok=True)
            continue
        _link(made, image)
        content = {"Description": output.about}
        if what not in WITHOUT_UNIT:
            content["Units"] = "percent" if what in PERCENT else _unit(found.file, record)
        write_json(sidecar, {**content, **_origin(found, names), "Record": record})
        images.append(image)
    return images


def _link(made: Path, image: Path) -> None:
    if image.exists() and image.samefile(made):
        return
    with whole_or_nothing(image) as partial:
        try:
            os.link(made, partial)
        except OSError:  # no hard links here
            shutil.copyfile(made, partial)


def _origin(found: BidsMap, names: Mapping[Path, str]) -> dict[str, Any]:
    files = (found.file, *found.companions.values())
    uris = [f"bids:{names[file.dataset]}:{file.path.relative_to(file.dataset).as_posix()}" for file in files]
    return {"Sources": list(dict.fromkeys(uris))}


def _unit(file: BidsFile, record: Mapping[str, Any]) -> str:
    """Return the unit of a map: that of its sidecar, else that which the run was given."""
    given = read_json(file.path.with_name(f"{stem_of(file.path)}.json")).get("Units")
    if isinstance(given, str) and given:
        return given
    unit = record.get("parameters", {}).get("unit")
    return str(unit) if unit and unit != "map units" else NO_UNIT


def check_output(out: Path, datasets: Sequence[Path], bundle: str, bundles: Sequence[str]) -> None:
    """Check that a derivative dataset may be written to a folder.

    Args:
        out: its root.
        datasets: roots of the datasets that are read, the main one first.
        bundle: name of the bundle that runs.
        bundles: names of all bundles.

    Raises:
        InputError: the folder lies in the main dataset but not under ``derivatives``, is itself read, or holds other
            data.
    """
    root, place = datasets[0].resolve(), out.resolve()
    derivatives = root / "derivatives"
    if place.is_relative_to(root) and not (place.is_relative_to(derivatives) and place != derivatives):
        right = f"give {derivatives / 'mrsikit'}, or a folder elsewhere"
        raise InputError(f"{out}: lies in the dataset that is read; {right}")
    if any(place == dataset.resolve() for dataset in datasets):
        raise InputError(f"{out}: is read as a dataset, too; give another folder for the results")
    description = read_json(out / DESCRIPTION)
    made_by = description.get("GeneratedBy")
    programs = [entry.get("Name") for entry in made_by if isinstance(entry, dict)] if isinstance(made_by, list) else []
    if description and "mrsikit" not in programs:
        raise InputError(f"{out}: holds a dataset that mrsikit did not make; give another folder for the results")
    other = next((name for name in bundles if name != bundle and (out / name).is_dir()), None)
    if other is not None:
        raise InputError(f"{out}: holds results of {other}; give another folder for those of {bundle}")


def describe_dataset(out: Path, bundle: str, version: str, names: Mapping[Path, str]) -> None:
    """Write ``dataset_description.json`` and ``.bidsignore``.

    Args:
        out: root of the derivative dataset.
        bundle: name of the bundle.
        version: its version.
        names: see :func:`link_names`; the main dataset first.
    """
    main = next(iter(names))
    source = read_json(main / DESCRIPTION)
    links = {name: Path(os.path.relpath(dataset, out)).as_posix() for dataset, name in names.items()}
    origin = {"DOI": source["DatasetDOI"]} if source.get("DatasetDOI") else {"URL": links[names[main]]}
    about = {
        "Name": f"{bundle} of {source.get('Name') or main.resolve().name}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {"Name": "mrsikit", "Version": mrsikit.__version__, "Description": f"MONAI bundle {bundle} {version}"}
        ],
        "SourceDatasets": [origin],
        "DatasetLinks": {**(read_json(out / DESCRIPTION).get("DatasetLinks") or {}), **links},
    }
    if source.get("License"):
        about["License"] = source["License"]
    write_json(out / DESCRIPTION, about)
    ignore = out / ".bidsignore"
    before = ignore.read_text(encoding="utf-8").splitlines() if ignore.exists() else []
    # BIDS has neither metabolites nor their maps yet.
    lines = ["*_mrsimap.*", f"/{bundle}", "/group.tsv", "/regions.csv"]
    lines += [f"*_desc-{output.desc}_mask.*" for output in OUTPUTS.values() if output.suffix == "mask"]
    new = [line for line in lines if line not in before]
    if new:
        write_text_atomically(ignore, "\n".join([*before, *new]) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as JSON, unless the file holds just that."""
    if read_json(path) != content:
        write_text_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
