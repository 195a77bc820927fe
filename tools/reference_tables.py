"""A paper's numbers and claims beside ours: the generated part of a bundle's docs/reference.md.

``docs/reference.json`` holds what the paper prints, each with a quote of its text, and names the rows of
``docs/results.json`` that stand beside it::

    {"tables": [{"title": "Table I: ...",
                 "rows": [{"name": "...", "printed": "0.002", "quote": "...", "here": [ROW], "default": [ROW]}]}],
     "claims": [{"claim": "...", "where": "abstract", "quote": "...", "verdict": "held", "why": "...",
                 "figures": [{"name": "...", "row": [ROW]}]}]}

ROW is set, condition, method, metric. A row that there is not yet is null; ``printed`` is empty where the
paper's number is not known.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markdown_tables import table_head, table_line
from result_tables import BRACKETS, NO_VALUE, Rows, find_row, with_interval

FILE = "reference.json"
OUTCOMES = ("held", "partly", "not held", "cannot be tested here")


def read_reference(bundle: Path) -> dict[str, Any]:
    """Return the content of docs/reference.json of a bundle."""
    return json.loads((bundle / "docs" / FILE).read_text(encoding="utf-8"))


def render_reference(reference: Mapping[str, Any], rows: Rows) -> str:
    """Render all tables and the claims as Markdown.

    Args:
        reference: content of docs/reference.json.
        rows: rows of docs/results.json.

    Raises:
        ValueError: a row is named that is not among the results, or a verdict is none of :data:`OUTCOMES`.
    """
    tables = [_table(table, rows) for table in reference["tables"]]
    return "\n\n".join([*tables, _claims(reference["claims"], rows), BRACKETS])


def named_rows(reference: Mapping[str, Any]) -> list[Sequence[str]]:
    """Return all rows of the results that are named, each as set, condition, method, metric."""
    lines = [line for table in reference["tables"] for line in table["rows"]]
    found = [line.get(column) for line in lines for column in ("here", "default")]
    found += [figure.get("row") for claim in reference["claims"] for figure in claim.get("figures", ())]
    return [row for row in found if row]


def quotes(reference: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (printed number, quote) of each row, and ("", quote) of each claim."""
    lines = [line for table in reference["tables"] for line in table["rows"]]
    return [(line["printed"], line["quote"]) for line in lines] + [
        ("", claim["quote"]) for claim in reference["claims"]
    ]


def _table(table: Mapping[str, Any], rows: Rows) -> str:
    """One table; a column that nothing stands in is left out."""
    titles = ["", "printed", "here, by the paper's rules", "here, this bundle's default", "our data"]
    lines = []
    for line in table["rows"]:
        named = [line.get("here"), line.get("default")]
        data = ", ".join(dict.fromkeys(row[0] for row in named if row)) or NO_VALUE
        lines.append([line["name"], line["printed"] or NO_VALUE, *(_value(row, rows) for row in named), data])
    kept = [k for k in range(len(titles)) if {line[k] for line in lines} != {NO_VALUE}]
    head, *body = ([line[k] for k in kept] for line in [titles, *lines])
    note = f"\n\n{table['note']}" if table.get("note") else ""
    return "\n".join([f"### {table['title']}", "", *table_head(head), *map(table_line, body)]) + note


def _claims(claims: Sequence[Mapping[str, Any]], rows: Rows) -> str:
    lines = []
    for claim in claims:
        if claim["verdict"] not in OUTCOMES:
            raise ValueError(f"{claim['verdict']}: is none of {', '.join(OUTCOMES)}")
        figures = "; ".join(
            f"{figure['name']}, {figure['row'][0]}: {_value(figure['row'], rows)}"
            for figure in claim.get("figures", ())
        )
        lines.append(table_line([claim["claim"], claim["where"], claim["verdict"], claim["why"], figures]))
    head = table_head(["claim of the paper", "where", "here", "why", "figures"])
    return "\n".join(["### Claims", "", *head, *lines])


def _value(named: Sequence[str] | None, rows: Rows) -> str:
    if not named:
        return NO_VALUE
    row = find_row(rows, *named)
    if row is None:
        raise ValueError(f"{', '.join(named)}: no such row in results.json")
    return NO_VALUE if row["mean"] is None else with_interval(row, "%.3g")
