import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from dmi_quantification.preprocessing import on_grid


def turn(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def image_of(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A smooth function of the place in mm, on any grid."""
    index = np.stack([*np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), np.ones(shape)])
    x, y, z, _ = np.einsum("ij,jabc->iabc", affine, index)
    return 2 + np.sin(x / 15) + np.cos(y / 20) + 0.02 * z


@pytest.mark.parametrize("angle", [0.0, 0.3])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("slices", [1, 6])
def test_an_image_is_averaged_where_the_voxels_lie(angle: float, order: tuple[int, ...], slices: int) -> None:
    coarse = turn(angle) @ np.diag([6.0, 6.0, 8.0, 1.0])
    coarse[:3, 3] = -30, -25, 5
    fine = np.diag([1.5, 1.5, 2.0, 1.0])
    fine[:3, 3] = -75, -75, -15
    fine = fine[:, [*order, 3]]
    shape = tuple(np.array([100, 100, 40])[list(order)])
    image = MetaTensor(torch.from_numpy(image_of(fine, shape))[None].float(), affine=torch.from_numpy(fine))
    grid = (10, 9, slices)
    found, covered = on_grid(image, grid, torch.from_numpy(coarse), torch.ones(grid, dtype=torch.bool))
    assert covered.all()
    expected = image_of(coarse, grid)
    expected = np.minimum(expected / np.quantile(expected, 0.99), 1)
    np.testing.assert_allclose(found.numpy(), expected, atol=0.02)


def test_what_the_image_does_not_cover_is_unknown_and_one_bright_voxel_flattens_nothing() -> None:
    values = torch.ones(1, 60, 60, 1)
    values[0, :30] = 2.0
    values[0, 3, 3] = 40.0
    grid = (90, 60, 1)
    image = MetaTensor(values, affine=torch.eye(4))
    found, covered = on_grid(image, grid, torch.eye(4), torch.ones(grid, dtype=torch.bool))
    assert covered[:60].all()
    assert not covered[61:].any()
    assert (found[61:] == 0).all()
    assert found[35:55, 5:55].mean() == pytest.approx(0.5, abs=0.05)
