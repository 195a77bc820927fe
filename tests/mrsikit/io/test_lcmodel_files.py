import math
from pathlib import Path
from typing import Any

import pytest

from mrsikit.io.lcmodel_files import csv_header, read_slice, read_voxel

ROWS = [
    ("555.220", 32, " ", "Ala"),
    ("1.43E+05", 5, "+", "MM14"),
    ("2.04E-03", 999, "-", "MM20"),
    ("561.167", 19, " ", "-CrCH2"),
    ("1.79E+03", 6, " ", "NAA+NAAG"),
]
READ = {
    "Ala": (555.22, 32),
    "MM14": (143000, 5),
    "MM20": (0.00204, 999),
    "-CrCH2": (561.167, 19),
    "NAA+NAAG": (1790, 6),
}


@pytest.mark.parametrize("coord", [False, True])
def test_a_table_and_a_coord_are_read_alike(tmp_path: Path, write_table: Any, coord: bool) -> None:
    path = write_table(tmp_path / "a", ROWS, position=(5, 3, 1), matrix=(14, 13, 3), coord=coord, water=coord)
    (voxel,), problems = read_voxel(path)
    assert problems == []
    assert voxel.rows == READ  # a mark + or - before a name is none of its letters
    assert (voxel.position, voxel.second_line, voxel.matrix) == ((5, 3, 1), None, (14, 13, 3))
    assert (voxel.fwhm, voxel.snr, voxel.water) == (0.084, 8, coord)
    assert voxel.version == "LCModel (Version 6.3-1L)"


def test_ratios_of_any_width_do_not_matter(tmp_path: Path, write_table: Any) -> None:
    path = write_table(tmp_path / "a.table", ROWS[:1], position=(1, 1, 1))
    text = path.read_text()
    for ratio in ("1.0E+03+", "6.8E-02 ", "510.249+", "  0.000-", " ****** "):
        path.write_text(text.replace("  0.628 ", ratio))
        (voxel,), _ = read_voxel(path)
        assert voxel.rows == {"Ala": (555.22, 32)}


@pytest.mark.parametrize(
    ("name", "line", "position"),
    [
        ("x_sl1_3-5", None, (5, 3, 1)),
        ("x_sl2_10-14", (14, 10, 2), (14, 10, 2)),
        ("x_sl2_10-14", (1, 1, 1), (14, 10, 2)),
        ("scan_2018-01", (3, 2, 1), (3, 2, 1)),
        ("x_sl0_1-1", (3, 2, 1), (3, 2, 1)),
    ],
)
def test_the_file_name_has_the_last_word_on_the_position(
    tmp_path: Path, write_table: Any, name: str, line: Any, position: Any
) -> None:
    (voxel,), _ = read_voxel(write_table(tmp_path / f"{name}.table", ROWS, position=line))
    assert voxel.position == position
    assert voxel.second_line == (line if line != position else None)


def test_a_second_line_without_a_slice_is_of_slice_1(tmp_path: Path, write_table: Any) -> None:
    path = write_table(tmp_path / "a.table", ROWS, position=(5, 3, 1))
    path.write_text(path.read_text().replace("Slice#1 ", ""))
    (voxel,), _ = read_voxel(path)
    assert voxel.position == (5, 3, 1)


def test_a_table_cut_anywhere_before_its_end_is_named(tmp_path: Path, write_table: Any) -> None:
    path = write_table(tmp_path / "a.table", ROWS, position=(5, 3, 1), matrix=(14, 14, 3))
    text = path.read_text()
    end = text.index("  Data shift")
    for length in range(0, end, 7):
        path.write_text(text[:length])
        voxels, (problem,) = read_voxel(path)
        assert voxels == []
        assert problem.startswith(str(path))
        assert "cut short" in problem
    path.write_text(text[: text.index(" 5%")])
    assert "(slice 1, row 3, column 5): is cut short, 1 of 5 rows are whole" in read_voxel(path)[1][0]


def test_what_is_no_table_is_named(tmp_path: Path, write_table: Any) -> None:
    path = tmp_path / "a.table"
    for content in (b"", bytes(range(256)) * 40, b"\x00" * 5000, "§$%&/()=?".encode()):
        path.write_bytes(content)
        voxels, problems = read_voxel(path)
        assert voxels == []
        assert problems == [f"{path}: holds no concentration table of LCModel; it is cut short, or something else"]
    write_table(path, ROWS)
    assert "says no slice, row and column; name it ..._sl<slice>_<row>-<column>.table" in read_voxel(path)[1][0]


def test_stars_for_too_long_a_number_are_nan(tmp_path: Path, write_table: Any) -> None:
    path = write_table(tmp_path / "a.table", ROWS, position=(5, 3, 1))
    path.write_text(path.read_text().replace("S/N =   8", "S/N = ***"))
    assert math.isnan(read_voxel(path)[0][0].snr)


CSV = """Row, Col, NAA, NAA %SD, NAA/Cr+PCr, -CrCH2, -CrCH2 %SD, -CrCH2/Cr+PCr
  8,   7, 1.76E+03,    8,    1.966,    0.000,  999,    0.000
 10,  14,   66.984,   44,  7.5E-02,  209.755,   61,    0.235
"""


def test_a_csv_is_read(tmp_path: Path) -> None:
    (tmp_path / "x_actiterslice2.csv").write_text(CSV)
    (first, second), problems = read_slice(tmp_path / "x_actiterslice2.csv")
    assert problems == []
    assert (first.position, second.position) == ((7, 8, 2), (14, 10, 2))
    assert first.rows == {"NAA": (1760, 8), "-CrCH2": (0, 999)}
    assert math.isnan(first.snr)
    (tmp_path / "x.csv").write_text(CSV)
    assert read_slice(tmp_path / "x.csv")[0][0].position == (7, 8, 1)


def test_lines_of_a_csv_that_are_no_voxel_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV[:-20] + "\n0, 1, 1, 1, 1, 1, 1, 1\nx\n")
    voxels, problems = read_slice(path)
    assert len(voxels) == 1
    assert [problem.split(": ")[1].split(" is")[0] for problem in problems] == ["line 3", "line 4", "line 5"]
    path.write_text(CSV.splitlines()[0])
    assert read_slice(path) == ([], [f"{path}: holds no voxel; fit this slice again"])
    path.write_bytes(b"\x00\xff" * 10000)
    assert csv_header(path)[:2] != ["Row", "Col"]


def test_names_that_a_csv_cuts_to_one_are_named(tmp_path: Path) -> None:
    names = ["Lip13a+Lip13b+MM12"[:13], "Lip13a+Lip13b"]
    header = ", ".join(f"{name}, {name} %SD, {name}/Cr" for name in names)
    (tmp_path / "a.csv").write_text(f"Row, Col, {header}\n 1, 1, 1, 1, 1, 2, 2, 2\n")
    voxels, (problem,) = read_slice(tmp_path / "a.csv")
    assert voxels == []
    assert "has two rows Lip13a+Lip13b" in problem
