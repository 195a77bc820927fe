import pytest
import torch

from mrsi_inpainting.batched_fills import least_curvature, pyramid_fill, smooth_fill
from mrsikit.restoration.inpainting import biharmonic


def test_pyramid_fill_of_a_constant_is_the_constant_and_reaches_everywhere() -> None:
    weights = torch.zeros(1, 1, 64, 64)
    weights[..., 20:40, 20:40] = 1
    torch.testing.assert_close(
        pyramid_fill(7 * weights, weights), torch.full((1, 1, 64, 64), 7.0), rtol=1e-3, atol=1e-3
    )


def test_pyramid_fill_ignores_what_is_not_trusted() -> None:
    values = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    weights = torch.ones_like(values)
    weights[..., 8:12, 8:12] = 0
    spoilt = torch.where(weights > 0, values, 1e5)
    torch.testing.assert_close(pyramid_fill(spoilt, weights), pyramid_fill(values * weights, weights))


@pytest.mark.parametrize("size", [(32, 32), (16, 16, 16)], ids=str)
def test_smooth_fill_of_a_smooth_map_is_close_and_ignores_what_is_not_trusted(size: tuple[int, ...]) -> None:
    axes = torch.meshgrid(*(torch.arange(n) / n for n in size), indexing="ij")
    values = sum(torch.cos(torch.pi * axis) for axis in axes)[None, None]
    weights = torch.ones_like(values)
    weights[..., 6:9, 6:9] = 0
    start = pyramid_fill(values, weights)
    filled = smooth_fill(values * weights, weights, start)
    torch.testing.assert_close(smooth_fill(torch.where(weights > 0, values, 1e3), weights, start), filled)
    hole = weights == 0
    assert (filled - values)[hole].abs().max() < 0.05
    assert (filled - values)[hole].abs().max() < (start - values)[hole].abs().max()


@pytest.mark.parametrize("size", [(32, 32), (16, 16, 16)], ids=str)
def test_least_curvature_is_the_biharmonic_fill(size: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    axes = torch.meshgrid(*(torch.arange(n) / n for n in size), indexing="ij")
    values = sum(torch.cos(3 * torch.pi * axis) for axis in axes)[None, None]
    weights = (torch.rand(values.shape, generator=generator) > 0.2).float()
    weights[..., 6:9, 6:9] = 0
    start = smooth_fill(values * weights, weights, pyramid_fill(values * weights, weights))
    filled = least_curvature(weights * values + (1 - weights) * start, weights)
    assert torch.equal(filled[weights > 0], values[weights > 0])
    reference = torch.from_numpy(biharmonic((values * weights)[0, 0].numpy(), (weights == 0)[0, 0].numpy()))
    difference = (filled[0, 0] - reference)[(weights == 0)[0, 0]]
    assert difference.abs().mean() < 0.02 * values.std()
    assert difference.abs().mean() < 0.5 * (start[0, 0] - reference)[(weights == 0)[0, 0]].abs().mean()
