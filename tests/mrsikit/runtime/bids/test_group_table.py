import csv
import json
from pathlib import Path
from typing import Any

import pytest

from mrsikit.io.errors import InputError
from mrsikit.runtime.bids.group_table import write_group_table


def record(out: Path, stem: str, summary: dict[str, Any]) -> None:
    path = out / "mrsi_inpainting" / stem.split("_")[0] / f"{stem}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mrsikit": "0", "flags": ["one\tline", "two"], "summary": summary}))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    record(tmp_path, "sub-01_ses-1_met-NAA_desc-signal_mrsi", {"voxels filled": 3})
    record(tmp_path, "sub-01_ses-2_met-NAA_desc-signal_mrsi", {"voxels filled": None})
    record(tmp_path, "sub-02_met-tCr_mrsimap", {"matrix": "16x16"})
    (tmp_path / "mrsi_inpainting" / "sub-02" / "inputs.json").write_text("[]")
    return tmp_path


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "group.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_a_row_for_each_map(out: Path) -> None:
    assert write_group_table(out, None, None) == 3
    first, second, third = rows(out)
    assert first == {
        "participant_id": "sub-01", "session_id": "ses-1", "metabolite": "NAA", "voxels filled": "3", "matrix": "n/a",
        "map": "sub-01_ses-1_met-NAA_desc-signal_mrsi.nii.gz", "warnings": "one line; two",
    }  # fmt: skip
    assert second["voxels filled"] == "n/a"
    assert (third["participant_id"], third["session_id"], third["matrix"]) == ("sub-02", "n/a", "16x16")


def test_regions_give_a_row_each(out: Path) -> None:
    table = "map,case,metabolite,ratio,label,name,mean\n"
    table += "".join(f"sub-02/sub-02_met-tCr_mrsimap_inpainted.nii.gz,c,tCr,,{k},,{k}.5\n" for k in (1, 2))
    (out / "mrsi_inpainting" / "regions.csv").write_text(table)
    assert write_group_table(out, None, None) == 4
    assert [(row["metabolite"], row["region label"], row["region mean"]) for row in rows(out)] == [
        ("NAA", "n/a", "n/a"), ("NAA", "n/a", "n/a"), ("tCr", "1", "1.5"), ("tCr", "2", "2.5")
    ]  # fmt: skip
    assert [row["matrix"] for row in rows(out)[2:]] == ["16x16", "16x16"]


def test_participants_and_sessions_are_chosen(out: Path) -> None:
    assert write_group_table(out, ["01"], None) == 2
    assert write_group_table(out, None, ["2"]) == 1
    with pytest.raises(InputError, match="holds no results of these participants and sessions; run the level part"):
        write_group_table(out, ["02"], ["2"])
    with pytest.raises(InputError, match="nothing: holds no results; run the level participant first"):
        write_group_table(out / "nothing", None, None)
