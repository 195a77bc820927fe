"""Measure a bundle's shipped weights against every baseline on the same cases, and write the results.

Usage::

    python tools/benchmark.py mrsi_inpainting                  # everything; writes docs/results.json, figures, tables
    python tools/benchmark.py mrsi_inpainting --quick          # two minutes, few cases, written to a temporary folder
    python tools/benchmark.py mrsi_inpainting --part cost      # one part again, into the results that are there
    python tools/benchmark.py mrsi_inpainting --render         # tables of the model card from docs/results.json again

Every bundle has a module in ``tools/benchmarks`` with ``measure(context)``, its ``PARTS`` that can run alone,
``TABLES``, ``ACCEPTANCE`` and ``figures(...)``. Rows are ``{set, condition, method, metric, mean, ci95, n}``; ``ci95``
is a bootstrap interval over the cases of the set.
"""

import argparse
import contextlib
import importlib
import json
import logging
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from markdown_tables import table_head, table_line
from mrsikit.io.extras import import_extra
from mrsikit.metrics.statistics import bootstrap_interval, ratio_of_means_interval

logger = logging.getLogger("benchmark")

REPOSITORY = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


@dataclass
class Context:
    """Inputs of a bundle's benchmark, and its results so far.

    Attributes:
        data: folder of the real data sets.
        quick: whether to measure few cases only.
        seed: seed of all random draws.
        figures: folder for figures.
        rows: results so far.
    """

    data: Path
    quick: bool
    seed: int
    figures: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, set_: str, condition: str, method: str, metric: str, values: Sequence[float]) -> None:
        """Add one row from one value per case; cases without a value (NaN) do not count."""
        known = np.asarray(values, float)
        known = known[np.isfinite(known)]
        if len(known) == 0:
            return
        interval = bootstrap_interval(known, generator=np.random.default_rng(self.seed))
        self._append(set_, condition, method, metric, interval, len(known))

    def add_ratio(
        self, set_: str, condition: str, method: str, metric: str, a: Sequence[float], b: Sequence[float]
    ) -> None:
        """Add the ratio of the means of paired values."""
        pairs = np.array([(x, y) for x, y in zip(a, b, strict=True) if np.isfinite(x) and np.isfinite(y)])
        if len(pairs):
            interval = ratio_of_means_interval(pairs[:, 0], pairs[:, 1], generator=np.random.default_rng(self.seed))
            self._append(set_, condition, method, metric, interval, len(pairs))

    def add_typical_ratio(
        self, set_: str, condition: str, method: str, metric: str, a: Sequence[float], b: Sequence[float]
    ) -> None:
        """Add the geometric mean of the ratios of paired values: every case has equal weight, whatever its scale."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(np.asarray(a, float) / np.asarray(b, float))
        logs = logs[np.isfinite(logs)]
        if len(logs):
            interval = bootstrap_interval(logs, generator=np.random.default_rng(self.seed))
            self._append(set_, condition, method, metric, np.exp(np.array(interval)), len(logs))

    def _append(self, set_: str, condition: str, method: str, metric: str, interval: Any, n: int) -> None:
        mean, low, high = (float(f"{v:.4g}") if np.isfinite(v) else None for v in interval)
        self.rows.append(
            {"set": set_, "condition": condition, "method": method, "metric": metric, "mean": mean,
             "ci95": [low, high], "n": n}
        )  # fmt: skip

    def value(self, set_: str, condition: str, method: str, metric: str) -> float:
        """Mean of the requested row; NaN if there is none."""
        return find(self.rows, set_, condition, method, metric)


def find(rows: Sequence[dict[str, Any]], set_: str, condition: str, method: str, metric: str) -> float:
    """Mean of the requested row; NaN if there is none."""
    wanted = (set_, condition, method, metric)
    for row in rows:
        if (row["set"], row["condition"], row["method"], row["metric"]) == wanted:
            return float("nan") if row["mean"] is None else row["mean"]
    return float("nan")


@dataclass(frozen=True)
class Table:
    """Table of the model card with one line per method, and one column per set and metric.

    Attributes:
        title: heading.
        condition: condition of the rows.
        metrics: columns: printf format of each metric, by its name.
        note: text below the table.
    """

    title: str
    condition: str
    metrics: dict[str, str]
    note: str = ""

    def render(self, rows: Sequence[dict[str, Any]], sets: Sequence[str]) -> str:
        """Render the table as Markdown."""
        chosen = [r for r in rows if r["condition"] == self.condition and r["metric"] in self.metrics]
        present = [s for s in dict.fromkeys(r["set"] for r in chosen)]
        present = [s for s in sets if s in present] + [s for s in present if s not in sets]
        columns = [
            (s, m) for s in present for m in self.metrics if any(r["set"] == s and r["metric"] == m for r in chosen)
        ]
        lines = [f"### {self.title}", ""]
        lines += table_head(["method", *(f"{s}: {m}" for s, m in columns)])
        for method in dict.fromkeys(r["method"] for r in chosen):
            cells = []
            for set_, metric in columns:
                row = next((r for r in chosen if (r["set"], r["method"], r["metric"]) == (set_, method, metric)), None)
                cells.append("–" if row is None or row["mean"] is None else _cell(row, self.metrics[metric]))
            lines.append(table_line([method, *cells]))
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines)


@dataclass(frozen=True)
class Sweep:
    """Table of the model card with one line per condition, and one column per set and method.

    Attributes:
        title: heading.
        conditions: title of each line, by the condition of the rows.
        methods: title of each column, by method.
        metric: metric that the table shows.
        unit: printf format of the values.
    """

    title: str
    conditions: dict[str, str]
    methods: dict[str, str]
    metric: str
    unit: str = "%.2f"

    def render(self, rows: Sequence[dict[str, Any]], sets: Sequence[str]) -> str:
        """Render the table as Markdown."""
        columns = [(set_, method) for set_ in sets for method in self.methods]
        lines = [f"### {self.title}", ""]
        lines += table_head(["", *(f"{s}: {self.methods[m]}" for s, m in columns)])
        for condition, name in self.conditions.items():
            values = [find(rows, s, condition, m, self.metric) for s, m in columns]
            lines.append(table_line([name, *(self.unit % v if np.isfinite(v) else "–" for v in values)]))
        return "\n".join(lines)


@dataclass(frozen=True)
class Demand:
    """One line of the acceptance table: a figure for each set, and the bound that it must keep.

    Attributes:
        text: description of the figure.
        bound: value of the bound.
        at_most: True if the figure must not exceed the bound, False if it must not be below it.
        figure: function that computes the figure from (rows, set).
        unit: printf format of the figure.
        high: upper bound, if the figure must lie between ``bound`` and ``high``.
    """

    text: str
    bound: float
    at_most: bool
    figure: Callable[[Sequence[dict[str, Any]], str], float]
    unit: str = "%.2f"
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        if self.high is not None:
            return self.bound <= value <= self.high
        return value <= self.bound if self.at_most else value >= self.bound


def render(rows: Sequence[dict[str, Any]], module: Any) -> str:
    """Render all tables as Markdown."""
    return "\n\n".join([_acceptance(rows, module), *(table.render(rows, module.SETS) for table in module.TABLES)])


def _acceptance(rows: Sequence[dict[str, Any]], module: Any) -> str:
    lines = ["### Against what was demanded", "", *table_head(["figure", "demanded", *module.SETS])]
    for demand in module.ACCEPTANCE:
        cells = []
        for set_ in module.SETS:
            value = demand.figure(rows, set_)
            met = "" if not np.isfinite(value) else (" ✓" if demand.holds(value) else " **missed**")
            cells.append((demand.unit % value if np.isfinite(value) else "–") + met)
        sign = "at most" if demand.at_most else "at least"
        asked = f"{sign} {demand.unit % demand.bound}"
        if demand.high is not None:
            asked = f"{demand.unit % demand.bound} to {demand.unit % demand.high}"
        lines.append(table_line([demand.text, asked, *cells]))
    return "\n".join(lines)


def _cell(row: dict[str, Any], unit: str) -> str:
    low, high = row["ci95"]
    interval = "" if low is None else f" ({unit % low}–{unit % high})"
    return unit % row["mean"] + interval


def write_card(card: Path, markdown: str) -> None:
    """Write the tables between the markers of the model card.

    Raises:
        ValueError: the card has no markers.
    """
    text = card.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{card}: has no {BEGIN} ... {END}")
    before, rest = text.split(BEGIN, 1)
    card.write_text(f"{before}{BEGIN}\n\n{markdown}\n\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY.parent / "shared" / "data", help="folder of the real data"
    )
    parser.add_argument("--quick", action="store_true", help="few cases, results in a temporary folder")
    parser.add_argument("--part", help="measure only this part and keep the other results")
    parser.add_argument("--render", action="store_true", help="only write the tables again")
    parser.add_argument("--output", type=Path, help="folder for results.json and figures (default: the bundle's docs)")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    sys.path.insert(0, str(REPOSITORY / "tools"))
    module = importlib.import_module(f"benchmarks.{options.bundle}")
    docs = REPOSITORY / "bundles" / options.bundle / "docs"
    output = options.output or (Path(tempfile.mkdtemp()) if options.quick else docs)
    results = output / "results.json"
    if not options.render:
        if not options.data.is_dir():
            parser.error(f"{options.data}: the real data are not there; give their folder with --data")
        output.mkdir(parents=True, exist_ok=True)
        context = Context(options.data, options.quick, options.seed, output)
        origin = _origin(options.seed)
        if options.part is None:
            module.measure(context)
            record = {"bundle": options.bundle, "quick": options.quick, **origin, "rows": context.rows}
        else:
            if options.part not in module.PARTS:
                parser.error(f"--part {options.part}: the parts are {', '.join(module.PARTS)}")
            module.PARTS[options.part](context)
            record = merged(json.loads(results.read_text(encoding="utf-8")), context.rows, options.part, origin)
        results.write_text(_one_row_a_line(record), encoding="utf-8")
    rows = json.loads(results.read_text(encoding="utf-8"))["rows"]
    module.figures(rows, output)
    markdown = render(rows, module)
    if output == docs:
        write_card(docs / "README.md", markdown)
    else:
        (output / "tables.md").write_text(markdown + "\n", encoding="utf-8")
    logger.info("%s, figures and tables are in %s", results.name, output)
    return 0


def peak_memory(command: Sequence[str]) -> float:
    """Peak memory (GB) of a fresh process, sampled every 10 ms; its output is discarded.

    The system's own record of the peak cannot be used, because a child process starts with its parent's peak.

    Raises:
        InputError: psutil is not installed.
        RuntimeError: the process failed.
    """
    psutil = import_extra("psutil", package="psutil", purpose="measurements of memory", extra="benchmark")
    child = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, child.memory_info().rss)
        time.sleep(0.01)
    if child.returncode:
        raise RuntimeError("the process whose memory was to be measured failed")
    return peak / 1e9


def merged(record: dict[str, Any], rows: list[dict[str, Any]], part: str, origin: dict[str, Any]) -> dict[str, Any]:
    """Replace the rows of one part by new ones, and record the commit and time of that part."""
    new = {(row["set"], row["condition"]) for row in rows}
    kept = [row for row in record["rows"] if (row["set"], row["condition"]) not in new]
    parts = {**record.get("parts", {}), part: origin}
    return {**{k: v for k, v in record.items() if k != "rows"}, "parts": parts, "rows": [*kept, *rows]}


def _one_row_a_line(record: dict[str, Any]) -> str:
    """JSON with each result on its own line, so that two runs can be compared."""
    rows = ",\n".join(json.dumps(row) for row in record["rows"])
    head = json.dumps({**record, "rows": []}, indent=1)
    return head.replace('"rows": []', f'"rows": [\n{rows}\n ]') + "\n"


def _origin(seed: int) -> dict[str, Any]:
    run = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return {
        "commit": run.stdout.strip(),
        "seed": seed,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
    }


if __name__ == "__main__":
    sys.exit(main())
