import json
import locale
from dataclasses import replace

import itk
import nibabel as nib
import numpy as np
import pytest
from monai.data import DataLoader, Dataset, decollate_batch
from monai.transforms import LoadImaged

from mrsikit.io import Fids, InputError, SaveImagesd, read_fids, read_map, write_fids
from mrsikit.io.nifti_mrs import misspelt_keys, without_single_axes
from mrsikit.runtime import InputFolder
from mrsikit.runtime.provenance import sha256

AFFINE = np.array([[-3.0, 0.2, 0, 10], [0, 4, 0.1, -5], [0, 0, 5, 2], [0, 0, 0, 1]])


def fids(shape=(2, 3, 1, 64), **options):
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    given = {"dwell": 4e-4, "larmor": 45.7, "nucleus": "2H", "reference": None, "delay": None, "extension": {}}
    return Fids(**{"values": values, "affine": AFFINE, **given, **options})


def loaded(path):
    load = LoadImaged(keys="image", reader="mrsikit.io.NiftiMRSReader", dtype=None, ensure_channel_first=True)
    return decollate_batch(next(iter(DataLoader(Dataset([{"image": str(path)}], load), batch_size=1))))[0]


@pytest.mark.parametrize("shape", [(1, 1, 1, 64), (2, 3, 1, 64), (2, 2, 2, 64, 3)])
def test_what_was_written_is_read(tmp_path, shape):
    extension = {"dim_5": "DIM_DYN"} if len(shape) == 5 else {}
    extension |= {"Manufacturer": "none", "my_key": {"Value": 3, "Description": "mine"}}
    given = fids(shape, extension=extension, delay=6e-4, reference=4.65)
    write_fids(tmp_path / "a.nii.gz", given)
    found = read_fids(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(found.values, given.values)  # nothing conjugated
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-6)
    assert (found.dwell, found.larmor, found.nucleus) == (pytest.approx(4e-4), 45.7, "2H")
    assert (found.delay, found.reference) == (6e-4, 4.65)
    assert found.tags == tuple(extension.get(f"dim_{axis}") for axis in range(5, len(shape) + 1))
    assert extension.items() <= found.extension.items()
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


@pytest.mark.parametrize(("codes", "kept"), [((1, 1), (1, 1)), ((4, 1), (4, 0)), ((0, 1), (0, 1)), ((0, 0), (0, 0))])
def test_what_is_known_of_the_orientation_is_kept(tmp_path, codes, kept):
    given = replace(fids((2, 3, 2, 64)), affine=np.diag([4.0, 5, 6, 1]), codes=codes)
    write_fids(tmp_path / "a.nii.gz", given)
    found = read_fids(tmp_path / "a.nii.gz")
    assert found.codes == kept
    np.testing.assert_array_equal(found.values, given.values)
    assert found.larmor == given.larmor
    if any(codes):
        np.testing.assert_allclose(found.affine, given.affine)


def test_stock_transforms_keep_the_header_extension(tmp_path):
    given = replace(fids((2, 3, 2, 64, 2), extension={"dim_5": "DIM_DYN", "ProtocolName": "DMI"}), codes=(4, 4))
    write_fids(tmp_path / "a.nii.gz", given)
    item = loaded(tmp_path / "a.nii.gz")
    assert item["image"].shape == (1, 2, 3, 2, 64, 2)
    item |= {
        "fit": item["image"],
        "height": item["image"].abs()[0, ..., 0, :].permute(3, 0, 1, 2),
        "all": ["fit", "height"],
    }
    SaveImagesd("all", output_dir=tmp_path / "out")(item)
    found = read_fids(tmp_path / "out" / "a_fit.nii.gz")
    np.testing.assert_array_equal(found.values, given.values)
    assert found.extension == read_fids(tmp_path / "a.nii.gz").extension
    assert found.codes == (4, 4)
    heights = nib.load(tmp_path / "out" / "a_height.nii.gz")
    assert heights.shape == (2, 3, 2, 2)
    np.testing.assert_allclose(heights.affine, AFFINE, atol=1e-6)


def problems_of(path):
    inputs = InputFolder(dataset_dir=path.parent, output_dir=path.parent / "out", holds="fids")
    return " ".join(inputs.check().get(str(path), []))


def test_bad_files_are_named_with_what_would_be_right(tmp_path):
    path = tmp_path / "a.nii.gz"
    for bad, words in (
        (fids(dwell=0.4), "pixdim"),
        (fids(larmor=45.7e6), "give MHz"),
        (fids(nucleus="1H", larmor=127.0), "is of nucleus 1H; give 2H"),
        (fids((1, 1, 1, 16)), "of 16 points"),
        (fids((1, 1, 1, 64, 4), extension={"dim_5": "DIM_COIL"}), "combine coils"),
        (fids(values=np.zeros((1, 1, 1, 64), np.complex64)), "zero in every sample"),
        (fids(values=np.full((1, 1, 1, 64), np.nan, np.complex64)), "NaN"),
    ):
        write_fids(path, bad)
        assert words in problems_of(path), words
    write_fids(path, fids())
    assert problems_of(path) == ""
    image = nib.load(path)
    image.header["pixdim"][4] = 0
    nib.save(image, path)
    assert "no dwell time" in problems_of(path)
    write_fids(path, fids())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in problems_of(path)
    nib.save(nib.Nifti1Image(np.ones((8, 8, 8), np.float32), np.eye(4)), path)
    assert "spec2nii" in problems_of(path)
    path.write_text("no image")
    assert "no NIfTI" in problems_of(path)


@pytest.mark.parametrize("shape", [(64,), (8, 64), (2, 3, 64), (2, 3, 4)])
def test_a_file_of_fewer_than_four_axes_is_named_and_ends_no_folder(tmp_path, shape):
    write_fids(tmp_path / "a.nii.gz", fids())
    image = nib.load(tmp_path / "a.nii.gz")
    header = image.header.copy()
    header.set_data_shape(shape)
    header["pixdim"][4] = 4e-4  # it stays when the axis is dropped
    nib.save(nib.Nifti2Image(np.ones(shape, np.complex64), AFFINE, header), tmp_path / "b.nii.gz")
    inputs = InputFolder(dataset_dir=tmp_path, output_dir=tmp_path / "out", holds="fids", skip_invalid=True)
    assert list(inputs.check()) == [str(tmp_path / "b.nii.gz")]
    (line,) = inputs.invalid[str(tmp_path / "b.nii.gz")]
    assert f"holds an array of {' x '.join(map(str, shape))}; NIfTI-MRS has the axes (X, Y, Z, T)" in line
    assert [item["image"] for item in inputs.datalist()] == [str(tmp_path / "a.nii.gz")]


def test_a_file_without_its_frequency_is_named(tmp_path):
    path = tmp_path / "a.nii"
    write_fids(path, fids())
    image = nib.load(path)
    stored = json.loads(image.header.extensions[0].get_content().decode())
    del stored["SpectrometerFrequency"]
    image.header.extensions[:] = [nib.nifti1.Nifti1Extension(44, json.dumps(stored).encode())]
    nib.save(image, path)
    with pytest.raises(InputError, match="SpectrometerFrequency"):
        read_fids(path)


def with_keys(path, **keys):
    """Write keys into the header extension of a file."""
    image = nib.load(path)
    stored = json.loads(image.header.extensions[0].get_content().decode()) | keys
    image.header.extensions[:] = [nib.nifti1.Nifti1Extension(44, json.dumps(stored).encode())]
    nib.save(image, path)


@pytest.mark.parametrize(
    "key",
    ["EchoTime", "AcquisitionStartTime", "SpecFreqChemShift", "RxOffset", "TxOffset", "Manufacturer", "dim_5_info"],
)
def test_a_key_that_is_null_is_as_if_it_were_not_there(tmp_path, key):
    path = tmp_path / "a.nii.gz"
    write_fids(path, fids())
    with_keys(path, **{key: None})
    found = read_fids(path)
    assert key not in found.extension
    assert (found.reference, found.delay, found.echo) == (None, None, None)
    np.testing.assert_array_equal(found.values, fids().values)


def test_misspelt_keys_of_delay_and_reference_are_found_and_others_left_alone():
    keys = ("AcqusitionStartTime", "echo_time", "RXOffset", "EchoTime", "EchoTime2", "AcquisitionTime", "ProtocolName")
    assert misspelt_keys(dict.fromkeys(keys)) == {
        "AcqusitionStartTime": "AcquisitionStartTime",
        "echo_time": "EchoTime",
        "RXOffset": "RxOffset",
    }


def test_axes_of_length_one_are_left_out_and_the_others_numbered_again():
    tags = {"dim_5": "DIM_COIL", "dim_6": "DIM_DYN", "dim_6_header": {"a": 1}, "Mine": 2}
    assert without_single_axes(tags, (1, 5)) == {"dim_5": "DIM_DYN", "dim_5_header": {"a": 1}, "Mine": 2}
    assert without_single_axes(tags, (3, 5)) == tags
    assert without_single_axes(tags, ()) == {"Mine": 2}


def test_companions_are_checked_on_their_own_grids(tmp_path):
    path = tmp_path / "a.nii.gz"
    write_fids(path, fids())
    kinds = {"mask": "mask", "mri": "anatomy"}
    inputs = InputFolder(dataset_dir=tmp_path, output_dir=tmp_path / "out", holds="fids", companions=kinds)
    nib.save(nib.Nifti1Image(np.ones((2, 3, 1), np.uint8), AFFINE), tmp_path / "a_mask.nii.gz")
    finer = np.random.default_rng(0).random((20, 30, 4)).astype(np.float32)
    nib.save(nib.Nifti1Image(finer, np.eye(4)), tmp_path / "a_mri.nii.gz")
    assert inputs.check() == {}
    nib.save(nib.Nifti1Image(np.ones((3, 3, 1), np.uint8), AFFINE), tmp_path / "a_mask.nii.gz")
    nib.save(nib.Nifti1Image(np.ones_like(finer), np.eye(4)), tmp_path / "a_mri.nii.gz")
    lines = inputs.check()[str(path)]
    assert "matrix of 3 x 3 x 1" in lines[0] or "matrix of 3 x 3" in lines[0]
    assert "same value" in lines[1]


@pytest.fixture
def same_locale():
    """ITK's writer of DICOM leaves the process in the C locale, in which later tests could read no UTF-8."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


def write_series(folder, values, uid="1.2.3"):
    """Write a DICOM series of voxels of 2 x 2 x 5 mm."""
    folder.mkdir(exist_ok=True)
    writer = itk.ImageFileWriter[itk.Image[itk.SS, 2]]
    for k in range(values.shape[2]):
        image = itk.GetImageFromArray(np.ascontiguousarray(values[:, :, k].T))
        image.SetSpacing((2.0, 2.0))
        names = {"0020|0032": f"-10\\-20\\{5 * k - 7}", "0020|0037": "1\\0\\0\\0\\1\\0", "0018|0050": "5"}
        names |= {"0018|0088": "5", "0008|0060": "MR", "0020|000d": "1.2", "0020|000e": uid, "0020|0013": str(k)}
        names["0008|0018"] = f"{uid}.{k}"
        dictionary = image.GetMetaDataDictionary()
        for tag, value in names.items():
            dictionary[tag] = value
        saver = writer.New(Input=image, FileName=str(folder / f"{uid}.{k}.dcm"))
        saver.UseInputMetaDataDictionaryOn()
        saver.SetImageIO(itk.GDCMImageIO.New(KeepOriginalUID=True))
        saver.Update()


def test_a_folder_with_two_dicom_series_is_refused(tmp_path, same_locale):
    values = np.random.default_rng(0).integers(0, 1000, (20, 16, 4)).astype(np.int16)
    for uid in ("1.2.3", "1.2.4"):
        write_series(tmp_path / "a_flair", values, uid)
    with pytest.raises(InputError, match="holds 2 DICOM series"):
        read_map(tmp_path / "a_flair")


def test_an_image_may_be_a_dicom_series(tmp_path, same_locale):
    values = np.random.default_rng(0).integers(0, 1000, (20, 16, 4)).astype(np.int16)
    affine = np.diag([-2.0, -2.0, 5.0, 1.0])
    affine[:3, 3] = 10, 20, -7
    folder = tmp_path / "a_mri"
    write_series(folder, values)
    found, matrix = read_map(folder)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_allclose(matrix, affine, atol=1e-4)
    write_fids(tmp_path / "a.nii.gz", fids())
    inputs = InputFolder(dataset_dir=tmp_path, output_dir=tmp_path, holds="fids", companions={"mri": "anatomy"})
    assert inputs.check() == {}
    assert inputs.items()[0]["mri"] == str(folder)
    assert len(sha256(folder)) == 64
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no DICOM series"):
        read_map(tmp_path / "empty")
