import pytest
import torch

from mrsikit.physics.kspace import hamming_weights, weighted
from mrsikit.physics.spatial_encoding import (
    BLOCK,
    HAMMING,
    HAMMING_NOISE,
    KSPACE,
    cubic,
    data_consistency,
    forward_operator,
    interpolate,
    noise_probe,
    pseudo_inverse,
)


def maps(size: int = 48, seed: int = 0) -> torch.Tensor:
    smooth = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(smooth, size=size, mode="bicubic", align_corners=True)[0, 0].double()


@pytest.mark.parametrize("psf", [BLOCK, KSPACE])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_what_is_interpolated_is_measured_as_the_coarse_map(psf: int, factor: int) -> None:
    coarse = forward_operator(maps(), factor, psf)
    assert coarse.shape == (48 // factor, 48 // factor)
    torch.testing.assert_close(
        forward_operator(interpolate(coarse, factor, psf), factor, psf), coarse, atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        forward_operator(pseudo_inverse(coarse, factor, psf), factor, psf), coarse, atol=1e-6, rtol=0
    )


def test_blocks_are_means() -> None:
    fine = maps()
    assert float(forward_operator(fine, 4, BLOCK)[2, 3]) == pytest.approx(float(fine[8:12, 12:16].mean()))


def test_interpolation_is_aligned() -> None:
    ramp = torch.arange(48, dtype=torch.float64)[:, None].expand(48, 48)
    left = cubic(forward_operator(ramp, 4, BLOCK), 4)[12:36] - ramp[12:36]
    assert left.abs().max() < 0.2  # an index away would be 1.5
    assert abs(float(left.mean())) < 1e-6
    bump = torch.exp(-(((torch.arange(48.0) - 20.5) / 9) ** 2)).double()
    image = bump[:, None] * bump[None]
    for psf in (BLOCK, KSPACE, HAMMING):
        fine = interpolate(forward_operator(image, 4, psf), 4, psf)
        centre = (fine * torch.arange(48.0)[:, None]).sum() / fine.sum()
        assert float(centre) == pytest.approx(20.5, abs=0.05)


def test_hammings_filter_is_undone_but_for_the_corners() -> None:
    image = maps()
    coarse = forward_operator(image, 4, HAMMING)
    plain, filtered = (function(coarse, 4, HAMMING) - image for function in (pseudo_inverse, interpolate))
    assert filtered[8:-8, 8:-8].square().mean() < 0.5 * plain[8:-8, 8:-8].square().mean()
    again = forward_operator(interpolate(forward_operator(image, 4, HAMMING), 4, HAMMING), 4, HAMMING)
    assert (again - forward_operator(image, 4, HAMMING)).abs().max() < 3e-3 * image.abs().max()


def test_white_noise_is_as_much_smaller_as_stated() -> None:
    noise = torch.randn(200, 32, 32, generator=torch.Generator().manual_seed(0))
    filtered = weighted(noise, hamming_weights(32, 32, 1))
    assert float(filtered.std() / noise.std()) == pytest.approx(HAMMING_NOISE, rel=0.01)


@pytest.mark.parametrize("psf", [BLOCK, KSPACE])
def test_in_three_dimensions_as_in_two(psf: int) -> None:
    """Along the third axis, too; and an image that is the same all along it is measured as its slice."""
    slice_ = maps(24)
    volume = slice_[..., None] * torch.linspace(1, 2, 16, dtype=torch.float64)
    coarse = forward_operator(volume, 4, psf, 3)
    assert coarse.shape == (6, 6, 4)
    torch.testing.assert_close(forward_operator(interpolate(coarse, 4, psf, 3), 4, psf, 3), coarse, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        forward_operator(pseudo_inverse(coarse, 4, psf, 3), 4, psf, 3), coarse, atol=1e-6, rtol=0
    )
    same = slice_[..., None].expand(24, 24, 16)
    flat = forward_operator(slice_, 4, psf)
    torch.testing.assert_close(forward_operator(same, 4, psf, 3), flat[..., None].expand(6, 6, 4))
    expected = interpolate(flat, 4, psf)[..., None].expand(24, 24, 16)
    torch.testing.assert_close(interpolate(forward_operator(same, 4, psf, 3), 4, psf, 3), expected, atol=1e-6, rtol=0)
    batched = forward_operator(torch.stack([volume, 2 * volume]), 4, psf, 3)
    torch.testing.assert_close(batched[1], 2 * coarse)
    assert cubic(batched, 4, 3).shape == (2, 24, 24, 16)


def test_hammings_filter_is_refused_in_three_dimensions() -> None:
    for run in (forward_operator, interpolate):
        with pytest.raises(ValueError, match="two dimensions"):
            run(torch.rand(8, 8, 8), 4, HAMMING, 3)


@pytest.mark.parametrize("psf", [BLOCK, KSPACE])
def test_without_noise_a_consistent_map_is_measured_as_it_was(psf: int) -> None:
    generator = torch.Generator().manual_seed(0)
    fine, coarse = torch.rand(2, 32, 32, generator=generator), torch.rand(2, 8, 8, generator=generator)
    coarse = forward_operator(interpolate(coarse, 4, psf), 4, psf)
    again = forward_operator(data_consistency(fine, coarse, 4, psf), 4, psf)
    torch.testing.assert_close(again, coarse, atol=1e-5, rtol=0)


def test_a_consistent_map_takes_back_a_lesion_but_not_the_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = 0.05 * torch.randn(1, 16, 16, generator=generator)
    lesion = torch.zeros(1, 64, 64)
    lesion[:, 24:36, 24:36] = 1
    coarse = forward_operator(lesion, 4, BLOCK) + noise
    found = forward_operator(data_consistency(torch.zeros(1, 64, 64), coarse, 4, BLOCK, noise=0.05), 4, BLOCK)
    assert float(found[:, 6:9, 6:9].mean()) > 0.95
    assert float(found[:, 11:].square().mean()) < 0.2 * 0.05**2
    levels = torch.full_like(coarse, 0.05)
    levels[:, :8] = 10.0  # a noise that varies: what is not trusted is not taken back
    found = forward_operator(data_consistency(torch.zeros(1, 64, 64), coarse, 4, BLOCK, noise=levels), 4, BLOCK)
    assert float(found[:, 6:8].abs().max()) < 1e-6
    assert float(found[:, 8, 6:9].mean()) > 0.9


def test_consistency_again_and_again_changes_nothing_more() -> None:
    """Of sampled k-space the encode without a counterpart is never explained."""
    coarse = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    once = data_consistency(torch.zeros(1, 32, 32), coarse, 4, KSPACE)
    torch.testing.assert_close(data_consistency(once, coarse, 4, KSPACE), once, atol=1e-5, rtol=0)


@pytest.mark.parametrize("psf", [BLOCK, KSPACE, HAMMING])
@pytest.mark.parametrize(("kept", "wrong"), [(0.3, 0.0), (0.3, 2.0), (0.9, 0.0), (0.0, 0.5)])
def test_where_the_response_is_known_the_correction_has_the_least_error(psf: int, kept: float, wrong: float) -> None:
    """An estimate that keeps a share of the noise and errs besides is corrected as if its error were known."""
    generator, sigma = torch.Generator().manual_seed(1), 0.1
    truth = interpolate(torch.rand(1, 24, 24, generator=generator), 2, psf)
    clean = forward_operator(truth, 2, psf)
    noise = noise_probe(torch.full_like(clean, sigma), 2, psf, seed=5)
    other = noise_probe(torch.full_like(clean, wrong * sigma), 2, psf, seed=6)
    estimate = truth + interpolate(kept * noise + other, 2, psf)
    response = torch.full_like(clean, kept)
    found = data_consistency(estimate, clean + noise, 2, psf, noise=sigma, response=response)

    def error(fine: torch.Tensor) -> float:
        return float((forward_operator(fine, 2, psf) - clean).square().mean())

    wrongs = clean + noise - forward_operator(estimate, 2, psf)
    step = pseudo_inverse if psf == HAMMING else interpolate
    best = min(error(estimate + step(w * wrongs, 2, psf)) for w in torch.linspace(0, 1, 21))
    assert error(found) <= 1.3 * best + 1e-5


def test_a_voxel_that_was_not_measured_keeps_its_value_and_one_without_noise_is_followed() -> None:
    coarse, noise = torch.ones(1, 8, 8), torch.full((1, 8, 8), 0.01)
    response = torch.zeros(1, 8, 8)
    response[0, 3, 4] = torch.nan
    noise[0, 6, 6] = 0
    fine = torch.full((1, 16, 16), 0.9)  # ten times the noise off
    found = data_consistency(fine, coarse, 2, BLOCK, noise=noise, response=response)
    inside = forward_operator(found, 2, BLOCK)[0]
    assert inside[3, 4] < 0.92
    assert inside[6, 6] > 0.98
    assert inside[1, 1] > 0.98


@pytest.mark.parametrize("psf", [BLOCK, KSPACE, HAMMING])
def test_the_probe_is_the_noise_of_the_acquisition(psf: int) -> None:
    level = torch.full((2, 64, 64), 0.3)
    probe = noise_probe(level, 2, psf)
    assert torch.equal(probe[0], probe[1])
    assert float(probe.std()) == pytest.approx(0.3, rel=0.05)
    assert torch.equal(probe, noise_probe(level, 2, psf))
    assert not torch.equal(probe, noise_probe(level, 2, psf, seed=1))
