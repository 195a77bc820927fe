import nibabel as nib
import numpy as np
import pytest
from nibabel.processing import resample_from_to

from mrsikit.io import InputError
from mrsikit.regions import labels_on_grid, region_statistics, shares_on_grid

SHAPE = (10, 12, 6)
AFFINE = np.array([[8.0, 0, 0, -40], [0, 8, 0, -50], [0, 0, 10, 5], [0, 0, 0, 1]])


def made_map() -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 9, SHAPE)


def made_labels() -> np.ndarray:
    labels = np.zeros(SHAPE, int)
    labels[1:4, 2:6, 1:3], labels[5:9, 3:9, 2:5] = 1, 7
    return labels


def by_numpy(values: np.ndarray, region: np.ndarray) -> tuple[float, float, float, int]:
    inside = values[region]
    return np.mean(inside), np.median(inside), np.std(inside), inside.size


def turn(degrees: float) -> np.ndarray:
    out = np.eye(4)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    out[:2, :2] = [[c, -s], [s, c]]
    return out


def test_regions_on_the_grid_of_the_map_are_those_of_numpy() -> None:
    values, labels = made_map(), made_labels()
    found = region_statistics(values, labels)
    assert [region.label for region in found] == [1, 7]
    for region in found:
        expected = by_numpy(values, labels == region.label)
        assert (region.mean, region.median, region.sd, region.voxels) == expected
        assert (region.zeros, region.undefined, region.share_imputed) == (0, 0, None)


@pytest.mark.parametrize("axes", ["LPS", "ARS", "SAR", "IPL"])
def test_labels_stored_in_another_order_of_axes_are_the_same(axes: str) -> None:
    values, labels = made_map(), made_labels()
    image = nib.Nifti1Image(labels.astype(np.int16), AFFINE)
    turned = image.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(axes))
    )
    found = region_statistics(values, np.asarray(turned.dataobj), affine=AFFINE, label_affine=turned.affine)
    assert found == region_statistics(values, labels)


def test_labels_on_a_finer_grid_count_by_the_centre_of_the_voxel() -> None:
    values, labels = made_map(), made_labels()
    finer = np.kron(labels, np.ones((3, 3, 3), int))
    scale = np.diag([1 / 3, 1 / 3, 1 / 3, 1])
    scale[:3, 3] = -1 / 3  # the centre of the first of three, in voxels of the map
    same = region_statistics(values, finer, affine=AFFINE, label_affine=AFFINE @ scale)
    assert same == region_statistics(values, labels)
    finer[1::3, 1::3, 1::3] = 9  # the centres alone
    (only,) = [r for r in region_statistics(values, finer, affine=AFFINE, label_affine=AFFINE @ scale) if r.voxels]
    assert (only.label, only.voxels) == (9, values.size)


def test_a_centre_on_the_border_of_two_labels_always_counts_for_the_same() -> None:
    labels = np.zeros((20, 1, 1), int)
    labels[1::2] = 1
    labels[::2] = 2
    half = np.diag([0.5, 1, 1, 1])
    half[0, 3] = -0.25
    for degrees in (0, 17, 90):  # in any place of the scanner, with its rounding
        world = turn(degrees) @ AFFINE
        assert (labels_on_grid(labels, world @ half, (10, 1, 1), world) == 1).all()


def test_a_turned_and_shifted_grid_is_resampled_as_nibabel_does() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (40, 41, 30))
    label_affine = turn(23) @ np.diag([3.1, 2.9, 2.3, 1])
    label_affine[:3, 3] = (-60, -71, 3)
    image = nib.Nifti1Image(labels.astype(np.int16), label_affine)
    expected = np.asarray(resample_from_to(image, (SHAPE, AFFINE), order=0, mode="grid-constant", cval=0).dataobj)
    found = labels_on_grid(labels, label_affine, SHAPE, AFFINE)
    np.testing.assert_array_equal(found, expected)
    assert (found > 0).any()
    values = made_map()
    for region in region_statistics(values, labels, affine=AFFINE, label_affine=label_affine):
        expected_region = by_numpy(values, expected == region.label)
        assert (region.mean, region.median, region.sd, region.voxels) == expected_region


def test_a_grid_that_is_partly_outside_counts_where_it_covers_the_map() -> None:
    values, labels = made_map(), made_labels()
    shift = np.eye(4)
    shift[0, 3] = 6 * 8.0  # six voxels along x: four of ten remain, two of the region of four
    found = region_statistics(values, labels, affine=AFFINE, label_affine=shift @ AFFINE)
    assert [region.voxels for region in found] == [24, 0]
    np.testing.assert_allclose(found[0].mean, values[7:10, 2:6, 1:3].mean())
    assert shares_on_grid(labels, shift @ AFFINE, SHAPE, AFFINE) == {1: 1.0, 7: 0.0}
    shift[0, 3] = 2 * 8.0
    assert shares_on_grid(labels, shift @ AFFINE, SHAPE, AFFINE) == {1: 1.0, 7: 0.75}
    assert shares_on_grid(labels, AFFINE, SHAPE, AFFINE) == {1: 1.0, 7: 1.0}


def test_half_a_voxel_at_the_edge_of_the_label_grid_belongs_to_it() -> None:
    shift = np.eye(4)
    shift[0, 3] = 0.4 * 8
    found = labels_on_grid(np.ones(SHAPE, int), shift @ AFFINE, SHAPE, AFFINE)
    assert found.all()


def test_an_empty_region_is_named_with_no_voxel() -> None:
    values, labels = made_map(), made_labels()
    found = region_statistics(values, labels, names={1: "frontal", 3: "thalamus"})
    assert [(region.label, region.name, region.voxels) for region in found] == [
        (1, "frontal", 24), (3, "thalamus", 0), (7, "", 72),
    ]  # fmt: skip
    empty = found[1]
    assert np.isnan([empty.mean, empty.median, empty.sd]).all()
    assert region_statistics(values, labels * 0) == []


def test_voxels_without_a_value_are_counted_apart() -> None:
    values, labels = made_map(), made_labels()
    values[1, 2, 1], values[1, 3, 1], values[2, 2, 1] = np.nan, np.inf, 0
    region = region_statistics(values, labels)[0]
    counted = (labels == 1) & np.isfinite(values) & (values != 0)
    assert (region.mean, region.median, region.sd, region.voxels) == by_numpy(values, counted)
    assert (region.voxels, region.zeros, region.undefined) == (21, 1, 2)


def test_a_ratio_is_the_mean_of_the_ratios_of_the_voxels() -> None:
    values, labels = made_map(), made_labels()
    below = np.random.default_rng(2).uniform(1, 2, SHAPE)
    below[1, 2, 1], below[1, 3, 1], below[2, 2, 1] = 0, -1, np.nan
    region = region_statistics(values, labels, denominator=below)[0]
    counted = (labels == 1) & (below > 0)
    ratios = np.divide(values, below, where=counted, out=np.zeros_like(values))
    assert (region.mean, region.median, region.sd, region.voxels) == by_numpy(ratios, counted)
    assert (region.zeros, region.undefined) == (2, 1)
    assert region.mean != pytest.approx(values[counted].mean() / below[counted].mean(), rel=1e-6)


def test_imputed_voxels_are_counted_where_they_have_a_value() -> None:
    values, labels = made_map(), made_labels()
    imputed, calibrated = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    imputed[1, 2:6, 1:3] = 1  # 8 of 24
    calibrated[1, 2:5, 1:3] = 1  # 6 of these
    region = region_statistics(values, labels, imputed=imputed, calibrated=calibrated)[0]
    assert (region.share_imputed, region.share_not_calibrated) == (8 / 24, 2 / 24)
    values[2:4] = 0
    assert region_statistics(values, labels, imputed=imputed, calibrated=calibrated)[0].share_imputed == 1
    none = region_statistics(values * 0, labels, imputed=imputed)[0]
    assert (none.share_imputed, none.share_not_calibrated) == (None, None)


def test_slices_and_labels_with_a_last_axis_of_one() -> None:
    values, labels = made_map()[..., 2], made_labels()[..., 2]
    assert region_statistics(values, labels)[0].voxels == 12
    moved = region_statistics(values, labels[:, :, None, None], affine=AFFINE, label_affine=AFFINE)
    assert moved == region_statistics(values, labels)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.full(SHAPE, 0.5), "whole numbers"),
        (np.full(SHAPE, -1), "whole numbers"),
        (np.full(SHAPE, np.nan), "whole numbers"),
        (np.ones((*SHAPE, 2)), "one image"),
        (np.ones((4, 4, 4)), "give their affines"),
    ],
)
def test_bad_labels_are_refused(labels: np.ndarray, match: str) -> None:
    with pytest.raises(InputError, match=match):
        region_statistics(made_map(), labels)


def test_arrays_that_do_not_fit_are_refused() -> None:
    values, labels = made_map(), made_labels()
    with pytest.raises(InputError, match=r"imputed is of shape \(2, 2\)"):
        region_statistics(values, labels, imputed=np.ones((2, 2)))
    with pytest.raises(InputError, match="one metabolite"):
        region_statistics(np.ones((*SHAPE, 2)), labels)
    with pytest.raises(InputError, match="both affine and label_affine"):
        region_statistics(values, labels, affine=AFFINE)
