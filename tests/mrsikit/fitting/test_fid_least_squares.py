from dataclasses import replace

import pytest
import torch

from mrsikit.fitting.crlb import crlb
from mrsikit.fitting.fid_least_squares import fid_least_squares
from mrsikit.fitting.fourier_integration import fourier_integration
from mrsikit.physics.fid_model import FidModel, noise_of_snr

MODEL = FidModel(
    ppm=(4.7, 3.7, 2.4, 1.3),
    t2_star=(0.03, 0.03, 0.035, 0.06),
    larmor=76.7,
    reference=4.7,
    dwell=4e-4,
    points=512,
    delay=6e-4,
)
TRUTH = torch.tensor([10.0, 2.0, 3.0, 1.0])


def test_integration_is_unbiased_on_separate_lines() -> None:
    prompt = replace(MODEL, delay=0.0)
    fids = prompt.simulate(TRUTH.expand(2, -1), phase=torch.tensor([0.0, 1.3]))
    found = fourier_integration(fids, prompt, phase=torch.tensor([0.0, 1.3]))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], TRUTH, atol=0.4, rtol=0.0)  # tails of the others reach in
    alone = MODEL.simulate(torch.tensor([[0.0, 0.0, 0.0, 5.0]]))
    assert fourier_integration(alone, MODEL)[0, 3] == pytest.approx(5.0, rel=1e-4)


def test_fits_reach_the_bound_without_bias() -> None:
    noise = noise_of_snr(MODEL, 20.0, amplitude=10.0)
    generator = torch.Generator().manual_seed(0)
    count = 80
    shift = 30 * torch.rand(count, generator=generator) - 15
    phase = 6 * torch.rand(count, generator=generator)
    fids = MODEL.simulate(
        TRUTH.expand(count, -1), shift=shift, phase=phase, broadening=3.0, noise=noise, generator=generator
    )
    found = torch.from_numpy(fid_least_squares(fids.numpy(), MODEL))
    bounds = crlb(MODEL, TRUTH.expand(count, -1), noise, shift=shift, phase=phase, broadening=3.0)
    errors = (found[:, :4] - TRUTH) / bounds[:, :4]
    assert ((errors.std(0) > 0.75) & (errors.std(0) < 1.25)).all()
    assert (errors.mean(0).abs() < 0.4).all()
    assert (found[:, 5] - shift).abs().max() < 3
