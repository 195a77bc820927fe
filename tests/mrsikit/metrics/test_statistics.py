import numpy as np
import pytest

from mrsikit.metrics.statistics import bootstrap_interval, mann_whitney_p, ratio_of_means_interval


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_interval_of_a_mean_has_the_textbook_width(generator):
    values = np.random.default_rng(1).normal(10, 2, 400)
    mean, low, high = bootstrap_interval(values, generator=generator)
    assert mean == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(1.96 * 2 / 20, rel=0.15)
    narrow = bootstrap_interval(values, level=0.5, generator=generator)
    assert narrow.high - narrow.low < 0.5 * (high - low)


def test_subjects_are_resampled_not_cases(generator):
    """Fifty equal cases of each of ten subjects tell no more than one case of each."""
    means = np.random.default_rng(1).normal(0, 1, 10)
    subjects = np.repeat(np.arange(10), 50)
    by_subject = bootstrap_interval(np.repeat(means, 50), subjects, generator=generator)
    by_case = bootstrap_interval(np.repeat(means, 50), generator=generator)
    single = bootstrap_interval(means, generator=generator)
    assert by_subject.high - by_subject.low == pytest.approx(single.high - single.low, rel=0.15)
    assert by_case.high - by_case.low < 0.3 * (by_subject.high - by_subject.low)


def test_every_case_counts_the_same_in_the_estimate(generator):
    assert bootstrap_interval([1, 1, 1, 5], ["a", "a", "a", "b"], generator=generator).estimate == 2.0


def test_cases_without_a_value_are_left_out(generator):
    result = bootstrap_interval([1.0, np.nan, 3.0], generator=generator)
    assert result.estimate == 2.0
    assert np.isfinite(result).all()
    assert np.isnan(bootstrap_interval([np.nan], generator=generator)).all()


def test_one_subject_has_no_interval(generator):
    result = bootstrap_interval([1.0, 3.0], ["a", "a"], generator=generator)
    assert result.estimate == 2.0
    assert np.isnan(result[1:]).all()


def test_ratio_of_means(generator):
    rng = np.random.default_rng(2)
    b = rng.uniform(1, 9, 200)
    exact = ratio_of_means_interval(0.7 * b, b, generator=generator)
    assert exact == pytest.approx((0.7, 0.7, 0.7))  # paired: what the cases share cancels
    noisy = ratio_of_means_interval(0.7 * b + rng.normal(0, 1, 200), b, generator=generator)
    assert noisy.low < noisy.estimate < noisy.high
    assert noisy.low < 0.7 < noisy.high
    assert ratio_of_means_interval([2, np.nan, 4], [1, 5, 2], generator=generator).estimate == 2.0
    assert ratio_of_means_interval([1, 3], [2, 10], generator=generator).estimate == pytest.approx(4 / 12)


def test_same_generator_same_interval():
    values = np.arange(20.0)
    first, second = (bootstrap_interval(values, generator=np.random.default_rng(5)) for _ in range(2))
    assert first == second


def test_lengths_must_agree(generator):
    with pytest.raises(ValueError, match="label"):
        bootstrap_interval([1.0, 2.0], ["a"], generator=generator)
    with pytest.raises(ValueError, match="label"):
        ratio_of_means_interval([1.0, 2.0], [1.0], generator=generator)


def test_mann_whitney():
    assert mann_whitney_p(np.arange(10), np.arange(10) + 20) < 1e-3
    assert mann_whitney_p(np.arange(10), np.append(np.arange(10), np.nan)) == pytest.approx(1.0)
