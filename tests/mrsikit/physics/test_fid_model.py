import math

import numpy as np
import pytest
import torch

from mrsikit.physics.fid_model import FidModel, noise_of_snr

SETTING = {"larmor": 76.7, "reference": 4.7, "dwell": 4e-4, "points": 512}
MODEL = FidModel(ppm=(4.7, 3.7, 2.4, 1.3), t2_star=(0.03, 0.03, 0.035, 0.06), **SETTING)


def looped(model: FidModel, amplitudes: np.ndarray, shift: float, phase: float, broadening: float) -> np.ndarray:
    """The equation, sample by sample."""
    out = []
    for n in range(model.points):
        t = n * model.dwell
        value = 0j
        for a, ppm, life in zip(amplitudes, model.ppm, model.t2_star, strict=True):
            hz = (model.reference - ppm) * model.larmor + shift
            decay = math.exp(-t * (1 / life + math.pi * broadening))
            value += a * np.exp(2j * math.pi * hz * (t + model.delay)) * decay
        out.append(value * np.exp(1j * phase))
    return np.array(out)


@pytest.mark.parametrize("delay", [0.0, 6e-4])
def test_fids_are_the_equation(delay: float) -> None:
    model = FidModel(ppm=MODEL.ppm, t2_star=MODEL.t2_star, delay=delay, **SETTING)
    amplitudes = torch.tensor([[10.0, 2.0, 3.0, 1.0], [9.0, 0.0, -1.0, 4.0]])
    fid = model.simulate(
        amplitudes,
        shift=torch.tensor([-12.0, 7.0]),
        phase=torch.tensor([0.3, 2.0]),
        broadening=torch.tensor([4.0, 0.0]),
    )
    np.testing.assert_allclose(fid[0], looped(model, amplitudes[0].numpy(), -12.0, 0.3, 4.0), atol=2e-3)
    np.testing.assert_allclose(fid[1], looped(model, amplitudes[1].numpy(), 7.0, 2.0, 0.0), atol=2e-3)


def test_a_delay_turns_the_lines_apart() -> None:
    late = FidModel(ppm=MODEL.ppm, t2_star=MODEL.t2_star, delay=6e-4, **SETTING)
    first = late.basis()[:, 0]
    assert math.degrees(torch.angle(first[3] / first[0])) == pytest.approx(56, abs=1)


def test_longer_relaxation_is_the_papers_broadening() -> None:
    fid = MODEL.simulate(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), longer=-0.01)
    torch.testing.assert_close(fid[0].abs(), torch.exp(-MODEL.times / 0.02).float(), atol=1e-5, rtol=1e-4)


def test_noise_is_of_the_size_and_seed_asked_for() -> None:
    silent = torch.zeros(64, 4)
    fid = MODEL.simulate(silent, noise=2.5, generator=torch.Generator().manual_seed(0))
    assert fid.real.std() == pytest.approx(2.5, rel=0.02)
    assert fid.imag.std() == pytest.approx(2.5, rel=0.02)
    torch.testing.assert_close(fid, MODEL.simulate(silent, noise=2.5, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match="generator"):
        MODEL.simulate(silent, noise=1.0)


def test_noise_of_snr_gives_that_snr() -> None:
    sd = noise_of_snr(MODEL, 12.0, amplitude=10.0)
    height = 10.0 * torch.exp(-MODEL.times / 0.03).sum()
    assert float(height) / (sd * math.sqrt(512)) == pytest.approx(12.0)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="one of each"):
        FidModel(ppm=(1.0,), t2_star=(0.1, 0.2), **SETTING)
    with pytest.raises(ValueError, match="dwell"):
        FidModel(ppm=(1.0,), t2_star=(0.1,), **{**SETTING, "dwell": 0.0})
    with pytest.raises(ValueError, match="decay"):
        MODEL.simulate(torch.ones(1, 4), longer=-0.03)
    with pytest.raises(ValueError, match="decay"):
        MODEL.simulate(torch.ones(1, 4), broadening=-20.0)
