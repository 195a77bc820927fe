import functools

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage
from scipy.spatial.transform import Rotation

from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd
from mrsikit.super_resolution.rigid_check import NO_MOVE, move_in_words, move_needed

SIDE = 4.0
OWN = torch.diag(torch.tensor([SIDE, SIDE, SIDE, 1.0], dtype=torch.float64))
OWN[:3, 3] = torch.tensor([-98.0, -98.0, -78.0])


@functools.cache
def head() -> np.ndarray:
    """A head that is no ellipsoid, with ventricles and a texture, on a grid of 4 mm: (50, 50, 40), 0 to about 1."""
    x, y, z = np.meshgrid(*(SIDE * (np.arange(n) - (n - 1) / 2) for n in (50, 50, 40)), indexing="ij")
    brain = (x / (48 - 0.12 * y)) ** 2 + (y / 80) ** 2 + ((z + 0.1 * y) / 60) ** 2 < 1
    ventricles = (x / 18) ** 2 + ((y - 5) / 30) ** 2 + ((z - 5) / 14) ** 2 < 1
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(brain.shape), 2)
    return np.where(ventricles, 0.15, 0.6 + 0.15 * texture / texture.std()) * brain


def mri(move: np.ndarray | None = None) -> MetaTensor:
    """The head, shifted (mm) and turned (degrees) from where it lies."""
    placed = torch.eye(4, dtype=torch.float64)
    if move is not None:
        placed[:3, :3] = torch.from_numpy(Rotation.from_rotvec(move[3:], degrees=True).as_matrix())
        placed[:3, 3] = torch.from_numpy(move[:3])
    return MetaTensor(torch.from_numpy(head())[None].float(), affine=placed @ OWN)


def maps(slices: int = 10, noise: float = 0.03) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Coarse maps of another contrast on voxels of 8 mm, (1, 25, 25, Z), their tissue and affine."""
    values = np.where(head() > 0.05, 1.2 - head(), 0.0) * (head() > 0.3)
    values = values.reshape(25, 2, 25, 2, 20, 2).mean((1, 3, 5))[..., 10 - slices // 2 : 10 + (slices + 1) // 2]
    tissue = torch.from_numpy(values > 0.15)[None]
    values = values + noise * np.random.default_rng(1).standard_normal(values.shape)
    affine = OWN @ torch.diag(torch.tensor([2.0, 2, 2, 1], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([-96.0, -96.0, -76.0 + 8 * (10 - slices // 2)])
    return torch.from_numpy(values)[None].float(), tissue, affine


@pytest.mark.parametrize("slices", [5, 10, 16])
def test_an_mri_in_place_needs_no_move(slices: int) -> None:
    values, tissue, affine = maps(slices)
    assert move_needed(values, tissue, mri(), affine) == NO_MOVE


@pytest.mark.parametrize("axis", range(6))
@pytest.mark.parametrize("size", [-14.0, 14.0])
def test_the_move_back_is_found_along_and_about_each_axis(axis: int, size: float) -> None:
    values, tissue, affine = maps()
    move = size * np.eye(6)[axis]
    found = np.array(move_needed(values, tissue, mri(move), affine))
    np.testing.assert_allclose(found, -move, atol=5)


@pytest.mark.parametrize(
    ("slices", "low", "high"),
    [
        pytest.param(10, (-30, -40), (30, 40), id="in the middle, and bare brain around it"),
        pytest.param(6, (-30, -50), (10, 20), id="a gain in one corner of the box alone"),
    ],
)
def test_the_bare_brain_around_a_box_is_no_sign_of_a_move(
    slices: int, low: tuple[float, float], high: tuple[float, float]
) -> None:
    """Maps of a PRESS box: what was not excited is empty, although the MRI in place shows brain there."""
    values, tissue, affine = maps(slices)
    x, y = (8 * (torch.arange(25.0) - 12) for _ in range(2))
    inside = ((x >= low[0]) & (x <= high[0]))[:, None] & ((y >= low[1]) & (y <= high[1]))
    assert move_needed(values * inside[..., None], tissue & inside[..., None], mri(), affine) == NO_MOVE


def test_maps_of_noise_beside_a_good_one_do_not_hide_a_shift() -> None:
    values, tissue, affine = maps()
    noise = torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
    both = torch.cat([values, 100 * noise]), torch.cat([tissue, tissue & False])
    shift = np.array([0, 0, 14.0, 0, 0, 0])
    np.testing.assert_allclose(move_needed(*both, mri(shift), affine), -shift, atol=4)
    assert move_needed(*both, mri(), affine) == NO_MOVE


def test_what_is_no_volume_or_empty_is_not_judged() -> None:
    values, tissue, affine = maps()
    shifted = mri(np.array([0, 0, 14.0, 0, 0, 0]))
    assert move_needed(values[..., :2], tissue[..., :2], shifted, affine) == NO_MOVE
    assert move_needed(values, tissue & False, shifted, affine) == NO_MOVE
    assert move_needed(0 * values, tissue, shifted, affine) == NO_MOVE
    assert move_needed(values, tissue, MetaTensor(0 * shifted.as_tensor(), affine=OWN), affine) == NO_MOVE
    far = mri(np.array([0, 0, 500.0, 0, 0, 0]))
    assert move_needed(values, tissue, far, affine) == NO_MOVE


def test_the_parts_of_a_move_are_named_in_the_patients_directions() -> None:
    assert move_in_words((12.2, 1.0, -8.0, 0, 0, 0)) == "moved 12 mm to the right, 8 mm to the feet"
    assert move_in_words((0, -11, 0, 3, 0, 0)) == "moved 11 mm to the back"
    assert move_in_words((0, 0, 0, 0, 0, -13)) == "turned 13 degrees nose to the right"
    assert (
        move_in_words((-9, 0, 0, 10, -20, 0))
        == "moved 9 mm to the left and turned 10 degrees nose up, 20 degrees top of the head to the left"
    )


def test_turns_are_named_by_the_way_they_go() -> None:
    """Positive turns about the axes to the right, to the front and up."""
    front, up = np.array([0, 1.0, 0]), np.array([0, 0, 1.0])

    def turned(axis: int, what: np.ndarray) -> np.ndarray:
        return Rotation.from_rotvec(20 * np.eye(3)[axis], degrees=True).apply(what)

    assert turned(0, front)[2] > 0  # the nose goes up
    assert turned(1, up)[0] > 0  # the top of the head goes to the right
    assert turned(2, front)[0] < 0  # the nose goes to the left


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_preprocessing_tells_the_move(order: list[int]) -> None:
    """Whatever the order of the axes in the file, and slices of little signal do not count more than others."""
    values, _, affine = maps()
    stored = MetaTensor(50 * values.permute(0, *(1 + o for o in order)), affine=affine[:, [*order, 3]])
    shift = np.array([0, 0, 13.0, 0, 0, 0])
    out = PreprocessCoarseMapd(factor=2, noise=1.5)({"image": stored, "flair": mri(shift), "t1": mri()})
    np.testing.assert_allclose(out["move"]["flair"], -shift, atol=4)
    assert not any(out["move"]["t1"])
