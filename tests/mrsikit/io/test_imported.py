import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from mrsikit.io import InputError, import_case
from mrsikit.io.readers import read_map
from mrsikit.runtime.inputs import InputFolder

MATRIX = (9, 8, 2)
COMPANIONS = {"missing": "missing", "crlb": "percent", "brain": "mask"}


@pytest.fixture
def run(tmp_path: Path, write_table: Any) -> Path:
    """A run of LCModel with a sum, a row with odd letters, and one that was measured nowhere."""
    for column, row, number in np.ndindex(*MATRIX):
        at = (column + 1, row + 1, number + 1)
        value = 100 + 7 * row + column + number
        rows = [(f"{value}.0", 5, " ", "NAA"), (f"{2 * value}.0", 4, " ", "NAA+NAAG"), ("1.0", 999, " ", "Lac")]
        rows += [(f"{value}.5", 20 + column, " ", "-CrCH2"), (f"{value}.25", 8, " ", "Scyllo")]
        write_table(tmp_path / "run" / f"p_sl{at[2]}_{at[1]}-{at[0]}.table", rows, position=at, matrix=MATRIX)
    return tmp_path / "run"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_case_is_written_with_its_record(run: Path, out: Path) -> None:
    record = import_case(run, out, name="sub-01", voxel_size="10,10,12")
    words = ("NAA", "NAA_NAAG", "CrCH2", "Scyllo")
    files = {f"sub-01_{word}{end}.nii.gz" for word in words for end in ("", "_crlb")}
    assert names(out) == files | {"sub-01_snr.nii.gz", "sub-01_fwhm.nii.gz", "sub-01_import.json"}
    assert json.loads((out / "sub-01_import.json").read_text()) == record
    assert record["version"] == "LCModel (Version 6.3-1L)"
    assert record["units"]["concentration"] == "institutional units"
    assert record["units"]["fwhm"] == "ppm"
    assert record["rows"]["sub-01_NAA_NAAG"] == {"row": "NAA+NAAG", "voxels_measured": 144}
    assert record["left_out"] == {"Lac": "was measured in no voxel"}
    assert record["position"].startswith("position unknown")
    assert (record["matrix"], record["voxel_size_mm"]) == ([9, 8, 2], [10, 10, 12])
    assert (record["source"]["folder"], record["source"]["files"]) == ("run", 144)
    assert str(run.parent) not in json.dumps(record)
    values, _ = read_map(out / "sub-01_NAA.nii.gz")
    column, row, number = np.indices(MATRIX)
    np.testing.assert_array_equal(values, 100 + 7 * row + column + number)
    assert {nib.load(path).get_data_dtype() for path in out.glob("*.nii.gz")} == {np.dtype(np.float32)}


def test_the_bundles_find_one_case_with_bounds_and_no_problem(run: Path, out: Path, tmp_path: Path) -> None:
    import_case(run, out, name="K_01", voxel_size="10,10,12")
    inputs = InputFolder(dataset_dir=out, output_dir=tmp_path / "filled", companions=COMPANIONS, outputs=["inpainted"])
    assert inputs.check() == {}
    (case,) = inputs.cases()
    assert case.name == "K_01"
    assert {Path(item["image"]).name for item in inputs.items() if "crlb" in item} == {path.name for path in case.maps}
    assert len(case.maps) == 4
    assert {path.name for path in inputs.unused()} == {"K_01_snr.nii.gz", "K_01_fwhm.nii.gz"}


def test_the_name_is_that_of_the_folder_by_default(run: Path, out: Path) -> None:
    import_case(run, out, voxel_size="10,10,12")
    assert "run_NAA.nii.gz" in names(out)
    for name in ("", "a/b", "..", ".hidden"):
        with pytest.raises(InputError, match="is no name for files"):
            import_case(run, out, name=name, voxel_size="10,10,12")


def test_the_hash_is_that_of_what_was_read(run: Path, out: Path) -> None:
    before = import_case(run, out, name="a", voxel_size="10,10,12")["source"]
    assert import_case(run, out, name="b", voxel_size=(10, 10, 12.5))["source"] == before
    path = run / "p_sl1_1-1.table"
    path.write_text(path.read_text().replace("100.0", "101.0"))
    assert import_case(run, out, name="c", voxel_size="10,10,12")["source"]["sha256"] != before["sha256"]


def test_a_reference_gives_the_position(run: Path, out: Path, tmp_path: Path) -> None:
    affine = np.array([[-8, 0.5, 0, 10], [0.4, 9, 0, -5], [0, 0, 12.0, 2], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.zeros(MATRIX, np.float32), affine), tmp_path / "mrsi.nii.gz")
    record = import_case(run, out, reference=tmp_path / "mrsi.nii.gz")
    assert record["position"] == "mrsi.nii.gz"
    for path in out.glob("*.nii.gz"):
        np.testing.assert_allclose(nib.load(path).affine, affine, atol=1e-5)


def test_another_matrix_is_refused_with_both(run: Path, out: Path, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((8, 9, 2), np.float32), np.eye(4)), tmp_path / "t.nii.gz")
    with pytest.raises(InputError, match="has a matrix of 8 x 9 x 2, the results one of 9 x 8 x 2 columns, rows"):
        import_case(run, out, reference=tmp_path / "t.nii.gz")
    assert not out.exists()


def test_a_matrix_that_no_file_states_may_be_that_of_the_reference(run: Path, out: Path, tmp_path: Path) -> None:
    for path in run.iterdir():
        path.write_text(path.read_text().replace("ndcols", "xxcols"))
    nib.save(nib.Nifti1Image(np.zeros((12, 12, 2), np.float32), np.eye(4)), tmp_path / "t.nii.gz")
    record = import_case(run, out, name="a", reference=tmp_path / "t.nii.gz")
    values, _ = read_map(out / "a_NAA.nii.gz")
    assert values.shape == (12, 12, 2)
    assert np.isfinite(values[:9, :8]).all()
    assert np.isfinite(values).sum() == 144
    assert record["matrix"] == [12, 12, 2]
    assert "the files do not state their matrix: that of the reference was taken" in record["warnings"]


def test_a_position_is_never_guessed(run: Path, out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="state neither position nor voxel size; give --reference .* or --voxel_size"):
        import_case(run, out)
    with pytest.raises(InputError, match="both are given"):
        import_case(run, out, voxel_size="10,10,12", reference=tmp_path / "t.nii.gz")


def test_only_the_rows_that_were_asked_for_are_written(run: Path, out: Path) -> None:
    import_case(run, out, name="a", voxel_size="10,10,12", metabolites=["NAA+NAAG"])
    assert {"a_NAA_NAAG.nii.gz", "a_NAA_NAAG_crlb.nii.gz"} == {n for n in names(out) if "NAA" in n}
    assert "a_Scyllo.nii.gz" not in names(out)
    with pytest.raises(InputError, match="holds no map of use: Lac was measured in no voxel"):
        import_case(run, out, name="b", voxel_size="10,10,12", metabolites=["Lac"])


def test_nothing_is_replaced_unless_told_to(run: Path, out: Path) -> None:
    import_case(run, out, name="a", voxel_size="10,10,12")
    (out / "a_brain.nii.gz").write_bytes(b"the user's")
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(InputError, match=r"a_NAA\.nii\.gz: is there; give --overwrite true"):
        import_case(run, out, name="a", voxel_size="20,20,20")
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    record = import_case(run, out, name="a", voxel_size="20,20,20", metabolites=["NAA"], overwrite=True)
    # rows of the import before would be taken for rows of this one
    assert names(out) == {f"{stem}.nii.gz" for stem in record["files"]} | {"a_import.json", "a_brain.nii.gz"}
    assert record["voxel_size_mm"] == [20, 20, 20]


def test_a_write_that_fails_leaves_no_record(run: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = nib.save

    def failing(image: Any, path: Path) -> None:
        if "Scyllo" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError("disk full")
        kept(image, path)

    monkeypatch.setattr(nib, "save", failing)
    with pytest.raises(OSError, match="disk full"):
        import_case(run, out, name="a", voxel_size="10,10,12")
    assert not any("Scyllo" in name or "json" in name or "partial" in name for name in names(out))


def test_rows_that_would_share_a_file_are_refused(tmp_path: Path, out: Path, write_table: Any) -> None:
    for column in (1, 2):
        rows = [(f"{column}.0", 5, " ", "Cr+PCr"), (f"{column}.0", 5, " ", "cr-pcr")]
        write_table(tmp_path / "run" / f"p_sl1_1-{column}.table", rows)
    with pytest.raises(InputError, match=r"the rows Cr\+PCr and cr-pcr would have one file name"):
        import_case(tmp_path / "run", out, voxel_size="1,1,1")


def fsl_results(folder: Path) -> None:
    values = np.random.default_rng(0).uniform(1, 2, (9, 8, 2)).astype(np.float32)
    for place in ("concs/internal/NAA+NAAG", "concs/internal/Cr", "uncertainties/NAA+NAAG_sd", "uncertainties/Cr_sd"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(values * 5, np.diag([8, 8, 10, 1])), folder / f"{place}.nii.gz")
    for kind in ("snr", "fwhm"):
        (folder / "qc").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(values, np.diag([8, 8, 10, 1])), folder / f"qc/Cr_{kind}.nii.gz")


def test_results_of_fsl_mrs_are_one_case_at_their_place(tmp_path: Path, out: Path) -> None:
    fsl_results(tmp_path / "fit")
    record = import_case(tmp_path / "fit", out, name="s")
    files = {f"s_{word}.nii.gz" for word in ("NAA_NAAG", "NAA_NAAG_crlb", "Cr", "Cr_crlb", "Cr_snr", "Cr_fwhm")}
    assert names(out) == files | {"s_import.json"}
    assert record["program"] == "FSL-MRS"
    assert record["units"]["fwhm"] == "Hz"
    assert record["units"]["concentration"].startswith("ratio to the internal reference")
    np.testing.assert_allclose(nib.load(out / "s_Cr.nii.gz").affine, np.diag([8, 8, 10, 1]))
    inputs = InputFolder(dataset_dir=out, output_dir=tmp_path / "f", companions=COMPANIONS, outputs=["inpainted"])
    assert inputs.check() == {}
    assert [len(case.maps) for case in inputs.cases()] == [2]
    with pytest.raises(InputError, match="--voxel_size: the files of FSL-MRS state their own position"):
        import_case(tmp_path / "fit", out, voxel_size="1,1,1")


def test_the_program_is_found_or_named(run: Path, tmp_path: Path, out: Path) -> None:
    fsl_results(run)
    with pytest.raises(InputError, match="holds results of both LCModel and FSL-MRS; give --program"):
        import_case(run, out)
    assert import_case(run, out, program="fsl_mrs")["program"] == "FSL-MRS"
    assert import_case(run, out, program="lcmodel", name="l", voxel_size="1,1,1")["program"] == "LCModel"
    with pytest.raises(InputError, match="--program osprey: is not read; give lcmodel or fsl_mrs"):
        import_case(run, out, program="osprey")
    with pytest.raises(InputError, match="leave --scaling out"):
        import_case(run, out, program="lcmodel", scaling="raw", voxel_size="1,1,1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no results of LCModel or FSL-MRS; give the folder with"):
        import_case(tmp_path / "empty", out)
    with pytest.raises(InputError, match="is no folder"):
        import_case(tmp_path / "absent", out)
