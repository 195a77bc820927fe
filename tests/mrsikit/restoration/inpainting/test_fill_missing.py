"""What every classical fill promises."""

import numpy as np
import pytest

from mrsikit.restoration.inpainting import FILLS
from mrsikit.restoration.inpainting.fill_missing import fill_missing, nearest_data

SHAPES = [(8, 8), (16, 12), (8, 9, 8), (16, 16, 1), (8, 8, 2)]
each_fill = pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)


def patterns(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    first = np.indices(shape)[0]
    rng = np.random.default_rng(3)
    return {
        "none": np.zeros(shape, bool),
        "all": np.ones(shape, bool),
        "all but one": np.arange(first.size).reshape(shape) != 5,
        "border slab": first < 3,
        "all but a row": first != 4,
        "single": rng.random(shape) < 0.2,
        "most": rng.random(shape) < 0.8,
    }


@each_fill
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_observed_voxels_are_bit_identical_and_the_lost_value_never_leaks(fill, shape):
    map = np.random.default_rng(0).random(shape).astype(np.float32)
    for pattern, missing in patterns(shape).items():
        reference = fill(np.where(missing, np.float32(0), map), missing)
        assert reference.dtype == np.float32, pattern
        assert np.isfinite(reference).all(), pattern
        np.testing.assert_array_equal(reference[~missing].view(np.uint32), map[~missing].view(np.uint32), pattern)
        for lost_value in (np.nan, -np.inf, 1e30):
            spoiled = np.where(missing, np.float32(lost_value), map)
            before = spoiled.copy()
            np.testing.assert_array_equal(fill(spoiled, missing), reference, pattern)
            np.testing.assert_array_equal(spoiled, before, pattern)


@each_fill
def test_non_finite_voxels_count_as_missing_even_unmarked(fill):
    map = np.full((8, 8), 2.0, np.float32)
    map[3, 3], map[6, 1] = np.nan, -np.inf
    np.testing.assert_allclose(fill(map, np.zeros((8, 8), bool)), 2.0, rtol=1e-5)


@each_fill
@pytest.mark.parametrize("shape", [(16, 16), (10, 10, 10)], ids=str)
def test_a_constant_map_is_restored(fill, shape):
    missing = np.random.default_rng(1).random(shape) < 0.3
    filled = fill(np.where(missing, 0, 5.0), missing)
    np.testing.assert_allclose(filled, 5.0, rtol=1e-4)


@each_fill
@pytest.mark.parametrize("unit", [1e6, 1e-6, -1.0])
def test_fills_follow_the_unit_of_the_map(fill, unit, mni_map, mni_missing):
    if unit < 0 and fill in (FILLS["gaussian"], FILLS["mean"]):
        pytest.skip("without a brain mask the brain is where the map is above zero")
    if unit < 0 and fill is FILLS["kriging"]:
        pytest.skip("only a map without negative values is predicted as its root")
    reference = fill(mni_map, mni_missing)
    np.testing.assert_allclose(fill(mni_map * np.float32(unit), mni_missing) / unit, reference, atol=2e-5)


@each_fill
def test_with_a_brain_only_what_is_inside_is_data(fill):
    brain = np.zeros((16, 16), bool)
    brain[3:13, 3:13] = True
    missing = np.zeros_like(brain)
    missing[10:, 5:9] = True  # a lost rim, and beyond it
    missing[0, 0] = True
    map = np.where(brain, 4.0, -100.0).astype(np.float32)
    filled = fill(map, missing, brain=brain)
    np.testing.assert_allclose(filled[missing & brain], 4.0, rtol=1e-4)
    assert (filled[missing & ~brain] == 0).all()
    np.testing.assert_array_equal(filled[~missing], map[~missing])


@each_fill
def test_a_lost_rim_is_filled_better_with_the_brain_mask(fill, mni_map):
    brain = mni_map > 0
    missing = brain & (np.indices(brain.shape)[0] < np.flatnonzero(brain.any(1))[0] + 6)
    spoiled = np.where(missing, 0, mni_map)
    errors = [((fill(spoiled, missing, brain=b) - mni_map)[missing] ** 2).mean() for b in (brain, None)]
    if fill in (FILLS["gaussian"], FILLS["mean"], FILLS["kriging"]):  # they leave the outside out by themselves
        # Kriging takes the ventricles inside the outline for data, if there is no mask; that changes its fit a little.
        assert errors[0] == pytest.approx(errors[1], rel=0.5 if fill is FILLS["kriging"] else 0.1)
    else:
        assert errors[0] < 0.8 * errors[1]


@each_fill
@pytest.mark.parametrize(
    ("map_shape", "missing_shape", "brain_shape"),
    [((8,), (8,), None), ((8, 8, 8, 2), (8, 8, 8, 2), None), ((8, 8), (8, 9), None), ((8, 8), (8, 8), (8, 9))],
)
def test_wrong_shapes_are_refused(fill, map_shape, missing_shape, brain_shape):
    brain = None if brain_shape is None else np.ones(brain_shape, bool)
    with pytest.raises(ValueError, match="shape"):
        fill(np.ones(map_shape), np.ones(missing_shape, bool), brain=brain)


def hole_error(name: str, spoiled: np.ndarray, truth: np.ndarray, draws: list[np.ndarray]) -> float:
    return float(np.mean([((FILLS[name](spoiled, holes) - truth)[holes] ** 2).mean() for holes in draws]))


def test_order_of_the_fills_on_a_brain_slice(mni_map, mni_draws):
    """As measured when the project was prepared: biharmonic and DCT before cubic and linear."""
    error = {name: hole_error(name, mni_map, mni_map, mni_draws) for name in FILLS}
    assert max(error["biharmonic"], error["dct"]) < min(error["cubic"], error["linear"])
    assert error["biharmonic"] < 0.85 * error["linear"]
    assert error["linear"] < min(error["nearest"], error["mean"])


def test_averaging_beats_following_on_a_noisy_slice(mni_map, mni_draws):
    noise = 0.35 * mni_map[mni_map > 0].mean() * np.random.default_rng(2).standard_normal(mni_map.shape)
    noisy = np.where(mni_map > 0, np.maximum(mni_map + noise, 1e-3), 0)
    errors = [hole_error(name, noisy, mni_map, mni_draws) for name in ("gaussian", "biharmonic")]
    assert errors[0] < 0.9 * errors[1]


def test_the_estimate_is_of_a_map_of_unit_maximum_and_stands_only_where_a_value_is_missing():
    seen = []

    def estimate(values, data, target):
        seen.append((values, data, target))
        return np.full(values.shape, 0.5)

    map = np.array([[1.0, 2, np.nan], [4, 100, 8]])
    missing = np.array([[False, False, False], [False, True, False]])
    filled = fill_missing(map, missing, None, estimate)
    np.testing.assert_array_equal(filled, np.array([[1, 2, 4], [4, 4, 8]], np.float32))  # half of the maximum, 8
    values, data, target = seen[0]
    np.testing.assert_array_equal(values, [[0.125, 0.25, 0], [0.5, 0, 1]])
    np.testing.assert_array_equal(target, [[False, False, True], [False, True, False]])
    np.testing.assert_array_equal(data, ~target)


def test_with_a_brain_what_lies_outside_is_no_data_and_what_is_missing_there_is_zero():
    map = np.array([[1.0, 2, np.nan], [4, np.nan, 8]])
    brain = np.array([[True, True, True], [True, False, False]])
    filled = fill_missing(map, np.zeros((2, 3), bool), brain, lambda values, data, target: values.max() + 0 * values)
    np.testing.assert_array_equal(filled, np.array([[1, 2, 4], [4, 0, 8]], np.float32))


@pytest.mark.parametrize(("shape", "given"), [((4, 1, 3), (4, 3)), ((4, 3, 1), (4, 3)), ((1, 4, 1), (1, 4, 1))])
def test_an_axis_of_one_voxel_is_none(shape, given):
    seen = []
    missing = np.zeros(shape, bool)
    missing.flat[1] = True
    fill_missing(np.ones(shape), missing, None, lambda values, *_: seen.append(values.shape) or values)
    assert seen == [given]


def test_nothing_to_estimate_from_gives_zeros():
    def never(*_):
        raise AssertionError

    np.testing.assert_array_equal(fill_missing(np.full((2, 2), np.nan), np.zeros((2, 2)), None, never), 0)
    np.testing.assert_array_equal(fill_missing(np.ones((2, 2)), np.zeros((2, 2)), None, never), 1)


def test_the_nearest_data_by_hand():
    values = np.array([[1.0, 0, 0, 0, 5], [0, 0, 0, 0, 0]])
    expected = [[1, 1, 1, 5, 5], [1, 1, 1, 5, 5]]
    found = nearest_data(values, values > 0)
    np.testing.assert_array_equal(found[:, [0, 1, 3, 4]], np.array(expected)[:, [0, 1, 3, 4]])
    assert set(found[:, 2]) <= {1.0, 5.0}  # as far from the one as from the other
