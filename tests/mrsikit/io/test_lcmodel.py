"""The made results have the layout of the measured ones; with shared/data the measured ones are read, too."""

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from mrsikit.io import InputError
from mrsikit.io.fitted_maps import FittedMaps, file_word
from mrsikit.io.lcmodel import find_results, read_lcmodel
from mrsikit.io.lcmodel_files import CUT_NAME

ORYX = Path(__file__).parents[3] / "../shared/data/oryx_human_mrsi_3t"
MEASURED = pytest.mark.skipif(not ORYX.is_dir(), reason="needs shared/data")
METABOLITES = ["NAA+NAAG", "Cr+PCr", "GPC+PCh", "Glu+Gln", "Ins", "Lac", "MM20+Lip20"]
MATRIX = (4, 3, 2)


def rows_of(column: int, row: int, number: int) -> list[tuple[str, int, str, str]]:
    place = 100 * number + 10 * row + column
    return [(f"{place}.000", column, " ", "NAA"), (f"{place}.500", 900 + 33 * row, "+", "Lac")]


@pytest.fixture
def run(tmp_path: Path, write_table: Any) -> Path:
    """A run of LCModel on 4 columns, 3 rows and 2 slices."""
    for column, row, number in np.ndindex(*MATRIX):
        at = (column + 1, row + 1, number + 1)
        name = f"p_sl{at[2]}_{at[1]}-{at[0]}.table"
        write_table(tmp_path / "run" / name, rows_of(*at), position=at, matrix=MATRIX)
    return tmp_path / "run"


def reference(name: str) -> np.ndarray:
    return np.asarray(nib.load(ORYX / f"K_01_{name}.nii.gz").dataobj)


@pytest.fixture(scope="module")
def measured() -> FittedMaps:
    return read_lcmodel(ORYX / "lcmodel_tables")


@MEASURED
@pytest.mark.parametrize("row", METABOLITES)
def test_the_measured_tables_give_the_reference_maps(measured: FittedMaps, row: str) -> None:
    values, bounds = reference(file_word(row)), reference(f"{file_word(row)}_crlb")
    good = bounds != 999
    assert good.sum() > 300
    np.testing.assert_array_equal(measured.concentrations[row][good], values[good])
    np.testing.assert_array_equal(measured.bounds[row][good], bounds[good])
    assert np.isnan(measured.concentrations[row][~good]).all()
    assert np.isnan(measured.bounds[row][~good]).all()


@MEASURED
def test_the_measured_quality_is_that_of_the_reference_maps(measured: FittedMaps) -> None:
    for kind in ("snr", "fwhm"):
        np.testing.assert_array_equal(measured.quality[kind], reference(kind))
    assert (measured.shape, len(measured.files), len(measured.concentrations)) == ((14, 14, 3), 588, 35)
    assert measured.warnings == []
    assert measured.version == "LCModel (Version 6.3-1L)"


@MEASURED
def test_the_measured_csv_equals_the_tables(measured: FittedMaps, tmp_path: Path) -> None:
    for path in (ORYX / "lcmodel_tables").glob("*.csv"):
        shutil.copyfile(path, tmp_path / path.name)
    by_csv = read_lcmodel(tmp_path)
    assert list(by_csv.concentrations) == [row[:CUT_NAME] for row in measured.concentrations]
    for row in measured.concentrations:
        np.testing.assert_array_equal(by_csv.concentrations[row[:CUT_NAME]], measured.concentrations[row])
        np.testing.assert_array_equal(by_csv.bounds[row[:CUT_NAME]], measured.bounds[row])
    assert by_csv.quality == {}
    assert by_csv.warnings[-1].endswith("may have cut in the .csv: Lip13a+Lip13b, MM14+Lip13a+L")


@MEASURED
def test_a_measured_table_cut_short_is_named(tmp_path: Path) -> None:
    for path in (ORYX / "lcmodel_tables").glob("*_sl1_3-*.table"):
        shutil.copyfile(path, tmp_path / path.name)
    cut = next(tmp_path.glob("*_sl1_3-5.table"))
    cut.write_text(cut.read_text()[:900])
    with pytest.raises(InputError) as error:
        read_lcmodel(tmp_path)
    first, last = str(error.value).splitlines()
    assert first.startswith(f"{cut} (slice 1, row 3, column 5): is cut short, 9 of 35 rows are whole")
    assert last.startswith("1 results cannot be used, nothing was written; --skip_invalid true")


def test_axes_are_column_row_and_slice(run: Path) -> None:
    maps = read_lcmodel(run)
    assert maps.shape == MATRIX
    places = np.indices(MATRIX) + 1
    expected = 100 * places[2] + 10 * places[1] + places[0]
    np.testing.assert_array_equal(maps.concentrations["NAA"], expected)
    np.testing.assert_array_equal(maps.bounds["NAA"], places[0])
    np.testing.assert_array_equal(maps.quality["fwhm"], np.full(MATRIX, 0.084, np.float32))
    np.testing.assert_array_equal(maps.quality["snr"], np.full(MATRIX, 8))
    assert {values.dtype.name for values in maps.concentrations.values()} == {"float32"}


def test_999_percent_is_nan_in_value_and_bound(run: Path) -> None:
    maps = read_lcmodel(run)  # the bounds of Lac are 933, 966 and 999 %
    np.testing.assert_array_equal(np.isnan(maps.concentrations["Lac"]), np.indices(MATRIX)[1] == 2)
    np.testing.assert_array_equal(np.isnan(maps.bounds["Lac"]), np.indices(MATRIX)[1] == 2)


def test_coord_and_csv_give_the_maps_of_the_tables(run: Path, tmp_path: Path, write_table: Any) -> None:
    tables = read_lcmodel(run)
    lines: dict[int, list[str]] = {1: [], 2: []}
    for column, row, number in np.ndindex(*MATRIX):
        at = (column + 1, row + 1, number + 1)
        path = tmp_path / "coord" / "deep" / f"p_sl{at[2]}_{at[1]}-{at[0]}.coord"
        write_table(path, rows_of(*at), position=at, matrix=MATRIX, coord=True)
        (naa, bound, *_), (lac, other, *_) = rows_of(*at)
        lines[at[2]].append(f"{at[1]:3d}, {at[0]:3d}, {naa}, {bound}, 1.0, {lac}, {other}, 1.0")
    (tmp_path / "csv").mkdir()
    for number, text in lines.items():
        head = "Row, Col, NAA, NAA %SD, NAA/Cr, Lac, Lac %SD, Lac/Cr"
        (tmp_path / "csv" / f"slice{number}.csv").write_text("\n".join([head, *text]) + "\n")
    (tmp_path / "csv" / "summary.csv").write_text("name,mean\nNAA,1\n")  # not LCModel's
    for folder in ("coord", "csv"):
        others = read_lcmodel(tmp_path / folder)
        for row in ("NAA", "Lac"):
            np.testing.assert_array_equal(others.concentrations[row], tables.concentrations[row])
            np.testing.assert_array_equal(others.bounds[row], tables.bounds[row])
    assert not tables.larger
    assert others.larger
    assert [path.name for path in others.files] == ["slice1.csv", "slice2.csv"]


def test_tables_come_before_coord_and_csv(run: Path, write_table: Any) -> None:
    write_table(run / "p_sl1_1-1.coord", rows_of(1, 1, 1), coord=True)
    (run / "slice1.csv").write_text("Row, Col, NAA, NAA %SD, NAA/Cr\n 1, 1, 1, 1, 1\n")
    (run / ".hidden.table").write_text("")
    assert {path.suffix for path in find_results(run)} == {".table"}
    assert len(find_results(run)) == 24


def test_a_table_cut_short_is_named_or_skipped(run: Path) -> None:
    cut = [run / "p_sl1_3-2.table", run / "p_sl2_1-1.table"]
    for path in cut:
        path.write_text(path.read_text()[:250])
    with pytest.raises(InputError) as error:
        read_lcmodel(run)
    lines = str(error.value).splitlines()
    assert [line.split(" (")[0] for line in lines[:2]] == [str(path) for path in cut]
    assert lines[2].startswith("2 results cannot be used")
    maps = read_lcmodel(run, skip_invalid=True)
    assert np.argwhere(np.isnan(maps.concentrations["NAA"])).tolist() == [[0, 0, 1], [1, 2, 0]]
    assert [line.split(":")[0] for line in maps.warnings[:2]] == ["left out", "left out"]


def test_a_missing_voxel_is_named(run: Path) -> None:
    (run / "p_sl1_3-2.table").unlink()
    maps = read_lcmodel(run)
    assert np.argwhere(np.isnan(maps.quality["snr"])).tolist() == [[1, 2, 0]]
    assert maps.warnings == [
        "1 voxels between the fitted ones have no result and are missing: slice 1, row 3, column 2"
    ]


def test_a_fit_of_a_part_of_the_matrix_lies_in_the_matrix(run: Path) -> None:
    for path in [*run.glob("*_sl1_*"), *run.glob("*-1.table")]:
        path.unlink(missing_ok=True)
    maps = read_lcmodel(run)
    assert maps.shape == MATRIX
    assert np.isnan(maps.concentrations["NAA"][..., 0]).all()
    assert np.isfinite(maps.concentrations["NAA"][1:, :, 1]).all()
    assert maps.warnings == []  # what lies around the fitted voxels is not missing


def test_two_runs_in_one_folder_are_named(run: Path) -> None:
    shutil.copytree(run, run / "again")
    with pytest.raises(InputError, match=r"holds 24 voxels twice, such as slice 1, row 1, column 1 in") as error:
        read_lcmodel(run)
    assert "again/p_sl1_1-1.table and p_sl1_1-1.table; give the folder of one run" in str(error.value)


def test_where_second_line_and_name_differ_the_name_is_taken_and_said(run: Path) -> None:
    for path in run.iterdir():  # as what fits voxel by voxel leaves them
        text = path.read_text().splitlines()
        path.write_text("\n".join([text[0], " Slice#1 Row#1 Col#1  a title", *text[2:]]) + "\n")
    maps = read_lcmodel(run)
    places = np.indices(MATRIX) + 1
    np.testing.assert_array_equal(maps.concentrations["NAA"], 100 * places[2] + 10 * places[1] + places[0])
    assert len(maps.warnings) == 1
    start = "23 voxels lie where the file name says, not the second line: p_sl1_1-2.table says slice 1, row 1, column 1"
    assert maps.warnings[0].startswith(start)


def test_a_stated_matrix_of_one_voxel_leaves_the_matrix_open(run: Path, write_table: Any) -> None:
    for path in run.iterdir():
        number, row, column = (int(word) for word in path.stem.removeprefix("p_sl").replace("-", "_").split("_"))
        write_table(path, rows_of(column, row, number), matrix=(1, 1, 1))
    maps = read_lcmodel(run)
    assert maps.shape == MATRIX
    assert maps.larger


def test_rows_that_some_voxels_lack_are_said(run: Path, write_table: Any) -> None:
    write_table(run / "p_sl1_1-1.table", rows_of(1, 1, 1)[:1], position=(1, 1, 1))
    maps = read_lcmodel(run)
    assert maps.warnings == ["rows that only some voxels have: Lac (23 of 24)"]
    assert np.isnan(maps.concentrations["Lac"][0, 0, 0])


def test_concentrations_scaled_to_water_have_their_unit(tmp_path: Path, write_table: Any) -> None:
    write_table(tmp_path / "a_sl1_1-1.table", rows_of(1, 1, 1), water=True)
    assert read_lcmodel(tmp_path).unit == "mM, scaled to water (DOWS = T)"


def test_folders_without_results_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "junk.csv").write_bytes(bytes(range(256)) * 100)
    with pytest.raises(InputError, match=r"holds no \.table, \.coord or \.csv of LCModel"):
        read_lcmodel(tmp_path)
    (tmp_path / "junk.table").write_bytes(bytes(range(256)) * 100)
    with pytest.raises(InputError, match=r"junk\.table: holds no concentration table"):
        read_lcmodel(tmp_path, skip_invalid=True)  # no voxel remains
