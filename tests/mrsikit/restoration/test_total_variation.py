import pytest
import torch

from mrsikit.physics.spatial_encoding import BLOCK, KSPACE, forward_operator, interpolate
from mrsikit.restoration.total_variation import _divergence, _gradient, total_variation


def disc(radius: float = 11.3) -> torch.Tensor:
    at = torch.arange(48.0) - 22.0
    return ((at[:, None] ** 2 + at[None] ** 2).sqrt() < radius).float()


def variation(image: torch.Tensor) -> float:
    return float(_gradient(image).square().sum(0).sqrt().sum())


@pytest.mark.parametrize("psf", [BLOCK, KSPACE])
def test_sharper_than_interpolation_and_measured_alike(psf: int) -> None:
    image = disc()
    coarse = forward_operator(image, 4, psf)
    start, fine = interpolate(coarse, 4, psf), total_variation(coarse, 4, psf)
    assert (fine - image).square().mean() < 0.85 * (start - image).square().mean()
    assert variation(fine) < variation(start)
    torch.testing.assert_close(forward_operator(fine, 4, psf), coarse, atol=1e-5, rtol=0)


def test_an_mri_puts_the_edge_in_its_place() -> None:
    image = disc()
    coarse = forward_operator(image, 4, BLOCK)
    plain, guided = (total_variation(coarse, 4, BLOCK, mri=mri) for mri in (None, image))
    assert (guided - image).square().mean() < 0.3 * (plain - image).square().mean()


@pytest.mark.parametrize("psf", [BLOCK, KSPACE])
def test_strength_takes_noise_away(psf: int) -> None:
    image = disc()
    noise = 0.1 * torch.randn(12, 12, generator=torch.Generator().manual_seed(0))
    coarse = forward_operator(image, 4, psf) + noise
    exact, faint, smooth = (total_variation(coarse, 4, psf, strength=s) for s in (0.0, 1e-3, 0.3))
    assert (smooth - image).square().mean() < (exact - image).square().mean()
    assert (faint - exact).square().mean() < 0.5 * (smooth - exact).square().mean()


def test_divergence_is_minus_the_adjoint() -> None:
    generator = torch.Generator().manual_seed(0)
    image, field = torch.rand(7, 5, generator=generator), torch.rand(2, 7, 5, generator=generator)
    assert float((_gradient(image) * field).sum()) == pytest.approx(
        -float((image * _divergence(field)).sum()), abs=1e-4
    )


def test_each_map_has_its_strength() -> None:
    generator = torch.Generator().manual_seed(0)
    coarse = forward_operator(disc(), 4, BLOCK) + 0.05 * torch.randn(3, 12, 12, generator=generator)
    strengths = (0.0, 0.004, 0.3)
    both = total_variation(coarse, 4, BLOCK, strength=torch.tensor(strengths)[:, None, None])
    for one, image, strength in zip(both, coarse, strengths, strict=True):
        torch.testing.assert_close(one, total_variation(image, 4, BLOCK, strength=strength))


def test_a_small_strength_moves_as_soon() -> None:
    coarse = forward_operator(disc(), 4, BLOCK)
    few, many = (total_variation(coarse, 4, BLOCK, strength=2e-4, iterations=n) for n in (200, 3000))
    assert (few - many).abs().mean() < 0.3 * (many - interpolate(coarse, 4, BLOCK)).abs().mean()


@pytest.mark.parametrize("psf", [BLOCK, KSPACE])
def test_balls_are_sharpened_as_discs_are(psf: int) -> None:
    at = torch.arange(32.0) - 15.2
    ball = ((at[:, None, None] ** 2 + at[None, :, None] ** 2 + at[None, None] ** 2).sqrt() < 9.3).float()
    coarse = forward_operator(ball, 4, psf, 3)
    start, fine = interpolate(coarse, 4, psf, 3), total_variation(coarse, 4, psf, dims=3)
    assert (fine - ball).square().mean() < 0.8 * (start - ball).square().mean()
    torch.testing.assert_close(forward_operator(fine, 4, psf, 3), coarse, atol=1e-5, rtol=0)
    guided = total_variation(coarse, 4, psf, mri=ball, dims=3)
    assert (guided - ball).square().mean() < 0.5 * (fine - ball).square().mean()


def test_in_three_dimensions_it_converges() -> None:
    axes = torch.meshgrid(*(torch.arange(16.0) - 7.5,) * 3, indexing="ij")
    ball = (sum(a**2 for a in axes) < 25).float()
    noisy = forward_operator(ball, 4, BLOCK, 3) + 0.1 * torch.randn(4, 4, 4, generator=torch.Generator().manual_seed(0))
    few, many = (total_variation(noisy, 4, BLOCK, strength=0.5, iterations=n, dims=3) for n in (400, 1600))
    assert float((few - many).abs().max()) < 0.05


def test_an_edge_of_the_mri_along_any_axis_guides_a_volume() -> None:
    step = torch.zeros(16, 16, 16)
    step[6:] = 1
    coarse = forward_operator(step, 4, BLOCK, 3)
    plain, guided = (total_variation(coarse, 4, BLOCK, mri=mri, dims=3) for mri in (None, step))
    assert float((guided - step).square().mean()) < 0.3 * float((plain - step).square().mean())


def test_a_map_with_an_encode_without_counterpart_stays_bounded() -> None:
    coarse = torch.rand(12, 12, generator=torch.Generator().manual_seed(0))
    assert float(total_variation(coarse, 4, KSPACE, iterations=1000).abs().max()) < 2
