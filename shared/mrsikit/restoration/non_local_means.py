r"""Non-local means: replace each voxel by a weighted mean of similar voxels around it.

.. math:: \hat x_i = \frac{\sum_{j \in \Omega_i} w_{ij} x_j}{\sum_{j \in \Omega_i} w_{ij}}

with :math:`\Omega_i` a window around i. The weight measures similarity either by a patch of the image itself (Buades
2005, doi:10.1109/CVPR.2005.38) or by the features of an MRI on the same grid. Features average the image along the
MRI's structures and not across them (Jafari-Khouzani 2014, doi:10.1109/TMI.2014.2340135). Weights are symmetric, so
each pair of voxels is visited once. The functions take batches in two or three dimensions. Besides the images they need
memory for a few tensors of the same size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

Part = tuple[slice, ...]
"""Part of an image: one slice per spatial axis."""

LAMINAR = (1.0, 2.0)
"""Distances, in voxels, along and against the gradient at which the features sample an MRI."""


def feature_non_local_means(
    image: Tensor,
    features: Tensor,
    *,
    window: int = 11,
    h_features: float = 0.3,
    h_image: float | Tensor | None = None,
    slab: int | None = None,
) -> Tensor:
    r"""Average an image over voxels with similar features.

    .. math:: w_{ij} = \exp\left( - \frac{\|f_i - f_j\|^2}{F h_f^2} - \frac{(x_i - x_j)^2}{h_i h_j} \right)

    The second term separates voxels whose own values differ, as in a lesion that the MRI does not show.

    Args:
        image: (B, X, Y[, Z]), any unit.
        features: (B, F, X, Y[, Z]) features of about unit variance, from :func:`mri_features`.
        window: side of the window in voxels, odd.
        h_features: width :math:`h_f` of the features' term, dimensionless.
        h_image: width h of the image's term in the image's unit, one number or a map (B, X, Y[, Z]); None: no second
            term.
        slab: number of voxels along the last axis to process at a time. This bounds the extra memory and does not
            change the result. None: all at once.

    Returns:
        (B, X, Y[, Z]), in the image's unit.

    Raises:
        ValueError: ``window`` is even or below 1.
    """
    _odd(window)
    if slab is not None:
        return _by_slabs(image, features, window, h_features, h_image, slab)
    scaled = features / (h_features * features.shape[1] ** 0.5)
    values = None if h_image is None else torch.as_tensor(h_image, dtype=image.dtype, device=image.device)

    def distance(here: Part, there: Part) -> Tensor:
        one, other = image[_at(*here)], image[_at(*there)]
        out = torch.zeros_like(one)
        for k in range(scaled.shape[1]):  # one feature at a time, to avoid a second copy of all features
            out += (scaled[:, k][_at(*here)] - scaled[:, k][_at(*there)]).square_()
        if values is not None:
            width = values[_at(*here)] * values[_at(*there)] if values.ndim else values.square()
            out += (one - other).square_() / width.clamp(min=1e-20)
        return out

    return _averaged(image, window, distance)


def _by_slabs(
    image: Tensor, features: Tensor, window: int, h_features: float, h_image: float | Tensor | None, slab: int
) -> Tensor:
    """Process slabs of the last axis, each extended by the reach of its windows."""
    count, reach, out = image.shape[-1], window // 2, []
    for low in tqdm(range(0, count, slab), desc="non-local means", unit="slab", delay=2, leave=False):
        before, after = max(0, low - reach), min(count, low + slab + reach)
        part = slice(before, after)
        width = h_image[..., part] if isinstance(h_image, Tensor) and h_image.ndim else h_image
        found = feature_non_local_means(
            image[..., part], features[..., part], window=window, h_features=h_features, h_image=width
        )
        out.append(found[..., low - before : low - before + slab])
    return torch.cat(out, -1)


def non_local_means(image: Tensor, *, h: float | Tensor, window: int = 11, patch: int = 5) -> Tensor:
    r"""Denoise an image by its own patches, :math:`w_{ij} = \exp(-\langle (x_{i+p} - x_{j+p})^2 \rangle_p / h^2)`.

    Args:
        image: (B, X, Y[, Z]), any unit.
        h: filter width in the image's unit, about the standard deviation of the noise; one number, or (B,).
        window: side of the window in voxels, odd.
        patch: side of the patch in voxels, odd. Beyond the border the image is mirrored.

    Returns:
        (B, X, Y[, Z]), in the image's unit.

    Raises:
        ValueError: ``window`` or ``patch`` is even or below 1.
    """
    axes = image.ndim - 1
    _odd(window, patch)
    halves = [min(patch // 2, n - 1) for n in image.shape[1:]]  # patches are no thicker than a thin volume allows
    padded = F.pad(image[:, None], [half for half in reversed(halves) for _ in (0, 1)], mode="reflect")[:, 0]
    sides = [2 * half + 1 for half in halves]
    mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[axes - 1]
    width = torch.as_tensor(h, dtype=image.dtype, device=image.device).reshape(-1, *[1] * axes).square()

    def distance(here: Part, there: Part) -> Tensor:
        def wide(part: Part) -> Tensor:
            return padded[_at(*(slice(s.start, s.stop + 2 * half) for s, half in zip(part, halves, strict=True)))]

        squares = (wide(here) - wide(there)).square_()
        return mean(squares[:, None], sides, 1)[:, 0] / width.clamp(min=1e-20)

    return _averaged(image, window, distance)


def _odd(*sides: int) -> None:
    for side in sides:
        if side < 1 or side % 2 == 0:
            raise ValueError(f"a window or patch of {side} voxels has no middle; give an odd number")


def _at(*part: Any) -> tuple[Any, ...]:
    """Return the index that selects a part of the last axes."""
    return (..., *part)


def _averaged(image: Tensor, window: int, distance: Callable[[Part, Part], Tensor]) -> Tensor:
    """Compute weighted means with w = exp(-distance), visiting each pair of voxels once."""
    shape = image.shape[1:]
    # Each voxel has weight 1 in its own mean.
    total, weight = image.clone(), torch.ones_like(image)
    for offset in offsets(window, len(shape)):
        here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, shape, strict=True))
        there = tuple(slice(max(0, o), n - max(0, -o)) for o, n in zip(offset, shape, strict=True))
        if any(s.stop <= s.start for s in here):
            continue
        w = distance(here, there).neg_().exp_()
        one, other = _at(*here), _at(*there)
        total[one] += w * image[other]
        total[other] += w * image[one]
        weight[one] += w
        weight[other] += w
    return total / weight


def offsets(window: int, axes: int) -> list[tuple[int, ...]]:
    """List the offsets (in voxels) within a window: one of each pair of opposite offsets, without the centre."""
    reach = range(-(window // 2), window // 2 + 1)
    return [offset for offset in itertools.product(reach, repeat=axes) if offset > (0,) * axes]


def mri_features(mris: Sequence[Tensor], brain: Tensor) -> Tensor:
    """Compute features of each voxel's position in the anatomy: its intensity and the profile across the nearest edge.

    Each contrast has seven features: the value, the mean over 3 voxels along each axis, the magnitude of the gradient,
    and the values one and two voxels along and against the gradient. Each feature has its mean in the brain subtracted
    and is divided by its standard deviation in the brain.

    Args:
        mris: one image (B, X, Y[, Z]) per contrast, any unit.
        brain: same shape, above 0 where the statistics are taken. If it is empty, all voxels count.

    Returns:
        (B, 7 C, X, Y[, Z]) for C contrasts, dimensionless.
    """
    out = []
    for image in mris:
        axes = image.ndim - 1
        slopes = torch.stack([_slope(image, axis) for axis in range(1, image.ndim)], -1)
        size = slopes.square().sum(-1).sqrt()
        along = slopes / size.clamp(min=1e-12)[..., None]
        mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[axes - 1]
        smooth = mean(F.pad(image[:, None], [1] * (2 * axes), mode="replicate"), 3, 1)[:, 0]
        profile = [_read(image, along * way) for step in LAMINAR for way in (step, -step)]
        out += [image, smooth, size, *profile]
    features = torch.stack(out, 1)
    inside = (brain > 0).to(features)[:, None].expand_as(features)
    inside = torch.where(inside.flatten(1).any(1).reshape(-1, *[1] * (features.ndim - 1)), inside, 1.0)
    dims = list(range(2, features.ndim))
    count = inside.sum(dims, keepdim=True)
    mean_ = (features * inside).sum(dims, keepdim=True) / count
    spread = (((features - mean_) * inside).square().sum(dims, keepdim=True) / count).sqrt()
    return (features - mean_) / spread.clamp(min=1e-12)


def _slope(image: Tensor, axis: int) -> Tensor:
    """Gradient along one axis by central differences; 0 along an axis of one voxel."""
    return torch.gradient(image, dim=axis)[0] if image.shape[axis] > 1 else torch.zeros_like(image)


def _read(image: Tensor, offset: Tensor) -> Tensor:
    """Interpolate an image (B, X, Y[, Z]) at each voxel plus ``offset`` (B, X, Y[, Z], axes); repeat the border."""
    shape = image.shape[1:]
    at = torch.stack(torch.meshgrid(*(torch.arange(n).to(image) for n in shape), indexing="ij"), -1) + offset
    size = torch.tensor(shape).to(image)
    grid = ((2 * at + 1) / size - 1).flip(-1)
    return F.grid_sample(image[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]
