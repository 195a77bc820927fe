r"""Coarse and fine grids in k-space: what an acquisition of N phase encodes keeps of an image, and its interpolation.

A coarse voxel is the centre of a block of ``factor`` fine ones along each axis, so coarse position :math:`n` lies at
the fine position :math:`f n + (f - 1) / 2`. A plain crop of the spectrum puts it at :math:`f n` instead; the phase ramp
that makes up for it is applied here. All functions take real images whose last axes are those of space: two in plane,
or, where ``dims`` is 3, all three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def zero_fill(coarse: Tensor, factor: int, dims: int = 2) -> Tensor:
    """Interpolate by zero filling: the trigonometric polynomial through the coarse voxels, at the fine ones.

    Args:
        coarse: (..., X, Y), or (..., X, Y, Z), real.
        factor: fine voxels a coarse one.
        dims: axes of space.

    Returns:
        (..., factor X, factor Y[, factor Z]).
    """
    for axis in range(-dims, 0):
        coarse = _resampled(coarse, axis, coarse.shape[axis], coarse.shape[axis] * factor)
    return coarse


def low_pass_sample(fine: Tensor, factor: int, dims: int = 2) -> Tensor:
    """Measure a fine image with ``1 / factor`` of its phase encodes along each axis.

    Args:
        fine: (..., factor X, factor Y[, factor Z]), real.
        factor: fine voxels a coarse one.
        dims: axes of space.

    Returns:
        (..., X, Y[, Z]): the central part of k-space, at the centres of the coarse voxels. Without the encode of an
        even number that has no counterpart of the other sign, for the image is real.
    """
    for axis in range(-dims, 0):
        fine = _resampled(fine, axis, fine.shape[axis], fine.shape[axis] // factor)
    return fine


def resample(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Same field of view at another number of points along each of the last axes, by cropping or zero filling.

    From a finer grid this is what an acquisition of as many phase encodes sees, from a coarser its interpolation.

    Args:
        image: (..., *before), real.
        shape: points along each of the last axes.

    Returns:
        (..., *shape).
    """
    for axis, after in enumerate(shape, start=-len(shape)):
        image = _resampled(image, axis, image.shape[axis], after)
    return image


def band_weights(x: int, y: int, factor: int) -> Tensor:
    """1 where a frequency of a fine image is measured, else 0; (X, Y // 2 + 1) in the order of ``rfft2``."""
    along_x = torch.fft.fftfreq(x, 1.0 / x).abs() < x / factor / 2 - 0.25
    along_y = torch.fft.rfftfreq(y, 1.0 / y) < y / factor / 2 - 0.25
    return (along_x[:, None] & along_y[None]).float()


def hamming_weights(x: int, y: int, factor: int) -> Tensor:
    """Hamming's weights .54 + .46 cos(2 pi k / N) of the measured frequencies, 0 beyond; as :func:`band_weights`."""
    window = [0.54 + 0.46 * torch.cos(2 * math.pi * torch.fft.fftfreq(x, 1.0 / x) * factor / x)]
    window.append(0.54 + 0.46 * torch.cos(2 * math.pi * torch.fft.rfftfreq(y, 1.0 / y) * factor / y))
    return window[0][:, None] * window[1][None] * band_weights(x, y, factor)


def weighted(image: Tensor, weights: Tensor) -> Tensor:
    """Multiply the spectrum of real images (..., X, Y) by weights (X, Y // 2 + 1)."""
    return torch.fft.irfft2(torch.fft.rfft2(image) * weights, s=image.shape[-2:])


def merged(maps: Tensor, factor: int) -> Tensor:
    """One volume of three, of which each was sharpened in the planes across one axis.

    In k-space each encode is the mean of those that could sharpen it: the volumes that are coarse along no axis along
    which the encode lies beyond what was measured; of all three where there is none.

    Args:
        maps: (3, X, Y, Z), the first sharpened across the first axis, and so on.
        factor: fine voxels a coarse one.

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
    """Same field of view at another number of points along one axis, both block-centred."""
    low = min(before, after)
    image = image.movedim(axis, -1)
    spectrum = torch.fft.rfft(image)[..., : low // 2 + 1]
    at = torch.arange(low // 2 + 1, device=image.device, dtype=image.dtype)
    # the first point of a grid of M lies half a step, 1 / (2 M) of the field of view, from the edge
    angle = math.pi * at * (1.0 / after - 1.0 / before)
    spectrum = spectrum * torch.polar(torch.ones_like(angle), angle)
    if low % 2 == 0:
        half = torch.ones_like(at)
        # Nyquist: when interpolating it is shared with its counterpart, when measuring it is dropped
        half[-1] = (0.5 if after > before else 0.0) if after != before else 1.0
        spectrum = spectrum * half
    return torch.fft.irfft(spectrum, n=after).movedim(-1, axis) * (after / before)
