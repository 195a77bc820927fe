r"""Smooth amplitudes with an MRI, and find by Monte Carlo what the smoothing does to their errors.

The prior is not linear, so no formula gives the errors of a smoothed map. Two sets of repetitions do. In each, noise
:math:`\epsilon` with the standard deviations of the single-voxel estimates :math:`s` is added, and the prior
:math:`P` smooths again:

.. math::

    \mathrm{SD} = \mathrm{std}[P(P(s) + \epsilon)], \qquad \mathrm{bias} = \mathrm{mean}[P(s + \epsilon)] - s

The standard deviation is that of repetitions around the smoothed maps. Around the noisy single-voxel estimates the
prior lets go too often, and the standard deviation comes out half too large. The bias is that of repetitions around the
single-voxel estimates, as in the PRECISE-DMI paper. Only they still hold a lesion that the prior has erased.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dmi_quantification.estimates import Estimates

Maps = NDArray[np.float64]
Mask = NDArray[np.bool_]
Prior = Callable[[Maps, Maps, Maps, Mask], Maps]
"""Smooth maps (X, Y, Z, K): maps, their standard deviations, MRI and mask, as :class:`RobustPrior` takes them."""

LEAST_SD = 1e-6
"""Smallest standard deviation of a voxel, as a share of the metabolite's median: the prior divides by it."""


class SmoothedTimePoint(NamedTuple):
    """Smoothed amplitudes of the N voxels of one time point, each attribute (K, N) as in :class:`Estimates`."""

    amplitude: Maps
    amplitude_sd: Maps
    covariance_with_first: Maps
    bias: Maps


def smooth_amplitudes(
    estimates: Estimates[NDArray[np.float64]],
    prior: Prior,
    *,
    mri: Maps,
    voxels: Mask,
    certain: Mask,
    repeats: int = 24,
    seed: int = 0,
) -> tuple[Estimates[NDArray[np.float64]], Maps]:
    """Smooth the amplitudes of every time point with an MRI.

    Voxels that are not certain keep their single-voxel estimates, and the prior draws no other voxel towards them.

    Args:
        estimates: of single voxels, amplitudes (K, V, D).
        prior: smoother of maps.
        mri: (X, Y, Z) on the grid of the FIDs, 0 to 1.
        voxels: (X, Y, Z), the V voxels that were fitted.
        certain: (V, D), the voxels to smooth: those with enough signal, and where the MRI covers the FIDs.
        repeats: number of repetitions of each of the two Monte Carlo sets.
        seed: of their noise.

    Returns:
        The estimates with smoothed amplitudes, their standard deviations and covariances; and the bias (K, V, D) that
        the prior gives the single-voxel estimates on average.
    """
    rng = np.random.default_rng(seed)
    smoothed = replace(
        estimates,
        amplitude=estimates.amplitude.copy(),
        amplitude_sd=estimates.amplitude_sd.copy(),
        covariance_with_first=estimates.covariance_with_first.copy(),
    )
    bias = np.zeros_like(estimates.amplitude)
    points = certain.shape[1]
    with tqdm(total=2 * repeats * points, desc="smoothing", unit="repeat", delay=2, leave=False) as bar:
        for d in range(points):
            chosen = certain[:, d]
            if not chosen.any():
                continue
            mask = np.zeros(voxels.shape, bool)
            mask[voxels] = chosen
            amplitude, sd = estimates.amplitude[:, chosen, d], estimates.amplitude_sd[:, chosen, d]
            smooth = _smooth_time_point(amplitude, sd, prior, mri=mri, mask=mask, repeats=repeats, rng=rng, bar=bar)
            smoothed.amplitude[:, chosen, d] = smooth.amplitude
            smoothed.amplitude_sd[:, chosen, d] = smooth.amplitude_sd
            smoothed.covariance_with_first[:, chosen, d] = smooth.covariance_with_first
            bias[:, chosen, d] = smooth.bias
    return smoothed, bias


def _smooth_time_point(
    amplitude: Maps, sd: Maps, prior: Prior, *, mri: Maps, mask: Mask, repeats: int, rng: np.random.Generator, bar: tqdm
) -> SmoothedTimePoint:
    """Smooth one time point: amplitudes and standard deviations (K, N) of the N voxels of the mask."""
    single = np.zeros((*mask.shape, len(amplitude)))
    spread = np.ones_like(single)
    single[mask] = amplitude.T
    spread[mask] = np.maximum(sd, LEAST_SD * np.median(sd, axis=1, keepdims=True)).T

    def repetitions(truth: Maps) -> Maps:
        """Add noise to maps and smooth them, again and again: (repeats, N, K)."""
        results = []
        for _ in range(repeats):
            noisy = truth + spread * rng.standard_normal(truth.shape)
            results.append(prior(noisy, spread, mri, mask)[mask])
            bar.update()
        return np.array(results)

    smooth = prior(single, spread, mri, mask)
    around_smooth = repetitions(smooth)
    around_single = repetitions(single)
    errors = around_smooth - around_smooth.mean(0)
    return SmoothedTimePoint(
        amplitude=smooth[mask].T,
        amplitude_sd=around_smooth.std(0, ddof=1).T,
        covariance_with_first=(errors * errors[..., :1]).sum(0).T / (repeats - 1),
        bias=(around_single.mean(0) - single[mask]).T,
    )
