import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrsikit.io import InputError
from mrsikit.runtime import InputFolder
from mrsikit.runtime.provenance import read_record

COMPANIONS = {"missing": "missing", "crlb": "percent", "brain": "mask"}
OUTPUTS = ("inpainted", "holes", "uncertainty")


def save(path, shape=(8, 9), dtype=np.float32):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    nib.save(nib.Nifti1Image(data.astype(dtype), np.eye(4)), path)


def folder(path, **options):
    return InputFolder(dataset_dir=path, output_dir=path / "out", companions=COMPANIONS, outputs=OUTPUTS, **options)


def finish(inputs, stem):
    for suffix in OUTPUTS:
        save(inputs.output_path(stem, suffix))
    inputs.record_path(stem).write_text('{"mrsikit": "1"}')


def test_construction_touches_nothing():
    inputs = InputFolder(dataset_dir="/does/not/exist", output_dir="/neither", overwrite="maybe")
    with pytest.raises(InputError, match="does not exist"):
        inputs.names()
    assert InputFolder(dataset_dir=None, output_dir=None).datalist() == []
    with pytest.raises(InputError, match="dataset_dir is not given"):
        InputFolder(dataset_dir=None, output_dir=None).items()


def test_listing_leaves_companions_outputs_and_other_files_out(tmp_path):
    for name in ("b.nii", "a.nii.gz", "a_missing.nii.gz", "a_inpainted.nii.gz", "b_brain.nii", "lost_crlb.nii.gz"):
        save(tmp_path / name)
    save(tmp_path / "c.nii.gz")
    (tmp_path / "c.nii.gz").rename(tmp_path / "C.NII.GZ")
    for name in (".partial-7-a_holes.nii.gz", "._a.nii.gz", "notes.txt", "a.json"):
        (tmp_path / name).write_text("x")
    (tmp_path / "sub.nii").mkdir()
    inputs = folder(tmp_path)
    assert inputs.names() == ["C", "a", "b"]
    assert [path.name for path in inputs.files] == ["C.NII.GZ", "a.nii.gz", "b.nii"]
    assert inputs.items()[1] == {"image": str(tmp_path / "a.nii.gz"), "missing": str(tmp_path / "a_missing.nii.gz")}
    assert inputs.items()[2] == {"image": str(tmp_path / "b.nii"), "brain": str(tmp_path / "b_brain.nii")}
    assert {path.name: why.split(";")[0] for path, why in inputs.unused().items()} == {
        "lost_crlb.nii.gz": "belongs to no map"
    }


def test_only_what_is_missing_is_to_do(tmp_path):
    for stem in "abc":
        save(tmp_path / f"{stem}.nii.gz")
    inputs = folder(tmp_path)
    stems = lambda: [item["image"][-8] for item in inputs.datalist()]  # noqa: E731
    assert stems() == ["a", "b", "c"]
    for stem in "abc":
        finish(inputs, stem)
    assert stems() == []
    inputs.record_path("a").unlink()  # killed before the record
    inputs.output_path("b", "holes").unlink()  # deleted by hand
    assert stems() == ["a", "b"]
    assert len(folder(tmp_path, overwrite="true").datalist()) == 3
    assert len(folder(tmp_path, overwrite="false").datalist()) == 2


def test_outputs_that_only_some_have_are_looked_for_where_the_record_names_them(tmp_path):
    for stem in "ab":
        save(tmp_path / f"{stem}.nii.gz")
    inputs = folder(tmp_path, optional_outputs=["ratio"])
    for stem in "ab":
        finish(inputs, stem)
    inputs.record_path("b").write_text(json.dumps({"mrsikit": "0", "outputs": ["ratio"]}))
    assert [Path(item["image"]).name for item in inputs.datalist()] == ["b.nii.gz"]
    save(inputs.output_path("b", "ratio"))
    assert inputs.datalist() == []


def test_files_of_another_bundle_are_no_inputs(tmp_path):
    for name in ("a.nii.gz", "a_t1.nii.gz", "a_mask.nii.gz", "NAA_snr.nii.gz", "b_T2w.nii.gz", "a_Glc.nii.gz"):
        save(tmp_path / name)
    inputs = folder(tmp_path)
    assert inputs.names() == ["a", "a_Glc"]
    assert [path.name for path in inputs.unused()] == ["NAA_snr.nii.gz", "a_mask.nii.gz", "a_t1.nii.gz", "b_T2w.nii.gz"]
    assert all("if it is a map, rename it" in why for why in inputs.unused().values())


def test_output_in_the_dataset_folder(tmp_path):
    save(tmp_path / "a.nii.gz")
    inputs = InputFolder(dataset_dir=tmp_path, output_dir=tmp_path, companions=COMPANIONS, outputs=OUTPUTS)
    finish(inputs, "a")
    assert inputs.names() == ["a"]
    assert inputs.datalist() == []
    assert inputs.check() == {}


def test_a_foreign_json_is_not_replaced(tmp_path):
    save(tmp_path / "a.nii.gz")
    (tmp_path / "a.json").write_text('{"RepetitionTime": 2}')
    inputs = InputFolder(dataset_dir=tmp_path, output_dir=tmp_path, outputs=OUTPUTS)
    assert "not ours to replace" in inputs.check()[str(tmp_path / "a.nii.gz")][0]
    assert read_record(tmp_path / "a.json") == {}


def test_two_inputs_of_one_stem_are_both_bad(tmp_path):
    save(tmp_path / "a.nii")
    save(tmp_path / "a.nii.gz")
    save(tmp_path / "b.nii.gz")
    inputs = folder(tmp_path, skip_invalid=True)
    assert len(inputs.check()) == 2
    assert "a.nii.gz too" in inputs.invalid[str(tmp_path / "a.nii")][0]
    assert [item["image"] for item in inputs.datalist()] == [str(tmp_path / "b.nii.gz")]


def test_a_suffix_may_be_written_in_capitals(tmp_path):
    for name in ("a.nii", "a_MISSING.nii", "b.nii", "b_Brain.nii"):
        save(tmp_path / name)
    inputs = folder(tmp_path)
    assert inputs.names() == ["a", "b"]
    assert inputs.items()[0]["missing"] == str(tmp_path / "a_MISSING.nii")
    assert inputs.items()[1]["brain"] == str(tmp_path / "b_Brain.nii")
    assert inputs.unused() == {}


def test_two_companions_of_one_kind_are_bad(tmp_path):
    for name in ("a.nii", "a_missing.nii", "a_missing.nii.gz"):
        save(tmp_path / name)
    assert "two companions" in folder(tmp_path).check()[str(tmp_path / "a.nii")][0]


@pytest.mark.parametrize("wrap", [list, lambda x: {"testing": x}, lambda x: {"inference": x}])
def test_datalist(tmp_path, wrap):
    save(tmp_path / "one" / "a.nii.gz")
    save(tmp_path / "two" / "b.nii.gz")
    save(tmp_path / "two" / "b_missing.nii.gz")
    save(tmp_path / "elsewhere.nii.gz")
    entries = [{"image": "one/a.nii.gz", "missing": "elsewhere.nii.gz", "fold": 0}, str(tmp_path / "two/b.nii.gz")]
    (tmp_path / "list.json").write_text(json.dumps(wrap(entries)))
    inputs = InputFolder(dataset_dir=tmp_path / "list.json", output_dir=tmp_path / "out", companions=COMPANIONS)
    assert inputs.items() == [
        {"image": str(tmp_path / "one/a.nii.gz"), "missing": str(tmp_path / "elsewhere.nii.gz")},
        {"image": str(tmp_path / "two/b.nii.gz"), "missing": str(tmp_path / "two/b_missing.nii.gz")},
    ]
    assert inputs.unused() == {}


@pytest.mark.parametrize(
    ("text", "match"),
    [("{", "is no JSON"), ("{}", "holds no datalist"), ('[{"label": "a"}]', "names no image"), ("[]", "no input")],
)
def test_bad_datalists(tmp_path, text, match):
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(InputError, match=match):
        InputFolder(dataset_dir=tmp_path / "list.json", output_dir=tmp_path).items()


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match="holds no input"):
        folder(tmp_path).items()
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="is no map"):
        folder(tmp_path / "notes.txt").items()
    with pytest.raises(InputError, match="'prozent'"):
        InputFolder(dataset_dir=tmp_path, output_dir=tmp_path, companions={"crlb": "prozent"}).check()


def test_a_folder_without_inputs_says_why(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="holds no input; give .nii"):
        folder(tmp_path).items()
    save(tmp_path / "subject_brain.nii.gz")
    with pytest.raises(InputError, match=r"subject_brain\.nii\.gz and all others are companions, results or no maps"):
        folder(tmp_path).items()
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InputError, match="its list is empty"):
        folder(tmp_path / "list.json").items()


def test_an_output_that_only_some_have_is_no_input(tmp_path: Path) -> None:
    for name in ("a", "a_ratio", "b_ratio"):
        save(tmp_path / f"{name}.nii.gz")
    # the last is a map of that name, for no map and no record of b lies beside it
    assert InputFolder(dataset_dir=tmp_path, output_dir=None, optional_outputs=["ratio"]).names() == ["a", "b_ratio"]
    (tmp_path / "b.json").write_text('{"EchoTime": 0.03}')  # a sidecar of BIDS is no record
    assert InputFolder(dataset_dir=tmp_path, output_dir=None, optional_outputs=["ratio"]).names() == ["a", "b_ratio"]
    (tmp_path / "b.json").write_text('{"mrsikit": "0.1.0"}')
    assert InputFolder(dataset_dir=tmp_path, output_dir=None, optional_outputs=["ratio"]).names() == ["a"]


def test_a_filled_map_takes_the_place_of_the_map_with_its_own_bounds(tmp_path: Path) -> None:
    for name in (
        "NAA",
        "NAA_crlb",
        "NAA_inpainted",
        "NAA_inpainted_crlb",
        "NAA_calibrated",
        "Cr",
        "Cr_inpainted",
        "Cr_crlb",
    ):
        save(tmp_path / f"s1_{name}.nii.gz")
    (tmp_path / "s1_NAA.json").write_text('{"mrsikit": "0.1.0"}')
    found = InputFolder(dataset_dir=tmp_path, output_dir=None, companions={"crlb": "percent"}, outputs=["sr"])
    assert found.names() == ["s1_Cr_inpainted", "s1_NAA_inpainted"]
    bounds = {Path(item["image"]).name: Path(item.get("crlb", "")).name for item in found.items()}
    assert bounds == {"s1_NAA_inpainted.nii.gz": "s1_NAA_inpainted_crlb.nii.gz", "s1_Cr_inpainted.nii.gz": ""}
    assert "s1_NAA_inpainted.nii.gz takes its place" in found.unused()[tmp_path / "s1_NAA.nii.gz"]
    alone = InputFolder(dataset_dir=tmp_path / "s1_NAA.nii.gz", output_dir=None, companions={"crlb": "percent"})
    assert Path(alone.items()[0]["crlb"]).name == "s1_NAA_crlb.nii.gz"


def test_a_map_without_the_companion_it_needs_is_refused(tmp_path: Path) -> None:
    for name in ("a", "a_flair", "b"):
        save(tmp_path / f"{name}.nii.gz")
    inputs = InputFolder(
        dataset_dir=tmp_path,
        output_dir=None,
        companions={"flair": "anatomy", "t1": "anatomy"},
        needed=["flair", "t1"],
    )
    problems = inputs.check()
    assert [Path(path).name for path in problems] == ["b.nii.gz"]
    assert "b_flair.nii.gz or b_t1.nii.gz" in next(iter(problems.values()))[0]


def test_flat_maps_are_refused_where_volumes_are_needed(tmp_path: Path) -> None:
    save(tmp_path / "flat.nii.gz", (9, 9))
    save(tmp_path / "thin.nii.gz", (9, 9, 4))
    save(tmp_path / "whole.nii.gz", (9, 9, 9, 2))
    problems = InputFolder(dataset_dir=tmp_path, output_dir=None, least_slices=8).check()
    assert sorted(Path(path).name for path in problems) == ["flat.nii.gz", "thin.nii.gz"]
    assert "fewer than 8 slices" in next(iter(problems.values()))[0]


def test_folders_are_walked_and_mirrored(tmp_path: Path) -> None:
    for name in ("NAA.nii.gz", "s1/NAA.nii.gz", "s2/ses/NAA.nii.gz", ".hidden/NAA.nii.gz", "out/NAA.nii.gz"):
        save(tmp_path / name)
    inputs = folder(tmp_path)
    assert inputs.names() == ["NAA", "s1/NAA", "s2/ses/NAA"]
    assert [item.get("folder") for item in inputs.items()] == [None, "s1", "s2/ses"]
    assert inputs.output_path("s1/NAA", "holes") == tmp_path / "out" / "s1" / "NAA_holes.nii.gz"
    assert inputs.sources(inputs.items()[1]) == {"image": str(tmp_path / "s1" / "NAA.nii.gz")}
    assert inputs.check() == {}
    finish(inputs, "s1/NAA")
    assert [Path(item["image"]).parent.name for item in inputs.datalist()] == [tmp_path.name, "ses"]


def test_one_map_alone(tmp_path: Path) -> None:
    for name in ("a_NAA", "a_tCr", "a_NAA_crlb", "a_brain", "b_NAA"):
        save(tmp_path / f"{name}.nii.gz")
    inputs = InputFolder(dataset_dir=tmp_path / "a_NAA.nii.gz", output_dir=tmp_path / "out", companions=COMPANIONS)
    assert inputs.items() == [
        {"image": str(tmp_path / "a_NAA.nii.gz")}
        | {name: str(tmp_path / f"{stem}.nii.gz") for name, stem in (("crlb", "a_NAA_crlb"), ("brain", "a_brain"))}
    ]
    assert inputs.names() == ["a_NAA"]


def test_what_holds_only_zeros_and_ones_is_no_map(tmp_path: Path) -> None:
    save(tmp_path / "NAA.nii.gz", (9, 9, 9))
    data = np.zeros((9, 9, 9), np.float32)
    data[2:5, 3:6, 4:7] = 1
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "patient7.nii.gz")
    inputs = folder(tmp_path)
    assert inputs.check() == {}
    assert inputs.names() == ["NAA"]
    assert "only 0 and 1" in inputs.unused()[tmp_path / "patient7.nii.gz"]


def test_what_a_run_has_found_is_told(tmp_path: Path) -> None:
    for name in ("s1_NAA", "s1_tCr", "s1_brain", "s2_NAA", "s2_NAA_crlb", "brain", "s2_snr"):
        save(tmp_path / f"{name}.nii.gz")
    lines = folder(tmp_path).table()
    assert lines[0] == "2 cases: 3 maps, 1 crlb, 1 brain; 2 files not used"
    assert lines[1].split() == ["s1", "2", "maps,", "1", "brain:", "NAA", "tCr"]
    assert lines[2].split() == ["s2", "1", "map,", "1", "crlb:", "NAA"]
    assert "brain.nii.gz: belongs to no map; the maps are of 2 sessions" in lines[3]
    assert "s2_snr.nii.gz: is named as a signal-to-noise ratio" in lines[4]


def test_two_runs_share_the_inputs(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / f"{name}.nii.gz")
    script = f"""
import sys
from mrsikit.runtime import InputFolder
first = InputFolder(dataset_dir={str(tmp_path)!r}, output_dir={str(tmp_path / "out")!r})
first.claim()
print(len(first.datalist()), flush=True)
sys.stdin.readline()
print(first.release(), flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "3\n"
        save(tmp_path / "d.nii.gz")
        second = folder(tmp_path)
        second.claim()
        assert [Path(item["image"]).name[0] for item in second.datalist()] == ["d"]
        assert [Path(path).name[0] for path in second.taken] == ["a", "b", "c"]
        assert not second.release()
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "True\n"
    assert not (tmp_path / "out" / ".claims").exists()
    second.claim()
    assert len(second.datalist()) == 4


def test_points_of_a_time_series_are_maps(tmp_path: Path) -> None:
    for name in ("Glc_t0", "Glc_t1", "Glc_t2", "Glx", "Glx_t1"):
        save(tmp_path / f"{name}.nii.gz")
    inputs = InputFolder(dataset_dir=tmp_path, output_dir=tmp_path / "out", companions={"t1": "anatomy"})
    assert inputs.names() == ["Glc_t0", "Glc_t1", "Glc_t2", "Glx"]
    assert [item.get("t1") for item in inputs.items()] == [None, None, None, str(tmp_path / "Glx_t1.nii.gz")]


def test_the_commonest_name_of_a_brain_mask_serves_the_session(tmp_path: Path) -> None:
    for name in ("sub-01_NAA", "sub-01_tCr", "sub-01_brain_mask"):
        save(tmp_path / f"{name}.nii.gz")
    inputs = InputFolder(dataset_dir=tmp_path, output_dir=tmp_path / "out", companions={"brain": "mask"})
    assert inputs.names() == ["sub-01_NAA", "sub-01_tCr"]
    assert {item["brain"] for item in inputs.items()} == {str(tmp_path / "sub-01_brain_mask.nii.gz")}


def three_sessions(path: Path) -> list[str]:
    """Names of the maps of three sessions, one of them with two maps; a mask that is named as a map comes first."""
    data = np.zeros((9, 9, 9), np.float32)
    data[2:5, 3:6, 4:7] = 1
    path.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path / "a_patient7.nii.gz")
    names = ["s1_NAA", "s1_tCr", "s2_NAA", "s3_NAA"]
    for name in names:
        save(path / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(np.full((8, 9), 5, np.float32), np.eye(4)), path / f"{name}_crlb.nii.gz")
    return names


@pytest.mark.parametrize("count", [1, 2, 3, 40])
@pytest.mark.parametrize("checked", [False, True])
def test_shards_hold_every_case_once_and_whole(tmp_path: Path, count: int, checked: bool) -> None:
    names = three_sessions(tmp_path)
    parts = []
    for place in range(1, count + 1):
        inputs = folder(tmp_path, shard=f"{place}/{count}", session=True)
        if checked:
            inputs.check()
        parts.append([name for name in inputs.names() if name.startswith("s")])
        for item in inputs.items():
            others = [key for key in item if key.startswith("session/") and "/" not in key.removeprefix("session/")]
            assert len(others) == (1 if "s1_" in item["image"] else 0)
    assert sorted(name for part in parts for name in part) == names
    assert [part for part in parts if "s1_NAA" in part] == [part for part in parts if "s1_tCr" in part]


def test_a_mask_that_is_found_moves_no_case_to_another_shard(tmp_path: Path) -> None:
    three_sessions(tmp_path)
    inputs = folder(tmp_path, shard="1/2")
    before = inputs.names()
    assert before == ["a_patient7", "s2_NAA"]
    inputs.check()
    assert inputs.names() == ["s2_NAA"]
    assert inputs.masks


def test_a_shard_knows_what_belongs_to_the_others(tmp_path: Path) -> None:
    names = three_sessions(tmp_path)
    inputs = folder(tmp_path, shard="2/4")
    assert inputs.names() == names[:2]
    assert inputs.unused() == {}
    assert inputs.whole().names() == ["a_patient7", *names]
    assert inputs.table()[0] == "1 case: 2 maps, 2 crlb"
    save(tmp_path / "S1_naa.nii", (9, 9))  # another grid, so another case and shard
    problems = folder(tmp_path, shard="3/4").check()
    assert "has the output names of" in str(problems)


def test_a_shard_of_a_list_and_one_without_a_case(tmp_path: Path) -> None:
    names = three_sessions(tmp_path)
    (tmp_path / "list.json").write_text(json.dumps([f"{name}.nii.gz" for name in names]))
    listed = [
        InputFolder(dataset_dir=tmp_path / "list.json", output_dir=tmp_path / "out", shard=f"{k}/4")
        for k in (1, 2, 3, 4)
    ]
    assert [one.names() for one in listed] == [names[:2], names[2:3], names[3:], []]
    assert listed[3].check() == {}
    assert listed[3].datalist() == []
    assert listed[3].table() == ["0 cases: 0 maps"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no input"):
        folder(tmp_path / "none", shard="1/2").items()


def test_the_mri_and_the_fluid_of_a_session_are_listed_once(tmp_path: Path) -> None:
    for name in ("sub-01_NAA", "sub-01_Cr", "sub-01_t1", "sub-01_csf", "sub-01_brain"):
        (tmp_path / f"{name}.nii.gz").touch()
    found = InputFolder(
        dataset_dir=tmp_path,
        output_dir=None,
        companions={"brain": "mask", "t1": "anatomy", "csf": "fraction"},
        session=True,
    )
    assert set(found.items()[0]) == {"image", "brain", "t1", "csf", "session/sub-01_NAA", "session/sub-01_NAA/brain"}
