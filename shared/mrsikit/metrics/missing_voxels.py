"""Metrics of missing voxels: how well they are filled and detected."""

from typing import NamedTuple

import numpy as np
import torch
from monai.metrics import CumulativeIterationMetric, compute_confusion_matrix_metric, get_confusion_matrix
from scipy import ndimage


def missing_voxel_mse(pred: torch.Tensor, truth: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the missing voxels of each case.

    Args:
        pred: filled maps, ``(B, M, X, Y[, Z])``, any unit.
        truth: complete maps, same shape and unit.
        missing: same shape, non-zero where the voxel was missing.

    Returns:
        ``(B,)`` in the map's unit squared; NaN for a case without a missing voxel.

    Raises:
        ValueError: the shapes differ.
    """
    if not pred.shape == truth.shape == missing.shape:
        raise ValueError(f"shapes differ: pred {pred.shape}, truth {truth.shape}, missing {missing.shape}")
    inside = missing.flatten(1) != 0
    # torch.where, not a product: a NaN outside the missing voxels must not reach the sum
    squared = torch.where(inside, (pred.flatten(1) - truth.flatten(1)) ** 2, 0.0)
    return squared.sum(1) / inside.sum(1)


class MissingVoxelMSEMetric(CumulativeIterationMetric):
    """Mean squared error over the missing voxels as a MONAI metric: mean over the cases that have a missing voxel.

    ``y`` has two channels for each of M maps: the truth, then the mask of missing voxels, ``(B, 2M, X, Y[, Z])``.
    ``y_pred`` has the same number C of channels for each map, the filled map first: ``(B, C*M, X, Y[, Z])``.
    Lists of channel-first tensors work too, so
    ``IgniteMetricHandler(metric_fn=MissingVoxelMSEMetric(), output_transform=from_engine(["pred", "label"]))`` works.

    Example:
        >>> metric = MissingVoxelMSEMetric()
        >>> truth, mask = torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
        >>> _ = metric(y_pred=truth + 2, y=torch.cat([truth, mask], 1))
        >>> metric.aggregate().item()
        4.0
    """

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:  # type: ignore[override]
        if y is None or y.shape[1] % 2 or y_pred.shape[1] % (y.shape[1] // 2):
            got = None if y is None else tuple(y.shape)
            raise ValueError(f"y needs (truth, mask) channels for each map in y_pred {tuple(y_pred.shape)}, got {got}")
        maps = y.shape[1] // 2
        return missing_voxel_mse(y_pred[:, :: y_pred.shape[1] // maps], y[:, ::2], y[:, 1::2]).unsqueeze(1)

    def aggregate(self) -> torch.Tensor:
        """Mean over all cases with a missing voxel so far, a scalar; NaN if there is none.

        Raises:
            ValueError: no case has been given.
        """
        values = self.get_buffer()
        if not isinstance(values, torch.Tensor):
            raise ValueError("no case has been given to the metric")
        return torch.nanmean(values)


class Detection(NamedTuple):
    """Detection of missing voxels; NaN if no voxel was missing (recall) or none was judged missing (precision)."""

    recall: float
    precision: float


def missing_voxel_detection(found: np.ndarray, missing: np.ndarray, region: np.ndarray | None = None) -> Detection:
    """Recall and precision of the voxels judged missing.

    Args:
        found: True where a voxel is judged missing, any shape.
        missing: True where a voxel is really missing, same shape.
        region: True at the evaluated voxels, same shape; all by default.

    Returns:
        Recall (share of the missing voxels that were found) and precision (share of the found voxels that are missing).

    Raises:
        ValueError: the shapes differ.
    """
    found, missing = np.asarray(found, dtype=bool), np.asarray(missing, dtype=bool)
    counted = np.ones(missing.shape, dtype=bool) if region is None else np.asarray(region, dtype=bool)
    if not found.shape == missing.shape == counted.shape:
        raise ValueError(f"shapes differ: found {found.shape}, missing {missing.shape}, region {counted.shape}")
    if not counted.any():
        return Detection(float("nan"), float("nan"))
    matrix = get_confusion_matrix(
        torch.from_numpy(found[counted])[None, None].float(), torch.from_numpy(missing[counted])[None, None].float()
    )
    recall, precision = (compute_confusion_matrix_metric(name, matrix).item() for name in ("recall", "precision"))
    return Detection(recall, precision)


def filled_fraction(missing: np.ndarray, region: np.ndarray) -> float:
    """Share of a region's voxels judged missing, and so filled, such as ventricles, which should stay empty.

    Args:
        missing: True where a voxel was judged missing, any shape.
        region: True in the region, same shape.

    Returns:
        Share from 0 to 1; NaN for an empty region.
    """
    region = np.asarray(region, dtype=bool)
    return float(np.asarray(missing, dtype=bool)[region].mean()) if region.any() else float("nan")


def tumour_margin(tumour: np.ndarray, width: float = 2) -> np.ndarray:
    """Mask of the voxels within ``width`` voxels of the tumour's edge, on both sides.

    A voxel inside the tumour counts if its distance to the nearest voxel outside is at most ``width``, and the other
    way round for a voxel outside (Euclidean, between voxel centres). The border of the array is not an edge.

    Args:
        tumour: True in the tumour, ``(X, Y)`` or ``(X, Y, Z)``.
        width: width of the margin on either side (voxels).

    Returns:
        Boolean mask of the same shape, empty if there is no tumour or nothing else.
    """
    tumour = np.asarray(tumour, dtype=bool)
    if tumour.all() or not tumour.any():
        return np.zeros_like(tumour)
    distance = np.where(tumour, ndimage.distance_transform_edt(tumour), ndimage.distance_transform_edt(~tumour))
    return distance <= width
