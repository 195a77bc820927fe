from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrsikit.io import Fids, InputError, write_fids
from mrsikit.io.grid import POSITION_UNKNOWN, Grid, grid_of_file, grid_of_sizes
from mrsikit.io.readers import read_codes, read_map

AFFINE = np.array([[-8, 0.5, 0, 10], [0.4, 9, 0, -5], [0, 0, 12.0, 2], [0, 0, 0, 1]])


def written(path: Path, grid: Grid, shape: tuple[int, ...] = (9, 8, 3)) -> Path:
    nib.save(grid.image(np.ones(shape, np.float32)), path)
    return path


def test_a_voxel_size_gives_no_position(tmp_path: Path) -> None:
    grid = grid_of_sizes("10,10,12.5")
    assert grid.voxel_size == (10, 10, 12.5)
    assert grid.position.startswith(POSITION_UNKNOWN)
    path = written(tmp_path / "a.nii.gz", grid)
    assert read_codes(path) == (0, 0)
    _, affine = read_map(path)
    np.testing.assert_allclose(np.abs(affine[:3, :3]), np.diag([10, 10, 12.5]))  # the sides, and no rotation


@pytest.mark.parametrize(
    "text", ["10", "10,10", "10,10,12,1", "a,b,c", "10,10,0", "10,-10,12", "nan,1,1", "inf,1,1", ""]
)
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="give the three sides of a voxel in mm, such as 10,10,12"):
        grid_of_sizes(text)


@pytest.mark.parametrize("codes", [(1, 1), (2, 0), (0, 1), (4, 1)])
def test_the_grid_of_a_nifti_file_is_kept(tmp_path: Path, codes: tuple[int, int]) -> None:
    image = nib.Nifti1Image(np.zeros((9, 8, 3, 5), np.float32), None)
    image.set_sform(AFFINE, code=codes[0])
    image.set_qform(AFFINE, code=codes[1])
    nib.save(image, tmp_path / "t.nii")
    grid = grid_of_file(tmp_path / "t.nii")
    assert (grid.shape, grid.position, grid.codes) == ((9, 8, 3), "t.nii", codes)
    path = written(tmp_path / "a.nii.gz", grid)
    assert read_codes(path) == codes
    np.testing.assert_allclose(nib.load(path).affine, image.affine, atol=1e-4)


def test_a_reference_in_metres_is_written_in_millimetres(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((9, 8, 3), np.float32), np.diag([0.01, 0.01, 0.012, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "t.nii")
    _, affine = read_map(written(tmp_path / "a.nii.gz", grid_of_file(tmp_path / "t.nii")))
    np.testing.assert_allclose(affine, np.diag([10, 10, 12, 1]), rtol=1e-6)


def test_matrices_that_differ_are_both_kept_and_said(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((9, 8, 3), np.float32), None)
    image.set_sform(np.diag([10.0, 10, 12, 1]), code=1)
    image.set_qform(np.diag([10.0, -10, 12, 1]), code=1)
    nib.save(image, tmp_path / "t.nii")
    grid = grid_of_file(tmp_path / "t.nii")
    assert "mirror images" in grid.warnings[0]
    header = nib.load(written(tmp_path / "a.nii.gz", grid)).header
    np.testing.assert_allclose(np.diag(header.get_sform())[:3], [10, 10, 12])
    np.testing.assert_allclose(np.diag(header.get_qform())[:3], [10, -10, 12])


def test_a_header_without_position_stays_without(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((9, 8), np.float32), None), tmp_path / "t.nii")
    grid = grid_of_file(tmp_path / "t.nii")
    assert grid.shape == (9, 8, 1)
    assert grid.position == f"{POSITION_UNKNOWN}: the header of t.nii does not state it"
    assert read_codes(written(tmp_path / "a.nii.gz", grid, (9, 8, 1))) == (0, 0)


def test_a_nifti_mrs_file_gives_its_grid(tmp_path: Path) -> None:
    fids = np.ones((9, 8, 3, 16), np.complex64)
    write_fids(
        tmp_path / "t.nii.gz",
        Fids(
            values=fids, affine=AFFINE, dwell=5e-4, larmor=127.7, nucleus="1H", reference=None, delay=None, extension={}
        ),
    )
    grid = grid_of_file(tmp_path / "t.nii.gz")
    assert grid.shape == (9, 8, 3)
    assert grid.affine is not None
    np.testing.assert_allclose(grid.affine, AFFINE, atol=1e-4)


def test_files_that_are_no_reference_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"junk")
    for name, said in {"b.nii": "is no file", "a.nii.gz": "cannot be read"}.items():
        with pytest.raises(InputError, match=said) as error:
            grid_of_file(tmp_path / name)
        assert str(error.value).endswith(r".nii, .nii.gz or .SPAR file")
