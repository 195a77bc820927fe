"""The reporting checklist MRSinMRS, filled from the header of a file and the record of its run.

Source: Lin et al, NMR in Biomedicine 2021, doi 10.1002/nbm.4484. What neither says is "not stated".
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib

from mrsikit.physics.nuclei import NUCLEI

NOT_STATED = "not stated"

FROM_HEADER: dict[str, tuple[str, ...]] = {
    "1b manufacturer": ("Manufacturer",),
    "1c model, software version": ("ManufacturersModelName", "SoftwareVersions"),
    "1d RF coils": ("TxCoil", "RxCoil"),
    "2a pulse sequence": ("SequenceName", "ProtocolName"),
    "2g water suppression": ("WaterSuppressionType", "WaterSuppressed"),
}
"""Items and the keys of a NIfTI-MRS header that state them."""

ITEMS = (
    "1a field strength, nucleus",
    "1b manufacturer",
    "1c model, software version",
    "1d RF coils",
    "1e additional hardware",
    "2a pulse sequence",
    "2b location of the volume of interest",
    "2c nominal voxel size, matrix",
    "2d repetition and echo time",
    "2e excitations per spectrum",
    "2f spectral width, points",
    "2g water suppression",
    "2h shimming",
    "2i triggering or motion correction",
    "3a analysis software",
    "3b processing steps",
    "3c output measure",
    "3d quantification references and assumptions",
    "4a SNR, linewidth",
    "4b exclusion criteria",
    "4c quality of the fit",
    "4d sample spectrum",
)
"""Items of the checklist, numbered as there."""

SECONDS = (("RepetitionTime", "TR"), ("EchoTime", "TE"), ("InversionTime", "TI"), ("MixingTime", "TM"))


def checklist(path: Path, record: Mapping[str, Any]) -> dict[str, str]:
    """Fill the checklist for one input.

    Args:
        path: the input; NIfTI-MRS states more than a map.
        record: of the run, as in ``<stem>.json``.

    Returns:
        What is stated of each of :data:`ITEMS`.
    """
    header, found = _header(path), dict.fromkeys(ITEMS, "")
    for item, keys in FROM_HEADER.items():
        found[item] = ", ".join(f"{key} {header[key]}" for key in keys if header.get(key) not in (None, ""))
    found["1a field strength, nucleus"] = _field(header)
    found["2c nominal voxel size, matrix"] = header.get("geometry", "")
    found["2d repetition and echo time"] = ", ".join(
        f"{name} {1e3 * float(header[key]):g} ms" for key, name in SECONDS if isinstance(header.get(key), int | float)
    )
    if "dwell" in header:
        found["2f spectral width, points"] = f"{1 / header['dwell']:g} Hz, {header['points']} points"
    bundle, parameters = record.get("bundle", {}), record.get("parameters", {})
    used = ("mrsikit", record.get("mrsikit", "")), (bundle.get("name", ""), bundle.get("version", ""))
    found["3a analysis software"] = ", ".join(f"{name} {version}" for name, version in used)
    found["3b processing steps"] = ", ".join(f"{name} {value}" for name, value in parameters.items())
    summary = record.get("summary", {})
    chosen = {name: value for name, value in summary.items() if any(word in name for word in ("SNR", "linewidth"))}
    found["4a SNR, linewidth"] = ", ".join(f"{name} {value}" for name, value in chosen.items())
    quality = {name: value for name, value in summary.items() if "doubtful" in name or "uncertainty" in name}
    found["4c quality of the fit"] = ", ".join(f"{name} {value}" for name, value in quality.items())
    found["4d sample spectrum"] = "in report.html" if "dwell" in header else ""
    return {item: found[item] or NOT_STATED for item in ITEMS}


def as_csv(by_file: Mapping[str, Mapping[str, str]]) -> str:
    """One line an item, one column a file."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["item", *by_file])
    writer.writerows([item, *(one[item] for one in by_file.values())] for item in ITEMS)
    return buffer.getvalue()


def common(by_file: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What all files state alike of each item; of the others, that they differ."""
    out = {}
    for item in ITEMS:
        values = {one[item] for one in by_file.values()}
        out[item] = values.pop() if len(values) == 1 else "differs between the files, see mrsinmrs.csv"
    return out


def _header(path: Path) -> dict[str, Any]:
    """Keys of a NIfTI-MRS header, and the geometry of any file; empty if it cannot be read."""
    try:
        image: Any = nib.load(path)
        found: dict[str, Any] = {}
        for extension in getattr(image.header, "extensions", ()):
            if extension.get_code() == 44:
                found |= json.loads(bytes(extension.get_content()).decode("utf-8", "replace").rstrip("\x00"))
        sides = [f"{side:.3g}" for side in nib.affines.voxel_sizes(image.affine)]
        shape = [str(n) for n in (*image.shape, 1, 1)[:3]]
        found["geometry"] = f"{' x '.join(sides)} mm, {' x '.join(shape)}"
        if found.get("SpectrometerFrequency"):
            found |= {"dwell": float(image.header["pixdim"][4]), "points": int(image.shape[3])}
        return found
    except Exception:  # what cannot be read is not stated; the checks have named it
        return {}


def _field(header: Mapping[str, Any]) -> str:
    frequency, nucleus = header.get("SpectrometerFrequency"), header.get("ResonantNucleus")
    mhz, name = (value[0] if isinstance(value, list) and value else value for value in (frequency, nucleus))
    if not isinstance(mhz, int | float) or not name:
        return ""
    tesla = f"{NUCLEI[name].field_of(mhz):.3g} T, " if name in NUCLEI else ""
    return f"{tesla}{name} at {mhz:g} MHz"
