import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coarse_maps import grid, head, save, save_flair
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.runtime import InputFolder
from mrsikit.runtime.report import draw_case
from mrsikit.super_resolution import figures
from mrsikit.super_resolution.figures import draw_fine


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
        optional_outputs=["ratio", "ratio_uncertainty", "without_mri"],
    )


def size(inputs: InputFolder, stem: str, **options: object) -> tuple[int, int]:
    path = Path(str(inputs.dataset_dir)) / f"{stem}.nii.gz"
    return Image.open(io.BytesIO(draw_fine(inputs, path, **options).png)).size


def test_mris_stand_beside_the_map_and_ratios_below(done: InputFolder) -> None:
    plain, guided = size(done, "plain"), size(done, "guided", metabolites="NAA,tCho")
    assert guided[0] > 1.25 * plain[0]
    folder = Path(str(done.dataset_dir))
    both = np.ones((96, 96, 2, 2), np.float32)
    save(folder / "guided_without_mri.nii.gz", both, grid() @ np.diag([0.25, 0.25, 1, 1]))
    wider = size(done, "guided", metabolites="NAA,tCho")
    assert wider[0] > guided[0] + 100
    guided = wider
    (folder / "guided.json").write_text(json.dumps({"mrsikit": "0", "summary": {"ratios": "tCho/NAA"}}))
    ratio = np.full((96, 96, 2, 1), np.nan, np.float32)
    ratio[30:60, 30:60] = 0.4
    for name in ("ratio", "ratio_uncertainty"):
        save(folder / f"guided_{name}.nii.gz", ratio, grid() @ np.diag([0.25, 0.25, 1, 1]))
    below = size(done, "guided", metabolites="NAA,tCho")
    assert below[0] == guided[0]
    assert below[1] > guided[1] + 150


def test_rows_are_named_as_the_file_was_made(done: InputFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = Path(str(done.dataset_dir)), []
    for channels, names in ((2, "tCho/NAA, tCr/NAA"), (1, "2/1")):
        (folder / "plain.json").write_text(json.dumps({"mrsikit": "0", "summary": {"ratios": names}}))
        for name in ("ratio", "ratio_uncertainty"):
            save(folder / f"plain_{name}.nii.gz", np.full((96, 96, 2, channels), 0.4, np.float32), grid())
        monkeypatch.setattr(
            figures, "draw_case", lambda *_, **options: asked.append(options) or draw_case(*_, **options)
        )
        size(done, "plain", metabolites="NAA,tCho")
        monkeypatch.undo()
    assert asked[0]["metabolites"] == ["NAA", "tCho"]
    assert asked[1]["metabolites"] == ["tCho/NAA", "tCr/NAA"]
    assert asked[3]["panels"][0].title == "2/1"


def test_slices_stored_first_are_drawn_as_slices(done: InputFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = Path(str(done.dataset_dir)), []
    order = [2, 0, 1, 3]
    volume = np.moveaxis(head(grid(), (24, 20, 8)), 2, 0)
    save(folder / "first.nii.gz", volume, grid()[:, order])
    for name in ("sr", "uncertainty"):
        save(
            folder / f"first_{name}.nii.gz",
            volume.repeat(4, 1).repeat(4, 2),
            (grid() @ np.diag([0.25, 0.25, 1, 1]))[:, order],
        )
    monkeypatch.setattr(figures, "draw_case", lambda arrays, affine, **_: asked.append((arrays, affine)) or b"")
    draw_fine(done, folder / "first.nii.gz")
    arrays, affine = asked[0]
    assert {name: values.shape for name, values in arrays.items()} == dict.fromkeys(arrays, (96, 80, 8))
    np.testing.assert_allclose(affine, grid() @ np.diag([0.25, 0.25, 1, 1]))


def test_the_change_is_what_interpolation_does_not_show_and_the_map_lies_over_the_mri(
    done: InputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = Path(str(done.dataset_dir)), []
    coarse, crlb = head(grid(), (24, 20, 3)), np.full((24, 20, 3), 5.0)
    coarse[10, 10, 1] = np.nan
    fine = SpatialEncoding("block", 4).interpolate(
        torch.from_numpy(np.nan_to_num(coarse)).movedim(-1, 0)[None].float()
    )[0]
    save(folder / "guided.nii.gz", coarse, grid())
    save(folder / "guided_crlb.nii.gz", crlb, grid())
    for name in ("sr", "uncertainty"):
        save(folder / f"guided_{name}.nii.gz", fine.movedim(0, -1).numpy(), grid() @ np.diag([0.25, 0.25, 1, 1]))
    monkeypatch.setattr(figures, "draw_case", lambda arrays, _, **options: asked.append((arrays, options)) or b"")
    view = draw_fine(done, folder / "guided.nii.gz").view
    arrays, options = asked[0]
    change = arrays["change"]
    np.testing.assert_allclose(change[:, :, [0, 2]], 0, atol=1e-4)
    assert np.abs(change[36:48, 36:48, 1]).max() > 1  # the missing voxel was imputed before interpolation
    assert [(p.image, p.over) for p in options["panels"] if p.over] == [("sr", "flair")]
    assert [p.image for p in options["panels"] if p.diverging] == ["change"]
    assert view is not None
    assert "change" not in view["images"]
