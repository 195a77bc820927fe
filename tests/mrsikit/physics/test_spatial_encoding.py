import pytest
import torch

from mrsikit.physics.kspace import hamming_weights, weighted
from mrsikit.physics.spatial_encoding import (
    HAMMING_NOISE,
    PSFS,
    SpatialEncoding,
    cubic,
    interpolated,
    sampled,
    wiener_filtered,
)


def maps(size: int = 48, seed: int = 0) -> torch.Tensor:
    smooth = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(smooth, size=size, mode="bicubic", align_corners=True)[0, 0].double()


@pytest.mark.parametrize("psf", ["block", "kspace"])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_what_is_interpolated_is_measured_as_the_coarse_map(psf: str, factor: int) -> None:
    encoding = SpatialEncoding(psf, factor)
    coarse = encoding.A(maps())
    assert coarse.shape == (48 // factor, 48 // factor)
    torch.testing.assert_close(encoding.A(encoding.interpolate(coarse)), coarse, atol=1e-6, rtol=0)
    torch.testing.assert_close(encoding.A(encoding.A_dagger(coarse)), coarse, atol=1e-6, rtol=0)


def test_the_code_names_the_point_spread() -> None:
    assert [SpatialEncoding(psf, 2).code for psf in ("block", "kspace", "hamming")] == [0, 1, 2]
    for code in range(3):
        encoding = SpatialEncoding.of(code, 3, 2)
        assert encoding.code == code
        assert encoding == SpatialEncoding(encoding.psf, 3)
    with pytest.raises(ValueError, match="'box': must be one of block, kspace, hamming"):
        SpatialEncoding("box", 4)


def test_blocks_are_means() -> None:
    fine = maps()
    assert float(SpatialEncoding("block", 4).A(fine)[2, 3]) == pytest.approx(float(fine[8:12, 12:16].mean()))


def test_interpolation_is_aligned() -> None:
    ramp = torch.arange(48, dtype=torch.float64)[:, None].expand(48, 48)
    left = cubic(SpatialEncoding("block", 4).A(ramp), 4)[12:36] - ramp[12:36]
    assert left.abs().max() < 0.2  # an index away would be 1.5
    assert abs(float(left.mean())) < 1e-6
    bump = torch.exp(-(((torch.arange(48.0) - 20.5) / 9) ** 2)).double()
    image = bump[:, None] * bump[None]
    for encoding in (SpatialEncoding(psf, 4) for psf in PSFS):
        fine = encoding.interpolate(encoding.A(image))
        centre = (fine * torch.arange(48.0)[:, None]).sum() / fine.sum()
        assert float(centre) == pytest.approx(20.5, abs=0.05)


def test_hammings_filter_is_undone_but_for_the_corners() -> None:
    encoding = SpatialEncoding("hamming", 4)
    image = maps()
    coarse = encoding.A(image)
    plain, filtered = encoding.A_dagger(coarse) - image, encoding.interpolate(coarse) - image
    assert filtered[8:-8, 8:-8].square().mean() < 0.5 * plain[8:-8, 8:-8].square().mean()
    again = encoding.A(encoding.interpolate(coarse))
    assert (again - coarse).abs().max() < 3e-3 * image.abs().max()


def test_white_noise_is_as_much_smaller_as_stated() -> None:
    noise = torch.randn(200, 32, 32, generator=torch.Generator().manual_seed(0))
    filtered = weighted(noise, hamming_weights(32, 32, 1))
    assert float(filtered.std() / noise.std()) == pytest.approx(HAMMING_NOISE, rel=0.01)


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_in_three_dimensions_as_in_two(psf: str) -> None:
    """Along the third axis, too; and an image that is the same all along it is measured as its slice."""
    encoding, in_plane = SpatialEncoding(psf, 4, 3), SpatialEncoding(psf, 4)
    slice_ = maps(24)
    volume = slice_[..., None] * torch.linspace(1, 2, 16, dtype=torch.float64)
    coarse = encoding.A(volume)
    assert coarse.shape == (6, 6, 4)
    torch.testing.assert_close(encoding.A(encoding.interpolate(coarse)), coarse, atol=1e-6, rtol=0)
    torch.testing.assert_close(encoding.A(encoding.A_dagger(coarse)), coarse, atol=1e-6, rtol=0)
    same = slice_[..., None].expand(24, 24, 16)
    flat = in_plane.A(slice_)
    torch.testing.assert_close(encoding.A(same), flat[..., None].expand(6, 6, 4))
    expected = in_plane.interpolate(flat)[..., None].expand(24, 24, 16)
    torch.testing.assert_close(encoding.interpolate(encoding.A(same)), expected, atol=1e-6, rtol=0)
    batched = encoding.A(torch.stack([volume, 2 * volume]))
    torch.testing.assert_close(batched[1], 2 * coarse)
    assert cubic(batched, 4, 3).shape == (2, 24, 24, 16)


def test_hammings_filter_is_refused_in_three_dimensions() -> None:
    with pytest.raises(ValueError, match="two dimensions"):
        SpatialEncoding("hamming", 4, 3)


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_without_noise_a_consistent_map_is_measured_as_it_was(psf: str) -> None:
    encoding = SpatialEncoding(psf, 4)
    generator = torch.Generator().manual_seed(0)
    fine, coarse = torch.rand(2, 32, 32, generator=generator), torch.rand(2, 8, 8, generator=generator)
    coarse = encoding.A(encoding.interpolate(coarse))
    again = encoding.A(encoding.data_consistency(fine, coarse))
    torch.testing.assert_close(again, coarse, atol=1e-5, rtol=0)


def test_a_consistent_map_takes_back_a_lesion_but_not_the_noise() -> None:
    encoding = SpatialEncoding("block", 4)
    generator = torch.Generator().manual_seed(0)
    noise = 0.05 * torch.randn(1, 16, 16, generator=generator)
    lesion = torch.zeros(1, 64, 64)
    lesion[:, 24:36, 24:36] = 1
    coarse = encoding.A(lesion) + noise
    found = encoding.A(encoding.data_consistency(torch.zeros(1, 64, 64), coarse, noise=0.05))
    assert float(found[:, 6:9, 6:9].mean()) > 0.95
    assert float(found[:, 11:].square().mean()) < 0.2 * 0.05**2
    levels = torch.full_like(coarse, 0.05)
    levels[:, :8] = 10.0  # a noise that varies: what is not trusted is not taken back
    found = encoding.A(encoding.data_consistency(torch.zeros(1, 64, 64), coarse, noise=levels))
    assert float(found[:, 6:8].abs().max()) < 1e-6
    assert float(found[:, 8, 6:9].mean()) > 0.9


def test_consistency_again_and_again_changes_nothing_more() -> None:
    """Of sampled k-space the encode without a counterpart is never explained."""
    encoding = SpatialEncoding("kspace", 4)
    coarse = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    once = encoding.data_consistency(torch.zeros(1, 32, 32), coarse)
    torch.testing.assert_close(encoding.data_consistency(once, coarse), once, atol=1e-5, rtol=0)


@pytest.mark.parametrize("psf", PSFS)
@pytest.mark.parametrize(("kept", "wrong"), [(0.3, 0.0), (0.3, 2.0), (0.9, 0.0), (0.0, 0.5)])
def test_where_the_response_is_known_the_correction_has_the_least_error(psf: str, kept: float, wrong: float) -> None:
    """An estimate that keeps a share of the noise and errs besides is corrected as if its error were known."""
    encoding = SpatialEncoding(psf, 2)
    generator, sigma = torch.Generator().manual_seed(1), 0.1
    truth = encoding.interpolate(torch.rand(1, 24, 24, generator=generator))
    clean = encoding.A(truth)
    noise = encoding.noise_probe(torch.full_like(clean, sigma), seed=5)
    other = encoding.noise_probe(torch.full_like(clean, wrong * sigma), seed=6)
    estimate = truth + encoding.interpolate(kept * noise + other)
    response = torch.full_like(clean, kept)
    found = encoding.data_consistency(estimate, clean + noise, noise=sigma, response=response)

    def error(fine: torch.Tensor) -> float:
        return float((encoding.A(fine) - clean).square().mean())

    wrongs = clean + noise - encoding.A(estimate)
    step = encoding.unfiltered.interpolate
    best = min(error(estimate + step(w * wrongs)) for w in torch.linspace(0, 1, 21))
    assert error(found) <= 1.3 * best + 1e-5


def test_a_voxel_that_was_not_measured_keeps_its_value_and_one_without_noise_is_followed() -> None:
    encoding = SpatialEncoding("block", 2)
    coarse, noise = torch.ones(1, 8, 8), torch.full((1, 8, 8), 0.01)
    response = torch.zeros(1, 8, 8)
    response[0, 3, 4] = torch.nan
    noise[0, 6, 6] = 0
    fine = torch.full((1, 16, 16), 0.9)  # ten times the noise off
    found = encoding.data_consistency(fine, coarse, noise=noise, response=response)
    inside = encoding.A(found)[0]
    assert inside[3, 4] < 0.92
    assert inside[6, 6] > 0.98
    assert inside[1, 1] > 0.98


def test_where_the_response_is_known_the_filter_is_not_inverted() -> None:
    encoding, generator = SpatialEncoding("hamming", 2), torch.Generator().manual_seed(0)
    fine, coarse = torch.rand(1, 32, 32, generator=generator), torch.rand(1, 16, 16, generator=generator)
    found = encoding.data_consistency(fine, coarse, noise=1e-4, response=torch.zeros_like(coarse))
    expected = fine + encoding.A_dagger(encoding.in_range(coarse - encoding.A(fine)))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("psf", PSFS)
def test_the_probe_is_the_noise_of_the_acquisition(psf: str) -> None:
    encoding = SpatialEncoding(psf, 2)
    level = torch.full((2, 64, 64), 0.3)
    probe = encoding.noise_probe(level)
    assert torch.equal(probe[0], probe[1])
    assert float(probe.std()) == pytest.approx(0.3, rel=0.05)
    assert torch.equal(probe, encoding.noise_probe(level))
    assert not torch.equal(probe, encoding.noise_probe(level, seed=1))


def test_noise_is_coloured_as_the_filter_colours_it() -> None:
    white = torch.randn(200, 32, 32, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(SpatialEncoding(psf, 4).coloured(white), white) for psf in ("block", "kspace"))
    encoding = SpatialEncoding("hamming", 4)
    filtered = encoding.A(encoding.A_dagger(white))
    torch.testing.assert_close(encoding.filter_noise * encoding.coloured(white), filtered, atol=1e-5, rtol=0)
    assert [SpatialEncoding(psf, 4).filter_noise for psf in PSFS] == [1, 1, HAMMING_NOISE]
    assert [SpatialEncoding(psf, 4).in_kspace for psf in PSFS] == [False, True, True]


@pytest.mark.parametrize("psf", PSFS)
def test_the_range_lacks_the_nyquist_encode_alone(psf: str) -> None:
    encoding = SpatialEncoding(psf, 4)
    for size in (8, 9):
        coarse = torch.rand(size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        found = encoding.in_range(coarse)
        torch.testing.assert_close(encoding.in_range(found), found)
        torch.testing.assert_close(encoding.in_range(encoding.A(maps(4 * size))), encoding.A(maps(4 * size)))
        kept = psf == "block" or size == 9
        assert torch.allclose(found, coarse) == kept


@pytest.mark.parametrize("psf", PSFS)
def test_without_its_filter_an_encoding_measures_what_is_interpolated(psf: str) -> None:
    encoding = SpatialEncoding(psf, 4)
    assert encoding.unfiltered == SpatialEncoding("block" if psf == "block" else "kspace", 4)
    fine = encoding.interpolate(encoding.A(maps()))
    expected = encoding.unfiltered.A(maps())
    middle = slice(3, -3)  # the inverse filter damps the corners of k-space, which edges need
    torch.testing.assert_close(encoding.unfiltered.A(fine)[middle, middle], expected[middle, middle], atol=0.03, rtol=0)


@pytest.mark.parametrize("psf", PSFS)
def test_the_functions_of_the_network_are_the_encoding_without_its_filter_and_scriptable(psf: str) -> None:
    plain, fine = SpatialEncoding(psf, 4).unfiltered, maps().float()[None]
    coarse = torch.jit.script(sampled)(fine, psf, 4)
    torch.testing.assert_close(coarse, plain.A(fine))
    torch.testing.assert_close(torch.jit.script(interpolated)(coarse, psf, 4), plain.interpolate(coarse))
    given = coarse[0], torch.tensor(0.04), torch.full((12, 12), 0.1), psf
    torch.testing.assert_close(torch.jit.script(wiener_filtered)(*given), wiener_filtered(*given))


@pytest.mark.parametrize("psf", PSFS)
def test_the_wiener_filter_of_the_true_noise_leaves_the_least_error(psf: str) -> None:
    """Also where the noise is filtered and the interpolation inverts the filter."""
    generator, s, sigma, encoding = torch.Generator().manual_seed(0), 0.2, 0.1, SpatialEncoding(psf, 2)
    fine = encoding.A_dagger(s * torch.randn(60, 32, 32, generator=generator))
    noise = sigma * encoding.coloured(torch.randn(60, 32, 32, generator=generator))
    measured, true = (encoding.unfiltered.A(encoding.interpolate(encoding.A(fine) + n)) for n in (noise, 0.0))
    errors = []
    for level in (sigma / 2, sigma, 2 * sigma):
        given = torch.tensor(s**2), torch.full((32, 32), level), psf
        kept = torch.stack([wiener_filtered(coarse, *given) for coarse in measured])
        errors.append(float((kept - true).square().mean()))
    assert errors[1] < min(errors[0], errors[2])


@pytest.mark.parametrize("psf", PSFS)
def test_a_map_measured_again_is_that_of_the_coarser_acquisition(psf: str) -> None:
    """Twice by two is once by four, also under a filter, which depends on the number of encodes."""
    fine = maps(60)
    again = SpatialEncoding(psf, 2).measured_again(SpatialEncoding(psf, 2).A(fine))
    torch.testing.assert_close(again, SpatialEncoding(psf, 4).A(fine), atol=2e-4, rtol=0)
