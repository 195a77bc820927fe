"""Calibrate a trained network and save the weights that the bundle ships."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events

from mrsi_inpainting.network import MapInpainter
from mrsikit.runtime.training import log_sd_shift, save_atomically, weights_of

logger = logging.getLogger(__name__)


@torch.no_grad()
def calibrate(part: MapInpainter, batches: Iterable[Mapping[str, torch.Tensor]], coverage: float = 0.9) -> float:
    """Scale the standard deviation so that +-1.645 of it holds a given share of the errors in missing voxels.

    Args:
        part: network to calibrate in place; it is put in evaluation mode.
        batches: validation batches with "image" and "label".
        coverage: share of the errors within the interval, averaged over maps; 0.9 for a Gaussian. A larger share leaves
            a margin for other anatomies.

    Returns:
        The factor by which the standard deviation changes.
    """
    part.eval()
    part.log_sd_shift.zero_()
    ratios = []
    for batch in batches:
        pred = part(batch["image"].to(part.log_sd_shift.device)).cpu()
        for one, label in zip(pred, batch["label"], strict=True):
            missing = label[1] > 0.5
            if missing.sum() >= 20:
                ratios.append((one[0] - label[0])[missing].abs() / one[1][missing])
    if not ratios:
        logger.warning("no validation map has 20 missing voxels: the standard deviation was not calibrated")
        return 1.0
    shift = log_sd_shift(ratios, coverage)
    part.log_sd_shift.fill_(shift)
    return math.exp(shift)


class SaveCalibratedWeights:
    """Handler that calibrates the trained part when the training ends and writes it into the bundle's weights file.

    The other part (planar or volumetric) keeps its weights from the file; if there is no file yet, it is written as it
    is in the network. The handler must stand after ResumableTraining, which first restores the best weights.

    Args:
        path: the bundle's model.pt.
        network: the whole network.
        part: name of the trained part, "planar" or "volumetric".
        batches: validation loader; None: keep the present calibration.
        coverage: share of the validation errors within +-1.645 standard deviations.
    """

    def __init__(
        self, *, path: str, network: torch.nn.Module, part: str, batches: Iterable | None, coverage: float = 0.9
    ) -> None:
        self.coverage = coverage
        self.path = Path(path)
        self.network = network
        self.part = part
        self.batches = batches

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Calibrate and save."""
        if dist.is_initialized() and dist.get_rank() != 0:
            return
        if self.batches is not None:
            factor = calibrate(self.network.get_submodule(self.part), self.batches, self.coverage)  # type: ignore[arg-type]
            logger.info("standard deviation of the %s part scaled by %.3f", self.part, factor)
        state = weights_of(self.network)
        if self.path.exists():
            stored = torch.load(self.path, map_location="cpu", weights_only=True)
            state.update({k: v for k, v in stored.items() if not k.startswith(self.part + ".")})
        save_atomically(state, self.path)
