import json
import re
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_tree import MAPS as PLACES
from bids_tree import METABOLITES, make_tree
from command_lines import mrsikit
from mrsikit.__main__ import main
from mrsikit.io.errors import InputError
from mrsikit.runtime.bids import app
from mrsikit.runtime.bids.app import OWN, help_text, run_app

VALIDATOR = shutil.which("bids-validator-deno")
FILL = ("--bundle", "mrsi_inpainting")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, its maps filled by the participant level, and the table of the group level."""
    root = tmp_path_factory.mktemp("bids")
    make_tree(root / "data")
    run(root, "participant", *FILL)
    run(root, "group")
    return root


def run(root: Path, level: str, *options: str) -> str:
    line = ["bids", "data", "data/derivatives/filled", level, "--derivatives", "data/derivatives/mrsi-orig", *options]
    done = mrsikit(line, cwd=root)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def image(root: Path, dataset: str, name: str) -> np.ndarray:
    (path,) = (root / "data" / "derivatives" / dataset).glob(f"sub-*/**/{name}.nii.gz")
    return np.asarray(nib.load(path).dataobj)


def test_the_participant_level_fills_every_map(chain: Path) -> None:
    filled = chain / "data" / "derivatives" / "filled"
    for place in PLACES:
        for metabolite in METABOLITES:
            name = f"{place.replace('/', '_')}_space-orig_met-{metabolite}"
            before = image(chain, "mrsi-orig", f"{name}_desc-signal_mrsi")
            after = image(chain, "filled", f"{name}_desc-inpainted_mrsimap")
            mask = image(chain, "filled", f"{name}_desc-filled_mask")
            assert mask[5, 6]  # no number
            assert mask[9, 9]  # by its bound
            np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
            assert np.isfinite(after).all()
            sidecar = json.loads((filled / place / "mrs" / f"{name}_desc-inpainted_mrsimap.json").read_text())
            assert sidecar["Units"] == "mmol/L"
            assert len(sidecar["Sources"]) == 5  # the map, its bounds, linewidths, the mask, the T1
    assert (filled / "mrsi_inpainting" / "sub-01" / "report.html").exists()
    assert len((filled / "group.tsv").read_text().splitlines()) == 7


def test_again_nothing_is_computed_and_nothing_changes(chain: Path) -> None:
    filled = chain / "data" / "derivatives" / "filled"
    before = {path: path.stat().st_mtime_ns for path in (filled / "sub-01").rglob("*.*")}
    image = next(path for path in before if path.name.endswith("inpainted_mrsimap.nii.gz"))
    image.unlink()
    said = run(chain, "participant", *FILL, "--report", "false", "--participant-label", "sub-01")
    assert "0 of 4 inputs to compute, 4 done before" in said
    assert {path: path.stat().st_mtime_ns for path in (filled / "sub-01").rglob("*.*")} == before


def test_the_next_bundle_reads_the_results(chain: Path) -> None:
    line = ["bids", "filled", "fine", "participant", "--bundle", "mrsi_super_resolution", "--derivatives", ".."]
    done = mrsikit([*line, "--session-label", "2", "--dry_run", "true"], cwd=chain / "data" / "derivatives")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "1 case: 2 maps, 2 crlb, 1 t1" in said
    assert "sub-01_ses-2_space-orig  2 maps" in said
    assert not (chain / "data" / "derivatives" / "fine").exists()


@pytest.mark.skipif(VALIDATOR is None, reason="needs bids-validator-deno")
@pytest.mark.parametrize("dataset", ["", "derivatives/mrsi-orig", "derivatives/filled"])
def test_the_validator_finds_no_error(chain: Path, dataset: str) -> None:
    line = [str(VALIDATOR), str(chain / "data" / dataset), "--format", "json", "--ignoreWarnings"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert not [issue for issue in issues if issue["severity"] == "error"]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset in the working directory, without MRIs' dataset: its maps alone."""
    monkeypatch.chdir(tmp_path)
    return make_tree(tmp_path / "data") / "derivatives" / "mrsi-orig"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What bundles are started with, instead of starting them."""
    lines: list[list[str]] = []
    monkeypatch.setattr(app, "run_inference", lambda bundle, words: lines.append([bundle, *words]))
    return lines


def test_a_bundle_gets_a_datalist_and_its_own_options(tree: Path, runs: list[list[str]], tmp_path: Path) -> None:
    words = ["--participant_label", "01", "--session-label", "1", *FILL, "--max_crlb", "30", "--overwrite=true"]
    run_app([str(tree), "out", "participant", *words])
    results = tmp_path / "out" / "mrsi_inpainting" / "sub-01"
    datalist = results / "inputs_ses-1.json"
    line = ["--dataset_dir", str(datalist), "--output_dir", str(results), "--max_crlb", "30", "--overwrite=true"]
    assert runs == [["mrsi_inpainting", *line]]
    entries = json.loads(datalist.read_text())
    assert [sorted(entry) for entry in entries] == [["brain", "crlb", "fwhm", "image"]] * 2
    assert all("/ses-1/" in path for entry in entries for path in entry.values())


def test_a_published_method_runs_with_its_own_options(tree: Path, runs: list[list[str]]) -> None:
    words = ["--bundle", "mrsi_gan_super_resolution", "--method", "li", "--generator", "gan"]
    run_app([str(tree), "out", "participant", *words])
    assert all(line[-4:] == words[2:] for line in runs)
    with pytest.raises(InputError, match="--generator: is no option of mrsi_gan_super_resolution"):
        run_app([str(tree), "out", "participant", *words[:2], *words[4:]])


def test_a_participant_that_cannot_be_used_does_not_stop_the_others(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def stop(_: str, words: list[str]) -> None:
        started.append(words[1])
        raise SystemExit(1 if "sub-01" in words[1] else 0)

    monkeypatch.setattr(app, "run_inference", stop)
    with pytest.raises(InputError, match="^sub-01: was not computed; the lines above say why$"):
        run_app([str(tree), "out", "participant", *FILL])
    assert len(started) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bundle", "x"), "arguments are required: bids_dir, output_dir, analysis_level; the form is mrsikit bids"),
        (("MAPS", "out", "patient", *FILL), "patient: is no level of the analysis; give participant or group"),
        (("MAPS", "out", "participant"), "--bundle is missing; give one of mrsi_inpainting, mrsi_super_resolution"),
        (("MAPS", "out", "participant", "--bundle", "dmi_quantification"), "dmi_quantification: is no bundle that rea"),
        (("MAPS", "out", "participant", *FILL, "--max-crlb", "3"), "--max-crlb: .*; did you mean --max_crlb?"),
        (("MAPS", "out", "participant", *FILL, "--participant-lable", "3"), "did you mean --participant-label?"),
        (("MAPS", "out", "participant", *FILL, "--shard", "1/2"), "--shard: .*; give the jobs of a cluster each its"),
        (("MAPS", "out", "participant", *FILL, "--participant-label", "7"), "--participant-label 7: .* are 01, 02"),
        (("MAPS", "out", "participant", *FILL, "--session-label", "x"), "--session-label x: .*; there are 1, 2"),
        (("MAPS", "out", "participant", *FILL, "--patterns", "none.json"), "none.json: is no JSON that can be read"),
        (("data", "out", "participant", *FILL), "data: holds no metabolite maps; name them as sub-01_met-NAA_desc-s"),
        (
            ("MAPS", "out", "participant", *FILL, "--participant-label", "02", "--session-label", "1"),
            "--session-label 1: is no session of .*; there are none",
        ),
        (("none", "out", "participant", *FILL), "none: is no folder; give the root of a BIDS dataset"),
        (("MAPS", "MAPS", "participant", *FILL), "lies in the dataset that is read"),
        (("MAPS", "out", "group"), "out: holds no results; run the level participant first"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    tree: Path, runs: list[list[str]], words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bids", *(str(tree) if word == "MAPS" else word for word in words)])
    assert isinstance(stop.value.code, str)  # Python prints it and ends with code 1
    assert len(stop.value.code.splitlines()) == 1
    assert re.search(said.replace("?", r"\?"), stop.value.code)
    assert not runs


def test_the_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    main(["bids", "--help"])
    said = capsys.readouterr().out
    assert said == f"{help_text()}\n"
    assert all(f"\n  --{name} " in said for name in OWN)
