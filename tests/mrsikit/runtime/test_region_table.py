import csv
import json
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrsikit.io import InputError
from mrsikit.runtime.region_table import COLUMNS, write_region_table

SHAPE = (8, 9, 4)
AFFINE = np.array([[8.0, 0, 0, -30], [0, 8, 0, -40], [0, 0, 10, 12], [0, 0, 0, 1]])
LABELS = np.zeros(SHAPE)
LABELS[1:4, 2:5], LABELS[5:7, 2:8] = 1, 4


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE, *, known: bool = True) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values.astype(np.float32), affine)
    if not known:
        image.set_sform(affine, code=0)
        image.set_qform(affine, code=0)
    nib.save(image, path)
    return values.astype(np.float32).astype(float)


def made(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 9, shape)


def read(folder: Path) -> list[dict[str, str]]:
    with open(folder / "regions.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def filled(folder: Path) -> dict[str, np.ndarray]:
    """Results of inpainting: two maps of a session, each with a filled slab."""
    out = {}
    for k, name in enumerate(("NAA", "tCr")):
        out[name] = save(folder / f"s1_{name}_inpainted.nii.gz", made(k))
        out[f"{name} holes"] = save(
            folder / f"s1_{name}_holes.nii.gz", np.arange(SHAPE[0])[:, None, None] == k + 1 + np.zeros(SHAPE)
        )
        out[f"{name} calibrated"] = save(
            folder / f"s1_{name}_calibrated.nii.gz", out[f"{name} holes"] * (np.arange(4) > 0)
        )
        record = {"mrsikit": "0", "bundle": {"name": "mrsi_inpainting"}, "parameters": {}}
        (folder / f"s1_{name}.json").write_text(json.dumps(record))
    return out


def test_rows_are_those_of_numpy(tmp_path: Path) -> None:
    values = filled(tmp_path)
    save(tmp_path / "s1_rois.nii.gz", LABELS)
    (tmp_path / "s1_rois.tsv").write_text("index\tname\n1\tfrontal\n9\tnowhere\n")
    rows = write_region_table(tmp_path)
    table = read(tmp_path)
    assert list(table[0]) == list(COLUMNS)
    assert [(row["metabolite"], row["ratio"], row["label"], row["name"]) for row in table] == [
        (metabolite, ratio, label, name)
        for metabolite, ratio in (("NAA", ""), ("NAA", "NAA/tCr"), ("tCr", ""))
        for label, name in (("1", "frontal"), ("4", ""), ("9", "nowhere"))
    ]
    assert {row["map"] for row in table} == {"s1_NAA_inpainted.nii.gz", "s1_tCr_inpainted.nii.gz"}
    assert {row["case"] for row in table} == {"s1"}
    for row, text in zip(rows, table, strict=True):
        of = values["NAA"] / values["tCr"] if row["ratio"] else values[row["metabolite"]]
        inside = of[row["label"] == LABELS]
        assert int(text["voxels"]) == row["voxels"] == inside.size
        assert (text["voxels zero"], text["voxels NaN"]) == ("0", "0")
        if row["label"] == 9:
            assert [text[name] for name in COLUMNS[10:]] == [""] * 5
            assert text["share on the grid"] == "0.0"
            continue
        assert [float(text[name]) for name in ("mean", "median", "SD")] == [
            np.mean(inside), np.median(inside), np.std(inside),
        ]  # fmt: skip
        masks = [values[f"{name} holes"] > 0 for name in (("NAA", "tCr") if row["ratio"] else (row["metabolite"],))]
        here = np.any(masks, 0)[row["label"] == LABELS]
        assert float(text["share imputed"]) == here.mean()
        assert float(text["share not calibrated"]) == here.mean() / 4
        assert text["share on the grid"] == "1.0"


@pytest.mark.parametrize(
    ("names", "given", "ratios"),
    [
        (["NAA", "Cr", "Cr_PCr"], None, {"NAA/Cr+PCr", "Cr/Cr+PCr"}),
        (["NAA", "Cr"], None, {"NAA/Cr"}),
        (["NAA", "tCho"], None, set()),
        (["NAA", "tCr"], "none", set()),
        (["NAA", "tCr", "tCho"], "tcho", {"NAA/tCho", "tCr/tCho"}),
        (["NAA", "Cr_PCr"], "Cr+PCr", {"NAA/Cr+PCr"}),
    ],
)
def test_ratios_are_to_total_creatine_or_what_is_given(
    tmp_path: Path, names: list[str], given: str | None, ratios: set[str]
) -> None:
    for k, name in enumerate(names):
        save(tmp_path / f"s1_{name}.nii.gz", made(k))
    save(tmp_path / "s1_rois.nii.gz", LABELS)
    rows = write_region_table(tmp_path, ratio_to=given)
    assert {row["ratio"] for row in rows} - {""} == ratios
    assert {row["share imputed"] for row in rows} == {None}


def test_each_repeat_has_its_own_denominator(tmp_path: Path) -> None:
    maps = {}
    for run in (1, 2):
        for k, name in enumerate(("NAA", "tCr")):
            maps[run, name] = save(tmp_path / f"s1_run-{run}_{name}.nii.gz", made(10 * run + k))
    save(tmp_path / "s1_rois.nii.gz", LABELS)
    rows = [row for row in write_region_table(tmp_path) if row["ratio"] and row["label"] == 1]
    expected = [(maps[run, "NAA"] / maps[run, "tCr"])[LABELS == 1].mean() for run in (1, 2)]
    assert [row["mean"] for row in rows] == expected


def test_maps_on_two_grids_have_no_ratio_but_both_have_regions(tmp_path: Path) -> None:
    save(tmp_path / "s1_NAA.nii.gz", made(0))
    finer = AFFINE @ np.diag([0.5, 0.5, 1, 1])
    save(tmp_path / "s1_tCr.nii.gz", made(1, (16, 18, 4)), finer)
    save(tmp_path / "s1_rois.nii.gz", LABELS)
    rows = write_region_table(tmp_path)
    assert {row["ratio"] for row in rows} == {""}
    assert [row["voxels"] for row in rows][:2] == [36, 48]
    assert [row["voxels"] for row in rows][2] > 4 * 25


def test_metabolites_of_a_last_axis_have_the_names_of_the_run(tmp_path: Path) -> None:
    values = save(tmp_path / "s1_sr.nii.gz", made(0, (*SHAPE, 2)))
    save(tmp_path / "s1_rois.nii.gz", LABELS)
    (row, *_) = write_region_table(tmp_path)
    assert row["metabolite"] == "1"
    for given in ("NAA,tCr", ["NAA", "tCr"]):
        parameters = {"metabolites": given}
        record = {"mrsikit": "0", "bundle": {"name": "mrsi_super_resolution"}, "parameters": parameters}
        (tmp_path / "s1.json").write_text(json.dumps(record))
        rows = write_region_table(tmp_path)
        assert [row["ratio"] or row["metabolite"] for row in rows] == ["NAA"] * 2 + ["NAA/tCr"] * 2 + ["tCr"] * 2
        assert rows[2]["mean"] == (values[..., 0] / values[..., 1])[LABELS == 1].mean()


def test_labels_elsewhere_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "s1_NAA.nii.gz", made(0))
    save(tmp_path / "s2_NAA.nii.gz", made(1))
    away = AFFINE.copy()
    away[:3, 3] += 1000
    save(tmp_path / "s1_rois.nii.gz", LABELS, away)
    with caplog.at_level(logging.WARNING):
        rows = write_region_table(tmp_path)
    assert [(row["case"], row["voxels"], row["share on the grid"]) for row in rows] == [("s1", 0, 0.0)] * 2
    assert "s1_rois.nii.gz lies on it" in caplog.text
    assert "s2: 1 maps have no labels" in caplog.text


def test_labels_without_a_position_must_lie_on_the_grid_of_the_map(tmp_path: Path) -> None:
    save(tmp_path / "s1_NAA.nii.gz", made(0), known=False)
    save(tmp_path / "s1_rois.nii.gz", LABELS, known=False)
    assert [row["voxels"] for row in write_region_table(tmp_path)] == [36, 48]
    save(tmp_path / "s1_rois.nii.gz", np.kron(LABELS, np.ones((2, 2, 1))), AFFINE @ np.diag([0.5, 0.5, 1, 1]))
    with pytest.raises(InputError, match=r"s1_rois\.nii\.gz: is on another grid than s1_NAA\.nii\.gz"):
        write_region_table(tmp_path)


def test_problems_stand_one_a_line_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no maps"):
        write_region_table(tmp_path)
    for name in ("s1", "s2", "s3"):
        save(tmp_path / f"{name}_NAA.nii.gz", made(0))
    with pytest.raises(InputError, match=r"holds no labels of these maps; give s1_rois\.nii\.gz, or --rois"):
        write_region_table(tmp_path)
    save(tmp_path / "s1_rois.nii.gz", LABELS)
    save(tmp_path / "s2_rois.nii.gz", LABELS / 2)
    (tmp_path / "s3_rois.nii.gz").write_bytes(b"")
    with pytest.raises(InputError) as error:
        write_region_table(tmp_path)
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    assert "s2_rois.nii.gz" in lines[0]
    assert "s3_rois.nii.gz" in lines[1]
    assert not (tmp_path / "regions.csv").exists()


def test_a_denominator_that_no_case_has_and_a_mask_that_does_not_fit_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "s1_NAA.nii.gz", made(0))
    save(tmp_path / "s1_rois.nii.gz", LABELS)
    with pytest.raises(InputError, match="--ratio_to tCr: divides no other map of a case; the maps are of NAA"):
        write_region_table(tmp_path, ratio_to="tCr")
    save(tmp_path / "s1_NAA_holes.nii.gz", LABELS[..., :2] > 0)
    with pytest.raises(InputError, match=r"s1_NAA_holes\.nii\.gz: has a matrix"):
        write_region_table(tmp_path)
