import pytest
import torch
from monai.data import MetaTensor

from mrsikit.super_resolution.network import FLAIR
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd
from mrsikit.super_resolution.tissue_mask import background, impute_missing, tissue_mask

from .conftest import AFFINE, NOISY, brain, head_map, layers, noisy_map


def test_noise_around_the_head_is_no_head() -> None:
    """Neither are fits there that by their bounds did not fail lost voxels, nor must an MRI cover them."""
    given = noisy_map()
    bounds = 100 * NOISY / given.as_tensor().abs()  # over 100 % in two thirds of the background
    item = PreprocessCoarseMapd()({"image": given, "crlb": MetaTensor(bounds, affine=AFFINE), "flair": brain()})
    outside = head_map().as_tensor()[0] == 0
    assert item["lost"] < 20
    assert float(item["covered"]["flair"]) > 0.99
    assert item["outside_brain"]["flair"] < 0.03
    imputed_sd = item["imputed_sd"][0, :, :, 0]
    assert float((imputed_sd[outside.repeat_interleave(4, 0).repeat_interleave(4, 1)] > 0).float().mean()) < 0.02


def test_a_box_of_tissue_up_to_the_corners_is_all_tissue() -> None:
    given = MetaTensor(1 + 0.1 * torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0)), affine=AFFINE)
    values = given.as_tensor()[..., None]
    assert tissue_mask(values, background(values)).all()


@pytest.mark.parametrize(("hot", "noise"), [(4.0, 0.3), (8.0, 0.4)])
def test_brain_beside_a_hot_lesion_is_no_background(hot: float, noise: float) -> None:
    """Faint as it is beside it: what holds no number there is filled and told, and the MRI stays."""
    values = head_map().as_tensor().clone()
    inside = values[0] > 0
    values[0, 6:9, 8:11] *= hot
    values = values + noise * torch.randn(1, 24, 24, generator=torch.Generator().manual_seed(1))
    values[0, 14, 14] = float("nan")
    item = PreprocessCoarseMapd()({"image": MetaTensor(values, affine=AFFINE), "flair": brain()})
    assert item["lost"] == 1
    assert item["imputed_sd"][0, 58, 58, 0] > 0
    wide = inside.repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert float((layers(item)[0, FLAIR][wide] > 0).float().mean()) > 0.9


def test_a_box_with_a_hot_spot_is_all_tissue() -> None:
    values = 1 + 0.05 * torch.randn(1, 24, 24, generator=torch.Generator().manual_seed(0))
    values[0, 10:14, 10:14] = 5
    assert background(values[..., None]).max() == 0
    values[0, 3, 18] = float("nan")
    item = PreprocessCoarseMapd()({"image": MetaTensor(values, affine=AFFINE)})
    assert item["lost"] == 1


def test_the_quietest_corner_is_one_of_numbers() -> None:
    """A corner without any, or an infinite voxel in one, says nothing."""
    values = 0.1 * torch.randn(1, 24, 24, 1, generator=torch.Generator().manual_seed(0))
    expected = background(values)
    assert 0.05 < float(expected) < 0.12
    values[0, :4, :4], values[0, 20, 20] = float("nan"), float("inf")
    assert 0.05 < float(background(values)) < 0.12
    assert float(background(torch.full((1, 24, 24, 1), torch.nan))) == 0


def disc(level: float = 2.0) -> torch.Tensor:
    """(1, 24, 24, 1), of one value in its upper half and of half of it in the lower."""
    x, y = torch.meshgrid(torch.arange(24.0) - 11.5, torch.arange(24.0) - 11.5, indexing="ij")
    return (level * (torch.hypot(x, y) < 9) * torch.where(x < 0, 1.0, 0.5))[None, ..., None]


def test_the_quietest_corner_by_hand() -> None:
    """Corners of 4 x 4 of a map of 24 x 24."""
    values = torch.ones(1, 24, 24, 2)
    for rows, columns, level in ((0, 0, 5.0), (0, 20, 0.3), (20, 0, 4.0), (20, 20, 3.0)):
        signs = torch.ones(4, 4)
        signs[::2] = -1  # no mean, and a root mean square of the level
        values[0, rows : rows + 4, columns : columns + 4] = level * signs[..., None]
    torch.testing.assert_close(background(values), torch.full((1, 2), 0.3))
    assert background(torch.ones(1, 24, 24, 1)) == 0  # all corners hold tissue


def test_single_voxels_above_the_noise_are_no_tissue_beside_a_head() -> None:
    values = disc()
    inside = values > 0
    values[0, 1, 1, 0] = values[0, 22, 3, 0] = 1.5
    assert torch.equal(tissue_mask(values, torch.zeros(1, 1)), inside)
    alone = torch.zeros(1, 24, 24, 1)
    alone[0, 1, 1, 0] = 1.5
    assert tissue_mask(alone, torch.zeros(1, 1)).sum() == 1  # where there is no head, all that is above


def test_a_gap_takes_the_nearest_value_and_the_spread_of_the_tissue() -> None:
    values = disc()
    missing = torch.zeros_like(values, dtype=torch.bool)
    values[0, 8, 12, 0] = torch.nan
    missing[0, 8, 12, 0] = missing[0, 1, 1, 0] = True  # in the upper half, and beside the head
    filled, lost, imputed_sd = impute_missing(values, missing)
    assert lost.nonzero().tolist() == [[0, 8, 12, 0]]
    assert filled[0, 8, 12, 0] == 2
    assert torch.equal(filled[~missing], values[~missing])
    assert filled[0, 1, 1, 0] == 0
    tissue = disc()[disc() > 0].tolist()
    tissue.remove(2.0)
    mean = sum(tissue) / len(tissue)
    variance = sum((value - mean) ** 2 for value in tissue) / len(tissue)
    # no number at all may be anything of the tissue: its spread, and how far the fill lies from its mean
    expected = (variance + (mean - 2) ** 2) ** 0.5
    assert float(imputed_sd[0, 8, 12, 0]) == pytest.approx(expected, rel=1e-5)
    assert int((imputed_sd > 0).sum()) == 1


def test_a_failed_fit_of_no_signal_keeps_its_value_and_one_of_some_takes_its_neighbours() -> None:
    values, missing = disc(), torch.zeros(1, 24, 24, 1, dtype=torch.bool)
    values[0, 8, 12, 0], values[0, 9, 9, 0] = 0.1, 30.0
    missing[0, 8, 12, 0] = missing[0, 9, 9, 0] = True
    filled, lost, imputed_sd = impute_missing(values, missing)
    assert float(filled[0, 8, 12, 0]) == pytest.approx(0.1)  # may be fluid
    assert filled[0, 9, 9, 0] == 2
    assert lost.sum() == 2
    assert imputed_sd[0, 8, 12, 0] > imputed_sd[0, 9, 9, 0] > 0
