import numpy as np
import pytest
from scipy import ndimage

from mrsikit.restoration.inpainting import gaussian


def test_it_is_the_weighted_mean_of_the_data_around():
    rng = np.random.default_rng(0)
    map = rng.random((32, 32)).astype(np.float32) + 1
    missing = np.zeros((32, 32), bool)
    missing[16, 16] = True
    weights = ndimage.gaussian_filter((~missing).astype(float), 1.0)
    expected = ndimage.gaussian_filter(np.where(missing, 0, map).astype(float), 1.0)[16, 16] / weights[16, 16]
    assert gaussian(map, missing, sigma=1.0)[16, 16] == pytest.approx(expected, rel=1e-5)


def test_it_widens_where_no_data_are_near():
    map = np.full((64, 64), 1.0, np.float32)
    map[:, 28:] = 3.0
    missing = np.zeros((64, 64), bool)
    missing[20:44, 4:28] = True
    filled = gaussian(map, missing, sigma=0.6)
    assert filled[missing].min() >= 1.0 - 1e-5
    assert filled[32, 4] < filled[32, 15] < filled[32, 27]
    assert 1.3 < filled[32, 15] < 2.7


def test_without_a_brain_the_outside_is_no_data_but_a_ventricle_is():
    x, y = np.indices((48, 48)) - 24
    radius = np.hypot(x, y)
    map = np.where(radius < 20, 5.0, 0.0).astype(np.float32)
    rim = (radius < 20) & (radius > 17) & (x > 0)
    np.testing.assert_allclose(gaussian(map, rim)[rim], 5.0, rtol=1e-5)
    ventricle = (np.abs(x) < 3) & (np.abs(y) < 7)
    beside = (np.abs(x) == 3) & (np.abs(y) < 2)
    filled = gaussian(np.where(ventricle, 0, map), beside)
    assert (filled[beside] < 4).all()


def test_a_larger_sigma_averages_more_noise(mni_map, mni_missing):
    flat = np.where(mni_map > 0, 1 + 0.3 * np.random.default_rng(0).standard_normal(mni_map.shape), 0)
    spread = [gaussian(flat, mni_missing, sigma=sigma)[mni_missing].std() for sigma in (0.6, 1.0, 2.0)]
    assert spread[0] > spread[1] > spread[2]


def test_sigma_must_be_above_zero():
    with pytest.raises(ValueError, match="sigma"):
        gaussian(np.ones((8, 8)), np.ones((8, 8), bool), sigma=0.0)
