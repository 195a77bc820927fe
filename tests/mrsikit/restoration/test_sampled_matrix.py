import numpy as np
import pytest
from scipy import ndimage
from scipy.signal import resample

from mrsikit.restoration.sampled_matrix import interpolated_in_words, sampled_matrix


def measured(size: int = 16, slices: int = 3, *, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """A head of grey and white matter and a ventricle, with noise everywhere, (size, size, slices)."""
    rng = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, 8 * size),) * 2, indexing="ij"))
    folds = ndimage.gaussian_filter(rng.standard_normal((slices, 8 * size, 8 * size)), (1, 0.2 * size, 0.2 * size))
    head = (at[0] / 0.75) ** 2 + (at[1] / 0.9) ** 2 < 1
    fine = head * np.where(folds > 0, 1.0, 0.6) * (np.hypot(*at) > 0.2)
    values = fine.reshape(slices, size, 8, size, 8).mean((2, 4)).transpose(1, 2, 0)
    return values + noise * rng.standard_normal(values.shape)


def fourier(values: np.ndarray, factor: float, window: str | None = None) -> np.ndarray:
    for axis in (0, 1):
        values = resample(values, round(factor * values.shape[axis]), axis=axis, window=window)
    return values


ENDS = {"grid_mode": True, "mode": "nearest"}

METHODS = {
    "nearest": lambda values, factor: ndimage.zoom(
        values, (factor, factor, 1), order=0, grid_mode=True, mode="nearest"
    ),
    "linear": lambda values, factor: ndimage.zoom(values, (factor, factor, 1), order=1, **ENDS),
    "cubic": lambda values, factor: ndimage.zoom(values, (factor, factor, 1), order=3, **ENDS),
    "corners": lambda values, factor: ndimage.zoom(values, (factor, factor, 1), order=1),
    "zero filling": fourier,
    "Hamming": lambda values, factor: fourier(values, factor, "hamming"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("size", "factor"), [(16, 4), (16, 2), (20, 1.5)])
def test_an_interpolated_map_is_named_with_its_matrix(method: str, masked: bool, size: int, factor: float) -> None:
    fine = METHODS[method](measured(size), factor).astype(np.float32)
    if masked:
        fine = fine * (fine > 0.3)
    found = sampled_matrix(fine[None])
    assert found[2] == 0
    assert found[:2] == [pytest.approx(size, rel=0.2)] * 2


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("noise", [0.005, 0.1])
@pytest.mark.parametrize("masked", [False, True])
def test_a_measured_map_is_not(size: int, noise: float, masked: bool) -> None:
    values = measured(size, 1 if size > 16 else 8, noise=noise)
    assert sampled_matrix((values * (values > 0.3) if masked else values)[None]) == [0] * 3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_axis_alone(axis: int) -> None:
    values = np.moveaxis(measured(24, 12), 2, axis)
    factors = [1.0, 1.0, 1.0]
    factors[axis] = 2
    found = sampled_matrix(ndimage.zoom(values, factors, order=1, grid_mode=True, mode="nearest")[None])
    assert found[axis] == pytest.approx(12, abs=2)
    assert [n for k, n in enumerate(found) if k != axis] == [0, 0]


def test_several_maps_and_missing_voxels() -> None:
    maps = np.stack([METHODS["cubic"](measured(seed=k), 4) for k in range(3)])
    maps[0] += 0.01 * np.random.default_rng(0).standard_normal(maps[0].shape)
    maps[:, 30, 30, 0] = np.nan
    assert sampled_matrix(maps)[:2] == [pytest.approx(16, rel=0.2)] * 2
    maps[1] += 0.01 * np.random.default_rng(1).standard_normal(maps[0].shape)
    assert sampled_matrix(maps) == [0] * 3  # two of three were measured so


def test_complex_points_of_fids() -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((20, 8, 8, 4)) + 1j * rng.standard_normal((20, 8, 8, 4))
    fine = np.stack([resample(resample(one, 16, axis=0), 16, axis=1) for one in points])
    assert sampled_matrix(fine, support=0)[:2] == [8, 8]
    assert sampled_matrix(points, support=0) == [0] * 3


@pytest.mark.parametrize("background", [10.0, -1.0, -999.0])
def test_a_constant_background_was_not_measured(background: float) -> None:
    values = measured(32, 1)
    inside = ndimage.gaussian_filter(values, (2, 2, 0)) > 0.3
    assert sampled_matrix(np.where(inside, values, background)[None]) == [0] * 3
    fine = METHODS["cubic"](measured(16), 4)
    inside = ndimage.gaussian_filter(fine, (4, 4, 0)) > 0.3
    assert sampled_matrix(np.where(inside, fine, background)[None])[:2] == [pytest.approx(16, rel=0.25)] * 2


@pytest.mark.parametrize("copies", [4, 9, 12])
def test_copies_of_a_slice_are_not_interpolated_in_plane(copies: int) -> None:
    assert sampled_matrix(measured(32, 1).repeat(copies, 2)[None])[:2] == [0, 0]


def test_any_unit_and_no_voxels() -> None:
    fine = METHODS["cubic"](measured(), 4)
    assert sampled_matrix(1e-30 * fine[None]) == sampled_matrix(fine[None])
    assert sampled_matrix(np.zeros((1, 16, 16, 0))) == [0] * 3


def drawings() -> dict[str, np.ndarray]:
    x, y = np.meshgrid(*(np.arange(24) - 11.5,) * 2, indexing="ij")
    disc = ((x / 9) ** 2 + (y / 10) ** 2 < 1) * (1 - 0.8 * (np.hypot(x, y) < 3))
    return {
        "disc": disc,
        "lesion": disc * (1 + 0.5 * (np.hypot(x - 4, y - 1) < 3)),
        "bump": np.exp(-(x**2 + y**2) / 60),
        "ramp": x + 2 * y + 50,
        "constant": np.ones_like(x),
        "empty": np.zeros_like(x),
        "missing": np.full_like(x, np.nan),
        "one voxel": np.ones((1, 1)),
    }


@pytest.mark.parametrize("name", drawings())
def test_a_drawing_is_not_taken_for_an_interpolated_map(name: str) -> None:
    assert sampled_matrix(drawings()[name][None, ..., None]) == [0] * 3


def test_in_words() -> None:
    assert "the 64 x 64 x 8 voxels look interpolated from about 16 x 17 x 8, or " in interpolated_in_words(
        [16, 17, 0], (64, 64, 8)
    )
