from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mrsikit.io import InputError
from mrsikit.io.spar import read_spar

SPAR = """!----------------------------------
!      GYROSCAN spectro parameter file.
!----------------------------------
scan_date : 2016.03.23 14:35:42

patient_name:--------------

patient_position : "head_first"

patient_orientation : "supine"

ap_size : 110
lr_size : 100
cc_size : 36
ap_off_center : 1
lr_off_center : 2
cc_off_center : 3
ap_angulation : 0
lr_angulation : 0
cc_angulation : 0
si_ap_off_center : 6.5
si_lr_off_center : 0.5
si_cc_off_center : 43
si_ap_off_angulation : 0
si_lr_off_angulation : 0
si_cc_off_angulation : 0
phase_encoding_direction : "trans"
phase_encoding_fov : 140
slice_thickness : 36
slice_distance : 12
nr_of_slices_for_multislice : 3
dim2_pnts : 14
dim3_pnts : 14
dim4_pnts : 3
dim4_t0_point : -
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.SPAR").write_text(SPAR)
    return tmp_path / "a.SPAR"


def changed(path: Path, *changes: tuple[str, str]) -> Path:
    text = SPAR
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_the_grid_is_centred_and_runs_left_back_and_up(path: Path) -> None:
    affine, matrix, (warning,) = read_spar(path)
    assert matrix == (14, 14, 3)
    np.testing.assert_allclose(affine[:3, :3], np.diag([-10, -10, 12]), atol=1e-12)
    # off-centre 0.5 mm left, 6.5 mm back, 43 mm up: in NIfTI's axes right, front, up
    np.testing.assert_allclose(affine @ [6.5, 6.5, 1, 1], [-0.5, -6.5, 43, 1])
    np.testing.assert_allclose(affine @ [0, 0, 0, 1], [64.5, 58.5, 31, 1])  # the first voxel: right, front, low
    assert warning.startswith("a.SPAR: the order and the signs of the axes are a convention")
    assert "angulation" not in warning


def test_angulation_turns_about_the_centre(path: Path) -> None:
    angles = {"lr": 10.0, "ap": -20.0, "cc": 5.0}
    affine, _, (warning,) = read_spar(
        changed(path, *((f"si_{a}_off_angulation : 0", f"si_{a}_off_angulation : {v}") for a, v in angles.items()))
    )
    assert "and so are those of its angulation" in warning
    np.testing.assert_allclose(affine @ [6.5, 6.5, 1, 1], [-0.5, -6.5, 43, 1], atol=1e-9)
    turn = Rotation.from_euler("XYZ", [-10, 20, 5], degrees=True).as_matrix()  # as spec2nii, in NIfTI's axes
    np.testing.assert_allclose(affine[:3, :3], turn @ np.diag([-10, -10, 12]), atol=1e-9)


def test_values_of_the_box_serve_where_those_of_the_grid_are_absent(path: Path) -> None:
    path.write_text("\n".join(line for line in SPAR.splitlines() if not line.startswith("si_")))
    affine, _, _ = read_spar(path)
    np.testing.assert_allclose(affine @ [6.5, 6.5, 1, 1], [-2, -1, 3, 1])


def test_a_single_slice_has_its_thickness(path: Path) -> None:
    changes = [
        ("dim4_pnts : 3\n", ""),
        ("multislice : 3", "multislice : 1"),
        ("slice_distance : 12", "slice_distance : 0"),
    ]
    affine, matrix, _ = read_spar(changed(path, *changes, ("slice_thickness : 36", "slice_thickness : 15")))
    assert matrix == (14, 14, 1)
    np.testing.assert_allclose(np.diag(affine)[:3], [-10, -10, 15])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"trans"', '"sag"'), 'has phase_encoding_direction "sag"; only trans is read'),
        (('"supine"', '"prone"'), 'has patient_orientation "prone"'),
        (("dim3_pnts : 14", "dim3_pnts : 12"), "has 14 columns and 12 rows but one field of view"),
        (("phase_encoding_fov : 140", ""), "states no phase_encoding_fov"),
        (("phase_encoding_fov : 140", "phase_encoding_fov : x"), "states no phase_encoding_fov"),
        (("slice_distance : 12", "slice_distance : 0"), "states no matrix or voxel size above 0"),
        (("dim2_pnts : 14\ndim3_pnts : 14", "dim2_pnts : 0\ndim3_pnts : 0"), "states no matrix or voxel size above 0"),
    ],
)
def test_a_grid_that_is_not_known_is_refused(path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        read_spar(changed(path, change))
    assert str(error.value).startswith(str(path))
    assert "NIfTI" in str(error.value)


def test_files_that_are_no_spar_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.spar").write_bytes(bytes(range(256)) * 10)
    with pytest.raises(InputError, match="states no dim2_pnts"):
        read_spar(tmp_path / "a.spar")
    with pytest.raises(InputError, match="cannot be read"):
        read_spar(tmp_path / "b.spar")
