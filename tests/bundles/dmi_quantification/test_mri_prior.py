import numpy as np
import pytest

from dmi_quantification.mri_prior import RobustPrior, neighbours, solve
from dmi_quantification.reference_precise_dmi_fine_tuning import PreciseDmiPrior
from mrsikit.phantoms.dmi import FINER, rings

SD = np.array([0.6, 0.45, 0.43, 0.33])
"""Bounds of water, Glc, Glx and Lac at SNR 12."""


def scene(seed: int = 0, **options: object) -> tuple[np.ndarray, np.ndarray, object]:
    phantom = rings(rng=np.random.default_rng(seed), **options)
    mri = phantom.mri.reshape(32, FINER, 32, FINER).mean((1, 3)) * phantom.mask
    return phantom.amplitudes.astype(float), mri / mri.max(), phantom


def repeated(prior: object, truth: np.ndarray, mri: np.ndarray, mask: np.ndarray, count: int = 12) -> np.ndarray:
    rng = np.random.default_rng(1)
    spread = np.broadcast_to(SD, truth.shape)
    return np.array([prior(truth + spread * rng.standard_normal(truth.shape), spread, mri, mask) for _ in range(count)])


def test_a_lesion_that_the_mri_does_not_show_stays() -> None:
    truth, mri, phantom = scene()
    robust = repeated(RobustPrior(), truth, mri, phantom.mask).mean(0) - truth
    paper = repeated(PreciseDmiPrior(), truth, mri, phantom.mask).mean(0) - truth
    where = phantom.lesions["B"]
    contrast = truth[where][0, 3] - 1.0
    assert abs(robust[where][:, 3].mean()) < 0.06 * contrast
    assert -0.45 * contrast < paper[where][:, 3].mean() < -0.25 * contrast


def test_a_lesion_in_three_dimensions_is_not_outvoted_by_26_neighbours() -> None:
    phantom = rings(matrix=18, dims=3, rng=np.random.default_rng(0))
    mri = phantom.mri.reshape(18, FINER, 18, FINER, 18, FINER).mean((1, 3, 5)) * phantom.mask
    truth, where = phantom.amplitudes.astype(float), phantom.lesions["B"]
    robust = repeated(RobustPrior(), truth, mri / mri.max(), phantom.mask, 4)
    contrast = truth[where][0, 3] - 1.0
    assert abs((robust.mean(0) - truth)[where][:, 3].mean()) < 0.1 * contrast
    assert (SD / robust.std(0, ddof=1)[phantom.interior(3)].mean(0) > 2).all()


def test_a_slice_of_a_volume_is_smoothed_as_a_slice() -> None:
    truth, mri, phantom = scene()
    one = repeated(RobustPrior(), truth, mri, phantom.mask, 2)
    masks, mris = (np.stack([np.zeros_like(image), image], -1) for image in (phantom.mask, mri))
    truths = np.stack([truth, truth], 2)
    rng = np.random.default_rng(1)
    for n in range(2):
        noisy = truths.copy()
        noisy[:, :, 1] += SD * rng.standard_normal(truth.shape)
        found = RobustPrior()(noisy, np.broadcast_to(SD, truths.shape), mris, masks)
        np.testing.assert_allclose(found[:, :, 1], one[n], atol=1e-6)


def test_noise_falls_where_nothing_speaks_against_it() -> None:
    truth, mri, phantom = scene()
    inside = phantom.interior(3)
    spread = repeated(RobustPrior(), truth, mri, phantom.mask).std(0, ddof=1)[inside].mean(0)
    assert (SD / spread > 2.5).all()
    assert np.abs(repeated(RobustPrior(), truth, mri, phantom.mask).mean(0) - truth)[inside].max() < 0.5


def test_a_lesion_of_the_mri_alone_is_not_invented() -> None:
    truth, mri, phantom = scene()
    found = repeated(RobustPrior(), truth, mri, phantom.mask).mean(0) - truth
    assert np.abs(found[phantom.lesions["D"]][:, 2:].mean(0)).max() < 0.2


def test_no_strength_and_no_voxel_change_nothing() -> None:
    truth, mri, phantom = scene()
    spread = np.broadcast_to(SD, truth.shape)
    np.testing.assert_array_equal(RobustPrior(strength=0)(truth, spread, mri, phantom.mask), truth)
    np.testing.assert_array_equal(RobustPrior()(truth, spread, mri, np.zeros_like(phantom.mask)), truth)
    smooth = RobustPrior()(truth + 1, spread, mri, phantom.mask)
    np.testing.assert_array_equal(smooth[~phantom.mask], 1)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_every_pair_of_touching_voxels_is_there_once(shape: tuple[int, ...]) -> None:
    mask = np.ones(shape, bool)
    mask.flat[0] = False
    level = np.random.default_rng(0).random(shape)
    pairs, change = neighbours(level, mask)
    places = np.argwhere(mask)
    expected = {
        (i, j)
        for i in range(len(places))
        for j in range(i + 1, len(places))
        if np.abs(places[i] - places[j]).max() == 1
    }
    assert {tuple(sorted(pair)) for pair in pairs.tolist()} == expected
    assert len(pairs) == len(expected)
    np.testing.assert_allclose(change, level[mask][pairs[:, 0]] - level[mask][pairs[:, 1]])


def test_the_system_is_solved() -> None:
    rng = np.random.default_rng(0)
    pairs, _ = neighbours(np.zeros((5, 6)), np.ones((5, 6), bool))
    values, spread, weights = rng.random((30, 2)), 0.5 + rng.random((30, 2)), rng.random(len(pairs))
    found = solve(values, spread, pairs, weights, 0.7)

    def cost(a: np.ndarray) -> float:
        shared = (spread[pairs[:, 0]] ** 2 + spread[pairs[:, 1]] ** 2) / 2
        steps = (a[pairs[:, 0]] - a[pairs[:, 1]]) ** 2 / shared
        return float(((a - values) ** 2 / spread**2).sum() + 0.7 * (weights[:, None] * steps).sum())

    for _ in range(20):
        assert cost(found) < cost(found + 1e-3 * rng.standard_normal(found.shape))
