import nibabel as nib
import numpy as np
import pytest

from mrsikit.io import InputError, MapReader, read_map, stem_of

AFFINE = np.array([[-3, 0.2, 0, 10], [0, 4, 0.1, -5], [0, 0, 5.0, 2], [0, 0, 0, 1]])


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 1), (9, 8, 7), (9, 8, 7, 2), (9, 8, 1, 2)])
def test_nifti_keeps_the_layout_of_the_file(tmp_path, shape):
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / "a.nii.gz")
    read, affine = read_map(tmp_path / "a.nii.gz")
    assert read.shape == shape
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, data)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-6)


def test_scaled_integers_are_scaled(tmp_path):
    image = nib.Nifti1Image(np.arange(64, dtype=np.int16).reshape(8, 8), np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    nib.save(image, tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii")
    np.testing.assert_allclose(read_map(tmp_path / "a.nii")[0], np.asarray(stored.dataobj), rtol=1e-6)


def test_minc_comes_in_the_axis_order_of_nifti_with_its_geometry(tmp_path, write_minc):
    data = np.random.default_rng(0).random((10, 9, 8)).astype(np.float32)
    steps = {"xspace": 2.0, "yspace": -3.0, "zspace": 4.0}
    starts = {"xspace": -7.0, "yspace": 11.0, "zspace": 5.0}
    write_minc(tmp_path / "a.mnc", data, steps, starts)
    read, affine = read_map(tmp_path / "a.mnc")
    np.testing.assert_array_equal(read, data.transpose(2, 1, 0))
    np.testing.assert_allclose(affine @ [1, 2, 3, 1], [-7 + 2, 11 - 6, 5 + 12, 1])


def test_minc_time_becomes_the_last_axis(tmp_path, write_minc):
    data = np.random.default_rng(0).random((3, 10, 9, 8)).astype(np.float32)
    names = ("time", "zspace", "yspace", "xspace")
    write_minc(tmp_path / "a.mnc", data, dict.fromkeys(names, 1.0), dict.fromkeys(names, 0.0), names)
    np.testing.assert_array_equal(read_map(tmp_path / "a.mnc")[0], data.transpose(3, 2, 1, 0))


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ((9, 8, 1, 1, 1), (9, 8, 1, 1)),
        ((9, 8, 7, 1, 1), (9, 8, 7, 1)),
        ((9, 8, 7, 1, 2), (9, 8, 7, 2)),
        ((9, 8, 7, 2, 1, 1), (9, 8, 7, 2)),
        ((9, 8, 7, 2, 3), (9, 8, 7, 2, 3)),
    ],
)
def test_at_most_one_axis_follows_those_of_space(tmp_path, stored, read):
    data = np.random.default_rng(0).random(stored).astype(np.float32)
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_map(tmp_path / "a.nii.gz")[0], data.reshape(read))


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.b.nii.gz", "a.b"), ("A.NII.GZ", "A"), ("x.mnc", "x"), ("x.nii", "x"), ("x.txt", "x.txt"), (".nii", ".nii")],
)
def test_stem_of(name, stem):
    assert stem_of(f"/folder.nii/{name}") == stem


def test_reader_takes_one_file_a_key(tmp_path):
    with pytest.raises(InputError, match="one file a key"):
        MapReader().read([tmp_path / "a.nii", tmp_path / "b.nii"])


def test_singular_affine_is_refused(tmp_path):
    image = nib.Nifti1Image(np.ones((8, 8, 8), np.float32), None)
    image.set_sform(np.diag([0, 1, 1, 1]), code=1)
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(InputError, match="cannot be inverted"):
        read_map(tmp_path / "a.nii")
