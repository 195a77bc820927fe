import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dmi_quantification.estimates import Estimates
from dmi_quantification.network import FidLeastSquares
from mrsikit.fitting.crlb import crlb
from mrsikit.physics.fid_model import FidModel, noise_of_snr

from .conftest import LARGEST_SHIFT, rows_of
from .conftest import MODEL as SHORT

MODEL = replace(SHORT, points=512)
TRUTH = torch.tensor([10.0, 2.0, 3.0, 1.0])


def fitted(fids: Tensor, model: FidModel = MODEL) -> Estimates[Tensor]:
    with torch.no_grad():
        rows = FidLeastSquares(peaks=len(model.ppm)).eval()(rows_of(fids, model)[None])[0]
    return Estimates.from_rows(rows, len(model.ppm))


def draw(count: int, snr: float, seed: int = 0) -> tuple[Tensor, dict[str, Tensor], float]:
    """Noisy FIDs, what was drawn for them, and the noise."""
    generator = torch.Generator().manual_seed(seed)
    state = {
        "shift": 40 * torch.rand(count, generator=generator) - 20,
        "phase": 2 * math.pi * torch.rand(count, generator=generator),
        "broadening": 8 * torch.rand(count, generator=generator),
    }
    noise = noise_of_snr(MODEL, snr, amplitude=10.0)
    return MODEL.simulate(TRUTH.expand(count, -1), **state, noise=noise, generator=generator), state, noise


def test_noiseless_fids_are_recovered_whatever_their_unit() -> None:
    shift, phase, broadening = torch.tensor([[-19.0, 3.3, 19.0], [0.1, 3.0, -2.0], [0.0, 4.0, 25.0]])
    fids = MODEL.simulate(TRUTH.expand(3, -1), shift=shift, phase=phase, broadening=broadening)
    for unit in (1.0, 1e-6, 1e6):
        found = fitted(unit * fids)
        torch.testing.assert_close(found.amplitude / unit, TRUTH[:, None].expand(-1, 3), rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(found.shift * LARGEST_SHIFT, shift, atol=0.02, rtol=0)
        torch.testing.assert_close(found.broadening * LARGEST_SHIFT, broadening, atol=0.05, rtol=0)
        assert (torch.remainder(found.phase - phase + 1, 2 * math.pi) - 1).abs().max() < 0.01
        assert (found.explained > 0.9999).all()


@pytest.mark.parametrize("snr", [20.0, 7.7])
def test_errors_reach_the_bound_and_are_stated(snr: float) -> None:
    fids, state, noise = draw(1500, snr)
    found = fitted(fids)
    bounds = crlb(MODEL, TRUTH.expand(1500, -1), noise, **state)[:, :4].T
    errors = (found.amplitude - TRUTH[:, None]) / bounds
    spread = errors.std(1)
    assert (spread < 1.07).all()
    assert (errors.mean(1).abs() < 0.12).all()
    assert ((found.amplitude_sd / bounds).mean(1) / spread - 1).abs().max() < 0.1
    assert errors.abs().max() < 6
    for name in ("shift", "broadening"):
        wrong = getattr(found, name) * LARGEST_SHIFT - state[name]
        stated = getattr(found, f"{name}_sd") * LARGEST_SHIFT
        assert float((wrong / stated).std()) == pytest.approx(1, abs=0.15)
    assert found.noise_sd.mean() == pytest.approx(noise, rel=0.02)


def test_covariance_with_water_is_that_of_the_errors() -> None:
    fids = MODEL.simulate(
        TRUTH.expand(4000, -1),
        noise=noise_of_snr(MODEL, 12.0, amplitude=10.0),
        generator=torch.Generator().manual_seed(1),
    )
    found = fitted(fids)
    for k in (1, 2, 3):
        seen = float(torch.cov(found.amplitude[[0, k]].double())[0, 1])
        assert float(found.covariance_with_first[k].double().mean()) == pytest.approx(seen, abs=0.15 * abs(seen) + 0.01)


def test_negative_amplitudes_and_empty_fids_are_no_trouble() -> None:
    fids = MODEL.simulate(torch.tensor([[10.0, -2.0, 3.0, -1.0], [0.0, 0.0, 0.0, 0.0]]))
    found = fitted(fids)
    torch.testing.assert_close(found.amplitude[:, 0], torch.tensor([10.0, -2.0, 3.0, -1.0]), atol=0.01, rtol=0)
    assert all(values.isfinite().all() for values in vars(found).values())
    assert (found.amplitude[:, 1] == 0).all()
    assert (found.amplitude_sd[:, 1] == 0).all()


def test_any_number_of_lines_field_and_dwell_time() -> None:
    human = FidModel(ppm=(4.7, 1.9), t2_star=(0.026, 0.04), larmor=19.6, reference=4.7, dwell=2e-4, points=700)
    fids = human.simulate(torch.tensor([[5.0, 1.0]]), shift=3.0, phase=0.5)
    torch.testing.assert_close(fitted(fids, human).amplitude[:, 0], torch.tensor([5.0, 1.0]), rtol=1e-2, atol=1e-2)


def test_scripted_equals_eager() -> None:
    network = FidLeastSquares().eval()
    x = rows_of(draw(20, 12.0)[0], MODEL)[None]
    torch.testing.assert_close(torch.jit.script(network)(x), network(x), rtol=1e-5, atol=1e-5)
