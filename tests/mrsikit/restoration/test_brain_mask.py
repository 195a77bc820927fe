import numpy as np
import pytest

from mrsikit.restoration.brain_mask import brain_outline, zero_rule


def disc(size: int, radius: float, dims: int = 2) -> np.ndarray:
    return (sum((i - size // 2) ** 2 for i in np.indices((size,) * dims)) <= radius**2).astype(np.float32)


@pytest.mark.parametrize("dims", [2, 3])
def test_zeros_inside_are_missing_and_the_outside_is_not(dims):
    map = disc(32, 12, dims)
    holes = np.zeros(map.shape, bool)
    holes[(slice(14, 17),) * dims] = True  # in the middle
    holes[(16, 5, 16)[:dims]] = True  # one voxel near the rim: the closing brings it in
    np.testing.assert_array_equal(zero_rule(np.where(holes, 0, map)), holes)
    np.testing.assert_array_equal(zero_rule(np.where(holes, np.nan, map)), holes)


def test_a_large_hole_is_filled_but_a_lost_side_is_not_seen():
    map = disc(64, 25)
    ventricle = disc(64, 9) > 0
    assert zero_rule(np.where(ventricle, 0, map))[ventricle].all()
    slab = np.indices(map.shape)[0] < 20
    lost = slab & (map > 0)
    assert zero_rule(np.where(slab, 0, map))[lost].mean() < 0.05


def test_radius_of_the_closing():
    map = np.ones((20, 20), np.float32)
    map[:, 7:13] = 0  # a gap of 6: voxel centres at distance 3 of the sides or less
    gap = zero_rule(map, radius=3)
    assert gap[5:15, 7:13].all()
    assert not gap[0, 9:11].any()  # beyond the border there is nothing: the mouth of the gap stays open
    assert not zero_rule(map, radius=2)[5:15, 8:12].any()


@pytest.mark.parametrize("shape", [(16, 16), (10, 10, 10)], ids=str)
def test_a_brain_that_reaches_the_border_is_not_eroded(shape):
    assert brain_outline(np.ones(shape)).all()


def test_a_volume_of_one_slice_is_a_slice():
    map = disc(32, 12) - disc(32, 6)
    np.testing.assert_array_equal(brain_outline(map[..., None])[..., 0], brain_outline(map))
    assert brain_outline(map)[16, 16]


def test_nothing_above_zero_gives_nothing():
    assert not brain_outline(np.full((8, 8), np.nan)).any()
    assert not zero_rule(np.zeros((8, 8, 8))).any()
