"""The how-tos in docs/howto: their commands run, one after another, in a folder that holds what they start from."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from mrsikit.__main__ import IMPORT_OPTIONS
from mrsikit.io import read_map

REPOSITORY = Path(__file__).resolve().parents[1]
HOWTO = REPOSITORY / "docs" / "howto"
ORYX = REPOSITORY / "../shared/data/oryx_human_mrsi_3t"


def commands(name: str) -> list[list[str]]:
    """Commands in the code blocks of a how-to, ``mrsikit`` of this environment."""
    blocks = re.findall(r"```bash\n(.*?)```", (HOWTO / name).read_text(encoding="utf-8"), re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines() if line]
    assert {words[0] for words in lines} == {"mrsikit"}
    return [[sys.executable, "-m", *words] for words in lines]


def fsl_results(folder: Path) -> None:
    values = np.random.default_rng(0).uniform(1, 20, (14, 14, 3)).astype(np.float32)
    for place in ("concs/internal/NAA", "uncertainties/NAA_sd", "qc/NAA_snr", "qc/NAA_fwhm"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(values, np.diag([8, 8, 10, 1])), folder / f"{place}.nii.gz")


@pytest.mark.skipif(not ORYX.is_dir(), reason="needs shared/data")
def test_import_lcmodel(tmp_path: Path) -> None:
    shutil.copytree(ORYX / "lcmodel_tables", tmp_path / "lcmodel", copy_function=shutil.copyfile)
    affine = np.array([[-10, 0.5, 0, 60], [0.5, 10, 0, -60], [0, 0, 12.0, -10], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.zeros((14, 14, 3, 4), np.float32), affine), tmp_path / "mrsi.nii.gz")
    fsl_results(tmp_path / "fit")
    for line in commands("import_lcmodel.md"):
        run: Any = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"{shlex.join(line)}\n{run.stdout}{run.stderr}"
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


def test_the_options_of_the_import_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| `--(\w+)` \|", (HOWTO / "import_lcmodel.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == list(IMPORT_OPTIONS)
