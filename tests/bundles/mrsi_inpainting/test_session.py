"""The other maps of a session: read with what is known of them, and listed by the inputs."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrsi_inpainting.session import AverageMrisd, LoadImagesOfSessiond
from mrsikit.io import read_map
from mrsikit.runtime import InputFolder
from mrsikit.runtime.pipeline import channel_first


def save(path: Path, values: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(values.astype(np.float32), np.eye(4)), path)


def read(path: str) -> MetaTensor:
    return channel_first(*read_map(path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    map = np.full((8, 8, 2), 10.0)
    for name in ("NAA", "Cr", "Cho"):
        save(tmp_path / f"sub-01_{name}.nii.gz", map)
    bounds = np.full((8, 8, 2), 5.0)
    bounds[2, 2] = 50.0
    save(tmp_path / "sub-01_Cr_crlb.nii.gz", bounds)
    save(tmp_path / "sub-02_Cr.nii.gz", map)
    return tmp_path


def inputs(folder: Path, *, session: bool) -> InputFolder:
    companions = {"missing": "missing", "crlb": "percent", "brain": "mask"}
    return InputFolder(dataset_dir=folder, output_dir=folder / "out", companions=companions, session=session)


def test_a_map_lists_the_others_of_its_session_and_no_others(folder: Path) -> None:
    items = {Path(item["image"]).name: item for item in inputs(folder, session=True).items()}
    keys = {key for key in items["sub-01_NAA.nii.gz"] if key.startswith("session/")}
    assert keys == {"session/sub-01_Cr", "session/sub-01_Cr/crlb", "session/sub-01_Cho"}
    assert not any(key.startswith("session/") for key in items["sub-02_Cr.nii.gz"])
    assert not any(key.startswith("session/") for item in inputs(folder, session=False).items() for key in item)


def test_a_map_that_cannot_be_read_is_no_part_of_the_session(folder: Path) -> None:
    (folder / "sub-01_Cho.nii.gz").write_bytes(b"broken")
    found = inputs(folder, session=True)
    found.check()
    item = next(item for item in found.items() if item["image"].endswith("sub-01_NAA.nii.gz"))
    assert "session/sub-01_Cho" not in item


def test_poor_fits_and_zeros_of_the_others_are_not_known(folder: Path) -> None:
    item = next(item for item in inputs(folder, session=True).items() if item["image"].endswith("sub-01_NAA.nii.gz"))
    out = LoadImagesOfSessiond()(item)
    names = out["other names"].split(", ")
    creatine = out["others"][names.index("sub-01_Cr")]
    assert torch.isnan(creatine[2, 2]).all()
    assert torch.isfinite(creatine[3, 3]).all()
    assert torch.isfinite(out["others"][names.index("sub-01_Cho")]).all()
    assert not any(str(key).startswith("session/") for key in out)


def test_fits_of_broad_lines_are_not_known_in_any_map_of_the_session(folder: Path) -> None:
    widths = np.full((8, 8, 2), 0.05)
    widths[4, 4] = 0.2
    save(folder / "sub-01_fwhm.nii.gz", widths)
    found = InputFolder(
        dataset_dir=folder, output_dir=folder / "out", companions={"crlb": "percent", "fwhm": "width"}, session=True
    )
    item = next(item for item in found.items() if item["image"].endswith("sub-01_NAA.nii.gz"))
    assert item["fwhm"].endswith("sub-01_fwhm.nii.gz")
    others = LoadImagesOfSessiond()(item)["others"]
    assert torch.isnan(others[:, 4, 4]).all()
    assert torch.isfinite(others[:, 3, 3]).all()
    assert torch.isfinite(LoadImagesOfSessiond(max_fwhm=None)(item)["others"][:, 4, 4]).all()


def test_a_repeat_of_a_metabolite_is_another_map_of_the_session(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("run-1_NAA", "run-2_NAA", "run-1_Cr", "run-2_Cr"):
        save(tmp_path / f"sub-01_{name}.nii.gz", 10 + rng.random((8, 8, 2)))
    item = next(one for one in inputs(tmp_path, session=True).items() if "run-1_NAA" in one["image"])
    names = LoadImagesOfSessiond()(item | {"image": read(item["image"])})["other names"]
    assert set(names.split(", ")) == {"sub-01_run-2_NAA", "sub-01_run-1_Cr", "sub-01_run-2_Cr"}


def test_an_mri_is_averaged_over_the_voxels_of_the_map() -> None:
    fine = MetaTensor(torch.arange(256.0).reshape(1, 16, 16), affine=torch.eye(4))
    fine[:, :2, :2] = 0  # background
    affine = torch.diag(torch.tensor([2.0, 2.0, 1.0, 1.0]))
    affine[:2, 3] = 0.5
    map = MetaTensor(torch.ones(1, 8, 9), affine=affine)
    out = AverageMrisd()({"image": map, "t1": fine})
    assert out["mris"].shape == (1, 8, 9)
    assert out["mris"][0, 1, 1] == fine[0, 2:4, 2:4].mean()
    assert out["mris"][0, 0, 0].isnan()
    assert out["mris"][0, :, 8].isnan().all()  # beyond the MRI
    assert out["mri names"] == "T1"
    assert "t1" not in out


def test_without_the_session_no_mri_is_used() -> None:
    image = MetaTensor(torch.ones(1, 8, 8), affine=torch.eye(4))
    assert set(AverageMrisd(session="false")({"image": image, "t1": image, "flair": image})) == {"image"}
