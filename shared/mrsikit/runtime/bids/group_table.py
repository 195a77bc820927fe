"""The group level: one table of the results of all participants."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrsikit.io.atomic import write_text_atomically
from mrsikit.io.errors import InputError
from mrsikit.runtime.bids.names import BidsName, read_bids_name
from mrsikit.runtime.labelled_maps import MAPS
from mrsikit.runtime.provenance import read_record
from mrsikit.runtime.region_table import TABLE

GROUP = "group.tsv"
NOT_KNOWN = "n/a"
"""BIDS's word for an empty cell."""


def write_group_table(out: Path, participants: Sequence[str] | None, sessions: Sequence[str] | None) -> int:
    """Write ``group.tsv``: a row for each map, or for each region of each map where the regions are known.

    Columns are ``participant_id``, ``session_id``, ``metabolite``, ``map`` (the file of the input), ``warnings``, those
    of ``summary.csv``, and those of ``regions.csv`` with ``region`` before their names.

    Args:
        out: root of the derivative dataset.
        participants: labels of the participants to include; None: all.
        sessions: labels of the sessions to include; None: all.

    Returns:
        Number of rows.

    Raises:
        InputError: there are no results of these participants and sessions.
    """
    rows = []
    for bundle, output in MAPS.items():
        regions = _regions(out, bundle)
        for file in sorted((out / bundle).glob("sub-*/*.json")):
            name, record = read_bids_name(file.stem), read_record(file)
            if name is None or not record or not _is_wanted(name, participants, sessions):
                continue
            row = _row(name, file.stem, record)
            rows += [row | region for region in regions.get(f"{file.stem}_{output}.nii.gz", [{}])]
    if not rows:
        chosen = " of these participants and sessions" if participants is not None or sessions is not None else ""
        raise InputError(f"{out}: holds no results{chosen}; run the level participant first")
    write_text_atomically(out / GROUP, _as_tsv(rows))
    return len(rows)


def _is_wanted(name: BidsName, participants: Sequence[str] | None, sessions: Sequence[str] | None) -> bool:
    return (participants is None or name.participant in participants) and (sessions is None or name.session in sessions)


def _row(name: BidsName, stem: str, record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "participant_id": f"sub-{name.participant}",
        "session_id": f"ses-{name.session}" if name.session else "",
        "metabolite": name.entities.get("met", ""),
        "map": f"{stem}.nii.gz",
        "warnings": "; ".join(str(flag) for flag in record.get("flags", ())),
        **record.get("summary", {}),
    }


def _regions(out: Path, bundle: str) -> dict[str, list[dict[str, str]]]:
    """Return the rows of ``regions.csv``, with the columns of the regions alone, by the name of the map's file."""
    path = next((path for path in (out / bundle / TABLE, out / TABLE) if path.exists()), None)
    if path is None:
        return {}
    found: dict[str, list[dict[str, str]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            columns = list(row)
            about = {f"region {column}": row[column] for column in columns[columns.index("ratio") :]}
            found.setdefault(Path(row["map"]).name, []).append(about)
    return found


def _as_tsv(rows: Sequence[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(buffer, columns, restval=NOT_KNOWN, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if value is None or value == "" or value != value:
        return NOT_KNOWN
    return " ".join(value.split()) if isinstance(value, str) else value
