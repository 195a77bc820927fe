import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from command_lines import ONE_CORE, completed, on_one_core, run_line
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.nifti_sessions import read_session
from mrs_vae_synthesis.sessions import Sessions
from mrsikit.io import write_fids

from .conftest import BUNDLE, as_fids

FEW = {
    "subjects": 24, "validation_subjects": 8, "transients": 8, "epochs": 3, "iterations_per_epoch": 20, "batch_size": 8,
}  # fmt: skip


def line(folder: Path, *configs: str, **options: object) -> list[str]:
    names = configs or ("train",)
    given = {**FEW, "weights": folder / "model.pt", "training_dir": folder / "training", **options}
    return run_line(*names, **given)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, map_location="cpu", weights_only=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    on_one_core(line(folder), cwd=BUNDLE)
    return folder


def test_training_without_data_gives_weights_that_run(undisturbed: Path, tmp_path: Path) -> None:
    state = weights(undisturbed / "model.pt")
    SessionVae().load_state_dict(state)
    assert state["acquisition"].tolist() == [500000, 127730000, 4680000, 68000, 2048, 1, 1]
    assert state["bank"].abs().amax(1).min() > 0
    done = on_one_core(
        run_line("inference", weights=undisturbed / "model.pt", output_dir=tmp_path, number=8, transients=8),
        cwd=BUNDLE,
    )
    assert "not the shipped weights" in done
    assert (tmp_path / "session_0001_synthetic.nii.gz").exists()


@pytest.mark.slow
def test_a_killed_training_ends_as_an_undisturbed_one(undisturbed: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        line(tmp_path), cwd=BUNDLE, env=ONE_CORE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    checkpoint = tmp_path / "training" / "checkpoint.pt"
    for _ in range(1200):
        if checkpoint.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    on_one_core(line(tmp_path), cwd=BUNDLE)
    one, other = weights(undisturbed / "model.pt"), weights(tmp_path / "model.pt")
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=0, msg=name)


def test_training_on_own_sessions(unseen: Sessions, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for place in range(6):
        write_fids(own / f"{place}.nii.gz", as_fids(unseen, place))
    on_one_core(line(tmp_path, dataset_dir=own, epochs=1), cwd=BUNDLE)
    state = weights(tmp_path / "model.pt")
    assert torch.isfinite(state["bank"].float()).all()
    assert state["acquisition"].tolist()[-1] == 0  # the water of measured sessions is taken away
    # five sessions, over and over
    assert torch.equal(state["bank"][0], state["bank"][5])
    assert not torch.equal(state["bank"][0], state["bank"][1])
    (own / "0.nii.gz").unlink()
    (own / "1.nii.gz").unlink()
    done = completed(line(tmp_path / "b", dataset_dir=own), cwd=BUNDLE)
    assert done.returncode != 0
    assert "give at least 5" in done.stdout + done.stderr


def test_unedited_single_spectra_of_other_length_are_learnt_and_synthesised(unseen: Sessions, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for place in range(6):
        values = as_fids(unseen, place).values[:, :, :, :1024, :1, 0]
        header = {"EchoTime": 0.068, "dim_5": "DIM_DYN"}
        write_fids(own / f"{place}.nii.gz", as_fids(unseen, place, values=values, extension=header))
    few = {"network_def#session": 3, "network_def#scores": 4}
    on_one_core(line(tmp_path, dataset_dir=own, epochs=1, **few), cwd=BUNDLE)
    state = weights(tmp_path / "model.pt")
    assert state["acquisition"].tolist()[-3:] == [1024, 0, 0]
    assert all(torch.isfinite(v.float()).all() for v in state.values())
    out = tmp_path / "out"
    on_one_core(
        run_line("inference", weights=tmp_path / "model.pt", output_dir=out, number=60, transients=1), cwd=BUNDLE
    )
    made = read_session(out / "session_0001_synthetic.nii.gz")
    assert made.fids.shape == (1, 1, 1024)
    assert not made.on.any()
    report = (out / "report.html").read_text()
    assert "without residual water" in report
    assert "trained on 5 sessions" in report
    # among its different sessions, not among one kept over and over
    assert float(re.search(r"over that among these: ([\d.]+)", report)[1]) < 3  # type: ignore[index]


def test_the_published_network_trains_and_evaluates(tmp_path: Path) -> None:
    on_one_core(line(tmp_path, "train", "train_van_de_sande", epochs=1), cwd=BUNDLE)
    state = weights(tmp_path / "model.pt")
    assert state["decoder.0.weight"].shape == (128, 16)
    assert state["acquisition"].tolist() == [500000, 127730000, 4680000, 68000, 2048, 1, 1]
    out = tmp_path / "eval"
    on_one_core(run_line("train", "evaluate", validation_subjects=4, transients=4, output_dir=out), cwd=BUNDLE)
    assert (out / "metrics.csv").exists()


def test_the_published_network_trains_on_measured_unedited_spectra_and_makes_more(
    unseen: Sessions, tmp_path: Path
) -> None:
    """As PRESS sessions are often shared: averaged, one spectrum a file."""
    own = tmp_path / "own"
    own.mkdir()
    for place in range(6):
        values = as_fids(unseen, place).values[:, :, :, :1024, :, 0].mean(-1)
        write_fids(own / f"{place}.nii.gz", as_fids(unseen, place, values=values, extension={"EchoTime": 0.068}))
    few = {"dataset_dir": own, "epochs": 2, "iterations_per_epoch": 1, "latents": 4}
    on_one_core(line(tmp_path, "train", "train_van_de_sande", **few), cwd=BUNDLE)
    state = weights(tmp_path / "model.pt")
    assert state["acquisition"].tolist()[-3:] == [1024, 0, 1]  # the residual water is learnt
    assert state["decoder.0.weight"].shape == (128, 4)
    out = tmp_path / "out"
    given = {"weights": tmp_path / "model.pt", "dataset_dir": own, "output_dir": out, "number": 3}
    on_one_core(run_line("inference", "reference_van_de_sande", **given), cwd=BUNDLE)
    assert read_session(out / "0_synthetic.nii.gz").fids.shape == (1, 3, 1024)
