import numpy as np
import pytest

from dmi_quantification.mri_smoothing import smooth_amplitudes

from .conftest import estimates_of

VOXELS = np.ones((6, 5, 1), bool)
VOXELS[0, 0] = False
COUNT = 29
CERTAIN = np.ones((COUNT, 2), bool)
CERTAIN[3, 1] = False


def unchanged(maps: np.ndarray, sd: np.ndarray, mri: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return maps


def averaged(maps: np.ndarray, sd: np.ndarray, mri: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None], maps[mask].mean(0), maps)


def squared(maps: np.ndarray, sd: np.ndarray, mri: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return maps**2 / 20


def smoothed(prior: object, repeats: int = 400, **options: object) -> tuple:
    amplitude = 10 + np.random.default_rng(0).random((2, COUNT, 2))
    estimates = estimates_of(amplitude, amplitude_sd=np.stack([np.full((COUNT, 2), 0.5), np.full((COUNT, 2), 2.0)]))
    given = {"mri": np.ones(VOXELS.shape), "voxels": VOXELS, "certain": CERTAIN, **options}
    return estimates, *smooth_amplitudes(estimates, prior, repeats=repeats, **given)


def test_a_prior_that_changes_nothing_keeps_the_errors() -> None:
    single, found, bias = smoothed(unchanged)
    np.testing.assert_array_equal(found.amplitude, single.amplitude)
    assert found.amplitude_sd[:, CERTAIN].mean(1) == pytest.approx([0.5, 2.0], rel=0.02)
    # the noise of two metabolites is drawn independently
    assert found.covariance_with_first[:, CERTAIN].mean(1) == pytest.approx([0.25, 0.0], abs=0.03)
    assert np.abs(bias.mean((1, 2))).max() < 0.05


def test_a_prior_that_averages_is_biased_by_the_distance_to_the_mean_and_lessens_the_noise() -> None:
    single, found, bias = smoothed(averaged)
    for d in range(2):
        chosen = CERTAIN[:, d]
        mean = single.amplitude[:, chosen, d].mean(1, keepdims=True)
        np.testing.assert_allclose(found.amplitude[:, chosen, d], np.broadcast_to(mean, (2, chosen.sum())))
        np.testing.assert_allclose(bias[:, chosen, d], mean - single.amplitude[:, chosen, d], atol=0.1)
        expected = np.array([0.5, 2.0]) / np.sqrt(chosen.sum())
        assert found.amplitude_sd[:, chosen, d].mean(1) == pytest.approx(expected, rel=0.15)


def test_standard_deviation_is_that_around_the_smooth_maps_and_bias_that_of_the_single_voxel_estimates() -> None:
    """Of x^2 / 20: at the smooth value y = x^2 / 20 noise grows by y / 10, and the mean of (x + e)^2 is x^2 + sd^2."""
    single, found, bias = smoothed(squared)
    chosen = CERTAIN[:, 0]
    x, sd = single.amplitude[:, chosen, 0], single.amplitude_sd[:, chosen, 0]
    y = x**2 / 20
    np.testing.assert_allclose(found.amplitude[:, chosen, 0], y)
    assert (found.amplitude_sd[:, chosen, 0] / (y / 10 * sd)).mean(1) == pytest.approx([1, 1], abs=0.1)
    assert bias[:, chosen, 0].mean(1) == pytest.approx(((x**2 + sd**2) / 20 - x).mean(1), abs=0.1)


def test_voxels_that_are_not_certain_keep_their_estimates() -> None:
    single, found, bias = smoothed(averaged, repeats=3)
    assert (found.amplitude[:, 3, 1] == single.amplitude[:, 3, 1]).all()
    assert (found.amplitude_sd[:, 3, 1] == single.amplitude_sd[:, 3, 1]).all()
    assert (bias[:, 3, 1] == 0).all()
    assert (single.amplitude_sd[:, :, 0] == [[0.5], [2.0]]).all()  # the single-voxel estimates stay as they were


def test_the_seed_decides_the_noise() -> None:
    first, again, other = (smoothed(averaged, repeats=3, seed=seed)[1].amplitude_sd for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other)[:, CERTAIN].all()


def test_nothing_certain_changes_nothing() -> None:
    single, found, bias = smoothed(averaged, certain=np.zeros_like(CERTAIN))
    np.testing.assert_array_equal(found.amplitude, single.amplitude)
    assert not bias.any()
