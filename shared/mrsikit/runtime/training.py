"""Training that keeps its best weights, stops early and resumes after an interruption."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.engines import IterationEvents
from monai.inferers import SimpleInferer
from torch import nn

from mrsikit.io import InputError
from mrsikit.io.extras import import_extra
from mrsikit.metrics.calibration import Z90
from mrsikit.runtime.data import SeededDataset

logger = logging.getLogger(__name__)


def check_packages(*, virtual_subjects: bool = False) -> None:
    """End the program with one line if a package that only trainings need is missing.

    To stand first in the ``run`` list of a train config.

    Args:
        virtual_subjects: whether the training makes them, and so needs the MNI template.

    Raises:
        SystemExit: with code 1, when a package is missing.
    """
    try:
        import_extra("tensorboard", package="tensorboard", purpose="logs of trainings", extra="train")
        if virtual_subjects:
            import_extra("nilearn", package="nilearn", purpose="virtual subjects", extra="train")
    except InputError as error:
        logger.error("%s", error)
        sys.exit(1)


def save_atomically(state: Mapping[str, Any], path: str | Path) -> None:
    """Write a torch file atomically: either the complete file appears or none does."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(dict(state), partial)
    os.replace(partial, path)


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network itself without the wrapper that distributed training adds."""
    return network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a flat state dict on the CPU, without the prefix that distributed training adds."""
    return {name: value.detach().cpu().clone() for name, value in unwrapped(network).state_dict().items()}


def load_start(network: nn.Module, path: str | Path | None) -> None:
    """Start a training from the weights of an earlier one.

    Args:
        network: network to load into; may be wrapped for distributed training.
        path: a checkpoint, whose best weights are loaded, or a file of weights; None: leave the network as it is.

    Raises:
        InputError: the file does not hold weights of this network.
    """
    if path is None:
        return
    state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        unwrapped(network).load_state_dict(state.get("best_weights", state))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--start_from {path}: {reason} Give weights, or a checkpoint.pt, of this network") from error


class ResumableTraining:
    """Handler of a MONAI trainer that keeps the best weights, stops early, and resumes from a checkpoint of each epoch.

    The checkpoint holds the whole state of the training: weights, optimiser, schedule, epoch, best score and early-stop
    count. Random draws depend only on seed, epoch and index (:class:`mrsikit.runtime.data.SeededDataset`), so a resumed
    training ends with the same weights as an uninterrupted one.

    MONAI's CheckpointSaver, CheckpointLoader and EarlyStopHandler are not sufficient: on a restart, CheckpointSaver
    loses the best score and EarlyStopHandler loses its count.

    The handler must stand after the ValidationHandler in the trainer's handlers.

    Args:
        path: checkpoint file; read at the start if it exists.
        network: the network in training (may be wrapped for distributed training).
        stateful: optimiser, schedule and other objects with state_dict and load_state_dict, by name.
        dataset: dataset whose epoch is set before each epoch.
        validator: evaluator that computes ``metric``; lower is better.
        metric: name of the metric.
        patience: number of validations without improvement before the training stops.
        settings: settings of this training (data, seed, schedule), kept in the checkpoint.
        weights: file that the finished training writes. If this file is newer than the checkpoint of a finished
            training, it is left as it is, because a later training may have written it.
        last: keep the last weights instead of the best by the metric; an adversarial training starts from these.
        next_stage: called when the patience is over; True says that it has begun another stage. The training then goes
            on from the best weights, and the metric is judged anew. None: the training has one stage.

    Raises:
        InputError: at the start, if the checkpoint belongs to a training with other settings.
    """

    def __init__(
        self,
        *,
        path: str,
        network: nn.Module,
        stateful: dict[str, Any],
        dataset: SeededDataset,
        validator: Engine,
        metric: str,
        patience: int,
        settings: Mapping[str, Any],
        weights: str | Path,
        last: bool = False,
        next_stage: Callable[[], bool] | None = None,
    ) -> None:
        self.last = last
        self.next_stage = next_stage
        self.settings = {name: str(value) for name, value in settings.items()}
        self.weights = Path(weights)
        self.path = Path(path)
        self.network = network
        self.stateful = stateful
        self.dataset = dataset
        self.validator = validator
        self.metric = metric
        self.patience = patience
        self.best_weights = weights_of(network)
        self.best_score = float("inf")
        self.last_judged = 0

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        self.early_stop = EarlyStopping(self.patience, self._score, engine)
        engine.add_event_handler(Events.STARTED, self._resume)
        engine.add_event_handler(Events.EPOCH_STARTED, lambda e: self.dataset.set_epoch(e.state.epoch))
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._judge)
        engine.add_event_handler(Events.COMPLETED, self._restore_best)

    def _score(self, engine: Engine) -> float:
        score = torch.tensor(float(self.validator.state.metrics[self.metric]))
        if dist.is_available() and dist.is_initialized():
            dist.broadcast(score, 0)
        return -float(score)

    def _judge(self, engine: Engine) -> None:
        validated = self.validator.state.epoch and self.metric in self.validator.state.metrics
        if validated and self._is_new_result(engine):
            score = -self._score(engine)
            if score < self.best_score:
                self.best_score = score
                self.best_weights = weights_of(self.network)
            self.early_stop(self.validator)
            if engine.should_terminate and self.next_stage is not None and self.next_stage():
                self._begin_anew(engine)
        if self.last:
            self.best_weights = weights_of(self.network)
        if not dist.is_initialized() or dist.get_rank() == 0:
            save_atomically(
                {
                    "settings": self.settings,
                    "epoch": engine.state.epoch,
                    "iteration": engine.state.iteration,
                    "network": weights_of(self.network),
                    "best_weights": self.best_weights,
                    "best_score": self.best_score,
                    "early_stop": dict(self.early_stop.state_dict()),
                    "stopped": engine.should_terminate,
                    **{name: thing.state_dict() for name, thing in self.stateful.items()},
                },
                self.path,
            )

    def _begin_anew(self, engine: Engine) -> None:
        engine.should_terminate = False
        self._restore_best(engine)
        self.best_score = float("inf")
        self.early_stop.counter, self.early_stop.best_score = 0, None

    def _is_new_result(self, engine: Engine) -> bool:
        # MONAI's ValidationHandler sets the validator's epoch to the trainer's epoch at which it ran.
        new = self.validator.state.epoch == engine.state.epoch and self.last_judged != engine.state.epoch
        self.last_judged = engine.state.epoch if new else self.last_judged
        return new

    def _resume(self, engine: Engine) -> None:
        if not self.path.exists():
            return
        saved = torch.load(self.path, map_location="cpu", weights_only=True)
        before = saved.get("settings", {})
        # A checkpoint may predate a setting; the setting then had its default, None.
        other = sorted(n for n in {**before, **self.settings} if before.get(n, "None") != self.settings.get(n, "None"))
        if other:
            raise InputError(
                f"{self.path} is of a training with another {', '.join(other)}; give another training_dir, or delete it"
            )
        module = unwrapped(self.network)
        module.load_state_dict(saved["network"])
        for name, thing in self.stateful.items():
            thing.load_state_dict(saved[name])
        self.best_weights, self.best_score = saved["best_weights"], saved["best_score"]
        self.early_stop.load_state_dict(saved["early_stop"])
        engine.state.epoch, engine.state.iteration = saved["epoch"], saved["iteration"]
        logger.info("resumed %s after epoch %d", self.path, saved["epoch"])
        if saved["stopped"] or saved["epoch"] >= (engine.state.max_epochs or 0):
            logger.info("this training is complete: delete %s to train anew", self.path)
            saved_since = self.weights.exists() and self.weights.stat().st_mtime > self.path.stat().st_mtime
            if saved_since:
                self._restore_best(engine)
            engine.terminate(skip_completed=saved_since)

    def _restore_best(self, engine: Engine) -> None:
        if self.best_score == float("inf") and not self.last:
            logger.warning("no validation took place: the last weights are kept")
            return
        module = unwrapped(self.network)
        module.load_state_dict(self.best_weights)
        logger.info("best %s %.5f", self.metric, self.best_score)


class HalfPrecisionInferer(SimpleInferer):
    """Run the network in bfloat16 where autocast considers it safe; a third faster on CPUs that support bfloat16."""

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the network as :class:`monai.inferers.SimpleInferer` does, under autocast."""
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return super().__call__(inputs, network, *args, **kwargs)


class ClipGradients:
    """Handler of a MONAI trainer that limits the norm of the gradient, so that no single batch ruins a training.

    A gradient that is not finite is set to zero.

    Args:
        network: the network in training.
        norm: largest norm of the gradient over all parameters.
    """

    def __init__(self, *, network: nn.Module, norm: float = 1.0) -> None:
        self.network = network
        self.norm = norm

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Clip the gradient of this iteration."""
        if not torch.isfinite(nn.utils.clip_grad_norm_(self.network.parameters(), self.norm)):
            logger.warning("iteration %d: the gradient is not finite and is left out", engine.state.iteration)
            for weights in self.network.parameters():
                if weights.grad is not None:
                    weights.grad.zero_()


def log_sd_shift(ratios: Sequence[torch.Tensor], coverage: float = 0.9) -> float:
    """Find the shift of the log standard deviation that calibrates the interval of +-1.645 standard deviations.

    Args:
        ratios: for each map, its absolute errors divided by the uncalibrated standard deviations, (N,).
        coverage: share of the errors within the interval, averaged over maps; 0.9 for a Gaussian. A larger share leaves
            a margin for other anatomies.

    Returns:
        The shift, to be added to the log standard deviation.
    """
    low, high = -3.0, 3.0
    for _ in range(40):
        middle = (low + high) / 2
        covered = sum(float((r <= Z90 * math.exp(middle)).float().mean()) for r in ratios) / len(ratios)
        low, high = (middle, high) if covered < coverage else (low, middle)
    return middle


class SaveWeights:
    """Handler that writes the network's weights in half precision when the training ends.

    It must stand after ResumableTraining, which first restores the best weights.

    Args:
        path: file to write.
        network: network to save.
    """

    def __init__(self, *, path: str, network: nn.Module) -> None:
        self.path = path
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save the weights."""
        if not dist.is_initialized() or dist.get_rank() == 0:
            state = weights_of(self.network)
            save_atomically({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, self.path)
