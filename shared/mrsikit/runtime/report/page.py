"""The report of a run: summary.csv and one self-contained HTML page."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any

from tqdm import tqdm

from mrsikit.io.errors import InputError
from mrsikit.io.readers import read_codes, read_map
from mrsikit.io.writers import write_text_atomically
from mrsikit.runtime.inputs import InputFolder, read_record
from mrsikit.runtime.options import as_flag
from mrsikit.runtime.report.figures import draw_case
from mrsikit.runtime.report.panels import INPUT, Panel

logger = logging.getLogger(__name__)

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
RESEARCH_ONLY = "For research use only. Not a medical device; not for diagnosis or treatment."

ORIENTED = "Radiological orientation: anterior is up, the patient's right is on the left; else as the letters say."
NOT_ORIENTED = "The file does not say how the patient lay (sform and qform codes are 0): left and right are unknown."

ORIENTATION = {True: ORIENTED, False: NOT_ORIENTED, None: ""}
"""Note below a figure, by whether the file states the patient's orientation; None: the figure has no orientation."""

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 1200px; margin: 0 auto;
  padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .7rem; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
img { display: block; width: 100%; min-width: 640px; height: auto; }
figure { margin: 1rem 0; }
figcaption, .note { color: #444; font-size: .9rem; }
.research { border: 2px solid #b00020; padding: .5rem .8rem; font-weight: 600; }
.flags { background: #fff4d6; border-left: 4px solid #d08700; padding: .4rem .8rem; }
pre { overflow-x: auto; font-size: .8rem; background: #f5f5f5; padding: .6rem; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="research">$research</p>
<p>$description</p>
<p>$counts</p>
$checks
<div class="wide">$table</div>
$cases
</body>
</html>
""")

CASE = Template("""<section id="$anchor">
<h2>$file</h2>
$flags
$figure
<details><summary>How this was made</summary><pre>$provenance</pre></details>
</section>
""")

FIGURE = Template("""<figure><div class="wide"><img alt="$alt" src="data:image/png;base64,$png"></div>
<figcaption>$caption</figcaption></figure>""")


def write_report(
    inputs: InputFolder,
    *,
    title: str,
    description: str,
    panels: Sequence[Panel] = (),
    choose_by: str | None = None,
    unit: str = "map units",
    draw: Callable[[InputFolder, Path], bytes] | None = None,
    caption: str = "",
    spatial: bool = True,
    checks: Callable[[Any], Sequence[str]] | None = None,
    report: bool | str | int = True,
    max_figures: int = 50,
) -> list[dict[str, Any]]:
    """Write ``summary.csv`` and ``report.html`` from the files in the output folder.

    A run that was killed and resumed ends with the same report, because the report needs only the output files and the
    reasons why inputs are invalid, which every run finds again.

    Args:
        inputs: the inputs of the run, after :func:`mrsikit.runtime.check_inputs`.
        title: heading of the page.
        description: plain text that says what the outputs are.
        panels: columns of the figures.
        choose_by: suffix of the mask output that chooses the slices, see :func:`mrsikit.runtime.report.draw_case`.
        unit: unit of the maps, at the colour bars.
        draw: draws the figure of an input as PNG, instead of :func:`mrsikit.runtime.report.draw_case`.
        caption: plain text below every figure.
        spatial: whether figures drawn by ``draw`` show the head and need a note on its orientation.
        checks: checks all outputs, given the inputs, and returns lines for a list above the table.
        report: whether to write the page. Without it, the page of an earlier run is removed, because it would not show
            this run.
        max_figures: largest number of figures. Further inputs are only in the table, so that the page stays small
            enough to load.

    Returns:
        The rows of the summary: file, case, status (done, skipped, failed), reason, flags (the warnings), then the
        summary of each record. None if another run is still at work in the folder: the last one writes the report.

    Raises:
        InputError: the inputs cannot be listed.
    """
    if not inputs.release():
        logger.info("another run is at work in %s; it writes the report when it ends", inputs.output_dir)
        return []
    folder = Path(str(inputs.output_dir)).expanduser()
    files = inputs.files
    case_of = {path: case.name for case in inputs.cases() for path in case.maps}
    records = {path: read_record(inputs.record_path(inputs.name_of(path))) for path in files}
    rows = [_row(inputs, path, records[path], case_of.get(path)) for path in files]
    write_text_atomically(folder / "summary.csv", _as_csv(rows))
    done = [path for path, row in zip(files, rows, strict=True) if row["status"] == DONE]
    found = checks(inputs) if checks is not None and done else []
    for line in found:
        logger.info("%s", line)
    if not as_flag(report, "report"):
        (folder / "report.html").unlink(missing_ok=True)
        return rows
    cases = []
    drawn = set(done[:max_figures])
    for path in tqdm(done, desc="report", unit="file", delay=2):
        figure = ""
        if path in drawn and draw is not None:
            oriented = read_codes(path) != (0, 0) if spatial else None
            figure = _picture(path, "results", caption, oriented, partial(draw, inputs, path))
        elif path in drawn:
            figure = _figure(inputs, path, panels, choose_by, unit, caption)
        cases.append(_case(_shown(inputs, path), records[path], figure))
    counts = f"{len(done)} of {len(files)} inputs done" + "".join(
        f", {number} {status}" for status in (SKIPPED, FAILED) if (number := sum(r["status"] == status for r in rows))
    )
    if len(done) > max_figures:
        counts += f"; figures of the first {max_figures}" if max_figures else "; without figures"
    page = PAGE.substitute(
        title=html.escape(title),
        research=RESEARCH_ONLY,
        description=html.escape(description),
        counts=f"{counts}.",
        checks=_as_list(found),
        table=_as_table(rows),
        cases="\n".join(cases),
    )
    write_text_atomically(folder / "report.html", page)
    logger.info("%s: %s", folder / "report.html", counts)
    return rows


def _row(inputs: InputFolder, path: Path, record: Mapping[str, Any], case: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"file": _shown(inputs, path), **({} if case is None else {"case": case})}
    row |= {"status": DONE, "reason": "", "flags": ""}
    if str(path) in inputs.invalid:
        return row | {"status": SKIPPED, "reason": "; ".join(inputs.invalid[str(path)])}
    if not inputs.is_done(path):
        return row | {"status": FAILED, "reason": "outputs are not complete; run again"}
    flags = list(record.get("flags", ()))
    if str(path) in inputs.outdated:
        flags.append(f"made before with other {inputs.outdated[str(path)]}")
    return row | {"flags": "; ".join(flags)} | dict(record.get("summary", {}))


def _shown(inputs: InputFolder, path: Path) -> str:
    """Name of a file with its folders below the folder of all inputs."""
    return str(PurePosixPath(inputs.name_of(path)).parent / path.name)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _as_list(lines: Sequence[str]) -> str:
    """Return the HTML list of the lines that the checks returned; empty if there are none."""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<h2>Checks</h2>\n<ul>{items}</ul>" if lines else ""


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = _columns(rows)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(_cell(name, row.get(name), row) for name in columns)}</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _cell(name: str, value: object, row: Mapping[str, Any]) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (
            f'<td class="number">{value:.4g}</td>' if isinstance(value, float) else f'<td class="number">{value}</td>'
        )
    text = html.escape(str(value))
    if name == "file" and row["status"] == DONE:
        text = f'<a href="#{_anchor(text)}">{text}</a>'
    return f"<td>{text}</td>"


def _anchor(escaped_name: str) -> str:
    return "case-" + escaped_name.replace(" ", "_")


def _case(shown: str, record: Mapping[str, Any], figure: str) -> str:
    flags = "".join(f"<li>{html.escape(str(flag))}</li>" for flag in record.get("flags", ()))
    name = html.escape(shown)
    return CASE.substitute(
        anchor=_anchor(name),
        file=name,
        flags=f'<ul class="flags">{flags}</ul>' if flags else "",
        figure=figure,
        provenance=html.escape(json.dumps(record, indent=2, ensure_ascii=False)),
    )


def _figure(
    inputs: InputFolder, path: Path, panels: Sequence[Panel], choose_by: str | None, unit: str, caption: str
) -> str:
    names = {name for panel in panels for name in (panel.image, panel.outline, panel.blank) if name}
    names |= {choose_by} if choose_by else set()

    def draw() -> bytes:
        image, affine = read_map(path)
        arrays = {name: read_map(inputs.output_path(inputs.name_of(path), name))[0] for name in names - {INPUT}}
        shown = {INPUT: image, **arrays}
        return draw_case(shown, affine, panels=panels, choose_by=choose_by, unit=unit, oriented=oriented)

    oriented = read_codes(path) != (0, 0)
    return _picture(path, ", ".join(panel.title for panel in panels), caption, oriented, draw)


def _picture(path: Path, what: str, caption: str, oriented: bool | None, draw: Callable[[], bytes]) -> str:
    try:
        png = draw()
    except InputError as error:  # one unreadable file must not stop the page and the other figures
        return f"<p>No figure: {html.escape(str(error))}</p>"
    return FIGURE.substitute(
        alt=html.escape(f"{path.name}: {what}"),
        png=base64.b64encode(png).decode("ascii"),
        caption=html.escape(f"{caption} {ORIENTATION[oriented]}".strip()),
    )
