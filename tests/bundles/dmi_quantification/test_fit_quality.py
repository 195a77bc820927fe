import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dmi_quantification.fit_quality import contradicted_by_residual, judge_fits

from .conftest import LARGEST_SHIFT, METABOLITES, MODEL, estimates_of, sound_residual

SOUND, FAINT, SHIFTED, MERGED, EXTRA, WIDE, EMPTY = range(7)


def judged() -> object:
    """Seven fits: a sound one, one for each reason to doubt it, and a FID of zeros."""
    amplitude = np.full((4, 7, 1), 10.0)
    amplitude[0, FAINT], amplitude[:, EMPTY] = 2.5, 0
    shift, broadening = np.zeros((7, 1)), np.zeros((7, 1))
    shift[SHIFTED], broadening[MERGED] = -1, 2.5
    estimates = estimates_of(amplitude, shift=shift, broadening=broadening)
    residual = sound_residual(7)
    residual.tallest[EXTRA], residual.wider[WIDE, 3] = 4.5, 4.5
    return judge_fits(estimates, residual, MODEL, metabolites=METABOLITES, largest_shift=LARGEST_SHIFT)


def test_each_reason_makes_a_fit_doubtful() -> None:
    quality = judged()
    assert quality.level[:, 0].tolist() == [1, 2, 2, 2, 2, 2, 0]
    assert np.flatnonzero(quality.at_largest_shift).tolist() == [SHIFTED]
    assert np.flatnonzero(quality.merged).tolist() == [MERGED]
    assert np.flatnonzero(~quality.measured).tolist() == [EMPTY]


def test_signal_to_noise_and_linewidth_are_the_references() -> None:
    quality = judged()
    assert quality.snr[[SOUND, FAINT, EMPTY], 0].tolist() == [10.0, 2.5, 0.0]
    natural = 1 / (math.pi * 0.03)
    assert quality.linewidth[SOUND, 0] == pytest.approx(natural)
    assert quality.linewidth[MERGED, 0] == pytest.approx(natural + 2.5 * 0.4 * 76.7)
    assert quality.linewidth[EMPTY, 0] == 0


def test_a_wide_line_speaks_against_lactate_alone() -> None:
    residual = sound_residual(2)
    residual.wider[0, 2], residual.wider[1, 3] = 9, 9
    assert contradicted_by_residual(residual, METABOLITES).tolist() == [False, True]
    assert not contradicted_by_residual(residual, ("water", "Glc", "Glx", "acetate")).any()


def test_an_unknown_standard_deviation_makes_no_fit_faint() -> None:
    estimates = estimates_of(np.full((4, 1, 1), 10.0), amplitude_sd=np.full((4, 1, 1), np.nan))
    residual = sound_residual(1, count=0, tallest=torch.zeros(1))
    quality = judge_fits(estimates, residual, MODEL, metabolites=METABOLITES, largest_shift=LARGEST_SHIFT)
    assert quality.level.item() == 1


@pytest.mark.parametrize("wrong", ["amplitude", "amplitude_sd", "shift", "phase", "broadening", "noise_sd"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_never_good(wrong: str, value: float) -> None:
    amplitude = np.full((4, 2, 1), 10.0)
    shape = amplitude.shape if "amplitude" in wrong else (2, 1)
    values = np.ones(shape) if "amplitude" in wrong else np.zeros(shape)
    values[..., 1, 0] = value
    estimates = replace(estimates_of(amplitude), **{wrong: values})
    quality = judge_fits(estimates, sound_residual(2), MODEL, metabolites=METABOLITES, largest_shift=LARGEST_SHIFT)
    assert quality.not_finite[:, 0].tolist() == [False, True]
    assert quality.level[1, 0] == 2
