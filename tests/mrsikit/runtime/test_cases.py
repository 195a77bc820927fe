import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrsikit.runtime.cases import attach, find_files, group, is_mask

COMPANIONS = {"missing": "missing", "crlb": "percent", "brain": "mask", "flair": "anatomy"}


def save(path: Path, values: np.ndarray | None = None, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).random((8, 9)).astype(np.float32) if values is None else values
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


def dicom(path: Path) -> None:
    """Nothing of a DICOM file but the mark that tells it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(128) + b"DICM")


def test_every_image_is_listed_once_with_the_reason_why_it_is_not_used(tmp_path: Path) -> None:
    for name in ("x.nii.gz", "x_holes.nii.gz", "x_inpainted.nii.gz", "x_brain.nii", "x_Glx.nii.gz", "y_inpainted.nii"):
        save(tmp_path / name)
    for name in ("x.mnc.gz", "x.mgz", "x.nrrd"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "annex" / "gone")
    found = find_files(tmp_path, companions=COMPANIONS, outputs=("inpainted", "holes"))
    assert [path.name for path in found.maps] == ["x.nii.gz", "x_Glx.nii.gz", "y_inpainted.nii"]
    assert [path.name for path in found.companions] == ["x_brain.nii"]
    assert [path.name for path in found.results] == ["x_holes.nii.gz", "x_inpainted.nii.gz"]
    assert {path.name: why for path, why in found.unused.items()} == {
        "link.nii.gz": "is a link to a file that is not here; fetch the file first",
        "x.mgz": ".mgz is not read; convert it to .nii.gz",
        "x.mnc.gz": ".mnc.gz is not read; convert it to .nii.gz",
        "x.nrrd": ".nrrd is not read; convert it to .nii.gz",
    }


def test_folders_of_dicom_are_maps_or_companions(tmp_path: Path) -> None:
    dicom(tmp_path / "csi" / "0001")
    dicom(tmp_path / "csi_flair" / "series" / "0001.dcm")
    found = find_files(tmp_path, companions=COMPANIONS, outputs=())
    assert found.maps == [tmp_path / "csi"]
    assert attach(found.maps, found, COMPANIONS)[tmp_path / "csi"] == {"flair": [tmp_path / "csi_flair" / "series"]}
    assert find_files(tmp_path / "csi", companions=COMPANIONS, outputs=()).maps == [tmp_path / "csi"]
    fids = find_files(tmp_path, companions=COMPANIONS, outputs=(), fids=True)
    assert fids.maps == []
    assert fids.unused == {tmp_path / "csi": "holds DICOM; convert it to NIfTI-MRS"}


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    save(tmp_path / "s1" / "NAA.nii.gz")
    os.symlink(tmp_path, tmp_path / "s1" / "up")
    assert len(find_files(tmp_path, companions={}, outputs=()).maps) < 4


def test_masks_and_mris_serve_a_session_and_bounds_their_map(tmp_path: Path) -> None:
    for name in (
        "s1_NAA",
        "s1_tCr",
        "s1_brain",
        "s1_tCr_crlb",
        "s1_crlb",
        "s2_NAA",
        "s2_NAA_brain",
        "s2_brain",
        "flair",
    ):
        save(tmp_path / f"{name}.nii.gz")
    found = find_files(tmp_path, companions=COMPANIONS, outputs=())
    attached = {
        path.name[:-7]: {name: [file.name[:-7] for file in files] for name, files in named.items()}
        for path, named in attach(found.maps, found, COMPANIONS).items()
    }
    assert attached == {
        "s1_NAA": {"brain": ["s1_brain"]},
        "s1_tCr": {"brain": ["s1_brain"], "crlb": ["s1_tCr_crlb"]},
        "s2_NAA": {"brain": ["s2_NAA_brain"]},
    }


@pytest.mark.parametrize("names", [("NAA", "tCr"), ("p1_NAA", "p1_tCr"), ("p1",)])
def test_a_bare_name_serves_the_only_session_of_a_folder(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in (*names, "brain"):
        save(tmp_path / f"{name}.nii.gz")
    found = find_files(tmp_path, companions=COMPANIONS, outputs=())
    assert all(
        named == {"brain": [tmp_path / "brain.nii.gz"]} for named in attach(found.maps, found, COMPANIONS).values()
    )


def test_cases_are_sessions_on_one_grid(tmp_path: Path) -> None:
    stems = ("K_01_NAA", "K_01_Cr_PCr", "K_02_NAA", "a/NAA", "a/tCr", "a/run-2_NAA", "met-Cho")
    maps = [save(tmp_path / f"{stem}.nii.gz") for stem in stems]
    maps.append(save(tmp_path / "K_01_Glx.nii.gz", affine=np.diag([2.0, 2, 2, 1])))
    cases = {case.name: [path.name[:-7] for path in case.maps] for case in group(maps, tmp_path)}
    assert cases == {
        "K_01": ["K_01_NAA", "K_01_Cr_PCr"],
        "K_02": ["K_02_NAA"],
        "a": ["NAA", "tCr", "run-2_NAA"],
        tmp_path.name: ["met-Cho"],
        "K_01 (2)": ["K_01_Glx"],
    }


def test_a_mask_is_told_from_a_map(tmp_path: Path) -> None:
    mask = np.zeros((8, 8, 20), np.float32)
    mask[3:5, 3:5, 9] = 1
    assert is_mask(save(tmp_path / "mask.nii.gz", mask))
    mask[4, 4, 11] = 0.5
    assert not is_mask(save(tmp_path / "map.nii.gz", mask))
    assert not is_mask(save(tmp_path / "zero.nii.gz", np.zeros((8, 8))))
    (tmp_path / "bad.nii.gz").write_bytes(b"x")
    assert not is_mask(tmp_path / "bad.nii.gz")
