import pytest
import torch
from monai.data import MetaTensor

from mrsikit.super_resolution.network import FLAIR
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd
from mrsikit.super_resolution.tissue_mask import background, tissue_mask

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
