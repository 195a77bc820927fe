import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from command_lines import completed, mrsikit, run_line
from mrsikit.io import read_map
from mrsikit.runtime.pipeline import BundlePipeline
from toy_bundle import write_toy_bundle

from .conftest import BAD, BUNDLE, decided_network, disc, save_map

Command = Callable[..., subprocess.CompletedProcess]
OUTPUTS = ("inpainted", "holes", "uncertainty", "calibrated")


def state(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.iterdir() if p.suffix not in (".html", ".csv")
    }


def summary(folder: Path) -> dict[str, dict[str, str]]:
    with open(folder / "summary.csv", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_nothing_runs_while_one_input_is_bad(folder: Path, command: Command, tmp_path: Path) -> None:
    done = command(dataset_dir=folder, output_dir=tmp_path / "out")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    for stem in BAD:
        lines = [line for line in done.stdout.splitlines() if f"{stem}" in line and "ERROR" in line]
        assert len(lines) == 1, done.stdout
    assert "3 of 20" in done.stdout
    assert not (tmp_path / "out").exists()


def test_bad_inputs_are_skipped_and_listed(folder: Path, finished: Path) -> None:
    rows = summary(finished)
    assert len(rows) == 20
    skipped = {name for name, row in rows.items() if row["status"] == "skipped"}
    assert skipped == {f"{stem}.nii.gz" for stem in BAD}
    assert all(rows[name]["reason"] for name in skipped)
    assert {row["status"] for name, row in rows.items() if name not in skipped} == {"done"}
    stems = {p.name.split(".")[0] for p in folder.iterdir()} - {*BAD, "bad_companion_missing"}
    stems -= {"known_missing", "stack_crlb", "stack_brain"}
    expected = {f"{stem}_{what}.nii.gz" for stem in stems for what in OUTPUTS} | {f"{stem}.json" for stem in stems}
    expected |= {"stack_inpainted_crlb.nii.gz"}  # the one input with bounds
    assert {p.name for p in finished.iterdir()} == expected | {"report.html", "summary.csv", "mrsinmrs.csv"}


@pytest.mark.parametrize("stem", ["plane", "known", "stack", "volume"])
def test_outputs_lie_on_the_maps_grid_and_keep_what_was_measured(folder: Path, finished: Path, stem: str) -> None:
    given = nib.load(folder / f"{stem}.nii.gz")
    images = {what: nib.load(finished / f"{stem}_{what}.nii.gz") for what in OUTPUTS}
    for image in images.values():
        assert image.shape == given.shape
        np.testing.assert_array_equal(image.affine, given.affine)
    assert [images[what].get_data_dtype() for what in OUTPUTS] == [np.float32, np.uint8, np.float32, np.uint8]
    holes = np.asarray(images["holes"].dataobj) > 0
    before, after = (np.asarray(image.dataobj, np.float32) for image in (given, images["inpainted"]))
    np.testing.assert_array_equal(after[~holes].view(np.uint32), before[~holes].view(np.uint32))
    assert holes.any()
    assert np.isfinite(after[holes]).all()


def test_record_says_how_it_was_made(folder: Path, finished: Path, weights: Path) -> None:
    record = json.loads((finished / "stack.json").read_text())
    assert record["bundle"]["name"] == "mrsi_inpainting"
    assert record["weights"] == {"model.pt": hashlib.sha256(weights.read_bytes()).hexdigest()}
    assert {name: entry["file"] for name, entry in record["inputs"].items()} == {
        "image": "stack.nii.gz",
        "crlb": "stack_crlb.nii.gz",
        "brain": "stack_brain.nii.gz",
    }
    assert record["parameters"] == {
        "max_crlb": 20,
        "rule": "absolute",
        "max_fwhm": 0.1,
        "check": True,
        "session": True,
        "threshold": 0.4,
        "wrong_threshold": 1.0,
        "volumetric": None,
    }
    assert summary(finished)["volume.nii.gz"]["network"] == "3D"
    assert summary(finished)["stack.nii.gz"]["network"] == "2D"
    assert "give a brain mask" in summary(finished)["plane.nii.gz"]["flags"]
    assert summary(finished)["known.nii.gz"]["of these judged missing"] == "0"


def test_report_is_one_file_with_a_figure_a_map(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert page.count("<figure><div") == 17
    assert page.count('<details class="check">') > 0
    assert not re.search(r'<(?:link|iframe)|src="(?!data:)', page.split("<script>")[0])
    assert "For research use only" in page
    assert "plane.nii.gz" in page


def test_second_run_computes_only_what_is_missing(folder: Path, finished: Path, command: Command) -> None:
    before = state(finished)
    gone = finished / "known_holes.nii.gz"
    gone.unlink()
    done = command(dataset_dir=folder, output_dir=finished, skip_invalid="true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 20 inputs to compute, 16 done before, 3 skipped" in done.stdout
    after = state(finished)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name][0] != before[name][0]}
    assert changed == {f"known_{what}.nii.gz" for what in OUTPUTS} | {"known.json"}
    done = command(dataset_dir=folder, output_dir=finished, skip_invalid="true", overwrite="false")
    assert state(finished) == after
    assert "nothing to do" in done.stdout


def test_overwrite_and_options_reach_the_result(command: Command, tmp_path: Path) -> None:
    maps, out = tmp_path / "maps", tmp_path / "out"
    maps.mkdir()
    save_map(maps / "v.nii.gz", disc(16, depth=8))
    bounds = np.full((16, 16, 8), 5, np.float32)
    bounds[8, 8, 4] = 15
    save_map(maps / "v_crlb.nii.gz", bounds)
    options = {"dataset_dir": maps, "output_dir": out, "volumetric": "false", "threshold": 0.999}
    assert command(**options).returncode == 0
    first = read_map(out / "v_holes.nii.gz")[0]
    assert first[8, 8, 4] == 0
    assert summary(out)["v.nii.gz"]["network"] == "2D"
    written = state(out)
    done = command(**options, overwrite="true", max_crlb=10, device="cpu")
    assert done.returncode == 0
    assert all(written[name][0] != moment for name, (moment, _) in state(out).items())
    assert read_map(out / "v_holes.nii.gz")[0][8, 8, 4] == 1


def test_masks_on_the_mri_s_grid_and_doubtful_headers_are_said_in_the_record(command: Command, tmp_path: Path) -> None:
    maps, out = tmp_path / "maps", tmp_path / "out"
    maps.mkdir()
    mask = np.zeros((16, 16), np.uint8)
    mask[3:13, 4:12] = 1
    finer = np.repeat(np.repeat(mask, 4, 0), 4, 1)[..., None].repeat(3, 2)
    affine = np.diag([1.0, 1, 1, 1])
    affine[:3, 3] = -1.5, -1.5, -1
    for stem in ("fine", "coarse"):
        save_map(maps / f"{stem}.nii.gz", disc(16))
    save_map(maps / "coarse_brain.nii.gz", mask)
    nib.save(nib.nifti1.Nifti1Image(finer, affine), maps / "fine_brain.nii.gz")
    image = nib.load(maps / "coarse.nii.gz")
    image.set_qform(np.diag([-4.0, 4, 4, 1]), code=1)
    nib.save(image, maps / "coarse.nii.gz")
    done = command(dataset_dir=maps, output_dir=out)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in OUTPUTS:
        found, right = (read_map(out / f"{stem}_{name}.nii.gz")[0] for stem in ("fine", "coarse"))
        np.testing.assert_array_equal(found, right)
    flags = {stem: json.loads((out / f"{stem}.json").read_text())["flags"] for stem in ("fine", "coarse")}
    assert any("given on a finer grid and resampled onto that of the map" in flag for flag in flags["fine"])
    assert any(flag.endswith(": brain") for flag in flags["fine"])
    assert "coarse.nii.gz: its sform (code 2) and qform (code 1) are mirror images" in flags["coarse"][-1]
    assert "mirror images" in done.stdout + done.stderr
    header = nib.load(out / "coarse_inpainted.nii.gz").header
    np.testing.assert_allclose(header.get_qform(), np.diag([-4.0, 4, 4, 1]), atol=1e-6)
    np.testing.assert_allclose(header.get_sform(), np.diag([4.0, 4, 4, 1]), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"overwite": "true"}, ["overwite", "overwrite"]),
        ({"volumetric": "maybe", "threshold": 40, "overwrite": "perhaps"}, ["volumetric", "threshold", "overwrite"]),
        ({"device": "cuda:99", "weights": "nowhere.pt", "dataset": "maps"}, ["device", "weights", "dataset"]),
    ],
    ids=["unknown", "bad values", "not there"],
)
def test_bad_options_are_named_before_anything_is_computed(
    folder: Path, command: Command, tmp_path: Path, options: dict[str, object], words: list[str]
) -> None:
    done = command(dataset_dir=folder, output_dir=tmp_path, skip_invalid="true", **options)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    problems = [line for line in done.stdout.splitlines() if "ERROR" in line]
    for word in words:
        assert any(f"--{word}" in line for line in problems), done.stdout
    assert list(tmp_path.iterdir()) == []


def loaded(folder: Path, stem: str) -> dict[str, MetaTensor]:
    """A map and its companions as the reader and ``ensure_channel_first`` give them."""
    data = {}
    for key in ("image", "missing", "crlb", "brain"):
        path = folder / (f"{stem}.nii.gz" if key == "image" else f"{stem}_{key}.nii.gz")
        if path.exists():
            values, affine = read_map(path)
            tensor = torch.from_numpy(values)
            tensor = tensor.movedim(-1, 0) if values.ndim == 4 else tensor[None]
            data[key] = MetaTensor(tensor, affine=torch.from_numpy(affine))
    return data


@pytest.mark.parametrize("stem", ["plane", "known", "stack", "volume"])
def test_exported_network_by_the_rules_of_deploy_gives_the_commands_result(
    folder: Path, finished: Path, stem: str
) -> None:
    exported = torch.jit.script(decided_network(threshold=0.4, wrong_threshold=1.0))  # as inference.json exports it
    out = BundlePipeline(BUNDLE, network=exported, device=torch.device("cpu"))(loaded(folder, stem))
    for what in OUTPUTS:
        expected = read_map(finished / f"{stem}_{what}.nii.gz")[0]
        result = out[what].as_tensor().float().numpy()
        result = np.moveaxis(result, 0, -1) if expected.ndim == 4 else result[0]
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4, err_msg=what)


def test_two_bundles_run_in_one_process(weights: Path, tmp_path: Path) -> None:
    toy = write_toy_bundle(tmp_path)
    maps = tmp_path / "maps"
    maps.mkdir()
    save_map(maps / "naa.nii.gz", disc(16))
    script = f"""
import sys
from monai.bundle import run
for bundle, options in (({str(toy)!r}, {{}}), ({str(BUNDLE)!r}, {{"weights": {str(weights)!r}}}), ({str(toy)!r}, {{}})):
    sys.path.insert(0, bundle)
    run(config_file=bundle + "/configs/inference.json", bundle_root=bundle, dataset_dir={str(maps)!r},
        output_dir={str(tmp_path / "out")!r}, **options)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    np.testing.assert_array_equal(read_map(tmp_path / "out" / "naa_gained.nii.gz")[0].squeeze(), 2 * disc(16))
    assert (tmp_path / "out" / "naa_inpainted.nii.gz").exists()


def test_the_mri_of_a_session_is_named_with_its_correlation_and_its_hash(command: Command, tmp_path: Path) -> None:
    for k, name in enumerate(("NAA", "Cr")):
        save_map(tmp_path / f"sub-01_{name}.nii.gz", disc(32, seed=k))
    # What FLAIR shows is what NAA shows.
    save_map(tmp_path / "sub-01_flair.nii.gz", np.repeat(np.repeat(disc(32), 2, 0), 2, 1), (2.0, 2.0, 4.0))
    done = command(dataset_dir=tmp_path, output_dir=tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "out" / "sub-01_NAA.json").read_text())
    file = tmp_path / "sub-01_flair.nii.gz"
    assert record["inputs"]["flair"] == {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    named = record["summary"]["other maps (correlation)"]
    assert re.fullmatch(r"sub-01_Cr -?\d\.\d\d, FLAIR 0\.[1-9]\d", named), named
    assert summary(tmp_path / "out")["sub-01_NAA.nii.gz"]["other maps (correlation)"] == named
    save_map(file, np.ones((32, 32), np.float32) + np.eye(32, dtype=np.float32))
    again = command(dataset_dir=tmp_path, output_dir=tmp_path / "out")
    assert "was done before with other inputs" in again.stdout + again.stderr


@pytest.fixture
def planes(tmp_path: Path) -> Path:
    maps = tmp_path / "maps"
    maps.mkdir()
    for k in range(2):
        save_map(maps / f"map_{k}.nii.gz", disc(24, seed=k))
    return maps


@pytest.mark.parametrize("training", ["progressive", "direct"])
def test_the_published_network_runs_by_the_short_command_and_by_monais(
    planes: Path, tmp_path: Path, training: str
) -> None:
    short, long = tmp_path / "short", tmp_path / "long"
    words = ["fill", str(planes), str(short), "--method", "pham", "--training", training]
    done = mrsikit(words, cwd=Path("/"))
    assert done.returncode == 0, done.stdout + done.stderr
    options = {"dataset_dir": planes, "output_dir": long, "training": training}
    done = completed(run_line("inference", "reference_pham", **options), cwd=BUNDLE)
    assert done.returncode == 0, done.stdout + done.stderr
    for what in OUTPUTS:
        one, other = (read_map(folder / f"map_0_{what}.nii.gz")[0] for folder in (short, long))
        np.testing.assert_array_equal(one, other)
    record = json.loads((short / "map_0.json").read_text())
    assert record["parameters"]["reference"] == "pham"
    assert record["parameters"]["training"] == training
    file = f"model_paper_{training}.pt"
    shipped = json.loads((BUNDLE / "configs" / "metadata.json").read_text())["weights_sha256"]
    assert record["weights"] == {file: shipped[file]}
    assert np.isnan(read_map(short / "map_0_uncertainty.nii.gz")[0]).all()
    changed = read_map(short / "map_0_inpainted.nii.gz")[0] - disc(24)
    assert (changed[disc(24) > 0] != 0).all()
    assert (short / "report.html").read_text().count("<figure><div") == 2


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("training", "both", "--training both: is none of progressive, direct"),
        ("check", "true", "--check true: the published method has none"),
        ("session", "true", "--session true: the published method has none"),
        ("volumetric", "maybe", "--volumetric maybe: is neither true nor false"),
        ("volumetric", "true", "model_paper_progressive_3d.pt: does not exist"),
        ("trainin", "direct", "training"),
    ],
)
def test_bad_options_of_the_published_network_are_refused_in_one_line(
    planes: Path, tmp_path: Path, option: str, value: str, words: str
) -> None:
    out = tmp_path / "out"
    done = mrsikit(["fill", str(planes), str(out), "--method", "pham", f"--{option}", value], cwd=Path("/"))
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if words in line and "ERROR" in line], said
    assert not out.exists()
