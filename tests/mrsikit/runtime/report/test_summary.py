import csv
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from command_lines import SERVER
from mrsikit.runtime import InputFolder
from mrsikit.runtime.claims import summary_lock
from mrsikit.runtime.report.summary import write_summary

RUN = """
import json
from mrsikit.runtime import InputFolder
from mrsikit.runtime.report.summary import write_summary
inputs = InputFolder(dataset_dir=folder / "maps", output_dir=folder / "out", shard=shard, skip_invalid=True)
for _ in range(20):
    together.wait()  # so that shards begin and end at once, again and again
    inputs.check()
    inputs.claim()
    for item in inputs.datalist():
        name = inputs.name_of(item["image"])
        inputs.record_path(name).write_text(json.dumps({"mrsikit": "0", "summary": {"value": name}}))
    write_summary(inputs)
    inputs.release()
"""


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Seven maps, each a case, of which one is bad."""
    (tmp_path / "maps").mkdir()
    for k in range(7):
        values = np.random.default_rng(k).uniform(1, 2, (8, 9)).astype(np.float32)
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "maps" / f"s{k}_NAA.nii.gz")
    (tmp_path / "maps" / "s4_NAA.nii.gz").write_bytes(b"")
    return tmp_path


def run(folder: Path, shard: str | None, *, killed: bool = False) -> list[str]:
    """Do what a run does around its network; return the names of what it computed."""
    inputs = InputFolder(dataset_dir=folder / "maps", output_dir=folder / "out", shard=shard, skip_invalid=True)
    inputs.check()
    inputs.claim()
    names = [inputs.name_of(item["image"]) for item in inputs.datalist()]
    for name in names[:1] if killed else names:
        inputs.record_path(name).write_text(json.dumps({"mrsikit": "0", "summary": {"value": name}}))
    if not killed:
        write_summary(inputs)
    inputs.release()
    return names


def read(folder: Path) -> list[dict[str, str]]:
    with open(folder / "out" / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("order", itertools.permutations("123"))
def test_after_all_shards_in_any_order_the_table_is_that_of_one_run(maps: Path, order: tuple[str, ...]) -> None:
    computed = [name for place in order for name in run(maps, f"{place}/3")]
    assert sorted(computed) == [f"s{k}_NAA" for k in (0, 1, 2, 3, 5, 6)]
    rows = read(maps)
    assert run(maps, None) == []
    assert read(maps) == rows
    assert [row["status"] for row in rows] == ["done"] * 4 + ["skipped"] + ["done"] * 2
    assert "s4_NAA.nii.gz: cannot be read" in rows[4]["reason"]
    assert [row["value"] for row in rows] == [f"s{k}_NAA" if k != 4 else "" for k in range(7)]
    assert not (maps / "out" / ".claims").exists()


def test_what_no_shard_has_done_has_no_row(maps: Path) -> None:
    run(maps, "1/3")
    assert [row["file"][:2] for row in read(maps)] == ["s0", "s3", "s6"]
    run(maps, "9/40")  # none of the seven
    assert [row["file"][:2] for row in read(maps)] == ["s0", "s3", "s6"]
    (maps / "out" / "s3_NAA.json").unlink()
    run(maps, "3/3")
    assert [row["file"][:2] for row in read(maps)] == ["s0", "s2", "s5", "s6"]  # s3 is done no more


def test_a_killed_shard_runs_again_without_doing_anything_twice(maps: Path) -> None:
    first = run(maps, "1/3", killed=True)
    assert not (maps / "out" / "summary.csv").exists()
    assert run(maps, "1/3") == first[1:]
    assert [row["status"] for row in read(maps)] == ["done"] * 3


def test_a_row_of_an_earlier_failure_goes_when_its_input_is_done(maps: Path) -> None:
    inputs = InputFolder(dataset_dir=maps / "maps", output_dir=maps / "out", shard="2/3", skip_invalid=True)
    inputs.check()
    write_summary(inputs)
    assert [row["status"] for row in read(maps)] == ["failed", "skipped"]
    run(maps, "1/3")
    assert [row["status"] for row in read(maps)] == ["done", "failed", "done", "skipped", "done"]
    run(maps, "2/3")
    assert [row["status"] for row in read(maps)] == ["done", "done", "done", "skipped", "done"]


def test_a_shard_waits_until_no_other_writes_the_table(maps: Path) -> None:
    with ThreadPoolExecutor(1) as threads:
        with summary_lock(maps / "out"):
            other = threads.submit(run, maps, "2/3")
            with pytest.raises(TimeoutError):
                other.result(timeout=0.5)
            assert not (maps / "out" / "summary.csv").exists()
        other.result(timeout=60)
    assert [row["file"][:2] for row in read(maps)] == ["s1", "s4"]


def test_shards_at_once_lose_no_row(maps: Path) -> None:
    together = SERVER.Barrier(3, timeout=60)
    given = [{"folder": maps, "shard": f"{place}/3", "together": together} for place in (1, 2, 3)]
    runs = [SERVER.Process(target=exec, args=(RUN, names)) for names in given]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert [one.exitcode for one in runs] == [0, 0, 0]
    assert [row["status"] for row in read(maps)] == ["done"] * 4 + ["skipped"] + ["done"] * 2
    assert not (maps / "out" / ".claims").exists()
