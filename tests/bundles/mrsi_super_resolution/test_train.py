from pathlib import Path

import numpy as np
import pytest
import torch

from coarse_maps import grid, head, save
from command_lines import infer, on_one_core, run_line
from mrsi_super_resolution.reference_hfab import HfabNetwork
from mrsi_super_resolution.reference_unet import PlainUNet
from mrsikit.io import read_map
from mrsikit.super_resolution.blocks import collapse
from mrsikit.super_resolution.network import SuperResolution

from .conftest import BUNDLE

TINY = {"subjects": 2, "validation_subjects": 2, "batch_size": 2, "num_workers": 0, "iterations_per_epoch": 2}
TINY |= {"matrix": 64, "size": 48, "epochs": 2, "val_interval": 1}
COHORT = {"patients": 2, "maps": 20, "validation_maps": 10, "batch_size": 5}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache of the virtual patients, one for all trainings here."""
    return tmp_path_factory.mktemp("subjects")


def train(*configs: str | Path, folder: Path, subjects: Path, processes: int = 1, **options: object) -> str:
    """Run a tiny training that writes to ``folder`` alone."""
    places = {"weights": folder / "model.pt", "training_dir": folder, "subjects_dir": subjects}
    return on_one_core(run_line(*configs, processes=processes, **{**places, **TINY, **options}), cwd=BUNDLE)


def load(path: Path) -> dict[str, torch.Tensor]:
    return {k: v.float() for k, v in torch.load(path, weights_only=True).items()}


def test_training_without_data_gives_weights_that_run(tmp_path: Path, subjects: Path) -> None:
    train("train", folder=tmp_path, subjects=subjects)
    weights = load(tmp_path / "model.pt")
    SuperResolution(collapsed=True).load_state_dict(weights)
    assert weights["tail.weight"].abs().sum() > 0  # zero at first
    assert list((tmp_path / "tensorboard").iterdir())
    maps = tmp_path / "maps"
    maps.mkdir()
    save(maps / "a.nii.gz", head(grid(), (24, 24)), grid())
    done = infer(BUNDLE, dataset_dir=maps, output_dir=tmp_path / "out", weights=tmp_path / "model.pt")
    assert done.returncode == 0, done.stdout + done.stderr
    assert np.isfinite(read_map(tmp_path / "out" / "a_sr.nii.gz")[0]).all()
    train("train", "evaluate", folder=tmp_path, subjects=subjects, output_dir=tmp_path / "evaluated")
    assert "validation_loss" in (tmp_path / "evaluated" / "metrics.csv").read_text()


def test_training_on_own_maps(tmp_path: Path, subjects: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    for k in range(5):
        save(maps / f"{k}.nii.gz", head(grid((2, 2, 10)), (64, 64), level=1 + k), grid((2, 2, 10)))
    train("train", folder=tmp_path, subjects=tmp_path / "cache", dataset_dir=maps)
    assert (tmp_path / "model.pt").exists()


def test_two_processes_end_with_equal_weights(tmp_path: Path, subjects: Path) -> None:
    extra = tmp_path / "extra.json"
    extra.write_text(
        '{"run": ["$@train#trainer.run()", '
        "\"$torch.save(dict(@network.module.state_dict()), @training_dir + '/rank' + str(dist.get_rank()) + '.pt')\"]}"
    )
    train("train", "multi_gpu_train", extra, folder=tmp_path, subjects=subjects, processes=2)
    first, second = (load(tmp_path / f"rank{k}.pt") for k in (0, 1))
    other = SuperResolution()
    other.load_state_dict(second)
    collapse(other)  # as the first process does before it writes the weights
    for name, value in other.state_dict().items():
        if name != "log_sd_shift":
            torch.testing.assert_close(first[name], value, atol=1e-5, rtol=1e-5)
    assert (tmp_path / "model.pt").exists()


@pytest.mark.parametrize(
    ("configs", "options", "network"),
    [
        (("train", "train_unet"), {"size": 48}, PlainUNet()),
        (("train", "train_hfab"), {"size": 64}, HfabNetwork()),
        (("train", "train_hfab"), {"size": 64, "gated": "false"}, HfabNetwork(gated=False)),
        (("train", "train_hfab"), {"size": 64, "blocks": 4, "rate": "high"}, HfabNetwork(depth=4)),
        (("train", "train_hfab", "train_hfab_cohort"), COHORT, HfabNetwork()),
        (("train", "train_measured"), {"size": 48}, SuperResolution(collapsed=True)),
    ],
    ids=["U-Net", "paper", "paper without GDFN", "four blocks", "the paper's cohort", "on from the shipped weights"],
)
def test_the_other_networks_train(
    tmp_path: Path, subjects: Path, configs: tuple[str, ...], options: dict[str, object], network: torch.nn.Module
) -> None:
    train(*configs, folder=tmp_path, subjects=subjects, **options)
    network.load_state_dict(load(tmp_path / "model.pt"))
