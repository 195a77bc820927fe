"""The report of a run: summary.csv and one self-contained HTML page."""

from __future__ import annotations

import base64
import json
import logging
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from tqdm import tqdm

from mrsikit.io.atomic import write_text_atomically
from mrsikit.io.errors import InputError
from mrsikit.io.readers import read_codes, read_map
from mrsikit.runtime.inputs import InputFolder
from mrsikit.runtime.options import as_flag
from mrsikit.runtime.provenance import read_record
from mrsikit.runtime.report.check_panel import check_views
from mrsikit.runtime.report.checklist import as_csv, checklist, common
from mrsikit.runtime.report.figures import draw_case
from mrsikit.runtime.report.grouped_warnings import MADE_BEFORE, grouped, telling
from mrsikit.runtime.report.panels import INPUT, Panel, Picture
from mrsikit.runtime.report.region_figure import CAPTION, draw_regions
from mrsikit.runtime.report.summary import DONE, FAILED, SKIPPED, columns_of, flags_of, shown_name, write_summary
from mrsikit.runtime.report.viewer import plotly_script, view_of

logger = logging.getLogger(__name__)

RESEARCH_ONLY = "For research use only. Not a medical device; not for diagnosis or treatment."

ORIENTED = "Radiological orientation: anterior is up, the patient's right is on the left; else as the letters say."
NOT_ORIENTED = "The file does not say how the patient lay (sform and qform codes are 0): left and right are unknown."

ORIENTATION = {True: ORIENTED, False: NOT_ORIENTED, None: ""}
"""Note below a figure, by whether the file states the patient's orientation; None: the figure has no orientation."""

TEMPLATE = "page.html"
"""Template of the page, beside this module."""

LISTED = 5
"""Files that a warning lists before the others are folded away."""

FIRST = 5
"""Inputs to look at first that the first screen lists."""


def write_report(
    inputs: InputFolder,
    *,
    title: str,
    description: str,
    panels: Sequence[Panel] = (),
    choose_by: str | None = None,
    worst_by: str = "",
    unit: str = "map units",
    draw: Callable[[InputFolder, Path], Picture] | None = None,
    caption: str = "",
    spatial: bool = True,
    checks: Callable[[Any], Sequence[str]] | None = None,
    report: bool | str | int | None = None,
    max_figures: int = 50,
) -> list[dict[str, Any]]:
    """Write ``summary.csv``, ``mrsinmrs.csv`` and ``report.html`` from the files in the output folder.

    mrsinmrs.csv holds the reporting checklist, see :mod:`mrsikit.runtime.report.checklist`.

    A run that was killed and resumed ends with the same report, because the report needs only the output files and the
    reasons why inputs are invalid, which every run finds again.

    Args:
        inputs: the inputs of the run, after :func:`mrsikit.runtime.check_inputs`.
        title: heading of the page.
        description: plain text that says what the outputs are.
        panels: columns of the figures.
        choose_by: suffix of the mask output that chooses the slices, see :func:`mrsikit.runtime.report.draw_case`.
        worst_by: column of the summary by which the inputs are ordered, the largest first; then by the number of their
            warnings. Results that are out of date come before all others.
        unit: unit of the maps, at the colour bars.
        draw: draws the figure of an input, instead of :func:`mrsikit.runtime.report.draw_case`.
        caption: plain text below every figure.
        spatial: whether figures drawn by ``draw`` show the head and need a note on its orientation.
        checks: checks all outputs, given the inputs, and returns lines for a list above the table.
        report: whether to write the page; None: unless the run is a shard. Without it, the page of an earlier run is
            removed, because it would not show this run.
        max_figures: largest number of figures. Further inputs are only in the table, so that the page stays small
            enough to load.

    Returns:
        The rows of the summary: file, case, status (done, skipped, failed), reason, flags (the warnings), then the
        summary of each record. Of a shard, also the rows of the other shards. None if another run without shards is
        still at work in the folder: the last one writes the report.

    Raises:
        InputError: the inputs cannot be listed.
    """
    sharded = inputs.shard is not None
    wanted = not sharded if report is None else as_flag(report, "report")
    if sharded:  # each shard adds its rows while it holds its claims, whether others are at work or not
        row_of = write_summary(inputs)
        alone = inputs.release()
    else:
        alone = inputs.release()
        row_of = write_summary(inputs) if alone else {}
    if not alone:
        if wanted or not sharded:
            logger.info("another run is at work in %s; it writes the report when it ends", inputs.output_dir)
        return list(row_of.values())
    inputs, rows = inputs.whole(), list(row_of.values())
    folder = Path(str(inputs.output_dir)).expanduser()
    records = {path: read_record(inputs.record_path(inputs.name_of(path))) for path in row_of}
    done = [path for path, row in row_of.items() if row["status"] == DONE]
    found = checks(inputs) if checks is not None and done and (wanted or not sharded) else []
    for line in found:
        logger.info("%s", line)
    if not wanted:
        (folder / "report.html").unlink(missing_ok=True)
        return rows
    stated = {shown_name(inputs, path): checklist(path, records[path]) for path in done} if inputs.reads_files else {}
    if stated:
        write_text_atomically(folder / "mrsinmrs.csv", as_csv(stated))
    of_this_run = next((path for path in done if str(path) not in inputs.outdated), None)
    flags = {path: flags_of(inputs, path, records[path]) for path in done}
    done.sort(key=lambda path: _urgency(row_of[path], flags[path], worst_by), reverse=True)
    drawn = set(done[:max_figures])
    cases = []
    for path in tqdm(done, desc="report", unit="file", delay=2):
        figure: dict[str, Any] = {}
        if path in drawn and draw is not None:
            oriented = read_codes(path) != (0, 0) if spatial else None
            figure = _picture(path, "results", caption, oriented, partial(draw, inputs, path))
        elif path in drawn:
            figure = _figure(inputs, path, panels, choose_by, unit, caption)
        if path in drawn:
            figure["checks"] = check_views(records[path].get("checks", ()), unit)
        cases.append(_case(shown_name(inputs, path), flags[path], records[path], figure))
    counts = f"{len(done)} of {len(rows)} inputs done" + "".join(
        f", {number} {status}" for status in (SKIPPED, FAILED) if (number := sum(r["status"] == status for r in rows))
    )
    if len(done) > max_figures:
        counts += f"; figures of the first {max_figures}" if max_figures else "; without figures"
    noted = sum(bool(case["warnings"]) for case in cases)
    counts += f", {noted} with warnings" if noted else ""
    page = _render(
        stated=common(stated) if stated else {},
        command=_command(inputs, records[of_this_run]) if of_this_run is not None else "",
        title=title, research=RESEARCH_ONLY, description=description, counts=f"{counts}.", checks=found, cases=cases,
        problems=[row for row in rows if row["status"] != DONE],
        warnings=_warnings({case["name"]: case["warnings"] for case in cases}),
        first=_first(cases, [row_of[path] for path in done], worst_by), worst_by=worst_by,
        regions=_regions(folder / "regions.csv", [inputs.record_path(inputs.name_of(path)) for path in done]),
        columns=[name for name in columns_of(rows) if name != "flags"],
        rows=[_cells(rows, row) for row in rows],
        script=plotly_script() if any(case.get("view") for case in cases) else "",
    )  # fmt: skip
    write_text_atomically(folder / "report.html", page)
    logger.info("%s: %s", folder / "report.html", counts)
    return rows


def _render(**values: Any) -> str:
    """Fill the template; everything that is not marked as safe in it is escaped."""
    environment = Environment(
        loader=PackageLoader("mrsikit.runtime.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(TEMPLATE).render(**values)


def _regions(table: Path, records: Sequence[Path]) -> dict[str, str]:
    """Draw the table of labelled regions for the template; nothing if there is none."""
    png = draw_regions(table) if table.exists() else b""
    if not png:
        return {}
    made = table.stat().st_mtime_ns
    old = (
        " Some results are newer than regions.csv: run mrsikit regions again."
        if any(path.stat().st_mtime_ns > made for path in records)
        else ""
    )
    return {"png": base64.b64encode(png).decode("ascii"), "caption": f"{CAPTION}{old}"}


def _command(inputs: InputFolder, record: Mapping[str, Any]) -> str:
    """Command that makes a result again, from the folder of its bundle."""
    words = ["python", "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]
    words += ["--dataset_dir", str(inputs.dataset_dir)] if inputs.dataset_dir is not None else []
    words += ["--output_dir", str(inputs.output_dir)]
    for name, value in record.get("parameters", {}).items():
        if value is not None and value not in ({}, []):
            words += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    return shlex.join(words)


def _warnings(by_file: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Group the warnings of all files for the first screen: each once, with its files."""
    out = []
    for text, files in grouped(by_file):
        named = [{"name": name, "anchor": _anchor(name), "own": own} for name, own in files.items()]
        count = f"{len(named)} of {len(by_file)} inputs" if len(by_file) > 1 else "the input"
        out.append({"text": text, "count": count, "shown": named[:LISTED], "more": named[LISTED:]})
    return out


def _urgency(row: Mapping[str, Any], flags: Sequence[str], worst_by: str) -> tuple[bool, float, int]:
    """Rank of an input among those to look at; a figure that is not a number counts as infinite."""
    figure = row.get(worst_by) if worst_by else 0.0
    worst = float(figure) if isinstance(figure, int | float) and not math.isnan(figure) else math.inf
    return any(flag.startswith(MADE_BEFORE) for flag in flags), worst, len(flags)


def _first(
    cases: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], worst_by: str
) -> list[dict[str, Any]]:
    """Inputs to look at first: the figure that orders them, and of each the warning that says most of it."""
    if len(cases) < 2:
        return []
    why = telling({case["name"]: case["warnings"] for case in cases})
    return [
        {
            "name": case["name"], "anchor": case["anchor"], "count": len(case["warnings"]), "why": why[case["name"]],
            "figure": _cell(worst_by, row.get(worst_by), row)["text"],
        }
        for case, row in list(zip(cases, rows, strict=True))[:FIRST]
    ]  # fmt: skip


def _cells(rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Cells of the table of all inputs: text, whether it is a number, and the anchor that it leads to."""
    return [_cell(name, row.get(name), row) for name in columns_of(rows) if name != "flags"]


def _cell(name: str, value: object, row: Mapping[str, Any]) -> dict[str, Any]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return {"text": text, "number": number, "anchor": _anchor(text) if name == "file" and row["status"] == DONE else ""}


def _anchor(name: str) -> str:
    """Identifier of a file's section in the page: its name with what no identifier may hold written as numbers."""
    return "case-" + re.sub(r"[^\w.-]", lambda found: f"_{ord(found[0]):x}_", name)


def _case(shown: str, warnings: Sequence[str], record: Mapping[str, Any], figure: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": shown,
        "anchor": _anchor(shown),
        "warnings": warnings,
        "record": json.dumps({k: v for k, v in record.items() if k != "checks"}, indent=2, ensure_ascii=False),
        **figure,
    }


def _figure(
    inputs: InputFolder, path: Path, panels: Sequence[Panel], choose_by: str | None, unit: str, caption: str
) -> dict[str, Any]:
    names = {name for panel in panels for name in (panel.image, panel.outline, panel.blank, panel.sd) if name}
    names |= {choose_by} if choose_by else set()

    def draw() -> Picture:
        image, affine = read_map(path)
        arrays = {name: read_map(inputs.output_path(inputs.name_of(path), name))[0] for name in names - {INPUT}}
        shown = {INPUT: image, **arrays}
        return Picture(
            png=draw_case(shown, affine, panels=panels, choose_by=choose_by, unit=unit, oriented=oriented),
            view=view_of(shown, affine, panels=panels, unit=unit, oriented=oriented),
        )

    oriented = read_codes(path) != (0, 0)
    return _picture(path, ", ".join(panel.title for panel in panels), caption, oriented, draw)


def _picture(path: Path, what: str, caption: str, oriented: bool | None, draw: Callable[[], Picture]) -> dict[str, Any]:
    """Draw a figure for the template; one unreadable file must not stop the page and the other figures."""
    try:
        picture = draw()
    except InputError as error:
        return {"trouble": str(error)}
    return {
        "png": base64.b64encode(picture.png).decode("ascii"),
        "alt": f"{path.name}: {what}",
        "caption": f"{caption} {ORIENTATION[oriented]}".strip(),
        "view": picture.view,
    }
