"""The table ``summary.csv``: a row for each input of a folder, whichever run computed it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mrsikit.io.atomic import write_text_atomically
from mrsikit.runtime.claims import summary_lock
from mrsikit.runtime.inputs import InputFolder
from mrsikit.runtime.provenance import read_record
from mrsikit.runtime.report.grouped_warnings import MADE_BEFORE, most_urgent_first

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
SUMMARY = "summary.csv"
KEPT = ("file", "case", "status", "reason", "flags")
"""Columns that are kept of the row of another shard's input without a result."""

Rows = dict[Path, dict[str, Any]]


def write_summary(inputs: InputFolder) -> Rows:
    """Write summary.csv.

    Without shards, every input has a row. A shard writes the rows of its own inputs and of all that are done. Of the
    others it keeps the rows in the table that is there, so that after all shards, in any order, every input has a row.

    Args:
        inputs: the inputs of the run, after :func:`mrsikit.runtime.check_inputs`.

    Returns:
        The row of each input that has one.
    """
    path = Path(str(inputs.output_dir)).expanduser() / SUMMARY
    if inputs.shard is None:
        rows = _rows(inputs, {})
        write_text_atomically(path, as_csv(list(rows.values())))
        return rows
    with summary_lock(path.parent):
        rows = _rows(inputs, _without_results(path))
        write_text_atomically(path, as_csv(list(rows.values())))
    return rows


def _rows(inputs: InputFolder, known: Mapping[str, dict[str, Any]]) -> Rows:
    """Make the rows; ``known`` holds rows for what is neither done nor of this shard, by file."""
    whole, own = inputs.whole(), set(inputs.files)
    case_of = {path: case.name for case in whole.cases() for path in case.maps}
    rows: Rows = {}
    for path in whole.files:
        if path in own or whole.is_done(path):
            rows[path] = _row(whole, path, case_of.get(path))
        elif (row := known.get(shown_name(whole, path))) is not None:
            rows[path] = row
    return rows


def _row(inputs: InputFolder, path: Path, case: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"file": shown_name(inputs, path), **({} if case is None else {"case": case})}
    row |= {"status": DONE, "reason": "", "flags": ""}
    if str(path) in inputs.invalid:
        return row | {"status": SKIPPED, "reason": "; ".join(inputs.invalid[str(path)])}
    if not inputs.is_done(path):
        return row | {"status": FAILED, "reason": "outputs are not complete; run again"}
    record = read_record(inputs.record_path(inputs.name_of(path)))
    return row | {"flags": "; ".join(flags_of(inputs, path, record))} | dict(record.get("summary", {}))


def _without_results(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a table that are not done, by file."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: row.get(name, "") for name in KEPT} for row in csv.DictReader(file)]
    return {row["file"]: row for row in rows if row["status"] != DONE}


def flags_of(inputs: InputFolder, path: Path, record: Mapping[str, Any]) -> list[str]:
    """Return the warnings of an input, the most urgent first: those of its record, and that other settings made it."""
    flags = [str(flag) for flag in record.get("flags", ())]
    if str(path) in inputs.outdated:
        flags.append(f"{MADE_BEFORE} {inputs.outdated[str(path)]} and not again: --overwrite true does")
    return most_urgent_first(flags)


def shown_name(inputs: InputFolder, path: Path) -> str:
    """Return the name of a file with its folders below the folder of all inputs."""
    return str(PurePosixPath(inputs.name_of(path)).parent / path.name)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of all columns of some rows, in the order in which they come up."""
    return list(dict.fromkeys(name for row in rows for name in row))


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table in CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns_of(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
