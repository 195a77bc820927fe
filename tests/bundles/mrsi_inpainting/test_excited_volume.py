import numpy as np
import pytest

from mrsi_inpainting import predict
from mrsi_inpainting.excited_volume import excited_volume
from mrsikit.phantoms.voxel_loss import rim, slab

from .conftest import disc


def box(size: int = 16, side: int = 8, low: tuple[int, int] = (4, 4), noise: float = 0.0) -> np.ndarray:
    """Tissue of about 9 in a square of ``side`` voxels."""
    rng = np.random.default_rng(0)
    values = noise * np.abs(rng.standard_normal((size, size)))
    inside = tuple(slice(max(0, n), n + side) for n in low)
    values[inside] = (9 + rng.standard_normal((size, size)))[inside]
    return values.astype(np.float32)


def turned_box(size: int, half: tuple[float, float], degrees: float) -> np.ndarray:
    x = np.indices((size, size)) - (size - 1) / 2
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    inside = (np.abs(c * x[0] + s * x[1]) < half[0]) & (np.abs(c * x[1] - s * x[0]) < half[1])
    return 9.0 * inside


def test_a_box_is_the_excited_volume() -> None:
    found = excited_volume(box()[None])
    assert found is not None
    np.testing.assert_array_equal(found, box() > 0)


@pytest.mark.parametrize("low", [(-1, 4), (4, 9), (0, 4)])
def test_a_box_at_the_edge_of_the_matrix(low: tuple[int, int]) -> None:
    found = excited_volume(box(low=low)[None])
    assert found is not None
    np.testing.assert_array_equal(found, box(low=low) > 0)


@pytest.mark.parametrize("degrees", [20, 30, 45])
def test_a_turned_box(degrees: float) -> None:
    values = turned_box(32, (10, 7), degrees)
    found = excited_volume(values[None])
    assert found is not None
    assert (found & (values == 0)).sum() <= 0.1 * (values > 0).sum()
    assert not ((values > 0) & ~found).any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_in_a_volume(axis: int) -> None:
    volume = np.zeros((16, 16, 16), np.float32)
    volume[3:12, 4:13, 5:12] = 9
    volume = np.moveaxis(volume, 0, axis)
    found = excited_volume(volume[None])
    assert found is not None
    np.testing.assert_array_equal(found, volume > 0)


def test_a_box_in_noise_and_with_failed_voxels() -> None:
    for noise in (0.0, 0.5):
        values = box(24, 12, (5, 7), noise)
        values[5, 9], values[10:12, 12] = 0, 0
        found = excited_volume(values[None])
        assert found is not None
        assert found[5, 9]
        assert found[10:12, 12].all()
        assert (found & (box(24, 12, (5, 7)) == 0)).sum() <= 12


def test_round_outlines_are_no_boxes() -> None:
    rng = np.random.default_rng(0)
    for size in (16, 24, 32, 64):
        for seed in range(5):
            values = disc(size, seed=seed)
            assert excited_volume(values[None]) is None
            for lose in (slab, rim):
                assert excited_volume(np.where(lose(values > 0, 0.2, rng), 0, values)[None]) is None
    wide = 9.0 * (((np.indices((32, 32)) - 15.5) / np.array([14, 10])[:, None, None]) ** 2).sum(0).__lt__(1)
    assert excited_volume(wide[None]) is None


def test_what_fills_the_matrix_and_noise_alone_are_no_boxes() -> None:
    rng = np.random.default_rng(0)
    assert excited_volume(np.ones((1, 16, 16))) is None
    assert excited_volume(np.abs(rng.standard_normal((1, 16, 16)))) is None
    assert excited_volume(np.maximum(rng.standard_normal((1, 16, 16, 4)), 0)) is None
    assert excited_volume(np.zeros((1, 16, 16))) is None


@pytest.mark.parametrize("background", [0.0, np.nan])
def test_the_shipped_network_fills_failed_voxels_of_a_box_and_nothing_outside(background: float) -> None:
    values = box()
    inside = values > 0
    values[7, 7], values[4, 8] = 0, 0
    filled = predict(np.where(inside, values, background))
    assert filled.holes[7, 7]
    assert filled.holes[4, 8]
    assert not filled.holes[~inside].any()
    assert sum("PRESS" in flag for flag in filled.flags) == 1


def test_the_masks_of_the_user_come_first() -> None:
    marked = np.zeros((16, 16), np.uint8)
    marked[3, 8] = 1
    filled = predict(box(), missing=marked)
    np.testing.assert_array_equal(filled.holes, marked > 0)
    assert not any("PRESS" in flag for flag in predict(box(), brain=np.ones((16, 16))).flags)
