"""A training that is killed and resumed ends as an undisturbed one."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import IgniteMetricHandler, LrScheduleHandler, ValidationHandler, from_engine
from monai.transforms import RandomizableTransform
from torch import nn

from mrsikit.io import InputError
from mrsikit.runtime.data import SeededDataset
from mrsikit.runtime.training import (
    ClipGradients,
    HalfPrecisionInferer,
    ResumableTraining,
    SaveWeights,
    check_packages,
    load_start,
    log_sd_shift,
    save_atomically,
    weights_of,
)

ITERATIONS = 4


class RandPaird(RandomizableTransform):
    """A random input and twice its value."""

    def __init__(self) -> None:
        super().__init__(1.0)

    def __call__(self, data):
        image = torch.from_numpy(self.R.randn(3)).float()
        return {"image": image, "label": 2 * image[:1], "epoch": data["epoch"]}


class Training:
    """A tiny regression with everything the bundles' trainings have."""

    def __init__(
        self,
        folder: Path,
        *,
        epochs: int = 6,
        scores: list[float] | None = None,
        patience: int = 50,
        workers: int = 0,
        seed: int = 1,
        next_stage: Callable[[], bool] | None = None,
    ):
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.02)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 0.02, total_steps=epochs * ITERATIONS)
        self.dataset = SeededDataset([{}], [RandPaird()], seed=1, length=ITERATIONS * 8)
        validation = DataLoader(SeededDataset([{}], [RandPaird()], seed=2, length=16), batch_size=8)
        loss = nn.MSELoss()
        self.history: dict[int, dict[str, torch.Tensor]] = {}
        self.validated: dict[int, float] = {}
        self.validator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=validation,
            network=self.network,
            key_val_metric={"loss": IgniteMetricHandler(loss_fn=loss, output_transform=from_engine(["pred", "label"]))},
            metric_cmp_fn=lambda new, best: new < best,
        )
        if scores is not None:
            self.validator.add_event_handler(
                Events.COMPLETED, lambda e: e.state.metrics.update(loss=scores[min(e.state.epoch, len(scores)) - 1])
            )
        self.resumable = ResumableTraining(
            path=str(folder / "checkpoint.pt"),
            network=self.network,
            stateful={"optimizer": self.optimizer, "lr_scheduler": self.schedule},
            dataset=self.dataset,
            validator=self.validator,
            metric="loss",
            patience=patience,
            settings={"epochs": epochs, "seed": seed},
            weights=folder / "model.pt",
            next_stage=next_stage,
        )
        self.trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=DataLoader(self.dataset, batch_size=8, num_workers=workers),
            network=self.network,
            optimizer=self.optimizer,
            loss_function=loss,
            train_handlers=[
                LrScheduleHandler(self.schedule, print_lr=False, epoch_level=False),
                ValidationHandler(1, self.validator),
                self.resumable,
                SaveWeights(path=str(folder / "model.pt"), network=self.network),
            ],
        )
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._remember)
        self.drawn: list[tuple[int, int]] = []
        self.trainer.add_event_handler(
            Events.ITERATION_COMPLETED,
            lambda e: self.drawn.extend((e.state.epoch, item["epoch"]) for item in e.state.batch),
        )

    def _remember(self, engine) -> None:
        self.history[engine.state.epoch] = weights_of(self.network)
        self.validated[engine.state.epoch] = float(self.validator.state.metrics["loss"])

    def run(self) -> "Training":
        self.trainer.run()
        return self

    def run_and_die(self, iteration: int) -> None:
        def die(engine) -> None:
            raise KeyboardInterrupt

        self.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=iteration), die)
        with pytest.raises(KeyboardInterrupt):
            self.trainer.run()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_training_resumes_to_the_weights_of_an_undisturbed_one(tmp_path, workers):
    undisturbed = Training(tmp_path / "one", workers=workers).run()
    assert len(undisturbed.history) == 6
    Training(tmp_path / "two", workers=workers).run_and_die(2 * ITERATIONS + 2)  # in the middle of epoch 3
    assert torch.load(tmp_path / "two" / "checkpoint.pt", weights_only=True)["epoch"] == 2
    resumed = Training(tmp_path / "two", workers=workers).run()
    assert list(resumed.history) == [3, 4, 5, 6]
    for epoch in resumed.history:
        assert equal(resumed.history[epoch], undisturbed.history[epoch]), epoch
    assert equal(weights_of(resumed.network), weights_of(undisturbed.network))
    assert resumed.schedule.last_epoch == undisturbed.schedule.last_epoch
    assert not equal(undisturbed.history[5], undisturbed.history[6]), "it learns"
    files = [torch.load(tmp_path / run / "model.pt", weights_only=True) for run in ("one", "two")]
    assert equal(*files)
    for run in (undisturbed, resumed):
        assert all(epoch == drawn for epoch, drawn in run.drawn), "every epoch draws its own samples"


def test_killed_in_every_epoch_it_still_ends_the_same(tmp_path):
    undisturbed = Training(tmp_path / "one").run()
    for epoch in range(6):
        Training(tmp_path / "two").run_and_die(epoch * ITERATIONS + 1)
    assert equal(weights_of(Training(tmp_path / "two").run().network), weights_of(undisturbed.network))


def test_the_best_weights_are_restored_and_saved(tmp_path):
    training = Training(tmp_path, scores=[5.0, 3.0, 4.0, 3.5, 3.2, 9.0]).run()
    assert training.resumable.best_score == 3.0
    assert equal(weights_of(training.network), training.history[2])
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(v.dtype == torch.float16 for v in saved.values() if v.is_floating_point())
    assert equal(saved, {k: v.half() if v.is_floating_point() else v for k, v in training.history[2].items()})


def test_the_best_weights_survive_a_restart(tmp_path):
    scores = [5.0, 3.0, 4.0, 3.5, 3.2, 9.0]
    undisturbed = Training(tmp_path / "one", scores=scores).run()
    Training(tmp_path / "two", scores=scores).run_and_die(3 * ITERATIONS + 1)
    resumed = Training(tmp_path / "two", scores=scores).run()
    assert resumed.resumable.best_score == 3.0
    assert equal(weights_of(resumed.network), undisturbed.history[2])


def test_training_stops_early_after_the_patience(tmp_path):
    scores = [5.0, 3.0, 4.0, 3.5, 3.2, 9.0, 9.0, 9.0]
    training = Training(tmp_path, epochs=8, scores=scores, patience=3).run()
    assert max(training.history) == 5
    assert equal(weights_of(training.network), training.history[2])


def test_a_plateau_begins_the_next_stage_until_the_last_has_one(tmp_path):
    """The first stage is best in epoch 2. The second, whose scores are worse throughout, is judged by itself."""
    scores = [5.0, 3.0, 4.0, 3.5, 3.2, 9.0, 8.0, 8.5, 8.2, 8.1, 1.0]
    left = [True, False]
    training = Training(tmp_path, epochs=11, scores=scores, patience=3, next_stage=lambda: left.pop(0)).run()
    assert max(training.history) == 10
    assert not left
    assert equal(weights_of(training.network), training.history[7])
    assert training.resumable.best_score == 8.0


def test_the_next_stage_goes_on_from_the_best_weights(tmp_path):
    at_the_start: list[dict[str, torch.Tensor]] = []
    training = Training(tmp_path, epochs=6, scores=[5.0, 3.0, 4.0, 3.5, 3.2, 9.0], patience=3, next_stage=lambda: True)
    training.trainer.add_event_handler(
        Events.EPOCH_STARTED(once=6), lambda e: at_the_start.append(weights_of(training.network))
    )
    training.run()
    assert equal(at_the_start[0], training.history[2])
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert not saved["stopped"]
    assert saved["early_stop"]["counter"] == 0


def test_the_early_stop_counts_across_a_restart(tmp_path):
    scores = [5.0, 3.0, 4.0, 3.5, 3.2, 9.0, 9.0, 9.0]
    Training(tmp_path, epochs=8, scores=scores, patience=3).run_and_die(4 * ITERATIONS + 1)
    resumed = Training(tmp_path, epochs=8, scores=scores, patience=3).run()
    assert list(resumed.history) == [5]


@pytest.mark.parametrize("scores", [None, [5.0, 3.0, 4.0, 3.5, 3.2, 9.0]], ids=["run to the end", "stopped early"])
def test_a_complete_training_is_not_trained_on(tmp_path, scores):
    first = Training(tmp_path, scores=scores, patience=3).run()
    again = Training(tmp_path, scores=scores, patience=3).run()
    assert not again.history
    assert equal(weights_of(again.network), weights_of(first.network))


def test_repeating_a_complete_training_leaves_what_was_trained_since(tmp_path):
    Training(tmp_path).run()
    weights = tmp_path / "model.pt"
    later = weights.stat().st_mtime + 10
    weights.write_bytes(b"a later training's")
    os.utime(weights, (later, later))
    Training(tmp_path).run()
    assert weights.read_bytes() == b"a later training's"
    # killed between the last epoch and the saving, it saves
    checkpoint = tmp_path / "checkpoint.pt"
    os.utime(checkpoint, (later + 10, later + 10))
    Training(tmp_path).run()
    assert torch.load(weights, weights_only=True)


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    Training(tmp_path).run_and_die(2 * ITERATIONS + 2)
    with pytest.raises(InputError, match=r"another seed; give another training_dir"):
        Training(tmp_path, seed=2).run()


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file.pt"
    save_atomically({"a": torch.ones(2)}, path)
    with pytest.raises(Exception, match="pickle|local"):
        save_atomically({"a": lambda: None}, path)
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(2))


def test_weights_are_a_copy_on_the_cpu():
    network = nn.Linear(2, 2)
    weights = weights_of(network)
    with torch.no_grad():
        network.weight.zero_()
    assert weights["weight"].any()
    assert set(weights) == {"weight", "bias"}


def test_no_step_has_a_larger_gradient_than_asked():
    network = nn.Linear(3, 1)
    loader = DataLoader([{"image": 1e4 * torch.ones(3), "label": torch.zeros(1)}], batch_size=1)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"), max_epochs=1, train_data_loader=loader, network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1), loss_function=nn.MSELoss(),
        train_handlers=[ClipGradients(network=network, norm=0.5)],
    )  # fmt: skip
    before = [p.detach().clone() for p in network.parameters()]
    trainer.run()
    step = torch.cat([(a - b).flatten() for a, b in zip(network.parameters(), before, strict=True)]).norm()
    assert float(step) == pytest.approx(0.05, rel=1e-3)


def test_a_batch_without_a_finite_gradient_is_left_out(caplog):
    network = nn.Linear(3, 1)
    items = [{"image": torch.ones(3), "label": torch.full((1,), value)} for value in (float("nan"), 1.0)]
    trainer = SupervisedTrainer(
        device=torch.device("cpu"), max_epochs=1, train_data_loader=DataLoader(items, batch_size=1), network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1), loss_function=nn.MSELoss(),
        train_handlers=[ClipGradients(network=network)],
    )  # fmt: skip
    before = [p.detach().clone() for p in network.parameters()]
    trainer.run()
    moved = [(a - b).abs().max() for a, b in zip(network.parameters(), before, strict=True)]
    assert all(torch.isfinite(step) and step > 0 for step in moved)
    assert "iteration 1: the gradient is not finite" in caplog.text


def test_half_precision_rounds_the_pass_and_leaves_the_weights():
    network, x = nn.Linear(64, 64), torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    half, full = HalfPrecisionInferer()(x, network), network(x)
    assert half.dtype == torch.bfloat16
    assert network.weight.dtype == torch.float32
    assert 0 < (half.float() - full).abs().max() < 0.05


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_the_shift_makes_intervals_hold_their_share(coverage):
    generator = torch.Generator().manual_seed(0)
    ratios = [3 * torch.randn(4000, generator=generator).abs() for _ in range(3)]
    shift = torch.tensor(log_sd_shift(ratios, coverage)).exp()
    held = torch.stack([(r <= 1.645 * shift).float().mean() for r in ratios]).mean()
    assert float(held) == pytest.approx(coverage, abs=0.01)


def test_a_training_starts_from_a_checkpoint_or_from_weights(tmp_path: Path) -> None:
    source, target = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    before = weights_of(target)
    load_start(target, None)
    assert all(torch.equal(before[name], value) for name, value in weights_of(target).items())
    torch.save(weights_of(source), tmp_path / "flat.pt")
    torch.save({"network": before, "best_weights": weights_of(source)}, tmp_path / "checkpoint.pt")
    for name in ("flat.pt", "checkpoint.pt"):
        target = torch.nn.Linear(3, 2)
        load_start(target, tmp_path / name)
        assert torch.equal(target.weight, source.weight)
    with pytest.raises(InputError, match="--start_from"):
        load_start(torch.nn.Linear(4, 2), tmp_path / "flat.pt")


def test_a_missing_package_ends_a_training_before_it_starts(monkeypatch, caplog):
    check_packages(virtual_subjects=True)
    monkeypatch.setitem(sys.modules, "nilearn", None)
    check_packages()  # own maps need no virtual subjects
    with pytest.raises(SystemExit, match="1"):
        check_packages(virtual_subjects=True)
    assert caplog.messages == ["nilearn is not installed: virtual subjects need it; pip install 'mrsikit[train]'"]
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(SystemExit):
        check_packages()
    assert "tensorboard is not installed" in caplog.messages[1]
