"""Kriging: known answers, and what it reads off a map."""

import numpy as np
import pytest
from scipy import ndimage

from mrsikit.restoration.inpainting import gaussian, kriging
from mrsikit.restoration.inpainting.kriging import (
    Covariance,
    SquareRoot,
    _negative_log_likelihood,
    _predecessors,
    fit_covariance,
    kriging_weights,
)

SIDES = (1.0, 1.0)


def smooth_map(size: int = 32, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal((size, size)), 2.5)
    return 10 + 3 * field / field.std() + noise * rng.standard_normal((size, size))


def test_weights_sum_to_one_and_predict_a_constant() -> None:
    covariance = Covariance(sill=1.0, nugget=0.1, lengths=(2.0, 2.0), smoothness=1.5)
    places = 2 * np.argwhere(np.ones((6, 6)))
    found = kriging_weights(covariance, places, np.array([[5, 5], [18, 18]]), (0.5, 0.5))
    assert np.allclose(found.weights.sum(1), 1)
    assert np.allclose(found.predict(np.full(36, 7.0)), 7.0)
    assert found.variance[1] > found.variance[0]  # farther from the data


def test_a_target_that_is_known_is_predicted_without_itself() -> None:
    covariance = Covariance(sill=1.0, nugget=0.0, lengths=(2.0, 2.0), smoothness=1.5)
    places = np.argwhere(np.ones((6, 6)))
    values = np.zeros(36)
    values[14] = 100.0
    assert abs(kriging_weights(covariance, places, places[14:15], SIDES).predict(values)[0]) < 1e-6


def test_weights_solve_the_kriging_equations_of_a_volume_of_uneven_voxels() -> None:
    spacing, rng = np.array([2.0, 3.0, 5.0]), np.random.default_rng(0)
    covariance = Covariance(sill=2.0, nugget=0.3, lengths=(4.0, 6.0, 9.0), smoothness=2.5)
    places = rng.permutation(np.argwhere(np.ones((7, 6, 4))))
    data, targets, noise = places[:60], places[60:], rng.random(60)
    found = kriging_weights(covariance, data, targets, spacing, noise=noise, neighbours=20)
    for target, index, weights in zip(targets, found.index, found.weights, strict=True):
        points = np.r_[data[index], target[None]] * spacing / covariance.lengths
        distance = np.sqrt(5) * np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
        plain = 2.0 * (1 + distance + distance**2 / 3) * np.exp(-distance)
        system = np.ones((21, 21))
        system[:20, :20], system[20, 20] = plain[:20, :20] + np.diag(noise[index]), 0
        assert weights == pytest.approx(np.linalg.solve(system, np.r_[plain[:20, 20], 1.0])[:20], abs=1e-5)


@pytest.mark.parametrize("smoothness", [1.5, 2.5])
@pytest.mark.parametrize("bounded", [False, True])
def test_the_gradient_of_the_likelihood_is_that_of_finite_differences(smoothness: float, bounded: bool) -> None:
    rng = np.random.default_rng(0)
    places = np.argwhere(np.ones((8, 8))) * np.array([1.0, 1.5])
    index = _predecessors(places, rng)
    apart = (places[index][:, :, None] - places[index][:, None]) ** 2
    values, noise = rng.standard_normal(64)[index], rng.random(64)[index] if bounded else None
    p = np.array([0.3, -2.0, 0.5, 0.9, 0.2])[: 4 + bounded]

    def loss(vector: np.ndarray) -> float:
        return _negative_log_likelihood(vector, apart, values, noise, smoothness)[0]

    _, gradient = _negative_log_likelihood(p, apart, values, noise, smoothness)
    steps = 1e-5 * np.eye(len(p))
    assert gradient == pytest.approx([(loss(p + d) - loss(p - d)) / 2e-5 for d in steps], abs=1e-6)


def test_the_lengths_follow_the_map() -> None:
    rng = np.random.default_rng(1)
    field = ndimage.gaussian_filter(rng.standard_normal((48, 48)), (4, 1.5))
    long, short = fit_covariance(field, np.ones(field.shape, bool), SIDES).lengths
    assert long > 1.5 * short


def test_noise_is_read_off_the_map() -> None:
    everywhere = np.ones((32, 32), bool)
    quiet = fit_covariance(smooth_map(noise=0.05), everywhere, SIDES)
    noisy = fit_covariance(smooth_map(noise=1.5), everywhere, SIDES)
    assert quiet.nugget < 0.3
    assert noisy.nugget == pytest.approx(1.5**2, rel=0.4)


def test_voxels_of_a_high_bound_count_less() -> None:
    truth = smooth_map(seed=3)
    rng = np.random.default_rng(4)
    bounds = np.where(rng.random(truth.shape) < 0.5, 0.05, 4.0)
    measured = np.abs(truth + bounds * rng.standard_normal(truth.shape))
    missing = rng.random(truth.shape) < 0.15
    with_bounds, without = (kriging(measured, missing, bounds=b) for b in (bounds, None))
    error = [float(((found - truth)[missing] ** 2).mean()) for found in (with_bounds, without)]
    assert error[0] < 0.5 * error[1]


def test_it_beats_a_gaussian_on_a_smooth_map_and_keeps_the_measured_voxels() -> None:
    truth = smooth_map(seed=5).astype(np.float32)
    missing = np.random.default_rng(6).random(truth.shape) < 0.2
    found = kriging(truth, missing)
    assert np.array_equal(found[~missing], truth[~missing])
    errors = [float(((x - truth)[missing] ** 2).mean()) for x in (found, gaussian(truth, missing))]
    assert errors[0] < 0.2 * errors[1]


def test_the_fill_stays_within_the_data() -> None:
    truth = smooth_map(seed=9)
    missing = np.zeros(truth.shape, bool)
    missing[:, :12] = True
    found = kriging(truth, missing, brain=np.ones_like(missing))
    assert found.min() >= truth[~missing].min() - 1e-4
    assert found.max() <= truth[~missing].max() + 1e-4


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_data_give_a_finite_map(count: int) -> None:
    map = np.zeros((8, 8))
    map.flat[:count] = 5.0
    assert np.isfinite(kriging(map, map == 0, brain=np.ones((8, 8), bool))).all()


def test_negative_values_are_not_rooted() -> None:
    values = np.array([-1.0, 4.0])
    assert not SquareRoot.of(values).used
    root = SquareRoot.of(np.array([1.0, 4.0]))
    assert np.allclose(root.inverse(root(np.array([1.0, 4.0]))), [1.0, 4.0])
    assert root.deviation(np.array([4.0]), np.array([0.004])) == pytest.approx(0.001, rel=0.05)
