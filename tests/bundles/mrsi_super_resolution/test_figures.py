import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mrsi_super_resolution.figures import draw_fine
from mrsikit.io import InputFolder

from .conftest import grid, head, save, save_flair


@pytest.fixture
def done(tmp_path: Path) -> InputFolder:
    """Two maps of two metabolites as after a run, one of them with a FLAIR."""
    fine = grid() @ np.diag([0.25, 0.25, 1, 1])
    both = np.stack([head(grid(), (24, 24, 2)), head(grid(), (24, 24, 2), level=3)], -1)
    for stem in ("plain", "guided"):
        save(tmp_path / f"{stem}.nii.gz", both, grid())
        for name in ("sr", "uncertainty"):
            save(tmp_path / f"{stem}_{name}.nii.gz", both.repeat(4, 0).repeat(4, 1), fine)
    save_flair(tmp_path / "guided_FLAIR.nii.gz")
    return InputFolder(
        dataset_dir=tmp_path,
        output_dir=tmp_path,
        companions={"flair": "anatomy", "t1": "anatomy"},
        outputs=["sr", "uncertainty"],
        optional_outputs=["ratio", "ratio_uncertainty"],
    )


def size(inputs: InputFolder, stem: str, **options: object) -> tuple[int, int]:
    path = Path(str(inputs.dataset_dir)) / f"{stem}.nii.gz"
    return Image.open(io.BytesIO(draw_fine(inputs, path, **options))).size


def test_mris_stand_beside_the_map_and_ratios_below(done: InputFolder) -> None:
    plain, guided = size(done, "plain"), size(done, "guided", metabolites="NAA,tCho")
    assert guided[0] > 1.25 * plain[0]
    folder = Path(str(done.dataset_dir))
    ratio = np.full((96, 96, 2, 1), np.nan, np.float32)
    ratio[30:60, 30:60] = 0.4
    for name in ("ratio", "ratio_uncertainty"):
        save(folder / f"guided_{name}.nii.gz", ratio, grid() @ np.diag([0.25, 0.25, 1, 1]))
    below = size(done, "guided", ratios="tCho/NAA", metabolites="NAA,tCho")
    assert below[0] == guided[0]
    assert below[1] > guided[1] + 150
