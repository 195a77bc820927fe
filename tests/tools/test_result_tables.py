"""Tables of results: what they show, how wide they are, and what is best."""

import math
from typing import Any

import pytest

from result_tables import MOST_COLUMNS, Column, Headline, Sweep, Table, Target, find, split_columns


def row(set_: str, method: str, metric: str, mean: float | None, *, condition: str = "all") -> dict[str, Any]:
    interval = [None, None] if mean is None else [mean - 1, mean + 1]
    return {"set": set_, "condition": condition, "method": method, "metric": metric, "mean": mean, "ci95": interval}


def tables(text: str) -> list[list[str]]:
    """Lines of each table of a Markdown text."""
    parts = [part.splitlines() for part in text.split("\n\n")]
    return [part for part in parts if part[0].startswith("|")]


@pytest.mark.parametrize(
    ("at_most", "high", "value", "holds"),
    [(True, None, 0.8, True), (True, None, 0.81, False), (False, None, 0.8, True), (False, None, 0.79, False),
     (False, 0.9, 0.85, True), (False, 0.9, 0.91, False), (False, 0.9, 0.79, False)],
)  # fmt: skip
def test_targets(at_most: bool, high: float | None, value: float, holds: bool) -> None:
    target = Target("a figure", 0.8, at_most, lambda rows, set_: value if set_ == "a" else math.nan, high=high)
    assert target.holds(value) is holds
    line = target.render([], ["a", "b"])
    assert line.endswith(" ✓ | – |" if holds else " **missed** | – |")


def test_a_narrow_table_is_one() -> None:
    rows = [row(s, m, "MSE", 2.0) for s in ("b", "a") for m in ("ours", "theirs")]
    text = Table("Errors", "all", {"MSE": "%.1f"}, "A note.").render(rows, ["a", "b"])
    assert text.splitlines() == [
        "## Errors", "", "| method | a: MSE | b: MSE |", "|---|---|---|",
        "| ours | 2.0 (1.0 to 3.0) | 2.0 (1.0 to 3.0) |",
        "| theirs | 2.0 (1.0 to 3.0) | 2.0 (1.0 to 3.0) |", "", "A note.",
    ]  # fmt: skip


def test_a_wide_table_is_split_by_set() -> None:
    metrics = {f"m{k}": "%.0f" for k in range(5)}
    rows = [row(s, "ours", m, 2.0) for s in ("a", "b", "any") for m in metrics] + [row("a", "theirs", "m0", 1.0)]
    text = Table("Errors", "all", metrics).render(rows, ["a", "b", "any"])
    first, second, third = tables(text)
    assert first[0] == second[0] == third[0] == "| method | m0 | m1 | m2 | m3 | m4 |"
    assert first[3] == "| theirs | 1 (0 to 2) | – | – | – | – |"
    assert len(second) == 3  # of which theirs has no figure
    assert [line for line in text.splitlines() if line.startswith("**")] == ["**a**", "**b**"]


@pytest.mark.parametrize(("sets", "titles"), [(1, 7), (1, 18), (3, 4), (5, 2), (2, 9), (4, 3), (7, 1), (20, 1)])
def test_tables_stay_narrow_and_lose_no_column(sets: int, titles: int) -> None:
    columns = [(f"set {s}", f"title {k}") for s in range(sets) for k in range(titles)]
    parts = split_columns(columns)
    assert [column for part in parts for column in part] == columns
    assert max(map(len, parts)) < MOST_COLUMNS
    assert max(map(len, parts)) - min(map(len, parts)) <= titles
    if titles < MOST_COLUMNS:  # no set in two tables
        assert sum(len({s for s, _ in part}) for part in parts) == sets


def test_a_table_without_rows_is_left_out() -> None:
    assert Table("Errors", "all", {"MSE": "%.1f"}).render([], ["a"]) == ""
    assert Sweep("Errors", {"all": "all"}, {"ours": "ours"}, "MSE").render([], ["a"]) == ""


def test_a_sweep_has_a_line_for_each_condition() -> None:
    rows = [row("a", "ours", "MSE", 0.5)]
    sweep = Sweep("By condition", {"all": "everything", "none": "nothing"}, {"ours": "mean |x|"}, "MSE")
    assert tables(sweep.render(rows, ["a"]))[0] == [
        "| | mean \\|x\\| |", "|---|---|", "| everything | 0.50 |", "| nothing | – |"
    ]  # fmt: skip
    assert math.isnan(find(rows, "other", "all", "ours", "MSE"))


def headline(best: str) -> Headline:
    column = Column("figure", "figure", "a", "all", "x", "%.1f", best)  # type: ignore[arg-type]
    return Headline((column,), {"ours": ("ours",), "theirs": ("of old", "theirs"), "none": ("none",)}, "ours")


@pytest.mark.parametrize(
    ("best", "values", "bold"),
    [("↓", (1.0, 2.0), ["ours"]), ("↑", (1.0, 2.0), ["theirs"]), ("→ 0", (-3.0, 2.0), ["theirs"]),
     ("↓", (1.01, 1.04), ["ours", "theirs"]), ("", (1.0, 2.0), [])],
)  # fmt: skip
def test_the_best_of_a_headline_is_bold_whoever_it_is(best: str, values: tuple[float, float], bold: list[str]) -> None:
    rows = [row("a", "ours", "x", values[0]), row("a", "theirs", "x", values[1]), row("a", "none", "x", None)]
    lines = headline(best).render(rows).splitlines()
    assert lines[0] == f"| method | figure{' ' * bool(best)}{best} |"
    assert [line.split(" | ")[0][2:] for line in lines[2:5] if "**" in line] == bold
    assert lines[4] == "| none | – |"
    assert headline(best).metrics(rows) == {"figure": values[0]}


def test_metrics_without_a_row_are_left_out() -> None:
    assert headline("↓").metrics([]) == {}
