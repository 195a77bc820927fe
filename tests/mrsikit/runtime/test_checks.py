import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import mrsikit
from mrsikit.io import InputError
from mrsikit.runtime import InputFolder, RunOptions, check_inputs
from mrsikit.runtime.checks import check_weights
from mrsikit.runtime.options import Flag, option

COMPANIONS = {"missing": "missing"}
OUTPUTS = ("inpainted",)


def save(path, data=None):
    data = np.random.default_rng(0).random((8, 9)).astype(np.float32) if data is None else data
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)


@pytest.fixture
def twenty(tmp_path):
    """Twenty maps, three of them bad, and a companion without a map."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for number in range(20):
        save(folder / f"s{number:02d}.nii.gz")
    (folder / "s03.nii.gz").write_bytes((folder / "s03.nii.gz").read_bytes()[:200])
    save(folder / "s07.nii.gz", np.zeros((8, 9), np.float32))
    save(folder / "s11.nii.gz", np.ones((8, 9), np.complex64))
    save(folder / "lost_missing.nii.gz")
    return folder


class ToyOptions(RunOptions):
    """Two options."""

    tta: Flag = option(False, "whether")
    max_crlb: float | None = option(20, "a bound", gt=0)


def inputs_of(folder, out, **options):
    return InputFolder(dataset_dir=folder, output_dir=out, companions=COMPANIONS, outputs=OUTPUTS, **options)


def check(inputs, *, network=None, **given):
    common = {"dataset_dir": inputs.dataset_dir, "output_dir": inputs.output_dir, "device": "cpu"}
    check_inputs(inputs, ToyOptions.model_construct(**{**common, **given}), network=network)


def stopped(inputs, caplog, **options):
    """Return the error lines of a check that ends the program."""
    caplog.clear()
    with caplog.at_level(logging.INFO), pytest.raises(SystemExit) as stop:
        check(inputs, **options)
    assert stop.value.code == 1
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert all("\n" not in line for line in lines)
    return lines


def test_nothing_runs_while_an_input_is_bad(twenty, tmp_path, caplog):
    lines = stopped(inputs_of(twenty, tmp_path / "out"), caplog)
    assert [Path(line.split(":")[0]).name for line in lines[:3]] == ["s03.nii.gz", "s07.nii.gz", "s11.nii.gz"]
    assert lines[3].startswith("3 of 20 inputs cannot be used")
    assert "lost_missing.nii.gz" in caplog.text


def test_skip_invalid_runs_the_rest(twenty, tmp_path, caplog):
    inputs = inputs_of(twenty, tmp_path / "out", skip_invalid="true")
    with caplog.at_level(logging.INFO):
        check(inputs)
    assert len(inputs.datalist()) == 17
    assert not {"s03", "s07", "s11"} & {Path(item["image"]).name[:3] for item in inputs.datalist()}
    assert caplog.text.count("skipped: ") == 3
    assert "17 of 20 inputs to compute" in caplog.text


def test_skip_invalid_with_nothing_left(tmp_path, caplog):
    save(tmp_path / "a.nii", np.zeros((8, 9), np.float32))
    lines = stopped(inputs_of(tmp_path, tmp_path / "out", skip_invalid=True), caplog)
    assert lines[-1] == "1 of 1 inputs cannot be used, nothing was computed"


def test_good_inputs_pass_and_leave_no_trace(tmp_path):
    save(tmp_path / "a.nii")
    inputs = inputs_of(tmp_path, tmp_path / "x" / "out")
    with pytest.raises(SystemExit) as stop:
        check(inputs, tta="yes", max_crlb=20, dry_run="true")
    assert stop.value.code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii"]
    check(inputs, tta="yes", max_crlb=20)
    inputs.release()
    assert list((tmp_path / "x" / "out").iterdir()) == []


def test_option_problems_are_reported_together(tmp_path, caplog):
    save(tmp_path / "a.nii")
    inputs = inputs_of(tmp_path / "a::b", None)
    lines = stopped(inputs, caplog, overwrite="flase", tta="perhaps", max_crlb="20%")
    assert len(lines) == 5
    for name in ("--dataset_dir", "output_dir", "--overwrite", "--tta", "--max_crlb"):
        assert name in "\n".join(lines)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("x")])
def test_no_input(tmp_path, caplog, make):
    make(tmp_path / "maps")
    (line,) = stopped(inputs_of(tmp_path / "maps", tmp_path / "out"), caplog)
    assert str(tmp_path / "maps") in line


def test_output_that_cannot_be_written(tmp_path, caplog):
    save(tmp_path / "a.nii")
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):  # refused to root, too
        (line,) = stopped(inputs_of(tmp_path, out), caplog)
        assert "cannot be written to" in line


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes in read-only folders")
def test_read_only_output(tmp_path, caplog):
    save(tmp_path / "a.nii")
    (tmp_path / "out").mkdir(mode=0o555)
    assert "cannot be written to" in stopped(inputs_of(tmp_path, tmp_path / "out"), caplog)[0]


@pytest.fixture
def bundle(tmp_path):
    """A bundle that does nothing but the check."""
    save(tmp_path / "a.nii")
    config = {
        "imports": ["$from mrsikit.runtime import check_inputs"],
        "dataset_dir": None,
        "output_dir": None,
        "overwrite": False,
        "options": {
            "_target_": "mrsikit.runtime.RunOptions.model_construct",
            **{name: f"@{name}" for name in ("dataset_dir", "output_dir", "overwrite")},
            "device": "cpu",
        },
        "inputs": {
            "_target_": "mrsikit.runtime.InputFolder",
            "dataset_dir": "@dataset_dir",
            "output_dir": "@output_dir",
            "outputs": ["inpainted"],
            "overwrite": "@overwrite",
        },
        "run": ["$check_inputs(@inputs, @options)", "$print('computed', len(@inputs.datalist()))"],
    }
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text(json.dumps(config))
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps({"version": "0.1.0"}))
    return tmp_path


def run_bundle(bundle, *options):
    shared = str(Path(mrsikit.__file__).parents[1])
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "monai.bundle",
            "run",
            "--config_file",
            str(bundle / "configs/inference.json"),
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": shared},
        cwd="/",
    )


def test_bad_options_end_the_public_command_with_a_line_each(bundle):
    options = [
        "--dataset_dirr",
        str(bundle),
        "--dataset_dir",
        str(bundle / "case#1"),
        "--output_dir",
        str(bundle / "out"),
    ]
    result = run_bundle(bundle, *options)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "--dataset_dirr: is no option of this config; did you mean --dataset_dir?" in result.stderr
    assert "MONAI turns '#' into '::'" in result.stderr
    assert "computed" not in result.stdout


def test_the_public_command_runs(bundle):
    result = run_bundle(
        bundle, "--dataset_dir", str(bundle), "--output_dir", str(bundle / "out"), "--overwrite", "false"
    )
    assert result.returncode == 0, result.stderr
    assert "computed 1" in result.stdout


def test_devices_and_weights_are_judged_with_the_rest(twenty, tmp_path, caplog):
    network = torch.nn.Linear(2, 2)
    inputs = inputs_of(twenty, tmp_path / "out")
    lines = stopped(inputs, caplog, overwrite="maybe", device="cuda:99", weights=tmp_path / "no.pt", network=network)
    assert [line.split()[0] for line in lines] == ["--overwrite", "--device", "--weights"]


def test_no_output_folder_is_made_for_bad_inputs(twenty, tmp_path, caplog):
    stopped(inputs_of(twenty, tmp_path / "new" / "out"), caplog)
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("x")
    (line,) = stopped(inputs_of(twenty, tmp_path / "file" / "out"), caplog)
    assert "cannot be written to" in line


def test_keys_of_a_datalist_that_nobody_reads_are_named(tmp_path, caplog):
    save(tmp_path / "a.nii.gz")
    listed = [{"image": "a.nii.gz", "mising": "a_missing.nii.gz"}]
    (tmp_path / "list.json").write_text(json.dumps(listed))
    with caplog.at_level(logging.WARNING):
        check(inputs_of(tmp_path / "list.json", tmp_path / "out"))
    assert "'mising' is not read; the companions this bundle knows are missing" in caplog.text


def test_a_shard_without_an_input_ends_well(twenty, caplog, tmp_path):
    inputs = inputs_of(twenty, tmp_path / "out", shard="25/30")
    with caplog.at_level(logging.INFO):
        check(inputs, shard="25/30")
    assert "--shard 25/30: 0 of all 20 inputs" in caplog.text
    assert inputs.datalist() == []


def test_a_shard_checks_its_own_inputs_and_may_skip_all_of_them(twenty, caplog, tmp_path):
    check(inputs_of(twenty, tmp_path / "out", shard="1/20"), shard="1/20")  # the bad ones are in other shards
    lines = stopped(inputs_of(twenty, tmp_path / "out", shard="4/20"), caplog, shard="4/20")
    assert "s03.nii.gz" in lines[0]
    inputs = inputs_of(twenty, tmp_path / "out", shard="4/20", skip_invalid=True)
    check(inputs, shard="4/20", skip_invalid=True)
    assert inputs.datalist() == []
    assert len(inputs.invalid) == 1


@pytest.mark.parametrize("shard", ["0/3", "4/3", "a/b", "1/0", 2])
def test_a_wrong_shard_stops_before_any_file_is_read(caplog, tmp_path, shard):
    (line,) = stopped(inputs_of(tmp_path / "nowhere", tmp_path / "out", shard=shard), caplog, shard=shard)
    assert line.startswith(f"--shard {shard}: ")


def test_weights_of_another_network(tmp_path) -> None:
    network = torch.nn.Linear(3, 2)
    torch.save(network.state_dict(), tmp_path / "own.pt")
    check_weights(tmp_path / "own.pt", network)
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "other.pt")
    torch.save([1], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name, words in {
        "other.pt": "0 of 2 tensors fit",
        "list.pt": "another network",
        "text.pt": "no file of weights",
        "nowhere.pt": "does not exist",
    }.items():
        with pytest.raises(InputError, match=words):
            check_weights(tmp_path / name, network)
