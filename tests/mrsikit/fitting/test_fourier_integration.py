import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mrsikit.fitting.fourier_integration import fourier_integration

from .conftest import MODEL, TRUTH


def test_integration_is_unbiased_on_separate_lines() -> None:
    prompt = replace(MODEL, delay=0.0)
    fids = prompt.simulate(TRUTH.expand(2, -1), phase=torch.tensor([0.0, 1.3]))
    found = fourier_integration(fids, prompt, phase=torch.tensor([0.0, 1.3]))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], TRUTH, atol=0.4, rtol=0.0)  # tails of the others reach in
    alone = MODEL.simulate(torch.tensor([[0.0, 0.0, 0.0, 5.0]]))
    assert fourier_integration(alone, MODEL)[0, 3] == pytest.approx(5.0, rel=1e-4)


def test_a_window_is_the_sum_of_the_points_around_the_line() -> None:
    """Against numpy's transform: the window's sum over that of an unbroadened line of amplitude one."""
    model = replace(MODEL, delay=0.0)
    fids = model.simulate(TRUTH[None], shift=3.0, broadening=4.0)
    at = np.arange(model.points) * model.dwell
    hz = np.fft.fftfreq(model.points, model.dwell)

    def transformed(fid: np.ndarray) -> np.ndarray:
        return np.fft.fft(np.where(at == 0, 0.5, 1) * fid)

    for k, (ppm, life) in enumerate(zip(model.ppm, model.t2_star, strict=True)):
        line = (4.7 - ppm) * 76.7
        nearest = np.abs(hz - line).argsort()[:5]  # two on either side
        alone = transformed(np.exp(2j * np.pi * line * at - at / life))
        expected = (transformed(fids[0].numpy())[nearest].sum() / alone[nearest].sum()).real
        assert float(fourier_integration(fids, model)[0, k]) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_a_phase_that_is_not_told_turns_signal_away() -> None:
    alone = torch.tensor([[5.0, 0.0, 0.0, 0.0]])
    for phase, share in ((0.0, 1.0), (math.pi / 3, 0.5), (math.pi, -1.0)):
        fids = MODEL.simulate(alone, phase=phase)
        assert float(fourier_integration(fids, MODEL)[0, 0]) == pytest.approx(5 * share, rel=1e-3)
        assert float(fourier_integration(fids, MODEL, phase=phase)[0, 0]) == pytest.approx(5, rel=1e-3)


def test_a_line_at_the_edge_of_the_bandwidth_has_half_a_window() -> None:
    edge = 4.7 + (MODEL.points / 2) / (MODEL.points * MODEL.dwell) / MODEL.larmor  # the lowest frequency
    model = replace(MODEL, ppm=(edge,), t2_star=(0.05,), delay=0.0)
    found = fourier_integration(model.simulate(torch.tensor([[4.0]])), model)
    torch.testing.assert_close(found, torch.tensor([[4.0]]), rtol=1e-3, atol=0)
