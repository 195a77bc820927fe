"""Calibration of a reported standard deviation: coverage of its intervals, and correlation with the error."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, spearmanr

#: Half width, in standard deviations, of the central 90 % interval of a normal distribution.
Z90 = 1.645


def interval_coverage(
    error: np.ndarray, sd: np.ndarray, subjects: Sequence | np.ndarray | None = None, *, z: float = Z90
) -> float:
    """Share of voxels whose error lies within +-z standard deviations, per subject, then averaged over subjects.

    Args:
        error: prediction minus truth at the evaluated voxels (``(pred - truth)[mask]``), ``(N,)``.
        sd: reported standard deviation at the same voxels, same unit, ``(N,)``.
        subjects: subject of each voxel, ``(N,)``; one subject by default.
        z: half width of the interval in standard deviations; 1.645 makes 90 % intervals.

    Returns:
        Share from 0 to 1; NaN without voxels.

    Raises:
        ValueError: the lengths differ.
    """
    error, sd = _same_length(error, sd)
    labels = np.zeros(error.shape, dtype=int) if subjects is None else np.asarray(subjects)
    covered = np.abs(error) <= z * sd
    if labels.shape != error.shape:
        raise ValueError(f"{labels.size} subject labels for {error.size} voxels")
    if not len(covered):
        return float("nan")
    subject = np.unique(labels, return_inverse=True)[1]
    return float((np.bincount(subject, covered) / np.bincount(subject)).mean())


def error_rank_correlation(error: np.ndarray, sd: np.ndarray) -> float:
    """Spearman's rank correlation of the reported standard deviation with the absolute error, pooled over subjects.

    Args:
        error: prediction minus truth, ``(N,)``.
        sd: reported standard deviation, ``(N,)``.

    Returns:
        Correlation from -1 to 1; NaN if either is constant or fewer than 2 voxels are given.

    Raises:
        ValueError: the lengths differ.
    """
    error, sd = _same_length(error, sd)
    if error.size < 2 or np.ptp(np.abs(error)) == 0 or np.ptp(sd) == 0:
        return float("nan")
    return float(spearmanr(sd, np.abs(error)).statistic)


def reliability_table(
    error: np.ndarray,
    sd: np.ndarray,
    subjects: Sequence | np.ndarray | None = None,
    *,
    levels: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
) -> dict[str, NDArray[np.float64]]:
    """Nominal and empirical coverage of central normal intervals, for a reliability diagram.

    Args:
        error: prediction minus truth, ``(N,)``.
        sd: reported standard deviation, ``(N,)``.
        subjects: subject of each voxel, ``(N,)``; one subject by default.
        levels: nominal coverages, each between 0 and 1.

    Returns:
        A value per level of ``nominal``, ``z`` (the interval's half width in standard deviations) and ``empirical``
        (by `interval_coverage`).
    """
    widths = norm.ppf(0.5 + np.asarray(levels) / 2)
    empirical = np.array([interval_coverage(error, sd, subjects, z=z) for z in widths])
    return {"nominal": np.asarray(levels, float), "z": widths, "empirical": empirical}


def _same_length(error: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    error, sd = np.ravel(error), np.ravel(sd)
    if error.shape != sd.shape:
        raise ValueError(f"{error.size} errors but {sd.size} standard deviations")
    return error, sd
