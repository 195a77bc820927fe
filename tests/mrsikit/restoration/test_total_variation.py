import pytest
import torch

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.total_variation import _divergence, _gradient, total_variation


def disc(radius: float = 11.3) -> torch.Tensor:
    at = torch.arange(48.0) - 22.0
    return ((at[:, None] ** 2 + at[None] ** 2).sqrt() < radius).float()


def variation(image: torch.Tensor) -> float:
    return float(_gradient(image).square().sum(0).sqrt().sum())


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_sharper_than_interpolation_and_measured_alike(psf: str) -> None:
    encoding = SpatialEncoding(psf, 4)
    image = disc()
    coarse = encoding.A(image)
    start, fine = encoding.interpolate(coarse), total_variation(coarse, encoding)
    assert (fine - image).square().mean() < 0.85 * (start - image).square().mean()
    assert variation(fine) < variation(start)
    torch.testing.assert_close(encoding.A(fine), coarse, atol=1e-5, rtol=0)


def test_an_mri_puts_the_edge_in_its_place() -> None:
    encoding = SpatialEncoding("block", 4)
    image = disc()
    coarse = encoding.A(image)
    plain, guided = (total_variation(coarse, encoding, mri=mri) for mri in (None, image))
    assert (guided - image).square().mean() < 0.3 * (plain - image).square().mean()


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_strength_takes_noise_away(psf: str) -> None:
    encoding = SpatialEncoding(psf, 4)
    image = disc()
    noise = 0.1 * torch.randn(12, 12, generator=torch.Generator().manual_seed(0))
    coarse = encoding.A(image) + noise
    exact, faint, smooth = (total_variation(coarse, encoding, strength=s) for s in (0.0, 1e-3, 0.3))
    assert (smooth - image).square().mean() < (exact - image).square().mean()
    assert (faint - exact).square().mean() < 0.5 * (smooth - exact).square().mean()


def test_divergence_is_minus_the_adjoint() -> None:
    generator = torch.Generator().manual_seed(0)
    image, field = torch.rand(7, 5, generator=generator), torch.rand(2, 7, 5, generator=generator)
    assert float((_gradient(image) * field).sum()) == pytest.approx(
        -float((image * _divergence(field)).sum()), abs=1e-4
    )


def test_each_map_has_its_strength() -> None:
    encoding = SpatialEncoding("block", 4)
    generator = torch.Generator().manual_seed(0)
    coarse = encoding.A(disc()) + 0.05 * torch.randn(3, 12, 12, generator=generator)
    strengths = (0.0, 0.004, 0.3)
    both = total_variation(coarse, encoding, strength=torch.tensor(strengths)[:, None, None])
    for one, image, strength in zip(both, coarse, strengths, strict=True):
        torch.testing.assert_close(one, total_variation(image, encoding, strength=strength))


def test_a_small_strength_moves_as_soon() -> None:
    encoding = SpatialEncoding("block", 4)
    coarse = encoding.A(disc())
    few, many = (total_variation(coarse, encoding, strength=2e-4, iterations=n) for n in (200, 3000))
    assert (few - many).abs().mean() < 0.3 * (many - encoding.interpolate(coarse)).abs().mean()


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_balls_are_sharpened_as_discs_are(psf: str) -> None:
    encoding = SpatialEncoding(psf, 4, 3)
    at = torch.arange(32.0) - 15.2
    ball = ((at[:, None, None] ** 2 + at[None, :, None] ** 2 + at[None, None] ** 2).sqrt() < 9.3).float()
    coarse = encoding.A(ball)
    start, fine = encoding.interpolate(coarse), total_variation(coarse, encoding)
    assert (fine - ball).square().mean() < 0.8 * (start - ball).square().mean()
    torch.testing.assert_close(encoding.A(fine), coarse, atol=1e-5, rtol=0)
    guided = total_variation(coarse, encoding, mri=ball)
    assert (guided - ball).square().mean() < 0.5 * (fine - ball).square().mean()


def test_in_three_dimensions_it_converges() -> None:
    encoding = SpatialEncoding("block", 4, 3)
    axes = torch.meshgrid(*(torch.arange(16.0) - 7.5,) * 3, indexing="ij")
    ball = (sum(a**2 for a in axes) < 25).float()
    noisy = encoding.A(ball) + 0.1 * torch.randn(4, 4, 4, generator=torch.Generator().manual_seed(0))
    few, many = (total_variation(noisy, encoding, strength=0.5, iterations=n) for n in (400, 1600))
    assert float((few - many).abs().max()) < 0.05


def test_an_edge_of_the_mri_along_any_axis_guides_a_volume() -> None:
    encoding = SpatialEncoding("block", 4, 3)
    step = torch.zeros(16, 16, 16)
    step[6:] = 1
    coarse = encoding.A(step)
    plain, guided = (total_variation(coarse, encoding, mri=mri) for mri in (None, step))
    assert float((guided - step).square().mean()) < 0.3 * float((plain - step).square().mean())


def test_a_map_with_an_encode_without_counterpart_stays_bounded() -> None:
    coarse = torch.rand(12, 12, generator=torch.Generator().manual_seed(0))
    assert float(total_variation(coarse, SpatialEncoding("kspace", 4), iterations=1000).abs().max()) < 2
