"""How voxels fail: Algorithm 1 of the paper and the patterns of practice."""

import numpy as np
import pytest
from scipy import ndimage

from mrsikit.phantoms.voxel_loss import PATTERNS, algorithm1, mixed


def head(*shape: int) -> np.ndarray:
    """Ellipse or ellipsoid with two ventricles."""
    position = (np.indices(shape) - (np.array(shape) / 2 - 0.5).reshape(-1, *[1] * len(shape))).astype(float)
    radii = np.array([0.36, 0.45, 0.4][: len(shape)]) * shape
    brain = ((position / radii.reshape(-1, *[1] * len(shape))) ** 2).sum(0) < 1
    for side in (-1, 1):
        away = position.copy()
        away[0] -= side * 0.09 * shape[0]
        brain &= ((away / (0.05 * np.array(shape)).reshape(-1, *[1] * len(shape))) ** 2).sum(0) > 1
    return brain


PLANE, VOLUME = head(64, 64), head(24, 26, 22)
TINY = {
    "one voxel": np.pad(np.ones((1, 1), bool), 4),
    "three voxels": np.pad(np.ones((3, 1), bool), 2),
    "edge to edge": np.ones((3, 4), bool),
    "thin ring": np.pad(np.ones((8, 8), bool), 1) & ~np.pad(np.ones((6, 6), bool), 2),
    "small block": np.pad(np.ones((2, 3, 2), bool), 1),
}
each_pattern = pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)


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


@each_pattern
@pytest.mark.parametrize("brain", [PLANE, VOLUME], ids=["2D", "3D"])
def test_each_pattern_takes_the_exact_share_inside_the_brain_and_only_from_its_generator(pattern, brain):
    before = brain.copy()
    for fraction in (0.03, 0.2, 0.35):
        missing = pattern(brain, fraction, rng(2))
        assert missing.dtype == bool
        assert missing.shape == brain.shape
        assert not (missing & ~brain).any()
        assert missing.sum() == int(fraction * brain.sum())
        np.testing.assert_array_equal(missing, pattern(brain, fraction, rng(2)))
        assert (missing != pattern(brain, fraction, rng(3))).any()
    np.testing.assert_array_equal(brain, before)


@each_pattern
@pytest.mark.parametrize("name", TINY)
def test_tiny_brains_lose_the_exact_share_too(pattern, name):
    brain = TINY[name]
    for fraction in (0.0, 0.2, 0.5, 1.0):
        missing = pattern(brain, fraction, rng(4))
        assert missing.sum() == int(fraction * brain.sum())
        assert not (missing & ~brain).any()
        assert mixed(brain, fraction, rng(4)).sum() == int(fraction * brain.sum())


def test_an_empty_brain_loses_nothing():
    empty = np.zeros((9, 9), bool)
    assert not algorithm1(empty, 0.5, rng()).any()
    assert not PATTERNS["singles"](empty, 0.5, rng()).any()


def test_the_rim_is_lost_next_to_the_skull_and_never_at_the_ventricles():
    depth = ndimage.distance_transform_edt(ndimage.binary_fill_holes(PLANE))
    shares = [np.mean(depth[PATTERNS["rim"](PLANE, 0.15, rng(s))]) for s in range(6)]
    assert max(shares) < 0.5 * depth[PLANE].mean()


@pytest.mark.parametrize("brain", [PLANE, VOLUME], ids=["2D", "3D"])
def test_a_slab_is_everything_beyond_a_plane(brain):
    for seed in range(4):
        missing = PATTERNS["slab"](brain, 0.2, rng(seed))
        lost, kept = np.argwhere(missing), np.argwhere(brain & ~missing)
        normal = kept.mean(0) - lost.mean(0)
        heights = (lost - kept.mean(0)) @ normal, (kept - kept.mean(0)) @ normal
        border = (np.quantile(heights[0], 0.95) + np.quantile(heights[1], 0.05)) / 2
        assert (heights[0] <= border).mean() > 0.85
        assert (heights[1] >= border).mean() > 0.85


def test_a_sinus_is_one_blob_at_the_surface():
    surface = ndimage.binary_fill_holes(PLANE) & ~ndimage.binary_erosion(ndimage.binary_fill_holes(PLANE))
    for seed in range(6):
        missing = PATTERNS["sinus"](PLANE, 0.1, rng(seed))
        labels, number = ndimage.label(missing, np.ones((3, 3)))
        assert np.bincount(labels.flat)[1:].max() > 0.85 * missing.sum()
        assert (missing & surface).any()


def test_singles_are_scattered():
    missing = PATTERNS["singles"](PLANE, 0.03, rng())
    assert ndimage.label(missing)[1] > 0.8 * missing.sum()


@pytest.mark.parametrize("brain", [PLANE, VOLUME], ids=["2D", "3D"])
def test_mixed_patterns_take_the_exact_share(brain):
    for seed in range(5):
        for fraction in (0.03, 0.2, 0.6):
            missing = mixed(brain, fraction, rng(seed), patterns=tuple(PATTERNS))
            assert missing.sum() == int(fraction * brain.sum())
            assert not (missing & ~brain).any()
    only = mixed(brain, 0.2, rng(1), patterns=("slab",))
    assert only.sum() == int(0.2 * brain.sum())
