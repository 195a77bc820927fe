import csv
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from command_lines import completed, mrsikit, run_line

from .conftest import BUNDLE, NAMES

Command = Callable[..., subprocess.CompletedProcess]


def summary(folder: Path) -> dict[str, dict[str, str]]:
    with open(folder / "summary.csv", newline="") as file:
        return {row["file"].split(".")[0]: row for row in csv.DictReader(file)}


def test_every_sound_file_has_its_outputs(folder: Path, finished: Path) -> None:
    rows = summary(finished)
    assert {name: row["status"] for name, row in rows.items()} == {
        "three": "done",
        "plain": "done",
        "volume": "done",
        "bad_empty": "skipped",
    }
    expected = {f"{s}_{what}.nii.gz" for s in ("three", "plain", "volume") for what in ("sr", "uncertainty")}
    expected |= {"three_without_mri.nii.gz", "three.json", "plain.json", "volume.json", "report.html", "summary.csv"}
    expected |= {"mrsinmrs.csv"}
    assert {p.name for p in finished.iterdir()} == expected
    assert (rows["three"]["MRI"], rows["plain"]["MRI"]) == ("flair", "none")
    assert "--dims 3" in rows["volume"]["flags"]
    page = (finished / "report.html").read_text()
    assert page.count("<img alt=") == 3
    assert json.loads((finished / "three.json").read_text())["parameters"]["psf"] == "kspace"


def method(number: int, folder: Path, output: Path, **options: object) -> subprocess.CompletedProcess:
    """One of the published methods by its config, from the bundle's root."""
    line = run_line("inference", f"DLmethod_{number}", dataset_dir=folder, output_dir=output, **options)
    return completed(line, cwd=BUNDLE)


@pytest.fixture(scope="module")
def guided(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three metabolites and their FLAIR alone."""
    alone = tmp_path_factory.mktemp("guided")
    for name in ("three.nii.gz", "three_flair.nii.gz"):
        (alone / name).write_bytes((folder / name).read_bytes())
    return alone


def test_the_methods_differ_and_give_ratios(guided: Path, tmp_path: Path) -> None:
    fine = {}
    for number in (1, 2, 3):
        output = tmp_path / str(number)
        done = method(number, guided, output, noise=0.1, ratios="HGG", metabolites=NAMES)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads((output / "three.json").read_text())["parameters"]["method"] == number
        fine[number] = np.asarray(nib.load(output / "three_sr.nii.gz").dataobj)
        assert (output / "three_without_mri.nii.gz").exists() == (number > 1)
        assert summary(output)["three"]["method"] == str(number)
        assert nib.load(output / "three_ratio.nii.gz").shape == (96, 96, 2, 1)
        assert summary(output)["three"]["ratios"] == "HGG"
    for one, other in ((1, 2), (1, 3), (2, 3)):
        assert np.abs(fine[one] - fine[other]).max() > 0.01


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"method": 1}, "unet_soft"),
        ({"method": 1, "truth": "sharp"}, "unet_sharp"),
        ({"method": 2, "generator": "gan"}, "gan_sharp"),
        ({"method": 3, "generator": "gan"}, "gan_two_inputs"),
    ],
)
def test_each_published_method_runs_the_network_that_the_paper_trained_for_it(
    guided: Path, tmp_path: Path, options: dict[str, object], kind: str
) -> None:
    line = run_line("inference", "reference_li", dataset_dir=guided, output_dir=tmp_path, **options)
    done = completed(line, cwd=BUNDLE)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "three.json").read_text())
    shipped = BUNDLE / "models" / f"model_{kind}.pt"
    assert record["weights"] == {shipped.name: hashlib.sha256(shipped.read_bytes()).hexdigest()}
    wanted = {"reference": "li", "method": options["method"], "generator": options.get("generator", "unet")}
    assert {name: record["parameters"][name] for name in wanted} == wanted
    assert (tmp_path / "three_without_mri.nii.gz").exists() == (options["method"] != 1)
    assert np.isnan(np.asarray(nib.load(tmp_path / "three_uncertainty.nii.gz").dataobj)).all()
    assert any("states no standard deviation" in flag for flag in record["flags"])
    assert any("this method has no data consistency, and knows no noise" in flag for flag in record["flags"])
    assert np.isfinite(np.asarray(nib.load(tmp_path / "three_sr.nii.gz").dataobj)).all()


def test_the_published_method_runs_by_the_short_command_from_anywhere(guided: Path, tmp_path: Path) -> None:
    words = ["super-resolve-gan", str(guided), str(tmp_path / "short"), "--method", "li", "--method", "2"]
    done = mrsikit(words, cwd=Path("/"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "short" / "three.json").read_text())["parameters"]["method"] == 2
    line = run_line("inference", "reference_li", dataset_dir=guided, output_dir=tmp_path / "long", method=2)
    completed(line, cwd=BUNDLE)
    short, long = (np.asarray(nib.load(tmp_path / n / "three_sr.nii.gz").dataobj) for n in ("short", "long"))
    np.testing.assert_array_equal(short, long)


def test_bad_options_of_the_published_method_are_named(guided: Path, tmp_path: Path) -> None:
    options = {"generator": "diffusion", "truth": "blunt"}
    line = run_line("inference", "reference_li", dataset_dir=guided, output_dir=tmp_path, **options)
    done = completed(line, cwd=BUNDLE)
    assert done.returncode == 1
    assert "--generator diffusion: is none of unet, gan" in done.stdout
    assert "--truth blunt: is none of sharp, soft" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [2, 3])
def test_a_method_that_needs_an_mri_says_so(folder: Path, tmp_path: Path, number: int) -> None:
    done = method(number, folder, tmp_path, noise=0.1)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if "ERROR" in line and "plain.nii.gz" in line]
    assert any("plain_flair.nii.gz or plain_t1.nii.gz" in line for line in lines), done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": 7, "dims": 5, "denoised": "perhaps"}, ["--method 7", "--dims 5", "denoised"]),
        ({"ratios": "TCN"}, ["--metabolites"]),
        ({"metod": 2}, ["metod"]),
        ({"dims": 3}, ["plain.nii.gz", "fewer than 8 slices"]),
    ],
)
def test_bad_options_are_named(
    folder: Path, command: Command, tmp_path: Path, options: dict[str, object], words: list[str]
) -> None:
    done = command(dataset_dir=folder, output_dir=tmp_path, **options)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    problems = "\n".join(line for line in done.stdout.splitlines() if "ERROR" in line)
    assert all(word in problems for word in words), done.stdout
    assert list(tmp_path.iterdir()) == []


def test_volume_end_to_end(folder: Path, command: Command, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    (maps / "volume.nii.gz").write_bytes((folder / "volume.nii.gz").read_bytes())
    done = command(dataset_dir=maps, output_dir=tmp_path, dims=3, noise=0.1)
    assert done.returncode == 0, done.stdout + done.stderr
    fine = nib.load(tmp_path / "volume_sr.nii.gz")
    assert fine.shape == (96, 80, 32)
    assert np.isfinite(np.asarray(fine.dataobj)).all()
    assert summary(tmp_path)["volume"]["fine matrix"] == "96x80x32"
