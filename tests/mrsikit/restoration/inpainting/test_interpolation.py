import numpy as np
import pytest

from mrsikit.restoration.inpainting import cubic, linear, nearest


def test_nearest_takes_the_nearest_observed_value():
    map = np.tile(np.arange(1.0, 10.0), (9, 1))
    missing = np.zeros((9, 9), bool)
    missing[4, 2:8] = True
    filled = nearest(map, missing)
    np.testing.assert_array_equal(filled[4, 3:7], map[4, 3:7])  # the voxels above and below, not the tied ends
    missing[:, 5:] = True
    assert (nearest(map, missing)[6, 5:] == 5).all()


@pytest.mark.parametrize("shape", [(16, 16), (10, 9, 8)], ids=str)
def test_linear_is_exact_on_a_ramp_inside_the_hull(shape):
    x, y, *_ = np.indices(shape)
    ramp = 10.0 + 2 * x - 3 * y
    missing = np.zeros(shape, bool)
    missing[(slice(4, 7), slice(3, 6), *(slice(2, 5) for _ in shape[2:]))] = True
    np.testing.assert_allclose(linear(np.where(missing, np.nan, ramp), missing), ramp, rtol=1e-5)


def test_cubic_follows_a_paraboloid_more_closely_than_linear():
    x, y = np.indices((16, 16))
    bowl = 1.0 + (x - 8) ** 2 + (y - 8) ** 2
    missing = np.zeros((16, 16), bool)
    missing[7:10, 7:10] = True
    errors = [np.abs(fill(np.where(missing, 0, bowl), missing) - bowl).max() for fill in (cubic, linear)]
    assert errors[0] < 0.5 * errors[1]


def test_cubic_in_3d_is_slice_wise_and_falls_back_to_nearest():
    rng = np.random.default_rng(0)
    map = rng.random((12, 12, 3)).astype(np.float32)
    missing = rng.random(map.shape) < 0.2
    missing[:1] = missing[-1:] = False
    missing[:, :1] = missing[:, -1:] = False
    missing[..., 1] = True  # a lost slice
    filled = cubic(map, missing)
    scale = map[~missing].max()
    for z in (0, 2):
        np.testing.assert_allclose(
            filled[..., z], cubic(np.where(missing, 0, map)[..., z], missing[..., z]), atol=1e-4 * scale
        )
    np.testing.assert_array_equal(filled[..., 1], nearest(map, missing)[..., 1])


@pytest.mark.parametrize("fill", [linear, cubic])
def test_outside_the_hull_the_nearest_value_is_taken(fill):
    map = np.random.default_rng(0).random((12, 12)).astype(np.float32)
    missing = np.zeros((12, 12), bool)
    missing[:4] = True
    np.testing.assert_array_equal(fill(map, missing), nearest(map, missing))
