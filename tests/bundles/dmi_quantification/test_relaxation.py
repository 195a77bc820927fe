from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from dmi_quantification import predict
from dmi_quantification.network import FidLeastSquares
from dmi_quantification.relaxation import fit_t2_star

from .conftest import ACQUISITION, LARGEST_SHIFT, MODEL, rows_of

TRUTH = torch.tensor([10.0, 2.0, 3.0, 1.0])
START = replace(MODEL, t2_star=(0.03, 0.045, 0.025, 0.04))


def draw(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    state = {"broadening": 6 * torch.rand(count, generator=generator), "shift": 4.0, "phase": 0.7}
    return MODEL.simulate(TRUTH.expand(count, -1), noise=1.5, generator=generator, **state)


def fitted(fids: Tensor) -> tuple[list[float], list[float]]:
    network = FidLeastSquares().eval()
    return fit_t2_star(rows_of(fids, START), list(START.t2_star), LARGEST_SHIFT, network=network)


def test_times_are_recovered_from_wrong_ones_but_for_the_first_which_stays() -> None:
    times, sd = fitted(draw(100, seed=0))
    assert times[0] == pytest.approx(START.t2_star[0])
    assert sd[0] == 0
    wrong = (np.array(times) - MODEL.t2_star)[1:] / np.array(sd)[1:]
    assert np.abs(wrong).max() < 4
    assert times[1:] == pytest.approx(list(MODEL.t2_star[1:]), rel=0.1)


def test_standard_deviations_are_those_of_repetitions() -> None:
    found = [fitted(draw(40, seed=seed)) for seed in range(8)]
    seen = np.std([times[1:] for times, _ in found], axis=0, ddof=1)
    stated = np.mean([sd[1:] for _, sd in found], axis=0)
    assert ((seen / stated > 0.4) & (seen / stated < 1.8)).all()


def test_fids_of_zeros_do_not_count() -> None:
    fids = draw(50, seed=0)
    with_zeros = torch.cat([torch.zeros_like(fids[:20]), fids])
    assert fitted(with_zeros)[0] == pytest.approx(fitted(fids)[0], rel=1e-4)


def test_relaxation_times_are_fitted_on_request() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.tensor([10.0, 2.0, 3.0, 1.0]).expand(400, -1)
    fids = MODEL.simulate(truth, noise=2.0, broadening=2.0, generator=generator).numpy().reshape(20, 20, 1, -1)
    options = {**ACQUISITION, "t2_star": {"Glx": 0.025}}
    wrong = predict(fids, **options).maps["Glx_amplitude"].mean()
    right = predict(fids, fit_t2_star=True, **options).maps["Glx_amplitude"].mean()
    assert wrong > 1.08 * 3
    assert right == pytest.approx(3, rel=0.03)
