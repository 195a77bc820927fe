import csv
import io
from pathlib import Path

import nibabel as nib
import numpy as np

from mrsikit.io import Fids, write_fids
from mrsikit.runtime.report.checklist import ITEMS, NOT_STATED, as_csv, checklist, common

RECORD = {
    "mrsikit": "0.1.0",
    "bundle": {"name": "toy", "version": "0.2.0"},
    "parameters": {"max_crlb": 20},
    "summary": {"share doubtful": 0.1, "matrix": "4x4"},
}


def fids(path: Path, **extension: object) -> Path:
    values = np.ones((4, 4, 1, 32), np.complex64)
    write_fids(path, Fids(values=values, affine=np.diag([8.0, 8, 10, 1]), dwell=5e-4, larmor=123.25, nucleus="1H",
                          reference=4.65, delay=None, extension=extension, echo=0.035))  # fmt: skip
    return path


def test_the_header_and_the_record_fill_the_list(tmp_path: Path) -> None:
    path = fids(tmp_path / "a.nii.gz", Manufacturer="ACME", RepetitionTime=1.5, SequenceName="press", EchoTime=0.035)
    found = checklist(path, RECORD)
    assert list(found) == list(ITEMS)
    assert found["1a field strength, nucleus"] == "2.89 T, 1H at 123.25 MHz"
    assert found["1b manufacturer"] == "Manufacturer ACME"
    assert found["2a pulse sequence"] == "SequenceName press"
    assert found["2c nominal voxel size, matrix"] == "8 x 8 x 10 mm, 4 x 4 x 1"
    assert found["2d repetition and echo time"] == "TR 1500 ms, TE 35 ms"
    assert found["2f spectral width, points"] == "2000 Hz, 32 points"
    assert found["3a analysis software"] == "mrsikit 0.1.0, toy 0.2.0"
    assert found["3b processing steps"] == "max_crlb 20"
    assert found["4c quality of the fit"] == "share doubtful 0.1"
    assert found["2h shimming"] == NOT_STATED


def test_a_map_states_its_geometry_alone_and_an_unreadable_file_nothing(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((5, 6), np.float32), np.diag([4.0, 4, 9, 1])), tmp_path / "map.nii.gz")
    found = checklist(tmp_path / "map.nii.gz", {})
    assert found["2c nominal voxel size, matrix"] == "4 x 4 x 9 mm, 5 x 6 x 1"
    assert found["2f spectral width, points"] == found["1a field strength, nucleus"] == NOT_STATED
    assert checklist(tmp_path / "none.nii.gz", {})["2c nominal voxel size, matrix"] == NOT_STATED


def test_files_side_by_side(tmp_path: Path) -> None:
    one = checklist(fids(tmp_path / "a.nii.gz", Manufacturer="ACME"), RECORD)
    two = checklist(fids(tmp_path / "b.nii.gz", Manufacturer="Other"), RECORD)
    rows = list(csv.reader(io.StringIO(as_csv({"a": one, "b": two}))))
    assert rows[0] == ["item", "a", "b"]
    assert ["1b manufacturer", "Manufacturer ACME", "Manufacturer Other"] in rows
    together = common({"a": one, "b": two})
    assert "differs" in together["1b manufacturer"]
    assert together["2f spectral width, points"] == "2000 Hz, 32 points"
