"""Ratio kriging: what two maps share divides out."""

import numpy as np
from scipy import ndimage

from mrsikit.restoration.inpainting import kriging
from mrsikit.restoration.inpainting.ratio_kriging import RatioKriging

SIZE = 24


def two_maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two maps of common shading and a smooth ratio, and some missing voxels."""
    rng = np.random.default_rng(0)
    shading = np.exp(0.5 * rng.standard_normal((SIZE, SIZE)))  # nothing around a voxel tells it
    ratio = 2 + ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 4)
    return shading * ratio, shading, rng.random((SIZE, SIZE)) < 0.1


def test_common_shading_divides_out() -> None:
    map, other, missing = two_maps()
    fit = RatioKriging.fit(map, ~missing, other, (1, 1))
    assert fit is not None
    found = fit.predict(~missing, missing)
    alone = kriging(map, missing)[missing]
    truth = map[missing]
    assert ((found - truth) ** 2).mean() < 0.01 * ((alone - truth) ** 2).mean()


def test_where_the_other_map_is_not_known_nothing_is_predicted() -> None:
    map, other, missing = two_maps()
    places = np.argwhere(missing)
    other[tuple(places[0])], other[tuple(places[1])] = np.nan, 0.0
    fit = RatioKriging.fit(map, ~missing, other, (1, 1))
    assert fit is not None
    found = fit.predict(~missing, missing)
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2:]).all()
    assert np.isnan(fit.predict(np.zeros_like(missing), missing)).all()


def test_hidden_voxels_are_not_used() -> None:
    map, other, missing = two_maps()
    fit = RatioKriging.fit(map, np.ones_like(missing), other, (1, 1))
    spoilt = RatioKriging.fit(np.where(missing, 9 * map, map), np.ones_like(missing), other, (1, 1))
    assert fit is not None
    assert spoilt is not None
    spoilt = RatioKriging(spoilt.ratio, spoilt.known, spoilt.other, spoilt.sides, fit.covariance)
    np.testing.assert_array_equal(fit.predict(~missing, missing), spoilt.predict(~missing, missing))


def test_noisy_voxels_count_less() -> None:
    map, other, missing = two_maps()
    bounds = np.where(np.indices(map.shape).sum(0) % 2, 0.5, 0.01) * map
    noisy = np.maximum(map + bounds * np.random.default_rng(1).standard_normal(map.shape), 0.01)
    with_bounds = RatioKriging.fit(noisy, ~missing, other, (1, 1), bounds=bounds)
    without = RatioKriging.fit(noisy, ~missing, other, (1, 1))
    assert with_bounds is not None
    assert without is not None
    off = [((fit.predict(~missing, missing) - map[missing]) ** 2).mean() for fit in (with_bounds, without)]
    assert off[0] < 0.5 * off[1]


def test_maps_with_negative_values_or_few_voxels_have_no_ratio() -> None:
    map, other, missing = two_maps()
    assert RatioKriging.fit(map - 5, ~missing, other, (1, 1)) is None
    assert RatioKriging.fit(map, ~missing, other - 5, (1, 1)) is None
    few = np.zeros_like(missing)
    few[:3, :3] = True
    assert RatioKriging.fit(map, few, other, (1, 1)) is None


def test_values_of_next_to_nothing_in_the_other_map_do_not_spoil_the_ratio() -> None:
    map, other, missing = two_maps()
    other[tuple(np.argwhere(~missing)[::40].T)] = 1e-9
    fit = RatioKriging.fit(map, ~missing, other, (1, 1))
    assert fit is not None
    found, truth = fit.predict(~missing, missing), map[missing]
    assert ((found - truth) ** 2).mean() < 0.01 * truth.var()
