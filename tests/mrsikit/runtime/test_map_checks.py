import nibabel as nib
import numpy as np
import pytest

from mrsikit.io import InputError
from mrsikit.runtime.map_checks import checked_image, companion_problems, input_problems

KINDS = {"missing": "missing", "crlb": "percent", "brain": "mask"}
SHAPE = (10, 9, 8)
SAME_SESSION = "give an image of the same session, not moved since"


def save(path, data, affine=None):
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
    return str(path)


@pytest.fixture
def good():
    return np.random.default_rng(0).random(SHAPE).astype(np.float32) + 1


def one_problem(item):
    problems = input_problems(item, KINDS)
    assert len(problems) == 1
    assert "\n" not in problems[0]
    assert problems[0].startswith(item.get("bad", item["image"]))
    return problems[0]


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), SHAPE, (10, 9, 8, 2), (8, 9, 1, 3)])
def test_good_maps_pass(tmp_path, shape):
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    data.flat[:5] = (np.nan, np.inf, -np.inf, 0, -1)
    assert input_problems({"image": save(tmp_path / "a.nii.gz", data)}, KINDS) == []


@pytest.mark.parametrize(("shift", "overlaps"), [(9.0, True), (11.0, False), (-17.0, True), (-21.0, False)])
def test_an_image_must_overlap_its_map_whatever_its_grid(tmp_path, good, shift, overlaps):
    affine = np.array([[0, 2.0, 0, shift], [2, 0, 0, -5], [0, 0, 2, 0], [0, 0, 0, 1]])
    image = save(tmp_path / "b_t1.nii.gz", good, affine)
    problems = input_problems({"image": save(tmp_path / "b.nii.gz", good), "t1": image}, {"t1": "anatomy"})
    assert problems == ([] if overlaps else [f"{image}: does not overlap its map by the headers; " + SAME_SESSION])


def test_truncated_gz(tmp_path, good):
    path = save(tmp_path / "a.nii.gz", good)
    whole = (tmp_path / "a.nii.gz").read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 20):
        (tmp_path / "a.nii.gz").write_bytes(whole[:size])
        assert "read" in one_problem({"image": path})


def test_truncated_nii_and_text(tmp_path, good):
    path = save(tmp_path / "a.nii", good)
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:1000])
    assert "data cannot be read" in one_problem({"image": path})
    (tmp_path / "b.mnc").write_text("not an image")
    assert "cannot be read" in one_problem({"image": str(tmp_path / "b.mnc")})
    assert "cannot be read" in one_problem({"image": str(tmp_path / "absent.nii")})


def test_complex_and_colour(tmp_path, good):
    assert "complex" in one_problem({"image": save(tmp_path / "a.nii", good.astype(np.complex64))})
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "colours" in one_problem({"image": save(tmp_path / "b.nii", colours)})


@pytest.mark.parametrize(
    ("shape", "text"),
    [((20,), "1 axes"), ((9, 9, 9, 2, 2), "5 axes"), ((7, 20), "at least 8"), ((20, 7, 7), "at least 8")],
)
def test_wrong_shapes(tmp_path, shape, text):
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    assert text in one_problem({"image": save(tmp_path / "a.nii", data)})


@pytest.mark.parametrize("shape", [(5, 20, 30), (20, 5, 30), (20, 30, 1), (2, 9, 9, 3)])
def test_slices_may_be_few_on_whatever_axis(tmp_path, shape):
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    assert not input_problems({"image": save(tmp_path / "a.nii", data)}, KINDS)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "zero in every"), (np.nan, "no finite"), (np.inf, "no finite"), (3, "same value 3")]
)
def test_maps_without_information(tmp_path, good, value, text):
    assert text in one_problem({"image": save(tmp_path / "a.nii", np.full_like(good, value))})
    two = np.stack([good, np.full_like(good, value)], axis=-1)
    line = one_problem({"image": save(tmp_path / "b.nii", two)})
    assert text in line
    assert "metabolite 2 of 2" in line


def with_companion(tmp_path, image, name, data, affine=None):
    bad = save(tmp_path / f"a_{name}.nii.gz", data, affine)
    return {"image": save(tmp_path / "a.nii.gz", image), name: bad, "bad": bad}


def mask(good, fill=0):
    values = np.full(good.shape, fill, np.float32)
    values[2:4, 2:4] = 1 - fill
    return values


def test_good_companions_pass(tmp_path, good):
    off = np.eye(4)
    off[0, 3] = 0.09
    for name, values in (("missing", mask(good)), ("missing", 0 * good), ("brain", good * 0 + 1), ("crlb", good * 9)):
        assert input_problems(with_companion(tmp_path, good, name, values, off), KINDS) == []
    failed_fits = np.where(mask(good) > 0, np.nan, good * 9).astype(np.float32)
    assert input_problems(with_companion(tmp_path, good, "crlb", failed_fits), KINDS) == []
    metabolites = np.stack([good, good], axis=-1)
    assert input_problems(with_companion(tmp_path, metabolites, "missing", mask(good)), KINDS) == []
    assert input_problems(with_companion(tmp_path, metabolites, "missing", mask(metabolites)), KINDS) == []
    flat = good[..., :1]
    assert input_problems(with_companion(tmp_path, flat, "missing", mask(flat)[..., 0]), KINDS) == []


@pytest.mark.parametrize("name", ["missing", "brain"])
def test_masks_must_be_masks(tmp_path, good, name):
    values = mask(good)
    values[0, 0, 0] = 0.5
    assert "0 or 1" in one_problem(with_companion(tmp_path, good, name, values))
    assert "0 to 255" in one_problem(with_companion(tmp_path, good, name, mask(good) * 255))
    values[0, 0, 0] = np.nan
    assert "NaN" in one_problem(with_companion(tmp_path, good, name, values))


def test_nothing_left(tmp_path, good):
    assert "all voxels" in one_problem(with_companion(tmp_path, good, "missing", good * 0 + 1))
    assert "empty" in one_problem(with_companion(tmp_path, good, "brain", good * 0))
    sparse = np.zeros_like(good)
    sparse[2:4, 2:4] = good[2:4, 2:4]  # zero outside, and missing wherever it is not zero
    assert "holds a signal" in one_problem(with_companion(tmp_path, sparse, "missing", mask(good)))


def test_percent(tmp_path, good):
    assert "negative" in one_problem(with_companion(tmp_path, good, "crlb", good * 9 - 12))
    assert "must be in percent" in one_problem(with_companion(tmp_path, good, "crlb", good / 20))
    failed = np.where(np.arange(good.size).reshape(good.shape) % 3, 9.99, 0.05).astype(np.float32)  # 999 as a fraction
    assert "a tenth below" in one_problem(with_companion(tmp_path, good, "crlb", failed))
    background = np.where(good > 0, 5.0, 1e-3).astype(np.float32)  # says nothing of the head
    assert not input_problems(with_companion(tmp_path, good, "crlb", background), KINDS)
    assert "no finite" in one_problem(with_companion(tmp_path, good, "crlb", good * np.nan))
    assert "no voxel was measured" in one_problem(with_companion(tmp_path, good, "crlb", good * 0 + 999))


def test_geometry(tmp_path, good):
    assert "matrix of 10 x 9 x 7; its map has 10 x 9 x 8" in one_problem(
        with_companion(tmp_path, good, "missing", mask(good)[..., :7])
    )
    off = np.eye(4)
    off[0, 3] = 0.11
    assert "0.11 voxels off" in one_problem(with_companion(tmp_path, good, "missing", mask(good), off))
    # the same corner, but the voxels are 3 % larger: a quarter of a voxel at the far end
    assert "voxels off" in one_problem(with_companion(tmp_path, good, "missing", mask(good), np.diag([1.03, 1, 1, 1])))


def test_unreadable_companion(tmp_path, good):
    item = with_companion(tmp_path, good, "missing", mask(good))
    (tmp_path / "a_missing.nii.gz").write_bytes(b"")
    assert "cannot be read" in one_problem(item)


def test_bounds_of_no_good_fit_are_refused() -> None:
    values = np.zeros((12, 12))
    values[3:9, 3:9] = 1.0
    assert companion_problems(np.full((12, 12), 100.0), values, "percent")
    outside = np.full((12, 12), 999.0)
    outside[0, 0] = 5.0  # where the map is empty
    assert companion_problems(outside, values, "percent")


def on_fine_grid(good, fine=3):
    """Mask on a grid of a third of the voxels' sides that covers the map."""
    affine = np.diag([1 / fine] * 3 + [1.0])
    affine[:3, 3] = 0.5 / fine - 0.5
    return np.kron(mask(good), np.ones((fine,) * 3)).astype(np.float32), affine


def test_a_mask_or_bounds_on_a_finer_grid_pass(tmp_path, good):
    values, affine = on_fine_grid(good)
    for name, companion in (("missing", values), ("brain", 1 - values), ("crlb", values * 9 + 4)):
        assert input_problems(with_companion(tmp_path, good, name, companion, affine), KINDS) == []
    flat = values[..., :3]
    assert input_problems(with_companion(tmp_path, good[..., 0], "brain", flat, affine), KINDS) == []


def test_a_finer_mask_must_be_a_mask_cover_the_map_and_know_its_place(tmp_path, good):
    values, affine = on_fine_grid(good)
    assert "0 to 255" in one_problem(with_companion(tmp_path, good, "brain", values * 255, affine))
    assert "is empty" in one_problem(with_companion(tmp_path, good, "brain", values * 0, affine))
    speck = values * 0
    speck[0, 0, 0] = 1
    assert "is empty" in one_problem(with_companion(tmp_path, good, "brain", speck, affine))
    assert "covers 60% of its map" in one_problem(with_companion(tmp_path, good, "brain", values[:18], affine))
    item = with_companion(tmp_path, good, "brain", values, affine)
    image = nib.Nifti1Image(values, None)
    image.header.set_zooms((1 / 3,) * 3)
    nib.save(image, item["brain"])
    assert "gives no position" in one_problem(item)


def test_nan_is_the_background_of_an_mri(good):
    image = np.where(mask(good) > 0, good, np.nan)
    assert companion_problems(image, good, "anatomy") == []
    assert "infinity" in companion_problems(np.where(mask(good) > 0, good, np.inf), good, "anatomy")[0]
    assert "NaN in every voxel" in companion_problems(image * np.nan, good, "anatomy")[0]
    assert "same value 1" in companion_problems(np.where(mask(good) > 0, 1, np.nan), good, "anatomy")[0]


def test_linewidths():
    values = np.ones((12, 12))
    assert not companion_problems(np.full((12, 12), 0.05), values, "width")
    assert not companion_problems(np.where(np.eye(12) > 0, np.nan, 0.05), values, "width")
    assert "negative" in companion_problems(np.full((12, 12), -1.0), values, "width")[0]
    assert "no linewidth" in companion_problems(np.zeros((12, 12)), values, "width")[0]
    assert "matrix" in companion_problems(np.full((11, 12), 0.05), values, "width")[0]


def test_an_image_given_as_an_array_is_checked_as_a_file_is(good):
    eye = np.eye(4)
    assert checked_image("t1", None, None, good, eye) == {}
    image = checked_image("t1", (100 * good).astype(int), 2 * eye, good, eye)["t1"]
    assert image.shape == (1, *SHAPE)
    assert image.affine[0, 0] == 2
    for values, affine, words in (
        (good, None, "t1 needs t1_affine"),
        (good * 1j, eye, "t1 must be real numbers"),
        (good, np.zeros((4, 4)), "t1_affine must be"),
        (np.ones(SHAPE), eye, "t1 has the same value 1 in every voxel"),
    ):
        with pytest.raises(InputError, match=words):
            checked_image("t1", values, affine, good, eye)


def test_a_fraction_lies_on_any_grid_and_is_from_0_to_1(good):
    twice = np.diag([0.5, 0.5, 0.5, 1])
    fluid = np.random.default_rng(1).random((20, 18, 16))
    assert companion_problems(fluid, good, "fraction", affine=twice, map_affine=np.eye(4)) == []
    assert "a fraction is from 0 to 1" in companion_problems(255 * fluid, good, "fraction")[0]
    assert "does not overlap" in companion_problems(fluid, good, "fraction", affine=twice + np.eye(4, k=3) * 99)[0]
