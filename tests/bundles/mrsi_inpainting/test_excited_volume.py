from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import convex_hull_image

from mrsi_inpainting import predict
from mrsi_inpainting.excited_volume import excited_volume
from mrsikit.phantoms.metabolites import weighted_map
from mrsikit.phantoms.subject import Grid, VirtualSubject
from mrsikit.phantoms.voxel_loss import rim, slab

from .conftest import disc

ORYX = Path(__file__).parents[3] / "../shared/data/oryx_human_mrsi_3t"


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


def box_of(values: np.ndarray, spacing: float | None = None) -> np.ndarray | None:
    """The box of maps that certainly show one."""
    found = excited_volume(values[None], spacing)
    return found.mask if found is not None and found.certain else None


def test_a_box_is_the_excited_volume() -> None:
    found = box_of(box())
    assert found is not None
    np.testing.assert_array_equal(found, box() > 0)


def test_a_zero_at_the_side_of_a_box_was_not_excited() -> None:
    """The side lies a fifth of a voxel beyond the centres of the last row, of which five voxels hold nothing."""
    x = np.arange(24)

    def profile(low: float, high: float) -> np.ndarray:
        return 1 / (1 + np.exp((low - x) / 0.3)) / (1 + np.exp((x - high) / 0.3))

    values = 9 * np.outer(profile(4.5, 17.2), profile(6.5, 18.5))
    values *= 1 + 0.05 * np.random.default_rng(0).standard_normal(values.shape)
    values[values < 0.9] = 0
    values[17, 9:14] = 0
    found = box_of(values.astype(np.float32))
    assert found is not None
    assert not found[17, 10:13].any()
    assert found[16, 10:13].all()


@pytest.mark.parametrize("low", [(-1, 4), (4, 9), (0, 4)])
def test_a_box_at_the_edge_of_the_matrix(low: tuple[int, int]) -> None:
    found = box_of(box(low=low))
    assert found is not None
    np.testing.assert_array_equal(found, box(low=low) > 0)


def test_a_short_box_that_the_matrix_cuts() -> None:
    values = box(20, 9, (-3, 6))
    found = box_of(values, 10.0)
    assert found is not None
    np.testing.assert_array_equal(found, values > 0)


@pytest.mark.parametrize("degrees", [20, 30, 45])
def test_a_turned_box(degrees: float) -> None:
    values = turned_box(32, (10, 7), degrees)
    found = box_of(values)
    assert found is not None
    assert (found & (values == 0)).sum() <= 0.1 * (values > 0).sum()
    assert not ((values > 0) & ~found).any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_in_a_volume(axis: int) -> None:
    volume = np.zeros((16, 16, 16), np.float32)
    volume[3:12, 4:13, 5:12] = 9
    volume = np.moveaxis(volume, 0, axis)
    found = box_of(volume)
    assert found is not None
    np.testing.assert_array_equal(found, volume > 0)


def test_a_box_in_noise_with_failed_voxels_and_without_a_corner() -> None:
    for noise in (0.0, 0.5):
        values = box(24, 12, (5, 7), noise)
        values[5, 11], values[10:12, 12], values[5:7, 7:9] = 0, 0, 0
        found = box_of(values)
        assert found is not None
        assert found[5, 11]
        assert found[10:12, 12].all()
        assert found[5, 7]
        assert (found & (box(24, 12, (5, 7)) == 0)).sum() <= 4


def test_a_small_box_in_a_large_noisy_volume() -> None:
    rng = np.random.default_rng(0)
    values = 0.5 * rng.standard_normal((40, 40, 16))
    values[14:20, 15:21, 4:12] += 9
    found = box_of(values)
    assert found is not None
    assert found[14:20, 15:21, 4:12].all()
    assert found.sum() <= 1.2 * 6 * 6 * 8


def test_boxes_of_metabolites_that_lie_a_voxel_apart() -> None:
    maps = np.stack([box(20, 9, (5, 5)), box(20, 9, (6, 6))])
    found = excited_volume(maps)
    assert found is not None
    assert found.certain
    assert not (found.mask & ~ndimage.binary_dilation((maps > 0).any(0))).any()


@pytest.mark.parametrize("seed", range(3))
def test_a_blurred_box_in_a_head_is_no_head(seed: int) -> None:
    rng = np.random.default_rng(seed)
    blurred = ndimage.gaussian_filter(turned_box(24, (5.5, 4.5), 30 * seed), 0.8) + 0.3 * rng.standard_normal((24, 24))
    assert box_of(blurred, 9.0) is not None


def test_at_most_2_percent_of_round_outlines_are_taken_for_boxes() -> None:
    rng = np.random.default_rng(0)
    taken = []
    for size in (16, 24, 32, 64):
        for seed in range(5):
            values = disc(size, seed=seed)
            lost = [np.where(lose(values > 0, 0.2, rng), 0, values) for lose in (slab, rim)]
            assert box_of(values) is None
            taken += [box_of(one, 210.0 / size) is not None for one in (values, *lost)]
    assert np.mean(taken) <= 0.02
    wide = 9.0 * (((np.indices((32, 32)) - 15.5) / np.array([14, 10])[:, None, None]) ** 2).sum(0).__lt__(1)
    assert excited_volume(wide[None]) is None


@pytest.mark.parametrize("matrix", [16, 32])
def test_a_whole_brain_is_no_box(matrix: int) -> None:
    subject = VirtualSubject(3, tumours=1)
    spacing = 220.0 / matrix
    for height in (-10.0, 10.0, 30.0):
        grid = Grid((matrix, matrix), (spacing, spacing), (0.0, -15.0, height), 10.0, (2, 2, 2))
        assert excited_volume(weighted_map(subject.tissues(grid), 0.4).numpy()[None], spacing) is None


def test_where_it_cannot_be_told_only_the_signal_is_enclosed() -> None:
    values = disc(20, seed=1)
    assert excited_volume(values[None]) is None
    found = excited_volume(values[None], 7.0)  # a section of 118 mm: of no adult's brain, unless near the vertex
    assert found is not None
    assert not found.certain
    np.testing.assert_array_equal(found.mask, convex_hull_image(values > 0))
    flags = predict(values, affine=np.diag([7.0, 7, 10, 1])).flags
    assert sum("cannot be told whether" in flag for flag in flags) == 1
    assert not any("PRESS" in flag for flag in predict(values).flags)


def test_zeros_at_the_rim_of_a_signal_in_noise_are_failed_voxels() -> None:
    rng = np.random.default_rng(1)
    noisy = np.maximum(disc(20, seed=1), 0.3 * np.abs(rng.standard_normal((20, 20))))
    assert excited_volume(disc(20, seed=1)[None], 7.0) is not None
    noisy[3, 9:11] = 0
    assert excited_volume(noisy[None], 7.0) is None


def test_what_fills_the_matrix_and_noise_alone_are_no_boxes() -> None:
    rng = np.random.default_rng(0)
    assert excited_volume(np.ones((1, 16, 16))) is None
    assert box_of(np.abs(rng.standard_normal((16, 16)))) is None
    assert box_of(np.maximum(rng.standard_normal((16, 16, 4)), 0)) is None
    assert excited_volume(np.zeros((1, 16, 16))) is None


@pytest.mark.skipif(not ORYX.is_dir(), reason="needs shared/data")
@pytest.mark.parametrize("metabolite", ["NAA_NAAG", "Cr_PCr", "GPC_PCh"])
def test_measured_boxes(metabolite: str) -> None:
    maps = {
        subject: np.nan_to_num(nib.nifti1.load(ORYX / f"{subject}_{metabolite}.nii.gz").get_fdata(), posinf=0)
        for subject in ("PD_01", "K_01")
    }
    assert box_of(maps["PD_01"], 10.0) is not None
    # The corners of the other box hold little signal: it is not certain that it is one.
    found = excited_volume(maps["K_01"][None], 10.0)
    assert found is not None
    assert found.mask.sum() < 0.6 * found.mask.size


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
