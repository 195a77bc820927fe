r"""Turn amplitudes into maps: amplitudes in signal units, and ratios to the reference or concentrations in mM.

With the amplitudes :math:`A`, their standard deviations :math:`\sigma` and covariances with the reference
:math:`\sigma_{k0}`, metabolite :math:`k` has the ratio and standard deviation

.. math::

    r_k = g_k \frac{A_k}{A_0}, \qquad
    \mathrm{SD}(r_k) = \frac{g_k}{|A_0|}
        \sqrt{\sigma_k^2 - 2 \frac{A_k}{A_0} \sigma_{k0} + \frac{A_k^2}{A_0^2} \sigma_0^2}

The gain :math:`g_k` holds the user's factors, the reference's concentration and the decay during the acquisition delay;
see :func:`ratio_gain`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dmi_quantification.estimates import Estimates
from mrsikit.physics.fid_model import FidModel

Values = NDArray[np.float64]


def metabolite_maps(
    estimates: Estimates[NDArray[np.float64]],
    model: FidModel,
    *,
    metabolites: Sequence[str],
    measured: NDArray[np.bool_],
    bias: Values | None = None,
    water_mM: float | None = None,  # noqa: N803 (the unit)
    factors: Mapping[str, float] | None = None,
) -> dict[str, Values]:
    """Make the maps of all metabolites, (V, D) by name.

    Args:
        estimates: amplitudes (K, V, D).
        model: of the FIDs, with the relaxation times and the delay.
        metabolites: K names; the first is the reference.
        measured: (V, D), whether there is an estimate.
        bias: (K, V, D) of the amplitudes, where a prior was used.
        water_mM: concentration of the reference; None: the maps are ratios to it.
        factors: by metabolite, what its amplitude is multiplied by for saturation and labelled nuclei.
    """
    reference = np.where(measured, estimates.amplitude[0], 1.0)
    maps = {} if bias is None else {f"{metabolites[0]}_amplitude_bias": bias[0]}
    for k, name in enumerate(metabolites):
        maps[f"{name}_amplitude"], maps[f"{name}_amplitude_sd"] = estimates.amplitude[k], estimates.amplitude_sd[k]
        if k == 0:
            continue
        gain = ratio_gain(k, model, metabolites=metabolites, water_mM=water_mM, factors=factors or {})
        ratio = estimates.amplitude[k] / reference
        maps[name] = gain * ratio
        maps[f"{name}_sd"] = gain * np.sqrt(np.maximum(_numerator_variance(estimates, k, ratio), 0)) / np.abs(reference)
        if bias is not None:
            maps[f"{name}_bias"] = gain * (bias[k] - ratio * bias[0]) / reference
    return maps


def ratio_gain(
    k: int,
    model: FidModel,
    *,
    metabolites: Sequence[str],
    water_mM: float | None,  # noqa: N803 (the unit)
    factors: Mapping[str, float],
) -> float:
    """Compute what a ratio of amplitudes is multiplied by.

    Args:
        k: number of the metabolite.
        model: as of :func:`metabolite_maps`, as are the next three.
        metabolites: likewise.
        water_mM: likewise.
        factors: likewise.
    """
    gain = factors.get(metabolites[k], 1.0) / factors.get(metabolites[0], 1.0) * (water_mM or 1.0)
    return gain * decay_correction(k, model)


def decay_correction(k: int, model: FidModel) -> float:
    r"""Correct a ratio for the decay between excitation and the first sample.

    An amplitude is that of the first sample, but a ratio is reported at excitation. Lines of different relaxation times
    decay differently during the delay :math:`t_0`: the correction is :math:`e^{t_0 (1/T_k - 1/T_0)}`.

    Args:
        k: number of the metabolite.
        model: with the relaxation times (s) and the delay (s).
    """
    return math.exp(model.delay * (1.0 / model.t2_star[k] - 1.0 / model.t2_star[0]))


def _numerator_variance(estimates: Estimates[NDArray[np.float64]], k: int, ratio: Values) -> Values:
    """Variance (V, D) of a ratio, times the reference's amplitude squared."""
    covariance = estimates.covariance_with_first[k]
    return estimates.amplitude_sd[k] ** 2 - 2 * ratio * covariance + ratio**2 * estimates.amplitude_sd[0] ** 2
