import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dmi_quantification.metabolite_maps import decay_correction, metabolite_maps

from .conftest import METABOLITES, MODEL, estimates_of

AT_ONCE = replace(MODEL, delay=0.0)
MEASURED = np.ones((1, 1), bool)


def column(*values: float) -> np.ndarray:
    """(K, 1, 1)."""
    return np.array(values, float)[:, None, None]


def test_the_covariance_with_the_reference_counts_for_the_standard_deviation_of_a_ratio() -> None:
    """With 2 of 10, deviations .3 and .5, covariance .1: sqrt(.09 - 2 (.2) (.1) + .04 (.25)) / 10."""
    estimates = estimates_of(column(10, 2), amplitude_sd=column(0.5, 0.3), covariance_with_first=column(0.25, 0.1))
    maps = metabolite_maps(estimates, replace(AT_ONCE, ppm=(4.7, 3.7), t2_star=(0.03, 0.03)),
                           metabolites=("water", "Glc"), measured=MEASURED)  # fmt: skip
    assert maps["Glc"].item() == pytest.approx(0.2)
    assert maps["Glc_sd"].item() == pytest.approx(math.sqrt(0.06) / 10)
    assert maps["water_amplitude"].item() == 10
    assert maps["Glc_amplitude_sd"].item() == 0.3


def test_the_standard_deviation_of_a_ratio_is_that_of_drawn_ratios() -> None:
    covariance = np.array([[0.25, 0.1], [0.1, 0.09]])
    draws = np.random.default_rng(0).multivariate_normal([10, 2], covariance, 200_000)
    estimates = estimates_of(column(10, 2), amplitude_sd=column(0.5, 0.3), covariance_with_first=column(0.25, 0.1))
    model = replace(AT_ONCE, ppm=(4.7, 3.7), t2_star=(0.03, 0.03))
    maps = metabolite_maps(estimates, model, metabolites=("water", "Glc"), measured=MEASURED)
    assert maps["Glc_sd"].item() == pytest.approx((draws[:, 1] / draws[:, 0]).std(), rel=0.02)


def test_a_ratio_is_that_at_excitation() -> None:
    """During 3 ms lactate (60 ms) loses less than water (30 ms), so the ratio of first samples is too large."""
    late = replace(MODEL, delay=0.003)
    assert decay_correction(3, late) == pytest.approx(math.exp(-0.05))
    assert decay_correction(1, late) == 1
    at_excitation = torch.tensor([10.0, 4.0, 5.0, 2.0])
    first_samples = at_excitation * torch.exp(-late.delay / torch.tensor(late.t2_star))
    estimates = estimates_of(column(*first_samples.tolist()))
    maps = metabolite_maps(estimates, late, metabolites=METABOLITES, measured=MEASURED)
    assert [maps[name].item() for name in METABOLITES[1:]] == pytest.approx([0.4, 0.5, 0.2])


def test_concentrations_are_ratios_times_water_and_factors() -> None:
    estimates = estimates_of(column(10, 2, 3, 1))
    options = {"metabolites": METABOLITES, "measured": MEASURED}
    maps = metabolite_maps(estimates, AT_ONCE, water_mM=50.0, factors={"Glc": 0.5, "water": 2.0}, **options)
    plain = metabolite_maps(estimates, AT_ONCE, **options)
    assert [maps[name].item() for name in METABOLITES[1:]] == pytest.approx([2.5, 7.5, 2.5])
    assert maps["Glc_sd"].item() == pytest.approx(12.5 * plain["Glc_sd"].item())


def test_bias_of_a_ratio_is_that_of_its_amplitudes() -> None:
    """A bias of .5 in 2 and of 1 in 10: the ratio .2 is biased by (.5 - .2 (1)) / 10."""
    maps = metabolite_maps(
        estimates_of(column(10, 2, 3, 1)),
        AT_ONCE,
        metabolites=METABOLITES,
        measured=MEASURED,
        bias=column(1, 0.5, 0, 0),
        water_mM=10.0,
    )
    assert maps["water_amplitude_bias"].item() == 1
    assert maps["Glc_bias"].item() == pytest.approx(0.3)


def test_a_fid_of_zeros_has_no_ratio() -> None:
    estimates = estimates_of(column(0, 0, 0, 0), amplitude_sd=column(0, 0, 0, 0))
    maps = metabolite_maps(estimates, MODEL, metabolites=METABOLITES, measured=~MEASURED)
    assert all(values.item() == 0 for values in maps.values())
