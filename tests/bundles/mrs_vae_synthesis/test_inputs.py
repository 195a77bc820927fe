from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mrs_vae_synthesis.inputs import USUAL, USUAL_NUMBER, SynthesisInputs, acquisition_problems, session_problems
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrsikit.io import write_fids

from .conftest import SMALL, as_fids, numbered, small_network, spoilt


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nucleus", "of nucleus 31P"),
        ("field", "6.98 T"),
        ("bandwidth", "bandwidth of 4000 Hz"),
        ("echo", "echo time of 80 ms"),
        ("points", "1024 points"),
        ("tags", "which edit is ON"),
        ("unedited", "no axis DIM_EDIT"),
        ("single", "holds 2 transients"),
        ("nan", "NaN or infinity"),
        ("zero", "zero throughout"),
        ("conjugated", "no lines where the network knows them"),
        ("elsewhere", "no lines where the network knows them"),
        ("swapped", "EditCondition in the right order"),
        ("on alone", "no axis DIM_EDIT"),
    ],
)
def test_what_is_no_such_session_is_refused(
    unseen: Sessions, network: SessionVae, tmp_path: Path, kind: str, words: str
) -> None:
    known = Acquisition(dwell=0.0005, larmor=127.73, reference=4.68, echo=0.068, points=2048, edited=True, water=True)
    path = tmp_path / "bad.nii.gz"
    write_fids(path, spoilt(unseen, kind))  # type: ignore[arg-type]
    assert words in " ".join(session_problems(path, known, network.templates))


def new_sessions(output: Path, **options: object) -> SynthesisInputs:
    return SynthesisInputs(dataset_dir=None, output_dir=output, outputs=["synthetic"], **options)  # type: ignore[arg-type]


def test_new_sessions_are_numbered_and_need_no_file(tmp_path: Path) -> None:
    inputs = new_sessions(tmp_path, number=70, transients=32)
    expected = [{"image": str(tmp_path / f"session_000{k + 1}"), "place": k} for k in range(3)]
    assert inputs.items() == inputs.datalist() == expected
    assert not inputs.reads_files
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
    # six constant transients, held against a network that knows no line
    assert [len(lines) for lines in inputs.check().values()] == [1, 1]
    assert "no lines where the network knows them" in inputs.problems_of(items[0])[0]


def test_a_network_says_whether_it_knows_edits(tmp_path: Path) -> None:
    for edited in (True, False):
        torch.save(small_network(edited=edited).state_dict(), tmp_path / "model.pt")
        assert new_sessions(tmp_path, weights=tmp_path / "model.pt").edited is edited
    (tmp_path / "text.pt").write_text("no weights")
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt", "absent.pt"):  # of which the check of the weights tells
        assert new_sessions(tmp_path, weights=tmp_path / name).edited


def test_a_sound_session_has_no_problem(unseen: Sessions, network: SessionVae, tmp_path: Path) -> None:
    known = Acquisition.of(network.acquisition)
    write_fids(tmp_path / "good.nii.gz", as_fids(unseen, 0))
    assert session_problems(tmp_path / "good.nii.gz", known, network.templates) == []
    assert "cannot be read" in session_problems(tmp_path / "absent.nii.gz", known, network.templates)[0]


def test_problems_of_the_acquisition_are_all_named_at_once() -> None:
    fids = replace(numbered(), larmor=297.2, dwell=0.001, echo=0.03)
    problems = acquisition_problems(fids, SMALL, small_network().templates, "a")
    assert len(problems) == 3
    assert all(
        problem.startswith("a: ") and problem.endswith("train a network on files like it") for problem in problems
    )
