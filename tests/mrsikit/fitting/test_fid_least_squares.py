import torch

from mrsikit.fitting.crlb import crlb
from mrsikit.fitting.fid_least_squares import fid_least_squares
from mrsikit.physics.fid_model import noise_of_snr

from .conftest import MODEL, TRUTH


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
