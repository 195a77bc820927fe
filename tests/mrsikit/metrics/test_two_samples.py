import numpy as np
import pytest

from mrsikit.metrics.two_samples import (
    classifier_accuracy,
    distance_ratio,
    maximum_mean_discrepancy,
    nearest_ratio,
    precision_recall,
)

GROUPS = np.repeat(np.arange(50), 8)


def subjects(seed: int, shift: float = 0.0, size: int = 20) -> np.ndarray:
    """Eight samples of each of fifty subjects."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.normal(size=(50, size)), 8, 0) + 0.3 * rng.normal(size=(400, size)) + shift


@pytest.mark.parametrize("kind", ["logistic", "mlp"])
def test_a_classifier_tells_what_differs_and_nothing_else(kind: str) -> None:
    real, same, other = subjects(0), subjects(1), subjects(2, shift=2.0)
    assert 0.35 < classifier_accuracy(real, same, GROUPS, GROUPS, kind=kind) < 0.65
    assert classifier_accuracy(real, other, GROUPS, GROUPS, kind=kind) > 0.9


def test_one_subject_is_never_on_both_sides() -> None:
    # labels that only the subject tells: chance, if subjects are kept apart
    real, same = subjects(3, size=200), subjects(4, size=200)
    assert classifier_accuracy(real, same, GROUPS, GROUPS) < 0.65


def test_an_unknown_classifier_is_refused() -> None:
    with pytest.raises(ValueError, match="none of logistic"):
        classifier_accuracy(subjects(0), subjects(1), GROUPS, GROUPS, kind="forest")


def test_a_distance_counts_in_halves_of_the_subjects() -> None:
    generator = np.random.default_rng(0)
    real, same, other = (subjects(k, shift)[:, 0] for k, shift in ((0, 0.0), (1, 0.0), (2, 3.0)))
    assert distance_ratio(real, same, GROUPS, generator=generator) < 2
    assert distance_ratio(real, other, GROUPS, generator=generator) > 4


def test_coverage_sees_a_lost_mode_and_a_foreign_one() -> None:
    rng = np.random.default_rng(0)
    one, two, half = rng.normal(size=(3, 300, 4))
    real, foreign = np.concatenate([one, two + 6.0]), half - 20.0
    precision, recall = precision_recall(real, half)
    assert precision > 0.6
    assert recall < 0.6
    assert precision_recall(real, foreign) == (0.0, 0.0)


def test_discrepancy_is_about_nothing_for_one_distribution() -> None:
    real, same, other = subjects(0), subjects(1), subjects(2, 2.0)
    assert abs(maximum_mean_discrepancy(real, same)) < 0.1 * maximum_mean_discrepancy(real, other)


def test_copies_lie_nearer_than_new_subjects() -> None:
    training, held_out = subjects(0), subjects(1)
    assert nearest_ratio(training, held_out, subjects(2)) == pytest.approx(1, abs=0.15)
    assert nearest_ratio(training, held_out, training[::-1]) < 0.01
    # one of each subject: without held-out samples those of the training are held out in turn
    assert nearest_ratio(training[::8], None, held_out[::8]) == pytest.approx(1, abs=0.15)
    assert nearest_ratio(training[::8], None, training[::8]) < 0.01
    noise = 0.1 * np.random.default_rng(5).normal(size=training.shape)
    assert nearest_ratio(training, held_out, training + noise) < 0.7
