import csv
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from coarse_maps import flair_grid, grid, head, save, save_flair
from command_lines import completed, mrsikit, run_line
from mrsikit.io import read_map
from mrsikit.physics.spatial_encoding import SpatialEncoding

from .conftest import BAD, BUNDLE

Command = Callable[..., subprocess.CompletedProcess]
GOOD = ("plain", "guided", "two", "volume", "half")


def summary(folder: Path) -> dict[str, dict[str, str]]:
    with open(folder / "summary.csv", newline="") as file:
        return {row["file"].split(".")[0]: row for row in csv.DictReader(file)}


def again(values: np.ndarray) -> np.ndarray:
    """Block means of 4 x 4 in plane."""
    return SpatialEncoding("block", 4).A(torch.from_numpy(np.moveaxis(values, (0, 1), (-2, -1)).copy())).numpy()


def test_bad_inputs_are_named_and_nothing_runs(folder: Path, command: Command, tmp_path: Path) -> None:
    done = command(dataset_dir=folder, output_dir=tmp_path / "out")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    for stem in BAD:
        lines = [line for line in done.stdout.splitlines() if stem in line and "ERROR" in line]
        assert lines, done.stdout
    assert "does not overlap" in done.stdout
    assert not (tmp_path / "out").exists()


def test_every_sound_file_has_its_outputs(folder: Path, finished: Path) -> None:
    rows = summary(finished)
    assert {name for name, row in rows.items() if row["status"] == "skipped"} == set(BAD)
    assert {name for name, row in rows.items() if row["status"] == "done"} == set(GOOD)
    expected = {f"{stem}_{what}.nii.gz" for stem in GOOD for what in ("sr", "uncertainty")}
    expected |= {f"{stem}_without_mri.nii.gz" for stem in ("guided", "two", "half")}
    assert {p.name for p in finished.iterdir()} == expected | {f"{s}.json" for s in GOOD} | {
        "report.html",
        "summary.csv",
        "mrsinmrs.csv",
    }
    assert (rows["plain"]["MRI"], rows["guided"]["MRI"], rows["two"]["MRI"]) == ("none", "flair", "flair and t1")
    assert "noise is not known" in rows["plain"]["flags"]
    assert "noise is not known" not in rows["two"]["flags"]
    assert "hold no number" in rows["two"]["flags"]
    assert "the flair covers" in rows["half"]["flags"]
    page = (finished / "report.html").read_text()
    assert page.count("<img alt=") == len(GOOD)
    assert not re.search(r'<(?:link|iframe)|src="(?!data:)', page.split("<script>")[0])
    record = json.loads((finished / "guided.json").read_text())
    assert set(record["inputs"]) == {"image", "flair"}
    assert record["parameters"]["factor"] == 4
    assert record["outputs"] == ["without_mri"]


@pytest.mark.parametrize("stem", GOOD)
def test_the_fine_grid_lies_where_the_coarse_one_does(folder: Path, finished: Path, stem: str) -> None:
    given = nib.load(next(folder.glob(f"{stem}.nii*")))
    for what in ("sr", "uncertainty"):
        fine = nib.load(finished / f"{stem}_{what}.nii.gz")
        assert fine.shape == (4 * given.shape[0], 4 * given.shape[1], *given.shape[2:])
        np.testing.assert_allclose(fine.affine @ [-0.5, -0.5, 0, 1], given.affine @ [-0.5, -0.5, 0, 1], atol=1e-4)
        corner = [4 * given.shape[0] - 0.5, 4 * given.shape[1] - 0.5, 0, 1]
        np.testing.assert_allclose(
            fine.affine @ corner, given.affine @ [given.shape[0] - 0.5, given.shape[1] - 0.5, 0, 1], atol=1e-3
        )
        assert np.isfinite(np.asarray(fine.dataobj)).all()
    assert (np.asarray(nib.load(finished / f"{stem}_uncertainty.nii.gz").dataobj) > 0).all()


def test_the_fine_map_shows_the_head(folder: Path, finished: Path) -> None:
    """With noise unknown the measured means may move, but the picture is that of the disc."""
    fine, affine = read_map(finished / "guided_sr.nii.gz")
    truth = head(affine, fine.shape)
    coarse = np.kron(read_map(folder / "guided.nii.gz")[0], np.ones((4, 4)))
    assert np.square(fine - truth).mean() < 0.75 * np.square(coarse - truth).mean()


def test_given_no_noise_what_was_measured_stays(folder: Path, command: Command, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    values = np.stack([head(grid(), (24, 24, 1)) * 2, head(grid(), (24, 24, 1))], -1)
    save(maps / "a.nii.gz", values, grid())
    save_flair(maps / "a_flair.nii.gz")
    done = command(dataset_dir=maps, output_dir=tmp_path, noise=1e-4, ratios="tCho/NAA", metabolites="tCho,NAA")
    assert done.returncode == 0, done.stdout + done.stderr
    fine, _ = read_map(tmp_path / "a_sr.nii.gz")
    np.testing.assert_allclose(again(fine), np.moveaxis(values, (0, 1), (-2, -1)), atol=2e-3)
    ratio, spread = (read_map(tmp_path / f"a_{what}.nii.gz")[0] for what in ("ratio", "ratio_uncertainty"))
    inside = head(grid(), (24, 24)).repeat(4, 0).repeat(4, 1) > 8
    assert np.isnan(ratio[0, 0]).all()
    assert np.nanmedian(ratio[inside]) == pytest.approx(2, rel=0.05)
    assert (spread[np.isfinite(ratio)] > 0).all()
    assert summary(tmp_path)["a"]["ratios"] == "tCho/NAA"


def test_second_run_computes_only_what_is_missing(folder: Path, finished: Path, command: Command) -> None:
    (finished / "plain_uncertainty.nii.gz").unlink()
    before = {p.name: p.stat().st_mtime_ns for p in finished.glob("*.nii.gz")}
    done = command(dataset_dir=folder, output_dir=finished, skip_invalid="true", unit="mM")
    assert done.returncode == 0, done.stdout + done.stderr
    changed = {p.name for p in finished.glob("*.nii.gz") if before.get(p.name) != p.stat().st_mtime_ns}
    assert changed == {"plain_sr.nii.gz", "plain_uncertainty.nii.gz"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"factor": 5, "psf": "box", "noise": -1, "ratio": "perhaps", "ratios": "tCho/NAA"},
         ["--factor 5", "--psf box", "noise", "ratio", "--ratios tCho/NAA"]),
        ({"factr": 4}, ["factr"]),
    ],
)  # fmt: skip
def test_bad_options_are_named(
    folder: Path, command: Command, tmp_path: Path, options: dict[str, object], words: list[str]
) -> None:
    done = command(dataset_dir=folder, output_dir=tmp_path, skip_invalid="true", **options)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    problems = "\n".join(line for line in done.stdout.splitlines() if "ERROR" in line)
    for word in words:
        assert word in problems, done.stdout
    assert list(tmp_path.iterdir()) == []


def test_flair_may_lie_obliquely(command: Command, tmp_path: Path) -> None:
    """The same head seen by an upright and by an oblique FLAIR gives the same map but for interpolation."""
    maps = tmp_path / "maps"
    maps.mkdir()
    turn = np.deg2rad(25)
    about = np.eye(4)
    about[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    oblique = about @ flair_grid()
    for stem, affine in (("upright", flair_grid()), ("oblique", oblique)):
        save(maps / f"{stem}.nii.gz", head(grid(), (24, 24)), grid())
        save(maps / f"{stem}_flair.nii.gz", 100 * head(affine, (160, 160, 12), level=1), affine)
    done = command(dataset_dir=maps, output_dir=tmp_path, noise=0.05)
    assert done.returncode == 0, done.stdout + done.stderr
    upright, other = (read_map(tmp_path / f"{stem}_sr.nii.gz")[0] for stem in ("upright", "oblique"))
    assert np.abs(upright - other).mean() < 0.05
    assert np.corrcoef(upright.ravel(), other.ravel())[0, 1] > 0.995


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One map with a FLAIR and a T1."""
    folder = tmp_path_factory.mktemp("guided")
    save(folder / "a.nii.gz", head(grid(), (24, 24)), grid())
    save_flair(folder / "a_flair.nii.gz")
    save_flair(folder / "a_t1.nii.gz")
    return folder


def test_the_published_network_by_its_config_and_by_the_short_command(guided: Path, tmp_path: Path) -> None:
    printed = {"dataset_dir": guided, "output_dir": tmp_path / "printed", "rate": "printed"}
    line = run_line("inference", "reference_hfab", **printed)
    words = ["super-resolve", str(guided), str(tmp_path / "high"), "--method", "hfab"]
    fine = {}
    for rate, done in (
        ("printed", completed(line, cwd=BUNDLE)),
        ("high", mrsikit([*words, "--gated", "false"], cwd=Path("/"))),
    ):
        assert done.returncode == 0, done.stdout + done.stderr
        output = tmp_path / rate
        assert {path.name for path in output.glob("*.nii.gz")} == {"a_sr.nii.gz", "a_uncertainty.nii.gz"}
        fine[rate] = read_map(output / "a_sr.nii.gz")[0]
        assert np.isfinite(fine[rate]).all()
        assert np.isnan(read_map(output / "a_uncertainty.nii.gz")[0]).all()
        record = json.loads((output / "a.json").read_text())
        assert {name: record["parameters"][name] for name in ("reference", "rate", "gated", "blocks", "check")} == {
            "reference": "hfab", "rate": rate, "gated": rate == "printed", "blocks": 8, "check": False
        }  # fmt: skip
        assert list(record["weights"]) == [f"model_paper{'' if rate == 'printed' else '_high_rate_without_gdfn'}.pt"]
        assert (record["summary"]["MRI"], record["summary"]["check"]) == ("flair", "none")
        flags = " ".join(record["flags"])
        assert "no data consistency" in flags
        assert "states no standard deviation" in flags
        assert (output / "report.html").exists()
    assert np.abs(fine["printed"] - fine["high"]).max() > 0.01


def test_the_published_network_refuses_a_map_without_flair_and_options_of_others(
    folder: Path, guided: Path, tmp_path: Path
) -> None:
    words = ["super-resolve", str(folder), str(tmp_path / "out"), "--method", "hfab"]
    done = mrsikit(words, cwd=Path("/"))
    assert done.returncode == 1
    assert any("plain.nii.gz" in line and "plain_flair.nii.gz" in line for line in done.stdout.splitlines())
    words[1] = str(guided)
    options = ["--rate", "low", "--gated", "perhaps", "--blocks", "many", "--factor", "2", "--check", "true"]
    done = mrsikit([*words, *options], cwd=Path("/"))
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    for word in ("--rate low", "--gated perhaps", "--blocks many", "--factor 2", "--check true"):
        assert len([line for line in done.stdout.splitlines() if "ERROR" in line and f" {word}:" in line]) == 1
    assert not (tmp_path / "out").exists()
