import nibabel as nib
import numpy as np
import pytest
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import LoadImaged, SaveImaged

from mrsikit.io import AtomicNibabelWriter, output_name

AFFINE = np.array([[-3, 0.2, 0, 10], [0, 4, 0.1, -5], [0, 0, 5.0, 2], [0, 0, 0, 1]])

SHAPES = {"a": (9, 8), "b": (9, 8, 1), "c": (9, 8, 7), "d": (9, 8, 7, 2), "e": (9, 8, 1, 2), "f": (9, 8, 7, 1)}


def saver(folder, postfix, dtype):
    return SaveImaged(
        keys="image",
        output_dir=folder,
        output_postfix=postfix,
        separate_folder=False,
        output_dtype=dtype,
        resample=False,
        print_log=False,
        writer="mrsikit.io.AtomicNibabelWriter",
        output_name_formatter=output_name,
    )


def loaded(path):
    load = LoadImaged(keys="image", reader="mrsikit.io.MapReader", ensure_channel_first=True)
    batch = next(iter(DataLoader(Dataset([{"image": str(path)}], load), batch_size=1)))
    return decollate_batch(batch)[0]


def test_stock_transforms_return_layout_affine_and_type_of_every_kind_of_input(tmp_path):
    rng = np.random.default_rng(0)
    data = {name: (rng.random(shape) > 0.5).astype(np.float32) for name, shape in SHAPES.items()}
    for name, array in data.items():
        nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / f"{name}.nii.gz")
    # one transform for all, in this order: MONAI's SaveImage keeps state from one image to the next
    save, save_mask = saver(tmp_path / "out", "filled", np.float32), saver(tmp_path / "out", "holes", np.uint8)
    for name, array in data.items():
        item = loaded(tmp_path / f"{name}.nii.gz")
        # what a bundle does: a new tensor with the old metadata
        item["image"] = MetaTensor(item["image"].as_tensor() * 1, meta=item["image"].meta)
        save(item)
        save_mask(item)
        for suffix, dtype in (("filled", np.float32), ("holes", np.uint8)):
            image = nib.load(tmp_path / "out" / f"{name}_{suffix}.nii.gz")
            assert image.shape == array.shape
            assert image.get_data_dtype() == dtype
            np.testing.assert_array_equal(np.asarray(image.dataobj), array)
            np.testing.assert_allclose(image.affine, AFFINE, atol=1e-6)
    assert len(list((tmp_path / "out").iterdir())) == 2 * len(SHAPES)


def test_minc_and_upper_case_endings_are_written_as_nifti_under_their_stem(tmp_path, write_minc):
    data = np.random.default_rng(0).random((10, 9, 8)).astype(np.float32)
    names = ("zspace", "yspace", "xspace")
    write_minc(tmp_path / "m.mnc", data, dict.fromkeys(names, 2.0), dict.fromkeys(names, 1.0))
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / "n.nii.gz")
    (tmp_path / "n.nii.gz").rename(tmp_path / "n.v2.NII.GZ")
    save = saver(tmp_path / "out", "filled", np.float32)
    save(loaded(tmp_path / "m.mnc"))
    save(loaded(tmp_path / "n.v2.NII.GZ"))
    image = nib.load(tmp_path / "out" / "m_filled.nii.gz")
    np.testing.assert_array_equal(image.get_fdata(), data.transpose(2, 1, 0))
    np.testing.assert_allclose(image.affine, [[2, 0, 0, 1], [0, 2, 0, 1], [0, 0, 2, 1], [0, 0, 0, 1]])
    assert (tmp_path / "out" / "n.v2_filled.nii.gz").exists()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"old")

    def half(image, name):
        name.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(nib, "save", half)
    writer = AtomicNibabelWriter()
    writer.set_data_array(np.ones((1, 8, 8)))
    writer.set_metadata({})
    with pytest.raises(OSError, match="disk full"):
        writer.write(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_resampling_and_odd_shapes_are_refused():
    writer = AtomicNibabelWriter()
    with pytest.raises(ValueError, match=r"\(C, X, Y\)"):
        writer.set_data_array(np.ones((8, 8)))
    writer.set_data_array(np.ones((1, 8, 8)))
    with pytest.raises(ValueError, match="resample"):
        writer.set_metadata({}, resample=True)


@pytest.mark.parametrize("codes", [(1, 1), (4, 0), (0, 1), (0, 0)])
def test_what_the_file_says_of_its_orientation_is_kept(tmp_path, codes):
    for name, shape in {"flat": (9, 8), "volume": (9, 8, 7)}.items():
        image = nib.Nifti1Image(np.ones(shape, np.float32), None)
        image.header.set_zooms((2.0, 3.0, 4.0)[: len(shape)])
        affine = AFFINE if any(codes) else image.header.get_base_affine()
        image.set_qform(affine, codes[1], strip_shears=True)
        image.set_sform(affine, codes[0])
        nib.save(image, tmp_path / f"{name}.nii.gz")
        saver(tmp_path, "filled", np.float32)(loaded(tmp_path / f"{name}.nii.gz"))
        written, given = nib.load(tmp_path / f"{name}_filled.nii.gz"), nib.load(tmp_path / f"{name}.nii.gz")
        assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == codes
        np.testing.assert_allclose(written.affine, given.affine, atol=1e-5)


def test_a_matrix_that_no_code_keeps_gets_one(tmp_path):
    save = saver(tmp_path, "filled", np.float32)
    nib.save(nib.Nifti1Image(np.ones((9, 8, 7), np.float32), None), tmp_path / "a.nii.gz")
    item = loaded(tmp_path / "a.nii.gz")
    item["image"] = MetaTensor(item["image"].as_tensor(), meta={**item["image"].meta, "affine": AFFINE})
    save(item)
    np.testing.assert_allclose(nib.load(tmp_path / "a_filled.nii.gz").affine, AFFINE, atol=1e-6)
