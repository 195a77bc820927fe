import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import demo
from command_lines import on_one_core
from mrsi_inpainting.network import Inpainter


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(Inpainter().state_dict(), path)
    return path


def warnings_in(folder: Path) -> set[str]:
    """All that the runs in a folder warn of."""
    records = [
        json.loads(path.read_text()) for path in folder.rglob("*.json") if path.with_name("report.html").exists()
    ]
    assert records
    return {flag for record in records for flag in record["flags"]}


def test_quick_demo_shows_table_figure_and_report(tmp_path: Path, weights: Path) -> None:
    picture = tmp_path / "docs" / "picture.png"
    line = [sys.executable, str(demo.REPOSITORY / "tools" / "demo.py"), "--quick", "--output", str(tmp_path)]
    out = on_one_core([*line, "--weights", str(weights), "--picture", str(picture)], cwd=tmp_path)
    folder = tmp_path / "mrsi_inpainting"
    errors = json.loads((folder / "table.json").read_text())["tCho_high_grade"]
    assert {"ours, mask-free", "ours, mask given", "biharmonic, true mask", "biharmonic, zero rule"} < errors.keys()
    for method, error in errors.items():
        row = next(line for line in out.splitlines() if line.startswith(method + " "))
        assert float(row.split()[-1]) == pytest.approx(1000 * error, abs=5e-4)
    assert errors["ours, mask given"] < 0.02
    for path in (folder / "comparison.png", picture, folder / "results" / "report.html"):
        assert path.stat().st_size > 5000
        assert str(path) in out

    folder = tmp_path / "mrsi_super_resolution"
    errors = json.loads((folder / "table.json").read_text())
    assert errors["spline"][0] + 0.5 < errors["ours, no MRI"][0] < errors["ours, with the FLAIR"][0] - 2
    for path in (folder / "comparison.png", folder / "results" / "report.html"):
        assert path.stat().st_size > 5000
        assert str(path) in out

    assert json.loads((folder / "results" / "guided.json").read_text())["flags"] == []

    folder = tmp_path / "mrsi_gan_super_resolution"
    rows = json.loads((folder / "table.json").read_text())
    assert rows["bicubic"][0] + 1 < rows["DLmethod_1"][0] < rows["DLmethod_2"][0] < rows["DLmethod_3"][0]
    assert abs(rows["DLmethod_2"][2]) < 0.05
    assert json.loads((folder / "method_2" / "tCho.json").read_text())["flags"] == []
    for path in (folder / "comparison.png", folder / "method_2" / "report.html"):
        assert path.stat().st_size > 5000
        assert str(path) in out

    folder = tmp_path / "dmi_quantification"
    errors = json.loads((folder / "table.json").read_text())
    assert errors["ours, with the MRI"][3] < errors["ours, single voxels"][3] < errors["Fourier integration"][3]
    for path in (folder / "comparison.png", folder / "results" / "report.html"):
        assert path.stat().st_size > 5000
        assert str(path) in out

    folder = tmp_path / "mrs_vae_synthesis"
    names = ("mrsi_super_resolution", "mrsi_gan_super_resolution", "dmi_quantification", "mrs_vae_synthesis")
    assert {flag for name in names for flag in warnings_in(tmp_path / name)} == {
        "mM without --factors: no saturation or number of labelled nuclei was accounted for"
    }

    told = json.loads((folder / "table.json").read_text())
    assert 0.8 < told["noise"] < 1.25
    assert told["where noise shows"] < 0.75
    for path in (folder / "comparison.png", folder / "new" / "report.html", folder / "more" / "report.html"):
        assert path.stat().st_size > 5000
        assert str(path) in out

    index = (tmp_path / "index.html").read_text()
    assert str(tmp_path / "index.html") in out
    assert [line for line in index.splitlines() if line.startswith("<h2>")] == [
        f"<h2>{name}</h2>" for name in demo.DEMOS
    ]
    for path in (*tmp_path.rglob("report.html"), *tmp_path.rglob("comparison.png")):
        assert f'"{path.relative_to(tmp_path).as_posix()}"' in index


def test_without_weights_the_demo_says_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no weights"):
        demo.main(["--quick", "--output", str(tmp_path), "--weights", str(tmp_path / "none.pt")])


@pytest.mark.parametrize("patient", demo.PATIENTS, ids=lambda patient: patient.name)
def test_patients_are_spoilt_as_stated_and_the_same_every_time(patient: demo.Patient) -> None:
    case, again = demo.make_case(patient), demo.make_case(patient)
    np.testing.assert_array_equal(case.spoilt, again.spoilt)
    assert case.truth.shape == patient.matrix
    signal = case.truth > 0
    assert (case.spoilt[case.missing] == 0).all()
    assert not case.missing[~signal].any()
    assert case.missing.sum() / signal.sum() == pytest.approx(patient.lost, abs=0.02)
    # never the patients of a training
    assert not any(first <= patient.seed < first + 100_000 for first in (20251121, 21251121))


def test_every_bundle_takes_part() -> None:
    demos: dict[str, Callable[..., None]] = demo.DEMOS
    assert demos.keys() == {path.name for path in (demo.REPOSITORY / "bundles").iterdir() if path.is_dir()}
