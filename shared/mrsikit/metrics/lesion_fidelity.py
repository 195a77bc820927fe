"""Lesion fidelity: whether a method keeps lesions of the map, and does not invent lesions that only the MRI shows.

The compartments are those of the PRECISE-DMI paper: A is in neither image, B in the map alone, C in both, D in the MRI
alone. All figures are fractions of a contrast, so lesions of any size, metabolite and unit can be compared.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lesion_bias(pred: Tensor, truth: Tensor, lesion: Tensor, contrast: Tensor) -> Tensor:
    """Fraction of a lesion's contrast that is lost (negative) or added (positive).

    Args:
        pred: (..., X, Y), any unit.
        truth: same shape and unit.
        lesion: same shape, the lesion's weight in each voxel, 0 to 1.
        contrast: same shape, truth with the lesion minus truth without it.

    Returns:
        (...) mean error over mean contrast, both weighted by ``lesion``: positive if error and contrast have the same
        sign. NaN where ``lesion`` is zero throughout.
    """
    return _mean(pred - truth, lesion) / _mean(contrast, lesion)


def lesion_leak(pred_with: Tensor, pred_without: Tensor, lesion: Tensor, contrast: float | Tensor) -> Tensor:
    """Fraction of a lesion that only the MRI shows which leaks into the map.

    Args:
        pred_with: (..., X, Y) result with the lesion in the MRI.
        pred_without: same shape, result without the lesion in the MRI, all else equal.
        lesion: (..., X, Y), the lesion's weight in each voxel, 0 to 1.
        contrast: contrast that the lesion would have if the map showed it too.

    Returns:
        (...) absolute change of the lesion's mean over the absolute contrast.
    """
    return _mean(pred_with - pred_without, lesion).abs() / torch.as_tensor(contrast).abs()


def lesion_change(pred_with: Tensor, pred_without: Tensor, lesion: Tensor, contrast: float | Tensor) -> Tensor:
    """Change that a lesion which only the MRI shows makes in the map, including the detail that it hides in the MRI.

    Args:
        pred_with: as of :func:`lesion_leak`.
        pred_without: as of :func:`lesion_leak`.
        lesion: as of :func:`lesion_leak`.
        contrast: as of :func:`lesion_leak`.

    Returns:
        (...) mean absolute change within the lesion over the absolute contrast.
    """
    return _mean((pred_with - pred_without).abs(), lesion) / torch.as_tensor(contrast).abs()


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    dims = (-2, -1)
    total = weights.sum(dims)
    return torch.where(total > 0, (values * weights).sum(dims) / total.clamp(min=1e-12), float("nan"))
