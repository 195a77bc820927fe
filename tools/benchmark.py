"""Measure a bundle's shipped weights against every baseline on the same cases, and write the results.

Usage::

    python tools/benchmark.py mrsi_inpainting                  # everything; writes docs/results.json and .md, figures
    python tools/benchmark.py mrsi_inpainting --quick          # two minutes, few cases, written to a temporary folder
    python tools/benchmark.py mrsi_inpainting --part cost      # one part again, into the results that are there
    python tools/benchmark.py mrsi_inpainting --render         # tables again, from docs/results.json

Every bundle has a module in ``tools/benchmarks`` with ``measure(context)``, its ``PARTS`` that can run alone,
``TARGETS``, ``TABLES``, ``HEADLINE`` (see result_tables.py) and ``figures(...)``. Rows are ``{set, condition, method,
metric, mean, ci95, n}``; ``ci95`` is a bootstrap interval over the cases of the set. All tables go to docs/results.md,
the headline to the model card and to ``eval_metrics`` of metadata.json.
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
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from markdown_tables import write_between_markers
from mrsikit.io.extras import import_extra
from mrsikit.metrics.statistics import bootstrap_interval, ratio_of_means_interval
from reference_tables import FILE, read_reference, render_reference
from result_tables import find, render_results

logger = logging.getLogger("benchmark")

REPOSITORY = Path(__file__).resolve().parents[1]


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


def write_documents(bundle: Path, rows: Sequence[dict[str, Any]], module: Any) -> None:
    """Write all tables into docs/results.md and docs/reference.md, the headline into the card and ``eval_metrics``.

    Raises:
        ValueError: a document has no markers for its generated part.
    """
    write_between_markers(bundle / "docs" / "results.md", "results", render_results(rows, module))
    write_between_markers(bundle / "docs" / "README.md", "headline", module.HEADLINE.render(rows))
    if (bundle / "docs" / FILE).is_file():
        write_between_markers(
            bundle / "docs" / "reference.md", "reference", render_reference(read_reference(bundle), rows)
        )
    path = bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    metadata["eval_metrics"] = module.HEADLINE.metrics(rows)
    path.write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


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
    if output == docs:
        write_documents(docs.parent, rows, module)
    else:
        text = f"{module.HEADLINE.render(rows)}\n\n{render_results(rows, module)}\n"
        (output / "results.md").write_text(text, encoding="utf-8")
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
