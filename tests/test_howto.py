"""The how-tos in docs/howto: their commands run, one after another, in a folder that holds what they start from."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_tree import make_tree
from command_lines import mrsikit
from mrsikit.__main__ import IMPORT_OPTIONS
from mrsikit.io import read_map
from mrsikit.runtime.bids.app import OWN
from mrsikit.runtime.bids.patterns import read_patterns

REPOSITORY = Path(__file__).resolve().parents[1]
HOWTO = REPOSITORY / "docs" / "howto"
ORYX = REPOSITORY / "../shared/data/oryx_human_mrsi_3t"


def blocks(guide: str, language: str) -> list[str]:
    text = (HOWTO / f"{guide}.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def save(path: Path, values: np.ndarray, side: float = 8.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values.astype(np.float32), np.diag([side, side, 10, 1])), path)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with ``maps``: two sessions with missing voxels, and the labels of the first on a finer grid."""
    rng = np.random.default_rng(0)
    for session in ("sub-01", "sub-02"):
        for name in ("NAA", "tCr"):
            values = np.zeros((16, 16))
            values[2:14, 2:14] = rng.uniform(5, 9, (12, 12))
            values[5, 6:8] = np.nan
            save(tmp_path / "maps" / f"{session}_{name}.nii.gz", values)
    labels = np.zeros((48, 48))
    labels[12:24, 12:24], labels[27:36, 27:36] = 1, 2
    save(tmp_path / "maps" / "sub-01_rois.nii.gz", labels, 8 / 3)
    (tmp_path / "maps" / "sub-01_rois.json").write_text(blocks("regions", "json")[0])
    return tmp_path


def run(line: str, folder: Path) -> None:
    first, *words = shlex.split(line, comments=True)
    assert first == "mrsikit"
    done = mrsikit(words, cwd=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_regions(work: Path) -> None:
    for block in blocks("regions", "bash"):
        for line in block.splitlines():
            run(line, work)
    rows = table(work / "filled" / "regions.csv")
    assert [(row["metabolite"], row["ratio"], row["label"], row["name"]) for row in rows] == [
        (metabolite, ratio, label, name)
        for metabolite, ratio in (("NAA", ""), ("NAA", "NAA/tCr"), ("tCr", ""))
        for label, name in (("1", "frontal white matter"), ("2", "thalamus"))
    ]
    assert {row["voxels"] for row in rows} == {"16", "9"}
    assert {row["share imputed"] for row in rows if row["label"] == "1"} == {"0.125"}  # 2 of 16 voxels
    text = (HOWTO / "regions.md").read_text(encoding="utf-8")
    named = re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)))
    assert sorted(named) == sorted(rows[0])  # every column is explained


def test_regions_from_python() -> None:
    (code,) = blocks("regions", "python")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "thalamus 36 9.0 0.0\n"


def fsl_results(folder: Path) -> None:
    values = np.random.default_rng(0).uniform(1, 20, (14, 14, 3)).astype(np.float32)
    for place in ("concs/internal/NAA", "uncertainties/NAA_sd", "qc/NAA_snr", "qc/NAA_fwhm"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(values, np.diag([8, 8, 10, 1])), folder / f"{place}.nii.gz")


@pytest.mark.skipif(not ORYX.is_dir(), reason="needs shared/data")
def test_lcmodel_to_regions(tmp_path: Path) -> None:
    shutil.copytree(ORYX / "lcmodel_tables", tmp_path / "lcmodel", copy_function=shutil.copyfile)
    (lines,) = (block.splitlines() for block in blocks("lcmodel_to_regions", "bash"))
    run(lines[0], tmp_path)
    assert "position unknown" in json.loads((tmp_path / "maps" / "sub-01_import.json").read_text())["position"]
    grid: Any = nib.load(tmp_path / "maps" / "sub-01_NAA_NAAG.nii.gz")
    labels = np.zeros(grid.shape, np.float32)
    labels[5:8, 5:9, 1], labels[8:11, 5:9, 1] = 1, 2
    nib.save(nib.Nifti1Image(labels, None, grid.header), tmp_path / "sub-01_rois.nii.gz")
    for line in lines[1:]:
        run(line, tmp_path)
    rows = table(tmp_path / "filled" / "regions.csv")
    assert {row["ratio"] for row in rows} == {"", "NAA+NAAG/Cr+PCr", "GPC+PCh/Cr+PCr"}
    assert {row["label"] for row in rows} == {"1", "2"}
    filled: Any = nib.load(tmp_path / "filled" / "sub-01_NAA_NAAG_inpainted.nii.gz")
    (row,) = [row for row in rows if (row["metabolite"], row["ratio"], row["label"]) == ("NAA+NAAG", "", "1")]
    assert float(row["mean"]) == pytest.approx(filled.get_fdata()[labels == 1].mean(), rel=1e-5)
    assert "regions" in (tmp_path / "filled" / "report.html").read_text()
    assert {path.name for path in (tmp_path / "fine").glob("*_sr.nii.gz")} == {
        f"sub-01_{word}_inpainted_sr.nii.gz" for word in ("NAA_NAAG", "Cr_PCr", "GPC_PCh")
    }


@pytest.mark.skipif(not ORYX.is_dir(), reason="needs shared/data")
def test_import_lcmodel(tmp_path: Path) -> None:
    shutil.copytree(ORYX / "lcmodel_tables", tmp_path / "lcmodel", copy_function=shutil.copyfile)
    affine = np.array([[-10, 0.5, 0, 60], [0.5, 10, 0, -60], [0, 0, 12.0, -10], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.zeros((14, 14, 3, 4), np.float32), affine), tmp_path / "mrsi.nii.gz")
    fsl_results(tmp_path / "fit")
    for block in blocks("import_lcmodel", "bash"):
        for line in block.splitlines():
            run(line, tmp_path)
    for word in ("NAA_NAAG", "Cr_PCr", "GPC_PCh"):
        values, _ = read_map(tmp_path / "maps" / f"sub-01_{word}.nii.gz")
        filled, _ = read_map(tmp_path / "filled" / f"sub-01_{word}_inpainted.nii.gz")
        holes, _ = read_map(tmp_path / "filled" / f"sub-01_{word}_holes.nii.gz")
        kept = (holes == 0) & np.isfinite(values)
        np.testing.assert_array_equal(filled[kept], values[kept])
        assert holes.any()
    assert (tmp_path / "filled" / "report.html").exists()
    np.testing.assert_allclose(nib.load(tmp_path / "placed" / "sub-01_NAA_NAAG.nii.gz").affine, affine, atol=1e-4)
    assert (tmp_path / "maps_fsl" / "sub-01_NAA_crlb.nii.gz").exists()


def test_bids(tmp_path: Path) -> None:
    make_tree(tmp_path / "data")
    labels = np.zeros((16, 16))
    labels[4:7, 4:8] = 1
    save(tmp_path / "labels" / "sub-02" / "sub-02_space-orig_rois.nii.gz", labels)
    for block in blocks("bids", "bash"):
        for line in block.splitlines():
            run(line, tmp_path)
    derivatives = tmp_path / "data" / "derivatives"
    with open(derivatives / "filled" / "group.tsv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [(row["participant_id"], row["session_id"], row["metabolite"], row["region ratio"]) for row in rows] == [
        *(("sub-01", f"ses-{k}", name, "n/a") for k in (1, 2) for name in ("CrPCr", "NAANAAG")),
        *(("sub-02", "n/a", *names) for names in (("CrPCr", "n/a"), ("NAANAAG", "n/a"), ("NAANAAG", "NAANAAG/CrPCr"))),
    ]
    assert {row["region voxels"] for row in rows[4:]} == {"12"}
    assert len(list((derivatives / "fine").glob("sub-*/**/*_desc-sr_mrsimap.nii.gz"))) == 6


def test_the_patterns_and_options_of_bids_are_those_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "patterns.json").write_text(blocks("bids", "json")[0])
    assert read_patterns(tmp_path / "patterns.json")["image"][0].labels["desc"] == ("conc",)
    text = (HOWTO / "bids.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `--([\w-]+)` \|", text, re.MULTILINE) == list(OWN)
    (keys,) = re.findall(r"^Keys are (.*?);", text, re.MULTILINE)
    assert re.findall(r"`(\w+)`", keys) == list(read_patterns(None))


def test_the_options_of_the_import_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| `--(\w+)` \|", (HOWTO / "import_lcmodel.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == list(IMPORT_OPTIONS)


def test_shards(work: Path) -> None:
    first, job, last = blocks("shards", "bash")
    for line in first.splitlines():
        run(line, work)
    assert not (work / "filled").exists()
    assert "#SBATCH --array=1-40\n" in job
    (line,) = [line for line in job.splitlines() if line.startswith("mrsikit")]
    with ThreadPoolExecutor() as jobs:  # the shares of the two sessions at once, and one without a session
        list(jobs.map(lambda k: run(line.replace("$SLURM_ARRAY_TASK_ID", str(k)), work), (2, 40, 1)))
    rows = table(work / "filled" / "summary.csv")
    assert [(row["file"], row["status"]) for row in rows] == [
        (f"{session}_{name}.nii.gz", "done") for session in ("sub-01", "sub-02") for name in ("NAA", "tCr")
    ]
    assert not (work / "filled" / "report.html").exists()
    made = {path: path.stat().st_mtime_ns for path in (work / "filled").glob("*.nii.gz")}
    run(last.strip(), work)
    assert "4 of 4 inputs done" in (work / "filled" / "report.html").read_text()
    assert table(work / "filled" / "summary.csv") == rows
    assert {path: path.stat().st_mtime_ns for path in (work / "filled").glob("*.nii.gz")} == made  # nothing twice
    assert not (work / "filled" / ".claims").exists()
