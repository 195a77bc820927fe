import numpy as np
import pytest
import torch
from scipy import fft, ndimage

from mrsi_inpainting.batched_fills import least_curvature, neighbours, pyramid_fill, smooth_fill
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


def test_neighbours_by_hand() -> None:
    x = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    before, after = neighbours(x, 1)
    assert before.tolist() == [[1, 1, 2], [4, 4, 5]]
    assert after.tolist() == [[2, 3, 3], [5, 6, 6]]
    before, after = neighbours(x, 0)
    assert before.tolist() == [[1, 2, 3], [1, 2, 3]]
    assert after.tolist() == [[4, 5, 6], [4, 5, 6]]


@pytest.mark.parametrize("size", [(16, 32), (16, 8, 12)], ids=str)
def test_a_smooth_fill_without_gaps_ends_at_the_map(size: tuple[int, ...]) -> None:
    """The penalty falls to a thousandth, under which Garcia's fill of complete data is the data."""
    values = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    smooth = torch.from_numpy(ndimage.gaussian_filter(values.numpy(), [0, 0, *[3] * len(size)]))
    found = smooth_fill(smooth, torch.ones_like(smooth), torch.zeros_like(smooth), iterations=40)
    torch.testing.assert_close(found, smooth, atol=2e-3, rtol=0)


def test_the_first_step_of_a_smooth_fill_is_scipys_cosine_transform() -> None:
    generator = torch.Generator().manual_seed(0)
    values, start = torch.rand(2, 1, 1, 16, 24, generator=generator)
    weights = (torch.rand(1, 1, 16, 24, generator=generator) > 0.3).float()
    given = (weights * (values - start) + start)[0, 0].double().numpy()
    rows, columns = (2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in given.shape)
    penalty = (rows[:, None] + columns[None]) ** 2
    step = fft.idctn(fft.dctn(given, norm="ortho") / (1 + 10 * penalty), norm="ortho")
    expected = start[0, 0] + 1.6 * (torch.from_numpy(step).float() - start[0, 0])
    first = smooth_fill(values, weights, start, iterations=2)
    # of two steps the second, with a penalty of a thousandth, starts from the first's
    given = (weights[0, 0] * (values[0, 0] - expected) + expected).double().numpy()
    step = fft.idctn(fft.dctn(given, norm="ortho") / (1 + 0.001 * penalty), norm="ortho")
    torch.testing.assert_close(first[0, 0], expected + 1.6 * (torch.from_numpy(step).float() - expected))


def test_least_curvature_of_a_line_of_gaps_is_a_cubic() -> None:
    """Along one axis the least squared second difference through four points on either side is a cubic's."""
    at = torch.arange(16.0)
    cubic = (at - 7) * (at - 3) * (at - 12) / 100
    values = cubic[:, None].expand(16, 8)[None, None]
    weights = torch.ones_like(values)
    weights[:, :, 6:9] = 0
    found = least_curvature(values * weights, weights, iterations=200)
    torch.testing.assert_close(found, values, atol=1e-3, rtol=0)
