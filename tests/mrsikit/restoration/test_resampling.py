import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrsikit.restoration.resampling import (
    companions_to_map_grid,
    image_on_grid,
    mean_over_voxels,
    on_finer_grid,
    resampling_warnings,
    to_map_grid,
    upright_axis,
)


def grid(spacing: tuple[float, float, float], first: tuple[float, float, float] = (0, 0, 0)) -> torch.Tensor:
    """Voxel to mm of an upright grid whose first voxel has its centre at a place (mm)."""
    out = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    out[:3, 3] = torch.tensor(first, dtype=torch.float64)
    return out


FINE = MetaTensor(torch.arange(16.0).reshape(1, 4, 4, 1), affine=grid((1, 1, 1)))
PAIRS = grid((2, 2, 1), (0.5, 0.5, 0))
"""Two by two voxels, each of four of FINE."""


@pytest.mark.parametrize(
    ("columns", "axis"),
    [
        ([(1, 0, 0), (0, 1, 0), (0, 0, 1)], 2),  # axial slices
        ([(-1, 0, 0), (0, -1, 0), (0, 0, -1)], 2),  # stored backwards
        ([(0, 0, 1), (1, 0, 0), (0, 1, 0)], 0),  # slices first
        ([(1, 0, 0), (0, 0, -1), (0, 1, 0)], 1),  # coronal slices
    ],
)
@pytest.mark.parametrize("sides", [(1, 1, 1), (7, 7, 10), (10, 2, 3)], ids=str)
def test_the_upright_axis_is_the_one_along_the_body(columns: list, axis: int, sides: tuple[int, ...]) -> None:
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.tensor(columns, dtype=torch.float64).T * torch.tensor(sides)
    assert upright_axis(affine) == axis


@pytest.mark.parametrize("degrees", [-40, 20, 40])
def test_a_tilted_volume_has_the_upright_axis_that_is_nearest(degrees: float) -> None:
    turn = torch.eye(4, dtype=torch.float64)
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn[1:3, 1:3] = torch.tensor([[c, -s], [s, c]])
    assert upright_axis(turn) == 2
    assert upright_axis(turn[:, [2, 0, 1, 3]]) == 0


def test_a_coarse_voxel_is_the_mean_of_the_fine_ones_in_it() -> None:
    mean, covered = image_on_grid(FINE, (2, 2, 1), PAIRS, points=(2, 2, 1))
    # (0 + 1 + 4 + 5) / 4 and so on
    torch.testing.assert_close(mean[..., 0], torch.tensor([[2.5, 4.5], [10.5, 12.5]]))
    torch.testing.assert_close(covered, torch.ones(2, 2, 1))


def test_how_an_image_is_stored_does_not_matter() -> None:
    values, affine = FINE.as_tensor(), FINE.affine
    expected, _ = image_on_grid(FINE, (2, 2, 1), PAIRS, points=(2, 2, 1))
    backwards = affine.clone()
    backwards[:, 0], backwards[:3, 3] = -affine[:, 0], affine[:3, 3] + 3 * affine[:3, 0]
    others = [
        MetaTensor(values.flip(1), affine=backwards),
        MetaTensor(values.permute(0, 3, 1, 2), affine=affine[:, [2, 0, 1, 3]]),
        MetaTensor(values[..., 0], affine=affine),
    ]
    for other in others:
        mean, _ = image_on_grid(other, (2, 2, 1), PAIRS, points=(2, 2, 1))
        torch.testing.assert_close(mean, expected)


def test_what_an_image_does_not_cover_is_unknown_and_not_dark() -> None:
    # along the first axis fine voxels 3 and 4, the second of which is not there; then 5 and 6, neither is
    place = grid((2, 1, 1), (3.5, 0, 0))
    mean, covered = image_on_grid(FINE, (2, 4, 1), place, points=(2, 1, 1))
    torch.testing.assert_close(covered[..., 0], torch.tensor([[0.5] * 4, [0.0] * 4]))
    torch.testing.assert_close(mean[0, :, 0], torch.arange(12.0, 16.0))
    assert not mean[1].any()


def test_slices_are_averaged_too() -> None:
    values = torch.tensor([1.0, 3, 5, 9]).expand(1, 2, 2, 4)
    image = MetaTensor(values.contiguous(), affine=grid((1, 1, 1)))
    mean, covered = image_on_grid(image, (2, 2, 2), grid((1, 1, 2), (0, 0, 0.5)), points=(1, 1, 2))
    torch.testing.assert_close(mean, torch.tensor([2.0, 7.0]).expand(2, 2, 2))
    np.testing.assert_allclose(covered, 1)


def ball(affine: torch.Tensor, shape: tuple[int, int, int]) -> MetaTensor:
    """Mask (1, X, Y, Z) of a ball of 30 mm about the origin."""
    places = affine[:3, :3] @ torch.tensor(np.indices(shape).reshape(3, -1), dtype=torch.float64) + affine[:3, 3:]
    return MetaTensor((places.norm(dim=0) < 30).float().reshape(1, *shape), affine=affine)


COARSE, COARSE_SHAPE = grid((8, 8, 10), (-40, -40, -15)), (11, 11, 4)
MRI, MRI_SHAPE = grid((1.1, 1.1, 2), (-50, -50, -25)), (92, 92, 25)


def test_a_mask_on_a_finer_grid_is_taken_by_majority() -> None:
    found = to_map_grid(ball(MRI, MRI_SHAPE), COARSE_SHAPE, COARSE, majority=True)
    right = ball(COARSE, COARSE_SHAPE).as_tensor()
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert (found != right).sum() < 0.1 * right.sum()  # only voxels that the edge of the ball cuts
    flat = to_map_grid(ball(MRI, MRI_SHAPE), COARSE_SHAPE[:2], COARSE, majority=True)
    assert torch.equal(flat, found[..., 0])


def test_bounds_on_a_finer_grid_are_those_at_the_centre_and_nan_outside() -> None:
    values = torch.rand(2, *MRI_SHAPE, generator=torch.Generator().manual_seed(0))
    values[:, 40:50] = torch.nan
    found = to_map_grid(MetaTensor(values, affine=MRI), COARSE_SHAPE, COARSE, majority=False)
    at = (torch.tensor([8.0, 8, 10]) * torch.tensor([3.0, 7, 2]) + torch.tensor([10.0, 10, 10])) / torch.tensor(
        [1.1, 1.1, 2]
    )
    x, y, z = at.round().int().tolist()
    assert torch.equal(found[:, 3, 7, 2], values[:, x, y, z])
    assert found[:, 5].isnan().all()  # at 45.5 voxels
    wide = grid((8, 8, 10), (-80, -40, -15))
    assert to_map_grid(MetaTensor(values, affine=MRI), COARSE_SHAPE, wide, majority=False)[:, :3].isnan().all()


def test_only_companions_on_a_finer_grid_are_resampled() -> None:
    own = ball(COARSE, COARSE_SHAPE)
    data = {"brain": ball(MRI, MRI_SHAPE), "missing": own, "crlb": MetaTensor(torch.ones(1, *COARSE_SHAPE))}
    majority = {"brain": True, "missing": True, "crlb": False, "absent": True}
    companions_to_map_grid(data, COARSE_SHAPE, COARSE, majority=majority)
    assert data["missing"] is own
    assert data["brain"].shape == (1, *COARSE_SHAPE)
    assert torch.equal(data["brain"].affine, COARSE)
    assert data["resampled"] == "brain"
    assert resampling_warnings(data)[0].endswith(": brain")
    assert resampling_warnings({"resampled": ""}) == []
    assert not on_finer_grid(COARSE_SHAPE, MRI, COARSE_SHAPE, COARSE)  # a mask without a geometry of its own
    assert not on_finer_grid((12, 11, 4), COARSE, COARSE_SHAPE, COARSE)


def test_nan_is_background() -> None:
    values = FINE.as_tensor().clone()
    values[0, :2, :2] = torch.nan
    mean, covered = image_on_grid(MetaTensor(values, affine=FINE.affine), (2, 2, 1), PAIRS, points=(2, 2, 1))
    assert mean[0, 0, 0] == 0
    assert mean.isfinite().all()
    assert (covered == 1).all()


def test_the_mean_over_voxels_is_not_known_where_the_image_covers_less_than_half() -> None:
    beyond = PAIRS.clone()
    beyond[0, 3] += 2  # the second row of voxels lies beyond the image
    mean = mean_over_voxels(FINE, (2, 2), beyond)
    torch.testing.assert_close(mean[0], torch.tensor([10.5, 12.5]))
    assert mean[1].isnan().all()
