import pytest
import torch

from mrsikit.fitting.crlb import crlb, jacobian, separate_lines_bound
from mrsikit.physics.fid_model import FidModel, noise_of_snr

MODEL = FidModel(
    ppm=(4.7, 3.7, 2.4, 1.3), t2_star=(0.03, 0.03, 0.035, 0.06), larmor=76.7, reference=4.7, dwell=4e-4, points=512
)
AMPLITUDES = torch.tensor([[10.0, 2.0, 3.0, 1.0]])
STATE = {"shift": 3.0, "phase": 0.4, "broadening": 2.0}


@pytest.mark.parametrize("name", ["phase", "shift", "broadening", "longer"])
def test_derivatives_are_those_of_the_simulation(name: str) -> None:
    model = FidModel(
        ppm=MODEL.ppm, t2_star=MODEL.t2_star, larmor=76.7, reference=4.7, dwell=4e-4, points=512, delay=6e-4
    )
    state = {**STATE, "longer": 0.001} if name == "longer" else STATE
    column = {"phase": 4, "shift": 5, "broadening": 6, "longer": 6}[name]
    step = 1e-4 if name == "longer" else 1e-2
    above = model.simulate(AMPLITUDES, **{**state, name: state[name] + step})
    below = model.simulate(AMPLITUDES, **{**state, name: state[name] - step})
    found = jacobian(model, AMPLITUDES, **state)[0, column]
    expected = ((above - below) / (2 * step))[0].to(torch.complex128)
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


def test_bounds_on_the_papers_setting_are_eq_6_within_3_percent() -> None:
    noise = noise_of_snr(MODEL, 12.1, amplitude=10.0)
    bounds = crlb(MODEL, AMPLITUDES, noise, longer=1e-9)[0]
    for peak, life in enumerate(MODEL.t2_star):
        eq6 = separate_lines_bound(AMPLITUDES[0], peak, t2_star=life, dwell=MODEL.dwell, noise=noise)
        assert float(bounds[peak]) == pytest.approx(eq6, rel=0.03)


def test_bounds_grow_with_noise_and_overlap() -> None:
    noise = torch.tensor([1.0, 2.0])
    bounds = crlb(MODEL, AMPLITUDES.expand(2, -1), noise)
    torch.testing.assert_close(bounds[1], 2 * bounds[0])
    near = FidModel(
        ppm=(4.7, 4.65, 2.4, 1.3), t2_star=MODEL.t2_star, larmor=76.7, reference=4.7, dwell=4e-4, points=512
    )
    assert crlb(near, AMPLITUDES, 1.0)[0, 1] > 2 * bounds[0, 1]
