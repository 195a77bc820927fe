r"""FSIM: similarity of two images by phase congruency and gradient, features by which the eye perceives structure.

.. math:: \mathrm{FSIM} = \frac{\sum S_\mathrm{PC} S_G \max(P_1, P_2)}{\sum \max(P_1, P_2)}, \qquad
          S_\mathrm{PC} = \frac{2 P_1 P_2 + T_1}{P_1^2 + P_2^2 + T_1}

with phase congruency P. :math:`S_G` is the same function of the gradient magnitudes with :math:`T_2`. Zhang L. et al.,
IEEE Trans Image Process 20 (2011), doi:10.1109/TIP.2011.2109730; phase congruency after Kovesi, Videre 1 (1999).
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

T1, T2 = 0.85, 160.0
SCALES, ORIENTATIONS = 4, 4
SHORTEST, RATIO = 6.0, 2.0
"""Wavelength of the finest filter (pixels), and ratio of the wavelengths of successive scales."""
BANDWIDTH, ANGLE_OVER_WIDTH = 0.55, 1.2
NOISE_SIGMAS = 2.0
NOISE_DIVISOR = 1.7
"""Energy counts above a noise threshold of the mean plus this many standard deviations; the authors found the threshold
too high, so it is divided."""

ABOUT = 256
"""Length of the shorter side, in pixels, to which larger images are averaged down."""


def fsim(pred: Tensor, truth: Tensor) -> Tensor:
    """Feature similarity of each pair of images.

    FSIM has fixed constants for grey values of 0 to 255. So both images are divided by the maximum of the true image,
    clipped to 0 and 1, and multiplied by 255.

    Args:
        pred: (B, 1, X, Y), any unit.
        truth: same shape and unit.

    Returns:
        (B,), 1 for equal images; NaN if the true image has no positive value, neither image has any structure, or a
        value is not finite.
    """
    top = truth.flatten(1).amax(1)[:, None, None, None]
    images = torch.stack([(image / top).clamp(0, 1)[:, 0] * 255 for image in (pred, truth)])
    finite = images.isfinite().all((0, 2, 3))
    images = images.nan_to_num(0.0).double()
    shrink = max(1, round(min(images.shape[-2:]) / ABOUT))
    if shrink > 1:
        images = F.avg_pool2d(images, shrink)
    phase, gradient = phase_congruency(images), _gradient(images)
    alike = _alike(phase, T1) * _alike(gradient, T2)
    weight = phase.amax(0)
    score = ((alike * weight).sum((1, 2)) / weight.sum((1, 2))).to(pred)
    return torch.where(finite & (top.flatten() > 0), score, float("nan"))


def _alike(pair: Tensor, constant: float) -> Tensor:
    one, other = pair
    return (2 * one * other + constant) / (one.square() + other.square() + constant)


def _gradient(images: Tensor) -> Tensor:
    """Magnitude of Scharr's gradient, with zeros beyond the border."""
    kernel = torch.tensor([[3.0, 0, -3], [10, 0, -10], [3, 0, -3]], dtype=images.dtype, device=images.device) / 16
    both = torch.stack([kernel, kernel.T])[:, None]
    flat = images.reshape(-1, 1, *images.shape[-2:])
    return F.conv2d(flat, both, padding=1).square().sum(1).sqrt().reshape(images.shape)


def phase_congruency(images: Tensor) -> Tensor:
    """Phase congruency: the degree to which the waves of all scales are in phase at each pixel, over orientations.

    Args:
        images: (..., X, Y).

    Returns:
        Same shape, 0 to 1.
    """
    filters = _log_gabor(images.shape[-2], images.shape[-1]).to(images)
    spectrum = torch.fft.fft2(images)
    energy, size = torch.zeros_like(images), torch.zeros_like(images)
    for bank in filters:  # (scales, X, Y) of one orientation
        waves = torch.fft.ifft2(spectrum[..., None, :, :] * bank)
        amplitude = waves.abs()
        total = waves.sum(-3)
        mean = total / (total.abs() + 1e-4)
        aligned = waves * mean.conj()[..., None, :, :]
        found = (aligned.real - aligned.imag.abs()).sum(-3)
        energy = energy + (found - _noise(amplitude[..., 0, :, :], bank)).clamp(min=0)
        size = size + amplitude.sum(-3)
    return energy / size.clamp(min=1e-12)


def _noise(finest: Tensor, bank: Tensor) -> Tensor:
    """Noise threshold (..., 1, 1) of the energy, estimated from the median power of the finest scale (..., X, Y)."""
    power = finest.square().flatten(-2)
    power = power.median(-1).values / -math.log(0.5) / bank[0].square().sum()
    kernels = torch.fft.ifft2(bank).real * math.sqrt(bank[0].numel())
    expected = torch.sqrt(power * kernels.sum(0).square().sum())
    level = expected * (math.sqrt(math.pi / 2) + NOISE_SIGMAS * math.sqrt(2 - math.pi / 2)) / NOISE_DIVISOR
    return level[..., None, None]


@functools.lru_cache(maxsize=8)
def _log_gabor(rows: int, columns: int) -> Tensor:
    """Log-Gabor filters (orientations, scales, X, Y) in the frequency order of ``fft2``."""
    x, y = (_frequencies(n) for n in (rows, columns))
    radius, angle = torch.hypot(x[:, None], y[None]), torch.atan2(-x[:, None].expand(rows, columns), y[None])
    radius[0, 0] = 1
    low_pass = 1 / (1 + (radius / 0.45) ** 30)
    out = []
    for orientation in range(ORIENTATIONS):
        off = angle - orientation * math.pi / ORIENTATIONS
        off = torch.atan2(torch.sin(off), torch.cos(off)).abs()
        spread = torch.exp(-off.square() / (2 * (math.pi / ORIENTATIONS / ANGLE_OVER_WIDTH) ** 2))
        for scale in range(SCALES):
            centre = 1 / (SHORTEST * RATIO**scale)
            radial = torch.exp(-torch.log(radius / centre).square() / (2 * math.log(BANDWIDTH) ** 2)) * low_pass
            radial[0, 0] = 0
            out.append(radial * spread)
    return torch.stack(out).reshape(ORIENTATIONS, SCALES, rows, columns)


def _frequencies(n: int) -> Tensor:
    """Frequencies (n,) in cycles per pixel; for odd n they reach one half at both ends, as in the authors' code."""
    ends = torch.arange(n, dtype=torch.float64) - n // 2
    return torch.fft.ifftshift(ends / (n - 1 if n % 2 else n))
