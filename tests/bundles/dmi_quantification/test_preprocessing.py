from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from dmi_quantification.preprocessing import PreprocessFidsd, acquisition_rows, on_grid

from .conftest import LARGEST_SHIFT, METABOLITES, MODEL, read_image


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


def random_fids(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((*shape, 2)).astype(np.float32).view(np.complex64)[..., 0]


def preprocessed(values: np.ndarray, mask: np.ndarray | None = None, **options: object) -> dict:
    data = {"image": read_image(values)}
    if mask is not None:
        data["mask"] = MetaTensor(torch.from_numpy(mask)[None])
    return PreprocessFidsd(metabolites=METABOLITES, **options)(data)


def test_first_rows_describe_the_acquisition() -> None:
    """Times in units of one over the largest shift; the delay turns a line before the first sample."""
    rows = acquisition_rows(MODEL, LARGEST_SHIFT)
    assert rows.shape == (5, 256)
    torch.testing.assert_close(rows[0].real, (MODEL.times * LARGEST_SHIFT).float())
    torch.testing.assert_close(rows[0].imag, ((MODEL.times + MODEL.delay) * LARGEST_SHIFT).float())
    turned = torch.polar(torch.ones(4), (2 * torch.pi * MODEL.frequencies * MODEL.delay).float())
    torch.testing.assert_close(rows[1:, 0], turned)
    undelayed = acquisition_rows(replace(MODEL, delay=0.0), LARGEST_SHIFT)
    torch.testing.assert_close(undelayed[1:, 0], torch.ones(4, dtype=torch.complex64))


def test_fids_of_the_mask_follow_time_points_of_a_voxel_together() -> None:
    values = random_fids(2, 2, 1, 256, 3)
    mask = np.array([[0, 1], [1, 1]], np.float32)[..., None]
    values[1, 1] = 0  # not measured
    out = preprocessed(values, mask)
    assert out["image"].shape == (2, 5 + 2 * 3, 256)
    assert out["voxels"][..., 0].tolist() == [[False, True], [True, False]]
    assert out["dynamics"] == 3
    fids = torch.complex(*out["image"].as_tensor()[:, 5:])
    expected = torch.from_numpy(values)[[0, 1], [1, 0], 0].transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(fids, expected)


def test_zero_filling_is_cut() -> None:
    values = random_fids(2, 1, 1, 256)
    values[..., 100:] = 0
    assert preprocessed(values)["image"].shape == (2, 5 + 2, 100)


def test_relaxation_times_are_the_tables_unless_given() -> None:
    out = preprocessed(random_fids(1, 1, 1, 256), t2_star={"Lac": 0.05})
    assert out["t2_star"].tolist() == pytest.approx([0.03, 0.03, 0.035, 0.05])
    assert out["t2_star_given"].tolist() == [False, False, False, True]
    assert out["t2_star_sd"].tolist() == [0, 0, 0, 0]


def test_nothing_to_fit_leaves_no_fid() -> None:
    out = preprocessed(np.zeros((2, 2, 1, 64), np.complex64), fit_t2_star=True)
    assert out["image"].shape == (2, 5, 64)
    assert not out["voxels"].any()


def test_a_mask_on_the_grid_of_an_mri_is_resampled_and_said() -> None:
    values = random_fids(4, 3, 2, 256)
    own = np.random.default_rng(1).random((4, 3, 2)) < 0.5
    finer = np.diag([1 / 3, 1 / 3, 1 / 3, 1.0])
    finer[:3, 3] = 1 / 6 - 0.5
    image = read_image(values)
    mask = np.kron(own, np.ones((3, 3, 3))).astype(np.float32)
    fine = MetaTensor(torch.from_numpy(mask)[None], affine=torch.as_tensor(np.asarray(image.meta["affine"]) @ finer))
    out = PreprocessFidsd(metabolites=METABOLITES)({"image": image, "mask": fine})
    np.testing.assert_array_equal(out["voxels"].numpy(), own)
    assert out["resampled"] == "mask"
