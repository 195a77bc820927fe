"""What the benchmark makes of results: ratios, intervals, documents."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark import Context, merged, write_documents
from benchmarks.mrsi_inpainting import Case, Filled, classical, missing_voxel_errors, record
from result_tables import Column, Headline, Table, Target, find


def case(level: float) -> Case:
    """A disc of ``level`` with one hole in it and an empty middle."""
    x, y = np.indices((32, 32)) - 15.5
    radius = np.hypot(x, y)
    clean = np.where((radius < 12) & (radius > 4), level, 0).astype(np.float32)
    missing = np.zeros(clean.shape, bool)
    missing[15:17, 6:8] = True
    return Case(clean, clean, missing, radius < 13, np.zeros(clean.shape, bool))


def filled(c: Case, error: float, holes: np.ndarray | None = None) -> Filled:
    holes = c.missing if holes is None else holes
    return Filled(c.clean + error * c.missing, holes, np.full(c.clean.shape, 1.0))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    cases = [case(1.0), case(0.1)]
    results = {
        "biharmonic": [filled(cases[0], 0.2), filled(cases[1], 0.02)],
        "biharmonic, brain mask": [filled(cases[0], 0.1), filled(cases[1], 0.1)],
        "free": [filled(cases[0], 0.2), filled(cases[1], 0.01)],
        "zeros": classical(cases, "biharmonic", brain=True, zero=True),
    }
    context = Context(tmp_path, True, 0, tmp_path)
    record(context, "brain", "all", cases, results)
    return context


def test_ratios_are_of_means_and_typical_ones_of_maps(context: Context) -> None:
    assert context.value("brain", "all", "free", "hole MSE") == pytest.approx((0.04 + 0.0001) / 2, rel=1e-3)
    assert context.value("brain", "all", "free", "hole MSE / biharmonic") == pytest.approx(0.0401 / 0.0404, rel=1e-3)
    assert context.value("brain", "all", "free", "typical ratio") == pytest.approx(0.5, rel=1e-3)
    assert context.value("brain", "all", "free", "hole MSE / better biharmonic") == pytest.approx(2.005, rel=1e-3)


def test_zeros_of_a_brain_mask_find_all_holes_and_fill_the_ventricle(context: Context) -> None:
    assert context.value("brain", "all", "zeros", "recall") == 1
    assert context.value("brain", "all", "zeros", "precision") < 0.2
    assert context.value("brain", "all", "zeros", "ventricles filled") == 1
    assert context.value("brain", "all", "free", "ventricles filled") == 0


def test_errors_are_of_the_holes_alone() -> None:
    c = case(1.0)
    assert missing_voxel_errors([c], [Filled(c.clean + 5 * ~c.missing, c.missing)]) == [0]


def test_documents_are_written_from_the_rows(context: Context, tmp_path: Path) -> None:
    column = Column("error", "error_of_the_brain", "brain", "all", "hole MSE", "%.3f")
    module = SimpleNamespace(
        SETS=("brain",),
        TARGETS=[Target("error", 1.0, True, lambda rows, set_: find(rows, set_, "all", "free", "hole MSE"))],
        TABLES=[Table("Errors", "all", {"hole MSE": "%.3f"})],
        HEADLINE=Headline((column,), {"ours": ("free",), "zeros": ("zeros",)}, "ours"),
    )
    for folder in ("docs", "configs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "configs" / "metadata.json").write_text('{"name": "µ", "eval_metrics": {"obsolete": 1}}')
    for name, file in (("results", "results.md"), ("headline", "README.md")):
        (tmp_path / "docs" / file).write_text(f"before\n<!-- {name}:begin -->\nobsolete\n<!-- {name}:end -->\nafter\n")
    write_documents(tmp_path, context.rows, module)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.*")}
    assert not [name for name, text in written.items() if "obsolete" in text]
    assert written["results.md"].startswith("before\n")
    assert "- [Errors](#errors)" in written["results.md"]
    assert "| error | at most 1.00 | 0.02 ✓ |" in written["results.md"]
    assert "| free | 0.020 (0.000 to 0.040) |" in written["results.md"]
    assert "| ours | 0.020 (0.000 to 0.040) |\n| zeros | **0.000** (" in written["README.md"]  # a loss shows
    assert written["README.md"].endswith("\nafter\n")
    metadata = json.loads(written["metadata.json"])
    assert metadata == {"name": "µ", "eval_metrics": {"error_of_the_brain": pytest.approx(0.02, rel=0.01)}}


def test_a_part_measured_again_replaces_its_rows_alone() -> None:
    rows = [{"set": s, "condition": c, "method": "m", "mean": 1} for s in ("a", "b") for c in ("x", "y")]
    again = [{"set": "a", "condition": "y", "method": "n", "mean": 2}]
    record = merged({"commit": "old", "rows": rows}, again, "part", {"commit": "new"})
    assert record["rows"] == [rows[0], rows[2], rows[3], again[0]]
    assert record["commit"] == "old"
    assert record["parts"] == {"part": {"commit": "new"}}
