"""What the benchmark makes of results: ratios, intervals, the tables of the model card."""

from pathlib import Path

import numpy as np
import pytest

from benchmark import Context, Demand, Sweep, Table, find, merged, write_card
from benchmarks.mrsi_inpainting import Case, Filled, classical, missing_voxel_errors, record


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


@pytest.mark.parametrize(
    ("at_most", "high", "value", "holds"),
    [(True, None, 0.8, True), (True, None, 0.81, False), (False, None, 0.8, True), (False, None, 0.79, False),
     (False, 0.9, 0.85, True), (False, 0.9, 0.91, False), (False, 0.9, 0.79, False)],
)  # fmt: skip
def test_demands(at_most: bool, high: float | None, value: float, holds: bool) -> None:
    assert Demand("", 0.8, at_most, lambda rows, set_: value, high=high).holds(value) is holds


def test_tables_of_the_card(context: Context, tmp_path: Path) -> None:
    table = Table("Errors", "all", {"hole MSE": "%.3f"}, "A note.").render(context.rows, ["brain"])
    assert "| free | 0.020 (0.000–0.040) |" in table
    assert table.endswith("A note.")
    sweep = Sweep("By condition", {"all": "everything", "none": "nothing"}, {"free": "ours"}, "typical ratio")
    assert sweep.render(context.rows, ["brain"]).splitlines()[-2:] == ["| everything | 0.50 |", "| nothing | – |"]
    assert np.isnan(find(context.rows, "other", "all", "free", "hole MSE"))
    card = tmp_path / "card.md"
    card.write_text("before\n<!-- results:begin -->\nold\n<!-- results:end -->\nafter\n")
    write_card(card, table)
    text = card.read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    card.write_text("no markers")
    with pytest.raises(ValueError, match="results:begin"):
        write_card(card, table)


def test_a_part_measured_again_replaces_its_rows_alone() -> None:
    rows = [{"set": s, "condition": c, "method": "m", "mean": 1} for s in ("a", "b") for c in ("x", "y")]
    again = [{"set": "a", "condition": "y", "method": "n", "mean": 2}]
    record = merged({"commit": "old", "rows": rows}, again, "part", {"commit": "new"})
    assert record["rows"] == [rows[0], rows[2], rows[3], again[0]]
    assert record["commit"] == "old"
    assert record["parts"] == {"part": {"commit": "new"}}


def test_a_bar_in_a_name_begins_no_cell(context: Context) -> None:
    context.add("brain", "all", "a|b", "mean |error|", [1.0])
    lines = Table("Errors", "all", {"mean |error|": "%.1f"}).render(context.rows, ["brain"]).splitlines()
    assert lines[2:] == ["| method | brain: mean \\|error\\| |", "|---|---|", "| a\\|b | 1.0 |"]
    sweep = Sweep("Errors", {"all": "x|y"}, {"a|b": "a|b"}, "mean |error|").render(context.rows, ["brain"])
    assert sweep.splitlines()[2:] == ["| | brain: a\\|b |", "|---|---|", "| x\\|y | 1.00 |"]
