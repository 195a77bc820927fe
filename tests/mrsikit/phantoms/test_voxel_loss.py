"""How voxels fail in practice."""

import numpy as np
import pytest
from scipy import ndimage

from mrsikit.phantoms.algorithm1 import algorithm1
from mrsikit.phantoms.voxel_loss import PATTERNS, mixed

from .conftest import PLANE, VOLUME

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
