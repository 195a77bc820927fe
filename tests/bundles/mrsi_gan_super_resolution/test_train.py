import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from coarse_maps import grid, head, save
from command_lines import infer, on_one_core, run_line
from mrsi_gan_super_resolution.reference_li import Generator
from mrsikit.io import read_map
from mrsikit.super_resolution.network import SuperResolution

from .conftest import BUNDLE

TINY = {"subjects": 2, "validation_subjects": 1, "batch_size": 2, "num_workers": 0, "iterations_per_epoch": 2}
TINY |= {"epochs": 2, "val_interval": 1}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cache of the virtual patients."""
    return tmp_path_factory.mktemp("subjects")


def train(*configs: str | Path, folder: Path, processes: int = 1, **options: object) -> str:
    """Run a tiny training that writes to ``folder`` alone."""
    places = {"weights": folder / "model.pt", "training_dir": folder}
    return on_one_core(run_line(*configs, processes=processes, **{**places, **TINY, **options}), cwd=BUNDLE)


def load(path: Path) -> dict[str, torch.Tensor]:
    return {k: v.float() for k, v in torch.load(path, weights_only=True).items()}


def test_default_trains_without_data_and_runs(tmp_path: Path) -> None:
    train("train", folder=tmp_path, subjects_dir=tmp_path / "subjects", matrix=64, size=48)
    SuperResolution(collapsed=True).load_state_dict(load(tmp_path / "model.pt"))
    maps = tmp_path / "maps"
    maps.mkdir()
    save(maps / "a.nii.gz", head(grid(), (24, 24)), grid())
    done = infer(BUNDLE, dataset_dir=maps, output_dir=tmp_path / "out", weights=tmp_path / "model.pt")
    assert done.returncode == 0, done.stdout + done.stderr
    assert np.isfinite(read_map(tmp_path / "out" / "a_sr.nii.gz")[0]).all()


def test_on_from_the_shipped_weights_with_maps_that_look_measured(tmp_path: Path, subjects: Path) -> None:
    train("train", "train_measured", folder=tmp_path, subjects_dir=subjects, matrix=64, size=48, epochs=1)
    found, shipped = (load(path) for path in (tmp_path / "model.pt", BUNDLE / "models" / "model.pt"))
    SuperResolution(collapsed=True).load_state_dict(found)
    torch.testing.assert_close(found["stem.weight"], shipped["stem.weight"], atol=0.02, rtol=0)


@pytest.mark.slow
def test_two_processes_train(tmp_path: Path) -> None:
    train(
        "train", "multi_gpu_train", folder=tmp_path, processes=2, subjects_dir=tmp_path / "subjects", matrix=64, size=48
    )
    assert (tmp_path / "model.pt").exists()


GAN = ("train", "train_li", "train_gan")
FEW = {"train#cached_transforms#transforms#0#slices": 1}
SMALL = FEW | {"discriminator_def#levels": [4, 4, 8, 8, 8, 8, 16, 16]}


def test_the_printed_schedules_take_their_first_iteration(tmp_path: Path, subjects: Path) -> None:
    """On single slices: a whole head takes a minute, see test_li_cohort.py."""
    few, small = tmp_path / "few.json", tmp_path / "small.json"
    slices = FEW | {"train#cached_transforms#transforms#0#dims": 2}
    few.write_text(json.dumps(slices))
    small.write_text(json.dumps(SMALL | slices))
    options = {"subjects_dir": subjects / "printed", "subjects": 1, "epochs": 1, "iterations_per_epoch": 1}
    options |= {"truth": "soft"}
    train("train", "train_li", "train_li_printed", few, folder=tmp_path / "unet", **options)
    unet = load(tmp_path / "unet" / "model.pt")
    assert 0 < unet["tail.weight"].abs().max() < 2e-4  # one step of Adam at 1e-4, from zero
    options["start_from"] = tmp_path / "unet" / "model.pt"
    train("train", "train_li", "train_li_printed", "train_gan", "train_gan_printed", small, folder=tmp_path, **options)
    change = (load(tmp_path / "model.pt")["tail.weight"] - unet["tail.weight"]).abs().max()
    assert 0 < change < 2e-5


@pytest.mark.parametrize(
    ("configs", "rates"),
    [(("train_li", "train_li_printed"), (1e-4, 1e-4)),
     (("train_li", "train_li_printed", "train_gan", "train_gan_printed"), (1e-5, 1e-6))],
)  # fmt: skip
def test_the_printed_schedules_are_those_of_the_paper(configs: tuple[str, ...], rates: tuple[float, float]) -> None:
    parser = ConfigParser()
    parser.read_config([str(BUNDLE / "configs" / f"{name}.json") for name in ("train", *configs)])
    parser.parse()
    assert parser.get("epochs") * parser.get("iterations_per_epoch") == 20_000
    assert (parser.get("batch_size"), parser.get("subjects")) == (16, 75)
    parser["network"] = torch.nn.Conv2d(1, 1, 1)
    parser["discriminator"] = torch.nn.Conv2d(1, 1, 1)
    parser.parse()
    optimizer, scheduler = parser.get_parsed_content("optimizer"), parser.get_parsed_content("lr_scheduler")
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    found = [optimizer.param_groups[0]["lr"]]
    for _ in range(150):  # epochs of 100 iterations
        optimizer.step()
        scheduler.step()
    assert (*found, optimizer.param_groups[0]["lr"]) == pytest.approx(rates)


@pytest.mark.slow
def test_unet_and_gan_train_and_a_killed_gan_goes_on_with_both_optimisers(tmp_path: Path, subjects: Path) -> None:
    few, small, stop = (tmp_path / f"{name}.json" for name in ("few", "small", "stop"))
    few.write_text(json.dumps(FEW))
    small.write_text(json.dumps(SMALL))
    unet = tmp_path / "unet"
    options = {"subjects_dir": subjects, "two_inputs": "true"}
    train("train", "train_li", few, folder=unet, **options)
    weights = load(unet / "model.pt")
    Generator(two_inputs=True).load_state_dict(weights)
    assert 0 < weights["error"] < 1
    options |= {"start_from": unet / "model.pt", "learning_rate": 0.01}
    train(*GAN, small, folder=tmp_path / "whole", **options)
    gan = load(tmp_path / "whole" / "model.pt")
    assert (gan["tail.weight"] - weights["tail.weight"]).abs().max() > 1e-4
    # a training that is killed in its second epoch
    events = "monai.handlers.stats_handler.Events"  # ignite's; a config with the word for it is taken for an import
    kill = {
        "kill": "$lambda: (_ for _ in ()).throw(KeyboardInterrupt)",
        "run": [
            f"$@train#trainer.add_event_handler({events}.EPOCH_STARTED(once=2), @kill)",
            "$@train#trainer.run()",
        ],
    }
    stop.write_text(json.dumps(kill))
    with pytest.raises(AssertionError, match="KeyboardInterrupt"):
        train(*GAN, small, stop, folder=tmp_path / "killed", **options)
    saved = torch.load(tmp_path / "killed" / "checkpoint.pt", weights_only=True)
    assert saved["epoch"] == 1
    assert {"optimizer", "discriminator", "discriminator_optimizer"} <= set(saved)
    train(*GAN, small, folder=tmp_path / "killed", **options)
    resumed = load(tmp_path / "killed" / "model.pt")
    for name, value in gan.items():
        torch.testing.assert_close(resumed[name], value, atol=1e-3, rtol=1e-3)
