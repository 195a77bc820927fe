"""No measured folder of FSL-MRS is at hand: these are made in the layout that its mrsi.tree states."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrsikit.io import InputError
from mrsikit.io.fsl_mrs import is_fsl_mrs, read_fsl_mrs

SHAPE = (9, 8, 3)
AFFINE = np.array([[-8, 0.5, 0, 10], [0.4, 9, 0, -5], [0, 0, 12.0, 2], [0, 0, 0, 1]])
NAMES = ("NAA", "NAAG", "Cr", "NAA+NAAG")
OUTSIDE = np.indices(SHAPE)[0] < 2


def made(seed: int, low: float, high: float) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(low, high, SHAPE).astype(np.float32)
    return np.where(OUTSIDE, 0, values).astype(np.float32)


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        for place, scaling in enumerate(("raw", "internal", "molality")):
            save(tmp_path / "concs" / scaling / f"{name}.nii.gz", made(number, 1, 2) * 10.0**place)
        save(tmp_path / "uncertainties" / f"{name}_sd.nii.gz", made(number + 10, 2, 40))
        if "+" not in name:  # sums have neither
            save(tmp_path / "qc" / f"{name}_snr.nii.gz", made(number + 20, 5, 30))
            save(tmp_path / "qc" / f"{name}_fwhm.nii.gz", made(number + 30, 4, 12))
    save(tmp_path / "fit" / "fit.nii.gz", np.ones((*SHAPE, 16), np.complex64))
    save(tmp_path / "nuisance" / "p0.nii.gz", made(40, 0, 1))
    (tmp_path / "mrsi.tree").write_text("concs\n")
    return tmp_path


@pytest.mark.parametrize(("scaling", "factor"), [(None, 10), ("internal", 10), ("raw", 1), ("molality", 100)])
def test_maps_bounds_and_quality_are_read(folder: Path, scaling: str | None, factor: float) -> None:
    maps = read_fsl_mrs(folder, scaling=scaling)
    assert set(maps.concentrations) == set(maps.bounds) == set(NAMES)
    for number, name in enumerate(NAMES):
        expected = np.where(OUTSIDE, np.nan, made(number, 1, 2) * factor)
        np.testing.assert_allclose(maps.concentrations[name], expected, rtol=1e-6)
        np.testing.assert_array_equal(maps.bounds[name], np.where(OUTSIDE, np.nan, made(number + 10, 2, 40)))
    assert set(maps.quality) == {f"{name}_{kind}" for name in NAMES[:3] for kind in ("snr", "fwhm")}
    np.testing.assert_array_equal(maps.quality["NAAG_fwhm"], np.where(OUTSIDE, np.nan, made(31, 4, 12)))
    for group in (maps.concentrations, maps.bounds, maps.quality):
        assert {values.dtype.name for values in group.values()} == {"float32"}
    assert maps.quality_units["fwhm"] == "Hz"
    assert len(maps.files) == 4 + 4 + 6


def test_the_grid_is_that_of_the_files(folder: Path) -> None:
    grid = read_fsl_mrs(folder).grid
    assert grid is not None
    assert grid.shape == SHAPE
    np.testing.assert_allclose(grid.affine, AFFINE)  # type: ignore[arg-type]


def test_the_unit_is_that_of_the_scaling_and_others_are_named(folder: Path) -> None:
    assert read_fsl_mrs(folder).unit.startswith("ratio to the internal reference")
    assert read_fsl_mrs(folder, scaling="molality").unit == "mmol/kg"
    assert read_fsl_mrs(folder).warnings == [
        "the concentrations are those of concs/internal; --scaling molality takes others"
    ]


def test_a_scaling_that_is_not_there_is_refused(folder: Path) -> None:
    for scaling in ("molarity", "nonsense"):
        with pytest.raises(InputError, match=f"--scaling {scaling}: .* it has internal, raw, molality"):
            read_fsl_mrs(folder, scaling=scaling)


def test_failed_fits_and_bounds_of_zero_are_missing(folder: Path) -> None:
    failed = np.zeros(SHAPE, np.float32)
    failed[5, 5, 1] = 1
    save(folder / "qc" / "fit_failed.nii.gz", failed)
    sd = made(10, 2, 40)
    sd[6, 6, 2] = 0  # what FSL-MRS writes for an infinite one
    save(folder / "uncertainties" / "NAA_sd.nii.gz", sd)
    maps = read_fsl_mrs(folder)
    for name, missing in {"NAA": {(5, 5, 1), (6, 6, 2)}, "Cr": {(5, 5, 1)}}.items():
        for values in (maps.concentrations[name], maps.bounds[name]):
            assert set(map(tuple, np.argwhere(np.isnan(values) & ~OUTSIDE).tolist())) == missing
    assert "the fit failed in 1 voxels, which are missing" in maps.warnings


def test_a_row_without_uncertainty_is_said(folder: Path) -> None:
    (folder / "uncertainties" / "Cr_sd.nii.gz").unlink()
    maps = read_fsl_mrs(folder)
    assert "Cr" not in maps.bounds
    assert np.isfinite(maps.concentrations["Cr"]).all()
    assert maps.warnings[0] == "no uncertainty of Cr: nothing tells failed fits from good ones there"


def test_unreadable_files_and_other_grids_are_named_one_a_line(folder: Path) -> None:
    (folder / "qc" / "Cr_snr.nii.gz").write_bytes(b"junk")
    whole = (folder / "concs/internal/Cr.nii.gz").read_bytes()
    (folder / "concs/internal/Cr.nii.gz").write_bytes(whole[: len(whole) // 2])
    save(folder / "uncertainties" / "NAA_sd.nii.gz", np.ones((9, 8, 4), np.float32))
    save(folder / "uncertainties" / "NAAG_sd.nii.gz", made(11, 2, 40), AFFINE + np.eye(4))
    with pytest.raises(InputError) as error:
        read_fsl_mrs(folder)
    lines = str(error.value).splitlines()
    assert {line.split(": ")[0]: line.split(": ")[1].split(" ")[0] for line in lines} == {
        str(folder / "concs/internal/Cr.nii.gz"): "cannot",
        str(folder / "qc/Cr_snr.nii.gz"): "cannot",
        str(folder / "uncertainties/NAA_sd.nii.gz"): "lies",
        str(folder / "uncertainties/NAAG_sd.nii.gz"): "lies",
    }


def test_other_folders_are_told_from_results(folder: Path, tmp_path: Path) -> None:
    assert is_fsl_mrs(folder)
    (tmp_path / "other").mkdir()
    assert not is_fsl_mrs(tmp_path / "other")
    with pytest.raises(InputError, match=r"holds no concs/internal/\*\.nii\.gz of fsl_mrsi; give the folder that"):
        read_fsl_mrs(tmp_path / "other")
