import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrsikit.restoration.resampling import image_on_grid, upright_axis


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
