import csv
import html
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from nifti_mrs.nifti_mrs import NIFTI_MRS

from command_lines import completed, run_line
from mrs_vae_synthesis.checks import _against_training, set_checks
from mrs_vae_synthesis.inputs import SynthesisInputs
from mrs_vae_synthesis.network import SessionVae, network_like
from mrs_vae_synthesis.nifti_sessions import read_session
from mrs_vae_synthesis.sampling import Draws, clean_fids, edits_of, random_sessions
from mrs_vae_synthesis.sessions import Sessions
from mrsikit.io import read_fids, write_fids
from mrsikit.physics.spectra import noise_sd

from .conftest import BUNDLE, as_fids

Command = Callable[..., subprocess.CompletedProcess]


def summary(folder: Path) -> list[dict[str, str]]:
    with open(folder / "summary.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_new_sessions_from_nothing(command: Command, tmp_path: Path) -> None:
    done = command(output_dir=tmp_path, number=40, transients=16, seed=5)
    assert done.returncode == 0, done.stdout + done.stderr
    names = {p.name for p in tmp_path.iterdir()}
    stems = [f"session_000{k}" for k in (1, 2, 3)]
    assert names == {f"{s}{e}" for s in stems for e in (".json", "_synthetic.nii.gz")} | {"report.html", "summary.csv"}
    assert [row["transients"] for row in summary(tmp_path)] == ["16", "16", "8"]
    read = NIFTI_MRS(str(tmp_path / "session_0001_synthetic.nii.gz"))
    assert read.shape == (1, 1, 1, 2048, 8, 2)
    assert read.dim_tags[:2] == ["DIM_DYN", "DIM_EDIT"]
    assert read.nucleus == ["1H"]
    header = read.hdr_ext.to_dict()
    assert header["dim_6_header"] == {"EditCondition": ["ON", "OFF"]}
    assert "synthetic, not measured: sampling random, seed 5" in json.dumps(header["ProcessingApplied"])
    record = json.loads((tmp_path / "session_0001.json").read_text())
    assert record["parameters"]["seed"] == 5
    assert record["inputs"] == {}
    assert "model.pt" in record["weights"]
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img alt=") == 3
    assert "orientation" not in page
    assert "too few to judge" in page
    values = [read_fids(tmp_path / f"{stem}_synthetic.nii.gz").values for stem in stems]
    assert np.abs(values[0][..., :4, :] - values[1][..., :4, :]).max() > 1
    again = command(output_dir=tmp_path, number=40, transients=16, seed=5)
    assert "nothing to do" in again.stdout + again.stderr
    assert (tmp_path / "report.html").read_text() == page


@pytest.mark.parametrize("sampling", ["hybrid", "interpolate", "reconstruct"])
def test_more_of_measured_sessions(folder: Path, command: Command, tmp_path: Path, sampling: str) -> None:
    done = command(dataset_dir=folder, output_dir=tmp_path, sampling=sampling)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("one", "two"):
        made, measured = read_session(tmp_path / f"{name}_synthetic.nii.gz"), read_session(folder / f"{name}.nii.gz")
        assert made.fids.shape == measured.fids.shape
        ratio = noise_sd(made.fids).mean() / noise_sd(measured.fids).mean()
        assert ratio.item() == pytest.approx(1, abs=0.07)
    stored = read_fids(tmp_path / "one_synthetic.nii.gz")
    assert stored.extension["PatientName"] == "nobody"
    np.testing.assert_allclose(stored.affine, np.diag([30.0, 30, 30, 1]))
    record = json.loads((tmp_path / "one.json").read_text())
    assert list(record["inputs"]) == ["image"]
    assert ("do not quantify" in " ".join(record["flags"])) == (sampling == "reconstruct")
    assert "hold no more than the measured ones" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("sampling", ["random", "interpolate", "hybrid", "reconstruct"])
def test_the_published_network_by_its_config(folder: Path, tmp_path: Path, sampling: str) -> None:
    """Each sampling of the paper, with the shipped weights: spectra like the measured ones, with little noise."""
    options = {} if sampling == "reconstruct" else {"subset": 4, "number": 6}
    line = run_line(
        "inference", "reference_van_de_sande", dataset_dir=folder, output_dir=tmp_path, sampling=sampling, **options
    )
    done = completed(line, cwd=BUNDLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not the shipped weights" not in done.stdout + done.stderr
    record = json.loads((tmp_path / "one.json").read_text())
    assert record["parameters"]["reference"] == "van_de_sande"
    assert record["parameters"]["noise"] is False
    assert list(record["weights"]) == ["model_published.pt"]
    made, measured = read_session(tmp_path / "one_synthetic.nii.gz"), read_session(folder / "one.nii.gz")
    assert made.fids.shape[1] == options.get("number", measured.fids.shape[1])
    assert noise_sd(made.fids).mean() < 0.5 * noise_sd(measured.fids).mean()
    means = [one.fids[0, one.on[0]].mean(0) for one in (made, measured)]
    assert float(torch.corrcoef(torch.stack(means).abs())[0, 1]) > 0.9


def test_the_published_network_by_the_short_command(folder: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "mrsikit", "synthesise", str(folder), str(tmp_path / "out")]
    given = [*line, "--method", "van_de_sande"]
    done = subprocess.run([*given, "--number", "4"], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "out" / "one.json").read_text())
    assert record["parameters"]["reference"] == "van_de_sande"
    wrong = [*line[:4], str(tmp_path / "none"), "--method", "van_de_sande", "--radius", "-1", "--noise", "true"]
    done = subprocess.run(wrong, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "--radius -1" in said
    assert not (tmp_path / "none").exists()


def test_shards_make_the_sessions_of_one_run(command: Command, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for output, options in ((whole, {}), (parts, {"shard": "2/2"}), (parts, {"shard": "1/2"})):
        done = command(output_dir=output, number=12, transients=4, report="false", **options)
        assert done.returncode == 0, done.stdout + done.stderr
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in parts.iterdir())
    for name in (name for name in names if name.endswith("_synthetic.nii.gz")):
        np.testing.assert_array_equal(read_fids(whole / name).values, read_fids(parts / name).values)
    assert summary(whole) == summary(parts)


def test_one_condition_and_the_number_asked_for(folder: Path, command: Command, tmp_path: Path) -> None:
    done = command(dataset_dir=folder, output_dir=tmp_path, sampling="hybrid", number=5, condition="off")
    assert done.returncode == 0, done.stdout + done.stderr
    stored = read_fids(tmp_path / "one_synthetic.nii.gz")
    assert stored.values.shape == (1, 1, 1, 2048, 5)
    assert stored.tags == ("DIM_DYN",)
    assert stored.extension["EditCondition"] == ["OFF"]


@pytest.fixture(scope="module")
def fewer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shipped weights with 250 of the sessions in their bank: as many new ones are judged in a fraction of the time."""
    state = torch.load(BUNDLE / "models" / "model.pt", map_location="cpu", weights_only=True)
    path = tmp_path_factory.mktemp("fewer") / "model.pt"
    torch.save(state | {name: state[name][::6].clone() for name in ("bank", "bank_transients")}, path)
    return path


def test_a_set_is_judged_and_one_without_noise_is_found_out(command: Command, fewer: Path, tmp_path: Path) -> None:
    given = {"number": 200, "transients": 4, "weights": fewer}
    done = command(output_dir=tmp_path, seed=3, **given, **{"write_report#max_figures": 2})
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "report.html").read_text()
    assert "may be used to train" in page
    assert "FAILED" not in page
    assert "GABA+ by the fit" in page
    # a run that finds everything done has a network without weights; it judges the same
    network = network_like(fewer)
    inputs = SynthesisInputs(dataset_dir=None, output_dir=tmp_path, outputs=["synthetic"], **given)
    again = set_checks(inputs, network)
    assert len(again) == 11
    assert all(html.escape(line) in page for line in again)
    on, width = edits_of(4, "both", True), network.deviates
    drawn = Draws.of(torch.randn(50, 4, width, generator=torch.Generator().manual_seed(3)), network)
    silent = _against_training(clean_fids(network, random_sessions(network, on, drawn)), on.expand(50, -1), network)
    assert any(re.match(r"a .*how far each point lies from the next tells (9\d|100)% .*FAILED", x) for x in silent)
    assert "do not use this set" in silent[-1]


def test_another_reference_is_the_same_session(
    unseen: Sessions, network: SessionVae, command: Command, tmp_path: Path
) -> None:
    maps = tmp_path / "in"
    maps.mkdir()
    plain = as_fids(unseen, 0)
    at = np.arange(2048) * plain.dwell
    turn = np.exp(2j * np.pi * (4.3 - 4.68) * plain.larmor * at)[:, None, None]
    write_fids(maps / "a.nii.gz", plain)
    write_fids(maps / "b.nii.gz", as_fids(unseen, 0, values=plain.values * turn, reference=4.3))
    done = command(dataset_dir=maps, output_dir=tmp_path / "out", sampling="reconstruct", noise=False)
    assert done.returncode == 0, done.stdout + done.stderr
    one, other = (read_fids(tmp_path / "out" / f"{name}_synthetic.nii.gz") for name in "ab")
    assert one.reference == other.reference == 4.68
    apart = np.abs(one.values - other.values).mean() / np.abs(one.values).mean()
    assert apart < 0.02


def test_a_bad_file_and_bad_options_stop_the_run(
    folder: Path, unseen: Sessions, command: Command, tmp_path: Path
) -> None:
    maps = tmp_path / "in"
    maps.mkdir()
    (maps / "one.nii.gz").write_bytes((folder / "one.nii.gz").read_bytes())
    write_fids(maps / "bad.nii.gz", as_fids(unseen, 0, dwell=0.0008))
    (maps / "cut.nii.gz").write_bytes((folder / "one.nii.gz").read_bytes()[:5000])
    done = command(dataset_dir=maps, output_dir=tmp_path / "out", sampling="hybrid")
    problems = [line for line in done.stdout.splitlines() if "ERROR" in line]
    assert done.returncode == 1
    assert any("bandwidth of 1250 Hz" in line for line in problems), done.stdout
    assert any("cut.nii.gz" in line for line in problems)
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()
    done = command(dataset_dir=maps, output_dir=tmp_path / "out", sampling="hybrid", skip_invalid=True)
    assert done.returncode == 0
    assert {row["status"] for row in summary(tmp_path / "out")} == {"done", "skipped"}
    done = command(output_dir=tmp_path / "none", sampling="all", seed=-3, numbr=4)
    assert done.returncode == 1
    assert all(word in done.stdout for word in ("--sampling all", "--seed -3", "numbr"))
    assert not (tmp_path / "none").exists()


def test_the_transients_are_as_many_as_the_default_says(command: Command, tmp_path: Path) -> None:
    done = command(output_dir=tmp_path, transients=48)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["transients"] for row in summary(tmp_path)] == ["48"] * 6 + ["32"]
