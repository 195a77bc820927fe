"""Matched residuals: innovations of known correlation, and maps that contradict each other."""

import numpy as np
import pytest

from mrsikit.restoration.inpainting.matched_residuals import Innovations, local_slope

MIXING = np.array([[1.0, 0.0, 0.0], [0.9, 0.43, 0.0], [0.9, 0.0, 0.43]])


def innovations(count: int = 2000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3)) @ MIXING.T


def test_the_correlation_is_found_and_broken_fits_do_not_matter() -> None:
    found = innovations()
    found[::50] = 1e4
    model = Innovations.fit(found)
    assert abs(model.correlation[0, 1] - 0.9) < 0.08
    assert abs(model.scale[0] - 1) < 0.1


def test_more_maps_predict_better_and_none_predicts_nothing() -> None:
    model = Innovations.fit(innovations())
    new = innovations(seed=1)
    for columns, most in (([1, 2], 0.14), ([1], 0.28)):
        others = np.full((len(new), 2), np.nan)
        others[:, [c - 1 for c in columns]] = new[:, columns]
        predicted, rest = model.predict(others)
        assert ((new[:, 0] - predicted) ** 2).mean() < most
        assert np.median(rest) < 0.3
    predicted, rest = model.predict(np.full((3, 2), np.nan))
    assert not predicted.any()
    assert (rest == 1).all()


def test_a_map_that_the_others_contradict_has_no_say() -> None:
    model = Innovations.fit(innovations())
    predicted, rest = model.predict(np.array([[-6.0, 0.0], [-2.0, -2.0]]))
    assert predicted[0] == 0  # the second map alone, which is as expected
    assert rest[0] > rest[1]
    assert predicted[1] < -1.5


def test_maps_that_all_lie_far_off_the_same_way_do_not_contradict_each_other() -> None:
    model = Innovations.fit(innovations())
    predicted, _ = model.predict(np.array([[-9.0, -9.0], [-9.0, 2.0]]))
    assert predicted[0] < -4  # the edge of an excited box: all maps fall
    assert abs(predicted[1]) < 2.5


def test_the_slope_is_one_where_the_maps_agree_and_none_where_they_do_not() -> None:
    model = Innovations.fit(innovations())
    found = innovations(40, seed=2)
    places = np.zeros((40, 2))
    targets = np.zeros((1, 2))
    assert local_slope(model, places, found, targets, 2.0)[0] > 0.8
    against = found.copy()
    against[:, 0] = -3 * found[:, 1]  # a tumour: choline rises where the others fall
    assert local_slope(model, places, against, targets, 2.0)[0] == 0
    assert local_slope(model, places + 50, against, targets, 2.0)[0] == 1  # too far to count


def test_many_patterns_of_missing_maps_are_each_predicted_from_their_own() -> None:
    rng = np.random.default_rng(3)
    shared = rng.standard_normal((400, 1))
    innovations = shared + 0.1 * rng.standard_normal((400, 6))
    model = Innovations.fit(innovations)
    some = np.where(rng.random((400, 5)) < 0.5, np.nan, innovations[:, 1:])
    together = model.predict(some)
    for k in (0, 7, 399):
        alone = model.predict(some[k : k + 1])
        assert together[0][k] == pytest.approx(alone[0][0])
        assert together[1][k] == pytest.approx(alone[1][0])


def test_innovations_of_exactly_zero_are_no_error() -> None:
    innovations = np.c_[np.random.default_rng(4).standard_normal(60), np.zeros(60)]
    assert np.isfinite(Innovations.fit(innovations).correlation).all()


def test_neighbours_of_which_no_other_map_is_known_do_not_weaken_the_prior_of_the_slope() -> None:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(200)
    model = Innovations.fit(np.c_[shared, shared + 0.3 * rng.standard_normal(200)])
    places = np.arange(10.0)[:, None]
    one = np.full((10, 2), np.nan)
    one[:, 0] = -0.05
    one[0, 1] = 0.05  # a single weak neighbour that disagrees
    target = np.zeros((1, 1))
    few = local_slope(model, places[:2], one[:2], target, 3.0)
    many = local_slope(model, places, one, target, 3.0)
    np.testing.assert_allclose(many, few, atol=0.2)


def test_an_mri_has_a_say_only_where_a_map_confirms_it() -> None:
    model = Innovations.fit(innovations(), mris=1)
    predicted, rest = model.predict(np.array([[np.nan, -2.0], [-2.0, -2.0], [0.0, -5.0], [0.0, np.nan]]))
    assert predicted[0] == 0  # a lesion of the MRI, perhaps
    assert rest[0] == 1
    assert predicted[1] < -1.5
    assert rest[1] < rest[3]
    assert predicted[2] == predicted[3]
    assert rest[2] == rest[3]


def test_mris_that_agree_outvote_no_map() -> None:
    rng = np.random.default_rng(5)
    shared = rng.standard_normal((2000, 1))
    model = Innovations.fit(shared + 0.3 * rng.standard_normal((2000, 5)), mris=2)
    maps = np.array([[-4.0, -4.0]])  # a lesion of the metabolites alone
    without, _ = model.predict(np.c_[maps, [[np.nan, np.nan]]])
    assert model.predict(np.c_[maps, [[0.0, 0.0]]])[0] == without
