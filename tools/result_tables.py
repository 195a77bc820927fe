"""Tables of a benchmark's results: the targets and all tables in docs/results.md, the headline of the model card.

A bundle's module in ``tools/benchmarks`` states them as ``TARGETS``, ``TABLES`` and ``HEADLINE``. Rows of results are
``{set, condition, method, metric, mean, ci95, n}``.
"""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import Any, Literal

from markdown_tables import contents, table_head, table_line

Rows = Sequence[dict[str, Any]]
Columns = list[tuple[str, str]]
MOST_COLUMNS = 8
LINE_LENGTH = 125
NO_VALUE = "–"


def find_row(rows: Rows, set_: str, condition: str, method: str, metric: str) -> dict[str, Any] | None:
    """Return the requested row; None if there is none."""
    wanted = (set_, condition, method, metric)
    for row in rows:
        if (row["set"], row["condition"], row["method"], row["metric"]) == wanted:
            return row
    return None


def find(rows: Rows, set_: str, condition: str, method: str, metric: str) -> float:
    """Mean of the requested row; NaN if there is none."""
    row = find_row(rows, set_, condition, method, metric)
    return float("nan") if row is None or row["mean"] is None else row["mean"]


@dataclass(frozen=True)
class Table:
    """Table with one line per method, and one column per set and metric.

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

    def render(self, rows: Rows, sets: Sequence[str]) -> str:
        """Render as Markdown, in as many tables as it takes; empty if there are no rows."""
        chosen = [r for r in rows if r["condition"] == self.condition and r["metric"] in self.metrics]
        present = list(dict.fromkeys(r["set"] for r in chosen))
        present = [s for s in sets if s in present] + [s for s in present if s not in sets]
        cells = {
            (r["method"], r["set"], r["metric"]): with_interval(r, self.metrics[r["metric"]])
            for r in chosen
            if r["mean"] is not None
        }
        columns = [(s, m) for s in present for m in self.metrics if any(key[1:] == (s, m) for key in cells)]
        methods = list(dict.fromkeys(r["method"] for r in chosen))
        parts = []
        for part in split_columns(columns):
            lines = [(m, [cells.get((m, *column), NO_VALUE) for column in part]) for m in methods]
            parts.append(_part(part, "method", [line for line in lines if set(line[1]) != {NO_VALUE}]))
        return _section(self.title, parts, self.note)


@dataclass(frozen=True)
class Sweep:
    """Table with one line per condition, and one column per set and method.

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

    def render(self, rows: Rows, sets: Sequence[str]) -> str:
        """Render as Markdown, in as many tables as it takes; empty if there are no rows."""
        parts = []
        columns = [
            (set_, method)
            for set_ in sets
            for method in self.methods
            if any(isfinite(find(rows, set_, condition, method, self.metric)) for condition in self.conditions)
        ]
        for part in split_columns(columns):
            lines = []
            for condition, name in self.conditions.items():
                values = [find(rows, s, condition, m, self.metric) for s, m in part]
                lines.append((name, [self.unit % v if isfinite(v) else NO_VALUE for v in values]))
            if any(set(line[1]) != {NO_VALUE} for line in lines):
                parts.append(_part([(s, self.methods[m]) for s, m in part], "", lines))
        return _section(self.title, parts)


@dataclass(frozen=True)
class Target:
    """One line of the table of targets: a figure for each set, and the bound that it should keep.

    Attributes:
        text: description of the figure.
        bound: value of the bound.
        at_most: True if the figure should not exceed the bound, False if it should not be below it.
        figure: function that computes the figure from (rows, set).
        unit: printf format of the figure.
        high: upper bound, if the figure should lie between ``bound`` and ``high``.
    """

    text: str
    bound: float
    at_most: bool
    figure: Callable[[Rows, str], float]
    unit: str = "%.2f"
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        if self.high is not None:
            return self.bound <= value <= self.high
        return value <= self.bound if self.at_most else value >= self.bound

    def render(self, rows: Rows, sets: Sequence[str]) -> str:
        """Render the line: description, bound, and the figure of each set with whether it holds."""
        bound = f"{'at most' if self.at_most else 'at least'} {self.unit % self.bound}"
        if self.high is not None:
            bound = f"{self.unit % self.bound} to {self.unit % self.high}"
        cells = []
        for value in (self.figure(rows, set_) for set_ in sets):
            known = isfinite(value)
            cells.append(f"{self.unit % value} {'✓' if self.holds(value) else '**missed**'}" if known else NO_VALUE)
        return table_line([self.text, bound, *cells])


@dataclass(frozen=True)
class Column:
    """Column of a headline.

    Attributes:
        title: what it shows, on which data.
        name: name of the figure in ``eval_metrics`` of metadata.json.
        set_: set of the rows.
        condition: condition of the rows.
        metric: metric of the rows.
        unit: printf format of the values.
        best: ``↓`` if lower is better, ``↑`` if higher is, ``→ 0`` if nearer to zero is, empty if none is better.
    """

    title: str
    name: str
    set_: str
    condition: str
    metric: str
    unit: str = "%.2f"
    best: Literal["↓", "↑", "→ 0", ""] = "↓"

    def loss(self, value: float) -> float:
        """Number that is lowest for the best value."""
        return {"↓": value, "↑": -value, "→ 0": abs(value), "": inf}[self.best]


LEGEND = {"↓": "lower is better", "↑": "higher is better", "→ 0": "nearer to zero is better"}


@dataclass(frozen=True)
class Headline:
    """The one table of a model card: few methods and few figures, measured data first.

    Attributes:
        columns: figures.
        methods: for each line its title and the method's names in the results, as different parts call it differently.
        ours: title of the line whose figures ``eval_metrics`` repeats.
    """

    columns: tuple[Column, ...]
    methods: dict[str, tuple[str, ...]]
    ours: str

    def render(self, rows: Rows) -> str:
        """Render as Markdown: the best value of each column is bold."""
        found = {title: [self._row(rows, title, column) for column in self.columns] for title in self.methods}
        texts = []
        for k, column in enumerate(self.columns):
            known = {title: row for title, line in found.items() if (row := line[k]) is not None}
            # values that look alike are alike
            losses = {t: column.loss(float(column.unit % row["mean"])) for t, row in known.items()}
            texts.append({t: with_interval(row, column.unit, bold=losses[t] == min(losses.values()) < inf)
                          for t, row in known.items()})  # fmt: skip
        head = table_head(["method", *(f"{c.title} {c.best}".strip() for c in self.columns)])
        lines = [table_line([title, *(text.get(title, NO_VALUE) for text in texts)]) for title in self.methods]
        marks = [f"{mark} {LEGEND[mark]}" for mark in LEGEND if any(c.best == mark for c in self.columns)]
        return "\n".join([*head, *lines, "", _wrapped(f"{'; '.join([*marks, 'bold: the best'])}. {BRACKETS}")])

    def metrics(self, rows: Rows) -> dict[str, float]:
        """Figures of this bundle by name, for metadata.json."""
        found = {column.name: self._row(rows, self.ours, column) for column in self.columns}
        return {name: row["mean"] for name, row in found.items() if row}

    def _row(self, rows: Rows, title: str, column: Column) -> dict[str, Any] | None:
        for method in self.methods[title]:
            row = find_row(rows, column.set_, column.condition, method, column.metric)
            if row is not None:
                return row if row["mean"] is not None else None
        return None


BRACKETS = "In brackets: 95 % interval over the cases of that set; it says nothing of other sets."


def render_results(rows: Rows, module: Any) -> str:
    """Render the targets and all tables of a bundle, with a list of contents."""
    targets = [*table_head(["figure", "target", *module.SETS]), *(t.render(rows, module.SETS) for t in module.TARGETS)]
    sections = ["\n".join(["## Targets", "", *targets]), *(t.render(rows, module.SETS) for t in module.TABLES)]
    text = "\n\n".join(section for section in sections if section)
    return f"{contents(text)}\n\n{text}"


def split_columns(columns: Columns) -> list[Columns]:
    """Split (set, title) columns over tables of at most ``MOST_COLUMNS``, the first column of each counted.

    Sets stay whole where they can; a set that is too wide has tables of its own.
    """
    room = MOST_COLUMNS - 1
    if len(columns) <= room:
        return [columns] if columns else []
    by_set = {set_: [c for c in columns if c[0] == set_] for set_, _ in columns}
    widest = max(map(len, by_set.values()))
    if widest > room:
        return [part for own in by_set.values() for part in _evenly(own, room)]
    return [[c for set_ in group for c in by_set[set_]] for group in _evenly(list(by_set), room // widest)]


def _evenly(items: list[Any], most: int) -> list[list[Any]]:
    size = ceil(len(items) / ceil(len(items) / most))
    return [items[start : start + size] for start in range(0, len(items), size)]


def _part(columns: Columns, first: str, lines: list[tuple[str, list[str]]]) -> str:
    """One table; where it is of one set, that is a line of its own and not in every title."""
    sets = {set_ for set_, _ in columns}
    titles = [title if len(sets) == 1 else f"{set_}: {title}" for set_, title in columns]
    above = [f"**{columns[0][0]}**", ""] if len(sets) == 1 and sets != {"any"} else []
    return "\n".join([*above, *table_head([first, *titles]), *(table_line([name, *cells]) for name, cells in lines)])


def _section(title: str, parts: list[str], note: str = "") -> str:
    return "\n\n".join([f"## {title}", *parts, *([_wrapped(note)] if note else [])]) if parts else ""


def _wrapped(text: str) -> str:
    return textwrap.fill(text, LINE_LENGTH, break_long_words=False, break_on_hyphens=False)


def with_interval(row: dict[str, Any], unit: str, *, bold: bool = False) -> str:
    """Write a row's mean and, in brackets, its interval, by a printf format."""
    low, high = row["ci95"]
    value = f"**{unit % row['mean']}**" if bold else unit % row["mean"]
    return value + ("" if low is None else f" ({unit % low} to {unit % high})")
