"""Confidence intervals and tests between methods; the bootstrap resamples subjects, never slices."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Interval(NamedTuple):
    """Estimate with the ends of its bootstrap interval; the ends are NaN with fewer than 2 subjects."""

    estimate: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    subjects: Sequence | np.ndarray | None = None,
    *,
    n: int = 2000,
    level: float = 0.95,
    generator: np.random.Generator,
) -> Interval:
    """Mean over cases, with a percentile bootstrap interval that resamples subjects.

    Args:
        values: one per case, ``(N,)``; NaN (nothing to measure in this case) is left out.
        subjects: subject of each case, ``(N,)``; by default each case is a subject.
        n: number of bootstrap samples.
        level: confidence level of the interval.
        generator: source of the random draws.

    Returns:
        Mean and interval, in the unit of the values.

    Raises:
        ValueError: the lengths differ.
    """
    values, labels = _cases(values, subjects)
    kept = np.isfinite(values)
    return _resample([values[kept], np.ones(kept.sum())], labels[kept], n, level, generator)


def ratio_of_means_interval(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    subjects: Sequence | np.ndarray | None = None,
    *,
    n: int = 2000,
    level: float = 0.95,
    generator: np.random.Generator,
) -> Interval:
    """Ratio mean(a) / mean(b) over paired cases, with a percentile bootstrap interval that resamples subjects.

    Args:
        a: one value per case, ``(N,)``, such as a network's MSE of missing voxels; a case with NaN in ``a`` or ``b`` is
            left out.
        b: values of another method on the same cases, ``(N,)``.
        subjects: subject of each case, ``(N,)``; by default each case is a subject.
        n: number of bootstrap samples.
        level: confidence level of the interval.
        generator: source of the random draws.

    Returns:
        Ratio and interval.

    Raises:
        ValueError: the lengths differ.
    """
    a, labels = _cases(a, subjects)
    b, _ = _cases(b, labels)
    kept = np.isfinite(a) & np.isfinite(b)
    return _resample([a[kept], b[kept]], labels[kept], n, level, generator)


def mann_whitney_p(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Two-sided p value of the Mann-Whitney U test, as the papers use it for PSNR and SSIM; it ignores NaN values."""
    return float(stats.mannwhitneyu(a, b, nan_policy="omit").pvalue)


def _cases(
    values: Sequence[float] | np.ndarray, subjects: Sequence | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    cases = np.asarray(values, dtype=float)
    labels = np.arange(cases.size) if subjects is None else np.asarray(subjects)
    if cases.ndim != 1 or labels.shape != cases.shape:
        raise ValueError(f"one value and one subject label per case are needed, got {cases.shape} and {labels.shape}")
    return cases, labels


def _resample(
    pair: list[np.ndarray], labels: np.ndarray, n: int, level: float, generator: np.random.Generator
) -> Interval:
    """Interval of sum(first) / sum(second); both are summed per subject first, so that subjects are drawn whole."""
    names, index = np.unique(labels, return_inverse=True)
    if not names.size:
        return Interval(np.nan, np.nan, np.nan)
    sums = [np.bincount(index, weights) for weights in pair]
    estimate = float(sums[0].sum() / sums[1].sum())
    if names.size < 2:
        return Interval(estimate, np.nan, np.nan)
    interval = stats.bootstrap(
        sums,
        lambda x, y, axis: x.sum(axis) / y.sum(axis),
        n_resamples=n,
        paired=True,
        vectorized=True,
        confidence_level=level,
        method="percentile",
        rng=generator,
    ).confidence_interval
    return Interval(estimate, float(interval.low), float(interval.high))
