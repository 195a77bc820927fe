"""Evaluation of readers' scores: means, tests against one method, agreement between and within readers."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from markdown_tables import table_head, table_line
from mrsikit.io import InputError
from mrsikit.io.atomic import whole_or_nothing, write_text_atomically
from mrsikit.io.extras import import_extra
from mrsikit.metrics.statistics import bootstrap_interval
from reader_studies.key import CRITERIA, OPTIONAL, Key, patient_of

logger = logging.getLogger(__name__)

COLUMNS = ["study", "reader", "case", "map", "again", "criterion", "score", "scored_at"]
SEPARATORS = (",", ";", "\t")
"""Separator of the page's own CSV, and those of spreadsheets."""

NOTHING = "none"
ALL = "all criteria"
"""Name of the mean of a map's scores over all criteria, the mean opinion score."""

ENOUGH = 8
"""Number of patients below which the table warns that they are few."""

PERMUTATIONS = 20000
"""Largest number of permutations of the patients of two methods for which the test tries all, as scores have ties."""

NAMES = tuple(one.name for one in CRITERIA)


def read_scores(paths: Sequence[str | Path], key: Key) -> pd.DataFrame:
    """Read and unblind the scores of all readers.

    Args:
        paths: CSV files exported by the page, one per reader.
        key: key of the study.

    Returns:
        One row per score: reader, case, method, again (whether it is the second time), criterion, score (NaN: there was
        nothing to score).

    Raises:
        InputError: a file is no export, is of another study, or holds what the page cannot have written, or a reader
            has two files.
    """
    if not paths:
        raise InputError("no CSV is given; give the files that the readers exported")
    tables = []
    owners: dict[str, str | Path] = {}
    for path in paths:
        table = _read(path, key)
        reader = table["reader"].iloc[0]
        if reader in owners:
            raise InputError(f"{path}: is of reader {reader}, as {owners[reader]} is; give one file a reader")
        owners[reader] = path
        tables.append(table)
    found = pd.concat(tables, ignore_index=True)
    found = found.sort_values("method", key=lambda names: names.map(key.methods.index), kind="stable")
    for reader, given in found.groupby("reader"):
        wanted = len(key.shown()) * len(NAMES)
        if len(given) < wanted:
            logger.warning("%s: %s gave %d of %d scores", owners[str(reader)], reader, len(given), wanted)
    return found


def _table(path: str | Path) -> pd.DataFrame:
    """Read an export, also one that a spreadsheet saved again: with semicolons or tabs, or in a Windows code page.

    Raises:
        InputError: the file cannot be read or is no CSV.
    """
    try:
        held = Path(path).read_bytes()
        try:
            text = held.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = held.decode("cp1252")
        first = text.partition("\n")[0].replace('"', "").strip()
        mark = next((mark for mark in SEPARATORS if first == mark.join(COLUMNS)), SEPARATORS[0])
        if "\0" in text:
            raise ValueError("binary")
        return pd.read_csv(io.StringIO(text), sep=mark, dtype=str, keep_default_na=False)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # the errors of pandas are ValueErrors
        raise InputError(f"{path}: is no CSV; give a file that the page exported") from error


def _read(path: str | Path, key: Key) -> pd.DataFrame:
    table = _table(path)
    if list(table.columns) != COLUMNS or table.empty:
        raise InputError(f"{path}: is no export of a reader study; its columns are {', '.join(COLUMNS)}")
    if set(table["study"]) != {key.study}:
        raise InputError(
            f"{path}: is of study {table['study'].iloc[0]}, the key of {key.study}; give those of one study"
        )
    if table["reader"].nunique() != 1:
        raise InputError(f"{path}: is of {table['reader'].nunique()} readers; give one file a reader")
    shown = key.shown()
    for place, row in enumerate(table.itertuples(index=False), start=2):
        good = row.again in ("yes", "no") and shown.get((row.map, row.again == "yes")) == row.case
        good &= row.criterion in NAMES
        good &= row.score in set("12345") or (row.score == NOTHING and row.criterion in OPTIONAL)
        if not good:
            line = f"{row.case}, {row.map}, again {row.again}, {row.criterion}, {row.score or 'nothing'}"
            raise InputError(f"{path}: line {place} is not of this study ({line}); give it as exported")
    if (double := table.duplicated(["map", "again", "criterion"])).any():
        raise InputError(f"{path}: line {int(double.argmax()) + 2} scores a map a second time; give it as exported")
    optional = table[table["criterion"].isin(OPTIONAL)]
    for (case, _), of in optional.assign(none=optional["score"] == NOTHING).groupby(["case", "again"]):
        if of["none"].nunique() > 1:
            raise InputError(
                f"{path}: says of {key.cases[case]} that there is a tumour and that there is none; the reference "
                "decides, and a map that lost it has a low score"
            )
    return pd.DataFrame(
        {
            "reader": table["reader"], "case": table["case"].map(dict(key.cases)),
            "method": [key.maps[code][1] for code in table["map"]], "again": table["again"] == "yes",
            "criterion": table["criterion"], "score": pd.to_numeric(table["score"], errors="coerce"),
        }
    )  # fmt: skip


def patient_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean score over readers, then over a patient's cases: method, criterion, patient, score.

    Only the first showing of a map counts. The mean over all criteria is included.
    """
    first = scores[~scores["again"]]
    each = first.groupby(["method", "criterion", "case"], as_index=False)["score"].mean()
    every = first.groupby(["method", "case", "reader"])["score"].mean()
    together = every.groupby(["method", "case"]).mean().reset_index().assign(criterion=ALL)
    found = pd.concat([each, together], ignore_index=True).dropna(subset="score")
    found["patient"] = found["case"].map(patient_of)
    return found.groupby(["method", "criterion", "patient"], as_index=False)["score"].mean()


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """P values after Holm's correction for multiple tests (Scand J Stat 6 (1979) 65-70); NaN is not a test."""
    values = np.asarray(p, float)
    out = np.full(values.shape, np.nan)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    out[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)))
    return out


def mann_whitney(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """Mann-Whitney's U and its two-sided p value: exact for few values, also with ties, else by scipy's choice."""
    few = min(len(a), len(b)) > 1 and math.comb(len(a) + len(b), len(a)) <= PERMUTATIONS
    method = stats.PermutationMethod(n_resamples=PERMUTATIONS) if few else "auto"
    found = stats.mannwhitneyu(a, b, method=method)
    return float(found.statistic), float(found.pvalue)


def summary(scores: pd.DataFrame, against: str, *, seed: int = 0) -> pd.DataFrame:
    """Summarise each method and criterion: mean over patients with bootstrap interval, and test against one method.

    A patient counts once, with the mean over readers and metabolites: two readers of one map are not two patients.

    Args:
        scores: scores of :func:`read_scores`.
        against: method that the others are tested against by Mann-Whitney's U, with Holm's correction over all rows.
        seed: seed of the intervals.

    Raises:
        InputError: there is no such method.
    """
    means = patient_means(scores)
    methods = list(dict.fromkeys(scores["method"]))
    if against not in methods:
        raise InputError(f"--against {against}: is none of {', '.join(methods)}")
    rng = np.random.default_rng(seed)
    rows = []
    for criterion in (*NAMES, ALL):
        of = {m: means[(means["method"] == m) & (means["criterion"] == criterion)]["score"].to_numpy() for m in methods}
        for method in methods:
            mean, low, high = bootstrap_interval(of[method], generator=rng)
            tested = method != against and len(of[method]) and len(of[against])
            u, p = mann_whitney(of[method], of[against]) if tested else (np.nan, np.nan)
            rows.append(
                {"criterion": criterion, "method": method, "patients": len(of[method]), "mean": mean, "low": low,
                 "high": high, "U": float(u), "p": float(p)}
            )  # fmt: skip
    return pd.DataFrame(rows).assign(p_holm=holm([row["p"] for row in rows]))


def between_readers(scores: pd.DataFrame) -> pd.DataFrame:
    """Krippendorff's alpha for ordinal scores between the readers, one row per criterion; NaN with one reader.

    Raises:
        InputError: the package krippendorff is not installed.
    """
    first = scores[~scores["again"]]
    rows = [{"criterion": name, "alpha": _alpha(first[first["criterion"] == name], "reader")} for name in NAMES]
    return pd.DataFrame([*rows, {"criterion": ALL, "alpha": _alpha(first, "reader")}])


def with_themselves(scores: pd.DataFrame) -> pd.DataFrame:
    """Agreement of each reader with themselves on maps that are shown twice, one row per reader."""
    rows = []
    for reader, own in scores.groupby("reader", sort=False):
        twice = own.pivot_table(index=["case", "method", "criterion"], columns="again", values="score").dropna()
        if twice.shape[1] < 2 or twice.empty:
            continue
        apart = (twice[True] - twice[False]).abs()
        pairs = own.merge(twice.reset_index()[["case", "method", "criterion"]])
        rows.append(
            {"reader": reader, "pairs": len(apart), "same": float((apart == 0).mean()),
             "within 1": float((apart <= 1).mean()), "alpha": _alpha(pairs, "again")}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["reader", "pairs", "same", "within 1", "alpha"])


def _alpha(scores: pd.DataFrame, raters: str) -> float:
    krippendorff = import_extra(
        "krippendorff", package="krippendorff", purpose="scores of readers", extra="reader-study"
    )
    table = scores.pivot_table(index=raters, columns=["case", "method", "criterion"], values="score").to_numpy()
    table = table[:, np.isfinite(table).sum(0) > 1]  # only what two raters have scored
    if len(np.unique(table[np.isfinite(table)])) < 2:
        return float("nan")
    return float(krippendorff.alpha(table, level_of_measurement="ordinal"))


def write_results(scores: pd.DataFrame, against: str, folder: Path, *, seed: int = 0) -> str:
    """Write scores.csv, summary.csv, agreement.csv, consistency.csv, table.md and scores.png.

    Returns:
        The table as Markdown.
    """
    rows, agreement, own = summary(scores, against, seed=seed), between_readers(scores), with_themselves(scores)
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"scores": scores, "summary": rows, "agreement": agreement, "consistency": own}
    for name, table in tables.items():
        write_text_atomically(folder / f"{name}.csv", table.to_csv(index=False))
    text = _markdown(scores, rows, agreement, own, against)
    write_text_atomically(folder / "table.md", text)
    with whole_or_nothing(folder / "scores.png") as path:
        draw(scores, rows).savefig(path, dpi=110, format="png")
    return text


def _markdown(
    scores: pd.DataFrame, rows: pd.DataFrame, agreement: pd.DataFrame, own: pd.DataFrame, against: str
) -> str:
    methods = list(dict.fromkeys(rows["method"]))
    lines = table_head(["criterion", *methods, "alpha"])
    alpha = agreement.set_index("criterion")["alpha"]
    for criterion, of in rows.groupby("criterion", sort=False):
        cells = []
        for row in of.itertuples():
            interval = "" if np.isnan(row.low) else f" ({row.low:.2f} to {row.high:.2f})"
            cells.append(f"{row.mean:.2f}{interval}{'*' if row.p_holm < 0.05 else ''}" if row.patients else "–")
        known = alpha[criterion]
        lines.append(table_line([criterion, *cells, "–" if np.isnan(known) else f"{known:.2f}"]))
    readers, cases = scores["reader"].nunique(), scores["case"].unique()
    patients = len({patient_of(case) for case in cases})
    lines += [
        "",
        f"{readers} reader{'s' * (readers > 1)}, {len(cases)} cases of {patients} patients; 1: unlike the reference, "
        "5: like it. Mean over patients of the mean over readers, with a 95 % interval over patients, as if other "
        f"readers would score alike. * differs from {against}: Mann-Whitney's U, p below 0.05 after Holm's correction "
        "over all tests of the table. The test takes no account of both methods having the same patients. Alpha: "
        "Krippendorff's, ordinal, between readers.",
        "",
    ]
    if patients < ENOUGH:
        lines += [f"With {patients} patients the intervals are too narrow, and no test can tell much.", ""]
    if len(own):
        lines += table_head(["reader", "pairs scored twice", "same", "within 1", "alpha"])
        for r in own.itertuples():
            shares = [
                f"{r.same:.0%}",
                f"{own.loc[r.Index, 'within 1']:.0%}",
                "–" if np.isnan(r.alpha) else f"{r.alpha:.2f}",
            ]
            lines.append(table_line([r.reader, str(r.pairs), *shares]))
        lines.append("")
    return "\n".join(lines)


def draw(scores: pd.DataFrame, rows: pd.DataFrame) -> Figure:
    """Draw mean and interval of each method and criterion, and each reader's mean as a dot."""
    criteria, methods = list(dict.fromkeys(rows["criterion"])), list(dict.fromkeys(rows["method"]))
    figure = Figure(figsize=(2.6 * len(criteria), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    first = scores[~scores["again"]]
    for axis, criterion in zip(figure.subplots(1, len(criteria), sharey=True), criteria, strict=True):
        of = rows[rows["criterion"] == criterion].set_index("method")
        for place, method in enumerate(methods):
            row = of.loc[method]
            spread = np.nan_to_num([[row["mean"] - row["low"]], [row["high"] - row["mean"]]])
            axis.errorbar(place, row["mean"], spread, fmt="o", capsize=4, color=f"C{place % 10}")
            mine = first[(first["method"] == method) & ((first["criterion"] == criterion) | (criterion == ALL))]
            each = mine.groupby("reader")["score"].mean()
            axis.plot([place + 0.22] * len(each), each, ".", color="#888888", ms=5)
        axis.set_title(criterion, fontsize=9)
        axis.set_xticks(range(len(methods)), methods, rotation=45, ha="right", fontsize=8)
        axis.set_ylim(0.8, 5.2)
        axis.grid(axis="y", alpha=0.3)
    figure.axes[0].set_ylabel("mean opinion score")
    return figure
