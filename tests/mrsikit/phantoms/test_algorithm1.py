"""Algorithm 1 of the inpainting paper."""

import numpy as np
import pytest
from scipy import ndimage

from mrsikit.phantoms.algorithm1 import algorithm1

from .conftest import PLANE, VOLUME, head


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def sphere(brain: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and radius of Algorithm 1's sphere."""
    occupied = np.argwhere(brain)
    low, high = occupied.min(0), occupied.max(0)
    return (low + high) / 2, float(((high - low) / 2).min())


@pytest.mark.parametrize(("brain", "low", "high"), [(PLANE, 0.11, 0.14), (VOLUME, 0.09, 0.12)], ids=["2D", "3D"])
def test_as_printed_algorithm_1_removes_less_than_asked_and_only_in_its_sphere(brain, low, high):
    shares, reach = [], []
    centre, radius = sphere(brain)
    for seed in range(12):
        missing = algorithm1(brain, 0.15, rng(seed), count="writes")
        assert not (missing & ~brain).any()
        shares.append(missing.sum() / brain.sum())
        reach.append(np.linalg.norm(np.argwhere(missing) - centre, axis=1).max())
    assert low < np.mean(shares) < high
    # a cluster's centre lies in the sphere (rounded down), its corners one voxel further
    assert max(reach) <= radius + 2 * np.sqrt(brain.ndim)
    distance = np.linalg.norm(np.argwhere(brain) - centre, axis=1)
    assert (distance > max(reach)).any()


def test_as_printed_holes_crowd_at_the_centre():
    centre, radius = sphere(VOLUME)
    counts = sum(algorithm1(VOLUME, 0.05, rng(seed), count="writes").astype(int) for seed in range(40))
    distance = np.linalg.norm(np.indices(VOLUME.shape) - centre.reshape(-1, 1, 1, 1), axis=0)
    inner, outer = (float(counts[VOLUME & zone].mean()) for zone in (distance < 0.4 * radius, distance > 0.7 * radius))
    assert inner > 3 * outer


@pytest.mark.parametrize("placement", ["algorithm1", "uniform"])
@pytest.mark.parametrize("brain", [PLANE, VOLUME], ids=["2D", "3D"])
def test_unique_counting_removes_exactly_what_is_asked(brain, placement):
    for fraction in (0.0, 0.05, 0.15, 0.4):
        missing = algorithm1(brain, fraction, rng(1), placement=placement)
        assert missing.dtype == bool
        assert not (missing & ~brain).any()
        assert missing.sum() == int(fraction * brain.sum())


def test_everything_can_be_lost():
    assert algorithm1(head(12, 14), 1.0, rng()).sum() == head(12, 14).sum()


def test_uniform_placement_reaches_the_rim():
    brain = head(64, 40)
    rim = brain & ~ndimage.binary_erosion(brain, iterations=2)
    share = {
        p: np.mean([algorithm1(brain, 0.2, rng(s), placement=p)[rim].mean() for s in range(8)])
        for p in ("algorithm1", "uniform")
    }
    assert share["uniform"] == pytest.approx(0.2, abs=0.06)
    assert share["algorithm1"] < 0.8 * share["uniform"]


def test_clusters_are_one_to_three_voxels_a_side():
    brain = np.ones((200, 200), bool)
    missing = algorithm1(brain, 0.01, rng(), placement="uniform")
    labels, number = ndimage.label(missing, np.ones((3, 3)))
    sides = [max(s.stop - s.start for s in piece) for piece in ndimage.find_objects(labels)]
    assert {1, 2, 3} <= set(sides)
    assert np.mean(np.array(sides) <= 3) > 0.8
    single = algorithm1(brain, 0.002, rng(), sizes=(1, 1), placement="uniform")
    assert ndimage.label(single)[1] > 0.9 * single.sum()


@pytest.mark.parametrize("options", [{"count": "voxels"}, {"placement": "centre"}], ids=str)
def test_unknown_options_are_refused(options):
    with pytest.raises(ValueError, match="count must be"):
        algorithm1(PLANE, 0.1, rng(), **options)
