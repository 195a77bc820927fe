import json
import math
from pathlib import Path

import pytest
import torch

from command_lines import on_one_core, run_line
from dmi_quantification.reference_precise_dmi import PreciseDmiCnn, PreciseDmiEstimator, RandFidsd

from .conftest import BUNDLE, MODEL


def test_the_network_takes_any_leading_axes_and_works_in_units_of_the_largest() -> None:
    network = PreciseDmiCnn(points=256, largest=20.0).eval()
    x = torch.randn(3, 2, 2, 256)
    out = network(x)
    assert out.shape == (3, 2, 4)
    torch.testing.assert_close(out[1, 0], network(x[1, 0]))
    double = PreciseDmiCnn(points=256, largest=40.0).eval()
    double.load_state_dict(network.state_dict())
    torch.testing.assert_close(double(2 * x), 2 * out)


def test_training_fids_are_drawn_as_the_paper_says() -> None:
    transform = RandFidsd(model=MODEL, number=4000, largest=20.0, noise=5.0)
    transform.set_random_state(seed=3)
    item = transform({})
    assert item["image"].shape == (4000, 2, 256)
    assert item["label"].min() >= 0
    assert item["label"].max() <= 20
    assert item["label"].mean() == pytest.approx(10, abs=0.3)
    silent = RandFidsd(model=MODEL, number=4000, largest=1e-6, noise=5.0)
    silent.set_random_state(seed=4)
    spread = silent({})["image"].std((1, 2))
    assert (spread < 0.01).float().mean() == pytest.approx(0.2, abs=0.03)
    assert spread.max() == pytest.approx(5, rel=0.1)
    assert spread[spread > 0.01].mean() == pytest.approx(2.5, rel=0.1)
    first = torch.angle(torch.complex(item["image"][:, 0, 0], item["image"][:, 1, 0]))
    assert first.std() == pytest.approx(math.pi / math.sqrt(3), rel=0.1)
    transform.set_random_state(seed=3)
    torch.testing.assert_close(transform({})["image"], item["image"])


def test_the_estimator_takes_the_place_of_the_least_squares() -> None:
    network = PreciseDmiEstimator(points=512).eval()
    x = torch.randn(1, 2, 5 + 7, 256)
    out = network(x)
    assert out.shape == (1, 19, 7)
    assert (out[:, 4:] == 0).all()
    torch.testing.assert_close(network(3 * x)[:, :4], 3 * out[:, :4], rtol=1e-4, atol=1e-4)


def test_training_runs_and_resumes_to_the_same_weights(tmp_path: Path) -> None:
    def train(folder: str, epochs: int) -> dict:
        options = {"points": 64, "epochs": epochs, "iterations_per_epoch": 3, "batch_size": 8, "num_workers": 0}
        options |= {"weights": tmp_path / f"{folder}.pt", "training_dir": tmp_path / folder}
        # the settings of a training name its epochs: a longer one of the same settings and schedule is a resumed one
        options |= {"settings": "{}", "lr_scheduler#total_steps": 9}
        on_one_core(run_line("train", **options), cwd=BUNDLE)
        return torch.load(tmp_path / f"{folder}.pt", weights_only=True)

    whole = train("whole", 3)
    train("halves", 2)
    (tmp_path / "halves.pt").unlink()
    resumed = train("halves", 3)
    assert whole.keys() == PreciseDmiEstimator(points=64).state_dict().keys()
    for name, value in whole.items():
        torch.testing.assert_close(value, resumed[name], rtol=0, atol=0)


def test_the_printed_schedule_trains(tmp_path: Path) -> None:
    config = json.loads((BUNDLE / "configs" / "train_precise_dmi.json").read_text(encoding="utf-8"))
    assert config["learning_rate"] == 0.001
    options = {"epochs": 1, "iterations_per_epoch": 2, "num_workers": 0}
    options |= {"weights": tmp_path / "cnn.pt", "training_dir": tmp_path / "training"}
    on_one_core(run_line("train", "train_precise_dmi", **options), cwd=BUNDLE)
    PreciseDmiEstimator().load_state_dict(torch.load(tmp_path / "cnn.pt", weights_only=True))
