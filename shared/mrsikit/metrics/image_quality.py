"""Image quality by MONAI's metrics, over the whole image or within a mask.

SSIM uses a Gaussian window of 11 voxels with sigma 1.5, or of 7 voxels if the shortest axis of the grid has fewer than
16. Along an axis shorter than the window, it uses the largest odd number of voxels that fits.
"""

import torch
import torch.nn.functional as F
from monai.metrics import MSEMetric, PSNRMetric
from monai.metrics.regression import compute_ssim_and_cs

SIGMA = 1.5


def mse(pred: torch.Tensor, truth: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Mean squared error of each case.

    Args:
        pred: ``(B, C, X, Y[, Z])``, any unit.
        truth: same shape and unit.
        mask: same shape, non-zero at the evaluated voxels; all by default.

    Returns:
        ``(B,)`` in the unit squared; NaN where the mask is empty.
    """
    if mask is None:
        return torch.as_tensor(MSEMetric()(pred, truth)).flatten()
    return _masked_mean((pred - truth) ** 2, mask)


def psnr(
    pred: torch.Tensor, truth: torch.Tensor, mask: torch.Tensor | None = None, *, data_range: float
) -> torch.Tensor:
    """Peak signal-to-noise ratio of each case, in dB.

    Args:
        pred: ``(B, C, X, Y[, Z])``.
        truth: same shape.
        mask: same shape, non-zero at the evaluated voxels; all by default.
        data_range: the peak, in the map's unit: 1 for maps scaled to unit maximum.

    Returns:
        ``(B,)``; infinite for identical maps, NaN where the mask is empty.
    """
    if mask is None:
        return torch.as_tensor(PSNRMetric(max_val=data_range)(pred, truth)).flatten()
    return 10 * torch.log10(data_range**2 / mse(pred, truth, mask))


def ssim(
    pred: torch.Tensor, truth: torch.Tensor, mask: torch.Tensor | None = None, *, data_range: float
) -> torch.Tensor:
    """Structural similarity of each case.

    Without a mask this is MONAI's ``SSIMMetric``: the mean over all windows that lie entirely in the image. With a mask
    it is the mean of the SSIM at the voxels of the mask; windows at the border repeat the border voxels outwards.

    Args:
        pred: ``(B, C, X, Y[, Z])``.
        truth: same shape.
        mask: same shape, non-zero at the evaluated voxels.
        data_range: range of values in the map's unit: 1 for maps scaled to unit maximum.

    Returns:
        ``(B,)``; NaN where the mask is empty.
    """
    window = ssim_window(tuple(pred.shape[2:]))
    if mask is not None:
        border = [size // 2 for size in reversed(window) for _ in (0, 1)]
        pred, truth = (F.pad(image, border, mode="replicate") for image in (pred, truth))
    local, _ = compute_ssim_and_cs(
        pred,
        truth,
        spatial_dims=len(window),
        kernel_size=window,
        kernel_sigma=[SIGMA] * len(window),
        data_range=data_range,
    )
    return local.flatten(1).mean(1) if mask is None else _masked_mean(local, mask)


def ssim_window(shape: tuple[int, ...]) -> tuple[int, ...]:
    """SSIM window along each axis of a grid, in voxels, as the module's docstring says."""
    window = 11 if min(shape) >= 16 else 7
    return tuple(min(window, size - 1 + size % 2) for size in shape)


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    inside = mask.flatten(1) != 0
    return torch.where(inside, values.flatten(1), 0.0).sum(1) / inside.sum(1)
