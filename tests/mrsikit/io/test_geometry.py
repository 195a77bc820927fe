"""Lengths are read in mm whatever the header's unit; a header that contradicts itself is named and kept."""

from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import LoadImaged
from scipy.spatial.transform import Rotation

from mrsikit.io import Fids, SaveImagesd, read_fids, read_map, write_fids
from mrsikit.io.geometry import header_warnings
from mrsikit.runtime.report.handler import RunReport

AFFINE = np.array([[-3, 0.0, 0, 10], [0, 4, 0.0, -5], [0, 0, 5.0, 2], [0, 0, 0, 1]])
SHAPE = (10, 9, 8)


def rotated(degrees, affine=AFFINE):
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    return turn @ affine


def save(path, *, sform=AFFINE, qform=AFFINE, codes=(1, 1), unit="mm", shape=SHAPE):
    image = nib.Nifti1Image(np.random.default_rng(0).random(shape).astype(np.float32), None)
    image.set_sform(sform, code=codes[0])
    image.set_qform(qform, code=codes[1])
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, path)
    return path


def load(path):
    loader = LoadImaged(keys="image", reader="mrsikit.io.MapReader", ensure_channel_first=True)
    return decollate_batch(next(iter(DataLoader(Dataset([{"image": str(path)}], loader), batch_size=1))))[0]


@pytest.mark.parametrize(("unit", "units_per_mm"), [("mm", 1), ("micron", 1e3), ("meter", 1e-3), (0, 1)])
@pytest.mark.parametrize("codes", [(1, 1), (0, 1), (1, 0)])
def test_lengths_are_read_in_millimetres(tmp_path, unit, units_per_mm, codes):
    stored = AFFINE.copy()
    stored[:3] *= units_per_mm
    path = save(tmp_path / "a.nii.gz", sform=stored, qform=stored, unit=unit, codes=codes)
    np.testing.assert_allclose(read_map(path)[1], AFFINE, atol=1e-5)
    assert header_warnings(path) == []
    item = load(path)
    item |= {"filled": item["image"], "names": ["filled"]}
    SaveImagesd("names", output_dir=tmp_path)(item)
    written = nib.load(tmp_path / "a_filled.nii.gz")
    assert written.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)


def test_a_metre_without_its_unit_is_named(tmp_path):
    stored = AFFINE.copy()
    stored[:3] *= 1e-3
    path = save(tmp_path / "a.nii.gz", sform=stored, qform=stored)
    assert header_warnings(path) == ["its voxels have a side of 0.003 mm (unit in the header: mm); is the unit right?"]


def test_matrices_that_differ_are_named_with_the_difference(tmp_path):
    turned = save(tmp_path / "a.nii.gz", qform=rotated(20), codes=(2, 1))
    (line,) = header_warnings(turned)
    assert line.startswith("its sform (code 2) and qform (code 1) differ by 20 degrees and up to 11.9 mm")
    moved = AFFINE.copy()
    moved[0, 3] += 5
    (line,) = header_warnings(save(tmp_path / "b.nii.gz", qform=moved))
    assert "differ by 0 degrees and up to 5 mm" in line
    (line,) = header_warnings(save(tmp_path / "c.nii.gz", qform=AFFINE * [[-1], [1], [1], [1]]))
    assert "mirror images" in line


def test_rounding_shears_and_single_matrices_are_not_named(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 1] = 1.0
    rounded = rotated(17.123).round(3)
    for number, matrices in enumerate(
        [
            {},
            {"sform": sheared, "qform": sheared},
            {"sform": rounded, "qform": rotated(17.123)},
            {"qform": rotated(20), "codes": (1, 0)},
            {"qform": rotated(20), "codes": (0, 1)},
            {"codes": (0, 0)},
        ]
    ):
        assert header_warnings(save(tmp_path / f"{number}.nii.gz", **matrices)) == []
    assert header_warnings(tmp_path) == []


def test_both_matrices_are_kept_on_the_grid_of_the_output(tmp_path):
    qform = rotated(20)
    item = load(save(tmp_path / "a.nii.gz", qform=qform, codes=(2, 1)))
    finer = np.diag([0.5, 0.5, 1, 1])
    finer[:2, 3] = -0.25
    fine = MetaTensor(torch.ones(1, 20, 18, 8), meta=item["image"].meta | {"affine": torch.as_tensor(AFFINE @ finer)})
    SaveImagesd("names", output_dir=tmp_path)(item | {"same": item["image"], "fine": fine, "names": ["same", "fine"]})
    for name, grid in (("same", np.eye(4)), ("fine", finer)):
        header = nib.load(tmp_path / f"a_{name}.nii.gz").header
        np.testing.assert_allclose(header.get_sform(), AFFINE @ grid, atol=1e-5)
        np.testing.assert_allclose(header.get_qform(), qform @ grid, atol=1e-4)
        assert (header["sform_code"], header["qform_code"]) == (2, 1)


def test_fids_are_read_in_millimetres_and_keep_both_matrices(tmp_path):
    values = np.ones((2, 3, 1, 64), np.complex64)
    given = Fids(
        values=values, affine=AFFINE, dwell=4e-4, larmor=45.7, nucleus="2H", reference=None, delay=None, extension={}
    )
    write_fids(tmp_path / "a.nii.gz", replace(given, codes=(2, 1), qform=rotated(20)))
    found = read_fids(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(found.qform, rotated(20), atol=1e-4)
    assert found.codes == (2, 1)
    assert "20 degrees" in header_warnings(tmp_path / "a.nii.gz")[0]
    write_fids(tmp_path / "b.nii.gz", given)
    assert read_fids(tmp_path / "b.nii.gz").qform is None
    image = nib.load(tmp_path / "b.nii.gz")
    stored = AFFINE.copy()
    stored[:3] *= 1e-3
    image.header.set_sform(stored)
    image.header.set_qform(stored)
    image.header.set_xyzt_units("meter", "sec")
    nib.save(nib.Nifti2Image(np.asarray(image.dataobj), None, image.header), tmp_path / "c.nii.gz")
    np.testing.assert_allclose(read_fids(tmp_path / "c.nii.gz").affine, AFFINE, atol=1e-5)


def test_the_record_names_the_file(tmp_path):
    image = str(save(tmp_path / "a.nii.gz", qform=rotated(20)))
    mask = str(save(tmp_path / "a_brain.nii.gz"))
    report = RunReport(inputs=SimpleNamespace(sources=dict), bundle_name="toy", bundle_version="1")
    flags = report._header_flags({"image": image, "brain": mask})
    assert len(flags) == 1
    assert flags[0].startswith("a.nii.gz: its sform (code 1) and qform (code 1) differ by 20 degrees")
