import numpy as np
import pytest

from mrsikit.metrics.calibration import error_rank_correlation, interval_coverage, reliability_table


def normal_errors(factor: float = 1.0, n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    sd = rng.uniform(0.5, 5.0, n)
    return sd * rng.standard_normal(n), sd * factor


def test_honest_intervals_cover_90_percent_and_half_as_wide_ones_do_not():
    assert interval_coverage(*normal_errors()) == pytest.approx(0.9, abs=0.006)
    assert interval_coverage(*normal_errors(0.5)) == pytest.approx(0.589, abs=0.01)


def test_coverage_is_averaged_over_subjects_not_voxels():
    error = np.array([0, 0, 0, 0, 0, 0, 9.0, 9.0])
    assert interval_coverage(error, np.ones(8), ["a"] * 6 + ["b"] * 2) == 0.5
    assert interval_coverage(error, np.ones(8)) == 0.75


def test_exact_voxels_of_no_spread_are_covered_and_no_voxels_are_nan():
    assert interval_coverage(np.zeros(3), np.zeros(3)) == 1.0
    assert np.isnan(interval_coverage(np.array([]), np.array([])))


def test_rank_correlation():
    sd = np.arange(1.0, 11.0)
    assert error_rank_correlation(np.where(sd % 2, -1, 1) * sd**3, sd) == pytest.approx(1.0)
    assert error_rank_correlation(-1 / sd, sd) == pytest.approx(-1.0)
    assert abs(error_rank_correlation(np.random.default_rng(0).standard_normal(5000), np.arange(5000))) < 0.05
    assert np.isnan(error_rank_correlation(sd, np.ones(10)))
    assert np.isnan(error_rank_correlation(np.array([1.0]), np.array([1.0])))


def test_reliability_table():
    table = reliability_table(*normal_errors(), levels=(0.5, 0.9))
    assert table["z"].tolist() == pytest.approx([0.6745, 1.645], abs=1e-3)
    np.testing.assert_allclose(table["empirical"], table["nominal"], atol=0.01)
    overconfident = reliability_table(*normal_errors(0.5))
    assert (overconfident["empirical"] < overconfident["nominal"]).all()


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="standard deviations"):
        interval_coverage(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="subject labels"):
        interval_coverage(np.zeros(3), np.zeros(3), ["a"])
