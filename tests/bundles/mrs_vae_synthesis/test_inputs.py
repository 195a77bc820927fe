from pathlib import Path

import torch

from mrs_vae_synthesis.inputs import USUAL, USUAL_NUMBER, SynthesisInputs
from mrs_vae_synthesis.sessions import Sessions
from mrsikit.io import write_fids

from .conftest import BUNDLE, as_fids, numbered, small_network


def new_sessions(output: Path, **options: object) -> SynthesisInputs:
    return SynthesisInputs(dataset_dir=None, output_dir=output, outputs=["synthetic"], **options)  # type: ignore[arg-type]


def test_new_sessions_are_numbered_and_need_no_file(tmp_path: Path) -> None:
    inputs = new_sessions(tmp_path, number=70, transients=32)
    expected = [{"image": str(tmp_path / f"session_000{k + 1}"), "place": k} for k in range(3)]
    assert inputs.items() == inputs.datalist() == expected
    assert not inputs.reads_files
    assert new_sessions(tmp_path, measured=True).reads_files  # the published method's random samples
    assert inputs.sources(expected[0]) == {}
    assert inputs.check() == {}
    assert inputs.unknown_keys() == inputs.table() == inputs.cases() == []
    assert len(new_sessions(tmp_path).items()) == USUAL_NUMBER / USUAL
    many = new_sessions(tmp_path, number=12345, transients=1).items()
    assert [Path(many[k]["image"]).name for k in (0, -1)] == ["session_00001", "session_12345"]


def test_new_sessions_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    for ending in (".json", "_synthetic.nii.gz"):
        (tmp_path / f"session_0002{ending}").write_text('{"mrsikit": "0"}')
    (tmp_path / "session_0003_synthetic.nii.gz").write_text("cut off: it has no record")
    left = [item["place"] for item in new_sessions(tmp_path, number=96).datalist()]
    assert left == [0, 2]
    assert len(new_sessions(tmp_path, number=96, overwrite=True).datalist()) == 3


def test_shards_of_new_sessions_keep_their_numbers(tmp_path: Path) -> None:
    whole = new_sessions(tmp_path, number=160)
    parts = [new_sessions(tmp_path, number=160, shard=f"{k}/3") for k in (1, 2, 3)]
    assert [[item["place"] for item in part.items()] for part in parts] == [[0, 3], [1, 4], [2]]
    assert parts[1].whole().items() == whole.items()
    assert new_sessions(tmp_path, number=160, shard="6/6").items() == []


def test_measured_sessions_are_those_of_the_folder(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_fids(tmp_path / f"{name}.nii.gz", numbered())
    torch.save(small_network().state_dict(), tmp_path / "model.pt")
    inputs = SynthesisInputs(
        dataset_dir=tmp_path, output_dir=tmp_path / "out", sampling="hybrid", weights=tmp_path / "model.pt"
    )
    items = inputs.items()
    assert [(Path(item["image"]).name, item["place"]) for item in items] == [("a.nii.gz", 0), ("b.nii.gz", 1)]
    assert all(item["fids"] == item["image"] for item in items)
    assert inputs.sources(items[0]) == {"image": items[0]["image"]}
    # six constant transients
    assert [len(lines) for lines in inputs.check().values()] == [1, 1]
    assert "real data stored as complex" in inputs.problems_of(items[0])[0]
    inputs.shard = "2/2"
    assert inputs.items() == items[1:]  # with the number, and so the random deviates, of the whole run


def test_a_network_says_whether_it_knows_edits(tmp_path: Path) -> None:
    for edited in (True, False):
        torch.save(small_network(edited=edited).state_dict(), tmp_path / "model.pt")
        assert new_sessions(tmp_path, weights=tmp_path / "model.pt").edited is edited
    (tmp_path / "text.pt").write_text("no weights")
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt", "absent.pt"):  # of which the check of the weights tells
        assert new_sessions(tmp_path, weights=tmp_path / name).edited


def test_a_measured_session_is_read_as_the_network_takes_it(unseen: Sessions, tmp_path: Path) -> None:
    plain = as_fids(unseen, 0)
    values = plain.values.reshape(1, 1, 1, 2048, 16)  # ON and OFF in turn
    write_fids(
        tmp_path / "a.nii.gz", as_fids(unseen, 0, values=values.conj(), extension={"dim_5": "DIM_DYN"}, dwell=0.0005)
    )
    options = {"edit_order": "on_off_interleaved", "sign": "conjugate", "weights": BUNDLE / "models" / "model.pt"}
    inputs = SynthesisInputs(dataset_dir=tmp_path, output_dir=tmp_path, sampling="hybrid", **options)  # type: ignore[arg-type]
    found = inputs.measured(tmp_path / "a.nii.gz")
    assert torch.equal(found.on[0], unseen.on[0])
    torch.testing.assert_close(found.fids[0], unseen.fids[0])
    assert inputs.problems_of({"image": str(tmp_path / "a.nii.gz")}) == []
