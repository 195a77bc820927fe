"""The progressive training of Pham 2025: first few voxels are missing, then more."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mrsikit.transforms.algorithm1 import RandAlgorithm1d

logger = logging.getLogger(__name__)


class Stages:
    """Stages of a training, each with its share of missing voxels, for training and validation alike.

    :class:`mrsikit.runtime.training.ResumableTraining` calls :meth:`advance` when the validation loss of a stage no
    longer falls. Its checkpoint keeps the stage. Each stage begins with the first learning rate, because a plateau of
    one stage says nothing about the next.

    Args:
        transforms: those of training and validation that remove voxels.
        optimizer: its learning rate begins anew with each stage.
        lr_scheduler: as it is before the first epoch; it begins anew too.
    """

    def __init__(
        self, *, transforms: Sequence[RandAlgorithm1d], optimizer: Optimizer, lr_scheduler: LRScheduler
    ) -> None:
        self.transforms = transforms
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.begin = copy.deepcopy(lr_scheduler.state_dict())
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.stage = 0

    def advance(self) -> bool:
        """Begin the next stage; False if this was the last one."""
        fractions = self.transforms[0].fractions
        if self.stage + 1 >= len(fractions):
            return False
        self.load_state_dict({"stage": self.stage + 1})
        self.lr_scheduler.load_state_dict(copy.deepcopy(self.begin))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate
        logger.info("stage %d: %g %% of the voxels are missing", self.stage + 1, 100 * fractions[self.stage])
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the number of the stage."""
        return {"stage": self.stage}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a stage."""
        self.stage = state["stage"]
        for transform in self.transforms:
            transform.stage = self.stage
