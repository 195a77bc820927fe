import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from command_lines import ONE_CORE, infer, on_one_core, run_line

from .conftest import BUNDLE, disc, save_map

# Small enough for seconds, whole enough for every handler: the networks are the shipped ones.
TINY = {"subjects": 2, "validation_subjects": 2, "batch_size": 2, "num_workers": 0, "iterations_per_epoch": 2}
SIZES = {
    2: {"matrix": 64, "canvas": 32, "block_sizes": "$(1, 2)"},
    3: {"matrix": 24, "canvas": 24, "block_sizes": "$(1,)", "batch_size": 1, "validation_subjects": 1},
}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache of the virtual patients, one for all trainings here."""
    return tmp_path_factory.mktemp("subjects")


def tiny(folder: Path, subjects: Path, dims: int, options: dict[str, object]) -> dict[str, object]:
    """Options of a tiny training that writes to ``folder`` alone."""
    sizes = {**TINY, **SIZES[dims], "spatial_dims": dims, "epochs": 2, "val_interval": 1, **options}
    # the cache knows a patient by the seed alone, so every size has its own
    places = {"weights": folder / "model.pt", "training_dir": folder, "subjects_dir": subjects / str(sizes["matrix"])}
    return {**places, **sizes}


def train(
    *configs: str | Path, folder: Path, subjects: Path, dims: int = 2, processes: int = 1, **options: object
) -> str:
    """Run a tiny training from the bundle's root and return what it said."""
    line = run_line(*configs, processes=processes, **tiny(folder, subjects, dims, options))
    return on_one_core(line, cwd=BUNDLE)


def assert_equal_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def is_trained(weights: dict[str, torch.Tensor], part: str) -> bool:
    # the last layers start at zero
    return bool(weights[f"{part}.filler.unet.final_conv.weight"].abs().sum() > 0)


def test_training_without_data_gives_weights_that_run(tmp_path: Path, subjects: Path) -> None:
    said = train("train", folder=tmp_path, subjects=subjects)
    weights = load(tmp_path / "model.pt")
    assert is_trained(weights, "planar")
    assert not is_trained(weights, "volumetric")
    assert list((tmp_path / "tensorboard").iterdir())
    assert "training the planar network" in said
    maps = tmp_path / "maps"
    maps.mkdir()
    save_map(maps / "a.nii.gz", disc(16))
    out = tmp_path / "out"
    done = infer(BUNDLE, dataset_dir=maps, output_dir=out, weights=tmp_path / "model.pt")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "a_inpainted.nii.gz").exists()
    evaluated = tmp_path / "evaluated"
    train("train", "evaluate", folder=tmp_path, subjects=subjects, output_dir=evaluated)
    report = (evaluated / "metrics.csv").read_text()
    assert "validation_loss" in report


def test_volumes_are_trained_into_the_same_file(tmp_path: Path, subjects: Path) -> None:
    train("train", folder=tmp_path, subjects=subjects, epochs=1, iterations_per_epoch=1)
    before = load(tmp_path / "model.pt")
    volumes = tmp_path / "volumes"
    train("train", folder=volumes, subjects=subjects, dims=3, epochs=1, weights=tmp_path / "model.pt")
    after = load(tmp_path / "model.pt")
    assert is_trained(after, "volumetric")
    assert_equal_weights(
        {name: value for name, value in before.items() if name.startswith("planar")},
        {name: value for name, value in after.items() if name.startswith("planar")},
    )


def test_the_detector_can_be_trained_alone(tmp_path: Path, subjects: Path) -> None:
    train("train", folder=tmp_path, subjects=subjects, epochs=1)
    before = load(tmp_path / "model.pt")
    train(
        "train", "train_detector", folder=tmp_path / "alone", subjects=subjects, epochs=1, weights=tmp_path / "model.pt"
    )
    after = load(tmp_path / "model.pt")
    changed = {name.split(".")[1] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"detector"}


def kill_after_first_epoch(folder: Path, subjects: Path, epochs: int) -> None:
    """Start the training, and kill it without warning in its second epoch."""
    process = subprocess.Popen(
        run_line("train", **tiny(folder, subjects, 2, {"epochs": epochs})),
        cwd=BUNDLE,
        env=ONE_CORE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and not (folder / "checkpoint.pt").exists():
        time.sleep(0.01)
    assert process.poll() is None, "the training ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert load(folder / "checkpoint.pt")["epoch"] < epochs
    assert not (folder / "model.pt").exists()


def test_killed_training_resumes_to_the_same_weights(tmp_path: Path, subjects: Path) -> None:
    options = {"subjects": subjects, "epochs": 4}
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    train("train", folder=undisturbed, **options)
    killed.mkdir()
    kill_after_first_epoch(killed, subjects, epochs=4)
    said = train("train", folder=killed, **options)
    assert "resumed" in said
    assert_equal_weights(load(undisturbed / "model.pt"), load(killed / "model.pt"))
    for name in ("epoch", "best_score", "early_stop"):
        assert load(undisturbed / "checkpoint.pt")[name] == load(killed / "checkpoint.pt")[name]
    # a finished training is not trained on
    assert "complete" in train("train", folder=killed, **options)
    assert_equal_weights(load(undisturbed / "model.pt"), load(killed / "model.pt"))


def test_two_processes_end_with_equal_weights(tmp_path: Path, subjects: Path) -> None:
    # every rank writes what it holds after the training
    extra = tmp_path / "extra.json"
    extra.write_text(
        '{"run": ["$@train#trainer.run()", '
        "\"$torch.save(dict(@network.state_dict()), @training_dir + '/rank' + str(dist.get_rank()) + '.pt')\"]}"
    )
    train("train", "multi_gpu_train", extra, folder=tmp_path, subjects=subjects, processes=2)
    first, second = load(tmp_path / "rank0.pt"), load(tmp_path / "rank1.pt")
    first.pop("planar.log_sd_shift")  # calibrated where the file is written
    second.pop("planar.log_sd_shift")
    assert_equal_weights(first, second)
    assert is_trained(first, "planar")
    assert (tmp_path / "model.pt").exists()


PHAM = {
    "epochs": 1,
    "iterations_per_epoch": 1,
    "canvas": 32,
}  # 16 leaves one voxel at the bottom, too few for batch norm


@pytest.mark.parametrize(
    ("dims", "options"),
    [
        (2, {}),
        (2, {"volumes": "false", "progressive": "false", "matrix": 64}),
        pytest.param(3, {"batch_size": 2, "batch_in_memory": 1}, marks=pytest.mark.slow),
    ],
    ids=["slices of volumes", "slices, direct", "volumes"],
)
def test_published_recipe_runs(tmp_path: Path, subjects: Path, dims: int, options: dict[str, object]) -> None:
    sizes = {"dims": dims, "matrix": 32, **PHAM, **options}
    said = train("train", "train_pham", folder=tmp_path, subjects=subjects / f"pham_{sizes['matrix']}", **sizes)
    assert f"training the paper_{'direct' if 'progressive' in options else 'progressive'}" in said
    weights = load(tmp_path / "model.pt")
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_published_recipe_goes_through_its_stages(tmp_path: Path, subjects: Path) -> None:
    """So high a learning rate ends each stage soon."""
    options = {**PHAM, "matrix": 64, "volumes": "false", "plateau": 1, "patience": 1, "learning_rate": 100}
    options |= {"folder": tmp_path, "subjects": subjects / "pham_64", "num_workers": 1, "epochs": 12}
    said = train("train", "train_pham", **options)
    assert "stage 2: 10 % of the voxels are missing" in said
    assert "stage 3: 15 % of the voxels are missing" in said
    assert load(tmp_path / "checkpoint.pt")["stages"] == {"stage": 2}


def test_own_maps_are_trained_on(tmp_path: Path, subjects: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    for k in range(5):
        values = disc(32, seed=k)
        save_map(maps / f"map_{k}.nii.gz", np.where(values == 0, 9 * (disc(32, seed=k + 50) > 0), values))
    train("train", folder=tmp_path / "run", subjects=tmp_path / "cache", dataset_dir=maps, epochs=1)
    assert is_trained(load(tmp_path / "run" / "model.pt"), "planar")
