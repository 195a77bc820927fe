"""Whether a method keeps the lesions that the map shows, and invents none that only the MRI shows.

The compartments are those of the PRECISE-DMI paper: A is in neither image, B in the map alone, C in both, D in the MRI
alone. Both figures are shares of a contrast, so lesions of any size, metabolite and unit compare.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lesion_bias(pred: Tensor, truth: Tensor, lesion: Tensor, contrast: Tensor) -> Tensor:
    """Part of a lesion's contrast that is lost (negative) or added.

    Args:
        pred: (..., X, Y), any unit.
        truth: same shape and unit.
        lesion: same shape, the lesion's weight in each voxel, 0 to 1.
        contrast: same shape: truth with the lesion less truth without it.

    Returns:
        (...) error over contrast, both means weighted by ``lesion``, the error's sign that of the contrast; NaN where
        there is no contrast.
    """
    return _mean(pred - truth, lesion) / _mean(contrast, lesion)


def lesion_leak(pred_with: Tensor, pred_without: Tensor, lesion: Tensor, contrast: float | Tensor) -> Tensor:
    """How much of a lesion that only the MRI shows comes to stand in the map.

    Args:
        pred_with: (..., X, Y) result with the lesion in the MRI.
        pred_without: result without it, all else equal.
        lesion: (..., X, Y) its weight in each voxel.
        contrast: that a lesion which the map showed too would have.

    Returns:
        (...) size of the change of the lesion's mean over that of the contrast.
    """
    return _mean(pred_with - pred_without, lesion).abs() / torch.as_tensor(contrast).abs()


def lesion_change(pred_with: Tensor, pred_without: Tensor, lesion: Tensor, contrast: float | Tensor) -> Tensor:
    """What a lesion that only the MRI shows changes, the detail that it hides from the MRI's reader included.

    Args:
        pred_with: as of :func:`lesion_leak`, as all that follows.
        pred_without: likewise.
        lesion: likewise.
        contrast: likewise.

    Returns:
        (...) mean absolute change within the lesion over the contrast's size.
    """
    return _mean((pred_with - pred_without).abs(), lesion) / torch.as_tensor(contrast).abs()


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    dims = (-2, -1)
    total = weights.sum(dims)
    return torch.where(total > 0, (values * weights).sum(dims) / total.clamp(min=1e-12), float("nan"))
