import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from mrsi_inpainting.reference_pham_stages import Stages
from mrsikit.runtime.data import SeededDataset
from mrsikit.runtime.training import ResumableTraining
from mrsikit.transforms.algorithm1 import RandAlgorithm1d

from .conftest import BUNDLE

SHARES = (0.05, 0.1, 0.15)
CONFIG = json.loads((BUNDLE / "configs" / "train_pham.json").read_text())
PLATEAU = CONFIG["plateau"]


def schedule(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.ReduceLROnPlateau:
    """The schedule of train_pham.json."""
    assert CONFIG["lr_scheduler"]["patience"] == "$@plateau - 1"
    assert CONFIG["patience"] == "$2 * @plateau"
    return torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=CONFIG["lr_scheduler"]["factor"], patience=PLATEAU - 1
    )


class Training:
    """An engine without a network to train, whose validation losses are given."""

    def __init__(self, folder: Path, losses: list[float]) -> None:
        network = nn.Linear(1, 1)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=CONFIG["learning_rate"])
        scheduler = schedule(self.optimizer)
        self.transforms = [RandAlgorithm1d("tissues", matrix=8, fractions=SHARES) for _ in range(2)]
        self.stages = Stages(transforms=self.transforms, optimizer=self.optimizer, lr_scheduler=scheduler)
        self.epochs: list[tuple[int, float]] = []
        validator = Engine(lambda *_: None)

        def validate(trainer: Engine) -> None:
            loss = losses[min(trainer.state.epoch, len(losses)) - 1]
            validator.state.epoch, validator.state.metrics = trainer.state.epoch, {"loss": loss}
            self.epochs.append((self.transforms[0].stage, self.optimizer.param_groups[0]["lr"]))
            scheduler.step(loss)

        self.trainer = Engine(lambda *_: None)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
        ResumableTraining(
            path=str(folder / "checkpoint.pt"),
            network=network,
            stateful={"optimizer": self.optimizer, "lr_scheduler": scheduler, "stages": self.stages},
            dataset=SeededDataset([{}], [], seed=0),
            validator=validator,
            metric="loss",
            patience=2 * PLATEAU,
            settings={},
            weights=folder / "model.pt",
            next_stage=self.stages.advance,
        ).attach(self.trainer)

    def run(self, epochs: int) -> list[tuple[int, float]]:
        """Stage and learning rate of each epoch."""
        self.trainer.run([0], max_epochs=epochs)
        return self.epochs


def test_each_stage_halves_its_learning_rate_before_it_ends(tmp_path: Path) -> None:
    """No epoch is better than the first: ten epochs at each of two learning rates, in each of three stages."""
    epochs = Training(tmp_path, [1.0]).run(500)
    stage = [CONFIG["learning_rate"]] * (PLATEAU + 1) + [CONFIG["learning_rate"] / 2] * PLATEAU
    assert epochs == [(number, rate) for number in range(3) for rate in stage]


def test_a_later_stage_may_have_a_higher_loss(tmp_path: Path) -> None:
    """A plateau at 5 % ends neither the training nor the search for the best weights."""
    losses = [1.0] * (2 * PLATEAU + 1) + [3.0, 2.5, 2.0]
    epochs = Training(tmp_path, losses).run(len(losses) + 5)
    assert [stage for stage, _ in epochs[-8:]] == [1] * 8
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["best_score"] == 2.0
    assert not saved["stopped"]


def test_the_stage_survives_a_restart(tmp_path: Path) -> None:
    whole = Training(tmp_path / "whole", [1.0]).run(40)
    begun = Training(tmp_path / "two", [1.0]).run(30)
    resumed = Training(tmp_path / "two", [1.0])
    assert begun + resumed.run(40) == whole
    assert [transform.stage for transform in resumed.transforms] == [1, 1]


@pytest.mark.parametrize("shares", [SHARES, (0.15,)])
def test_stages_end_with_the_last_share(shares: tuple[float, ...]) -> None:
    optimizer = torch.optim.Adam(nn.Linear(1, 1).parameters())
    transforms = [RandAlgorithm1d("tissues", matrix=8, fractions=shares)]
    stages = Stages(transforms=transforms, optimizer=optimizer, lr_scheduler=schedule(optimizer))
    assert [stages.advance() for _ in range(4)] == [True] * (len(shares) - 1) + [False] * (5 - len(shares))
    assert stages.state_dict() == {"stage": len(shares) - 1}
