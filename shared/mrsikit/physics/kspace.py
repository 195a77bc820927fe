r"""k-space sampling: the coarse image that N phase encodes measure of a fine image, and its interpolation.

A coarse voxel lies at the centre of a block of ``factor`` fine voxels along each axis. With :math:`f` the factor,
coarse position :math:`n` is therefore the fine position :math:`f n + (f - 1) / 2`. A plain crop of the spectrum would
put it at :math:`f n`; a phase ramp corrects this. All functions take real images. The last two axes are the in-plane
axes; where ``dims`` is 3, the last three axes are the spatial axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def zero_fill(coarse: Tensor, factor: int, dims: int = 2) -> Tensor:
    """Interpolate by zero filling: evaluate the trigonometric polynomial through the coarse voxels on the fine grid.

    Args:
        coarse: (..., X, Y), or (..., X, Y, Z), real, any unit.
        factor: fine voxels per coarse voxel along each axis.
        dims: number of spatial axes, 2 or 3.

    Returns:
        (..., factor X, factor Y[, factor Z]).
    """
    for axis in range(-dims, 0):
        coarse = _resampled(coarse, axis, coarse.shape[axis], coarse.shape[axis] * factor)
    return coarse


def low_pass_sample(fine: Tensor, factor: int, dims: int = 2) -> Tensor:
    """Sample a fine image with ``1 / factor`` of its phase encodes along each axis.

    Args:
        fine: (..., factor X, factor Y[, factor Z]), real, any unit.
        factor: fine voxels per coarse voxel along each axis.
        dims: number of spatial axes, 2 or 3.

    Returns:
        (..., X, Y[, Z]): the image of the central part of k-space at the centres of the coarse voxels. If the number of
        encodes is even, the Nyquist encode is left out, because it has no counterpart of opposite sign and the image is
        real.
    """
    for axis in range(-dims, 0):
        fine = _resampled(fine, axis, fine.shape[axis], fine.shape[axis] // factor)
    return fine


def resample(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Resample an image to another matrix size over the same field of view, by cropping or zero filling k-space.

    Downsampling gives what an acquisition with that many phase encodes measures. Upsampling interpolates.

    Args:
        image: (..., *before), real, any unit.
        shape: number of points along each of the last axes.

    Returns:
        (..., *shape).
    """
    for axis, after in enumerate(shape, start=-len(shape)):
        image = _resampled(image, axis, image.shape[axis], after)
    return image


def band_weights(x: int, y: int, factor: int) -> Tensor:
    """Mask of the frequencies of a fine image that are measured: (X, Y // 2 + 1), 1 or 0, in the order of ``rfft2``.

    Args:
        x: size of the fine image along X.
        y: size of the fine image along Y.
        factor: fine voxels per coarse voxel along each axis.
    """
    along_x = torch.fft.fftfreq(x, 1.0 / x).abs() < x / factor / 2 - 0.25
    along_y = torch.fft.rfftfreq(y, 1.0 / y) < y / factor / 2 - 0.25
    return (along_x[:, None] & along_y[None]).float()


def hamming_weights(x: int, y: int, factor: int) -> Tensor:
    """Hamming weights .54 + .46 cos(2 pi k / N) of the measured frequencies, 0 elsewhere; as :func:`band_weights`.

    N is the number of encodes along an axis; the weights of the two axes are multiplied.
    """
    window = [0.54 + 0.46 * torch.cos(2 * math.pi * torch.fft.fftfreq(x, 1.0 / x) * factor / x)]
    window.append(0.54 + 0.46 * torch.cos(2 * math.pi * torch.fft.rfftfreq(y, 1.0 / y) * factor / y))
    return window[0][:, None] * window[1][None] * band_weights(x, y, factor)


def weighted(image: Tensor, weights: Tensor) -> Tensor:
    """Multiply the spectrum of real images (..., X, Y) by weights (X, Y // 2 + 1)."""
    return torch.fft.irfft2(torch.fft.rfft2(image) * weights, s=image.shape[-2:])


def merged(maps: Tensor, factor: int) -> Tensor:
    """Merge three volumes, each super-resolved in the planes across one axis, into one volume.

    A volume stays coarse along the axis across its planes. In k-space, each encode is the mean over the volumes that
    can super-resolve it: a volume counts unless the encode lies beyond the measured band along the volume's coarse
    axis. If no volume counts, the encode is the mean of all three.

    Args:
        maps: (3, X, Y, Z); the first is super-resolved in the planes across the first axis, and so on.
        factor: fine voxels per coarse voxel along each axis.

    Returns:
        (X, Y, Z).
    """
    shape = maps.shape[1:]
    beyond = []
    for axis, n in enumerate(shape):
        frequencies = torch.fft.rfftfreq(n, 1 / n) if axis == 2 else torch.fft.fftfreq(n, 1 / n)
        high = (frequencies.abs() >= n / (2 * factor)).to(maps.device)
        beyond.append(high.reshape([-1 if k == axis else 1 for k in range(3)]))
    total = weight = plain = torch.zeros((), device=maps.device)
    for image, coarse in zip(maps, beyond, strict=True):
        spectrum, could = torch.fft.rfftn(image), (~coarse).to(maps)
        total, weight, plain = total + spectrum * could, weight + could, plain + spectrum / 3
    weight = weight.expand_as(plain)
    return torch.fft.irfftn(torch.where(weight > 0, total / weight.clamp(min=1), plain), s=shape)


def _resampled(image: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Resample one axis to another number of points over the same field of view; both grids are block-centred."""
    low = min(before, after)
    image = image.movedim(axis, -1)
    spectrum = torch.fft.rfft(image)[..., : low // 2 + 1]
    at = torch.arange(low // 2 + 1, device=image.device, dtype=image.dtype)
    # The first point of a grid of M points lies half a step, 1 / (2 M) of the field of view, from the edge.
    angle = math.pi * at * (1.0 / after - 1.0 / before)
    spectrum = spectrum * torch.polar(torch.ones_like(angle), angle)
    if low % 2 == 0:
        half = torch.ones_like(at)
        # Nyquist encode: interpolation shares it with its counterpart, sampling drops it.
        half[-1] = (0.5 if after > before else 0.0) if after != before else 1.0
        spectrum = spectrum * half
    return torch.fft.irfft(spectrum, n=after).movedim(-1, axis) * (after / before)
