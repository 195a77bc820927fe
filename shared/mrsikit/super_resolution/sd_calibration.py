"""From a finished training to the weights the bundle ships."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import cast

import torch
import torch.distributed as dist
from ignite.engine import Engine
from torch import nn

from mrsikit.runtime.training import SaveWeights, log_sd_shift, unwrapped
from mrsikit.super_resolution.blocks import collapse
from mrsikit.super_resolution.network import MRI_SETS, SuperResolution, mri_set

logger = logging.getLogger(__name__)

TISSUE, FEWEST = 0.02, 200
"""Part of a map's maximum above which errors count, and voxels a map must have there."""


@torch.no_grad()
def calibrate(
    network: SuperResolution, batches: Iterable[Mapping[str, torch.Tensor]], coverage: float = 0.9
) -> list[float]:
    """Shift the log standard deviation so that +-1.645 of it holds ``coverage`` of the errors in tissue.

    Maps without an MRI, with FLAIR, with T1 and with both are calibrated each for themselves.

    Args:
        network: to calibrate in place, put in evaluation mode; any that has its ``log_sd_shift``.
        batches: validation batches with "image" and "label".
        coverage: share the interval is to hold, averaged over maps.

    Returns:
        The factor by which the stated standard deviation changes, for each of these; 1 where there is no map.
    """
    network.eval()
    network.log_sd_shift.zero_()
    ratios: list[list[torch.Tensor]] = [[] for _ in range(MRI_SETS)]
    for batch in batches:
        pred = network(batch["image"].to(network.log_sd_shift.device)).cpu()
        for one, label, which in zip(pred, batch["label"], mri_set(batch["image"]).tolist(), strict=True):
            tissue = label[0] > TISSUE
            if tissue.sum() >= FEWEST:
                ratios[which].append((one[0] - label[0])[tissue].abs() / one[1][tissue])
    for which, found in enumerate(ratios):
        if found:
            network.log_sd_shift[which] = log_sd_shift(found, coverage)
        else:
            logger.warning("no validation map of kind %d has %d voxels of tissue: not calibrated", which, FEWEST)
    return network.log_sd_shift.exp().tolist()


class SaveCalibratedWeights(SaveWeights):
    """Handler: calibrate the standard deviation when the training ends, collapse the network, then write the weights.

    Must stand after ResumableTraining, which restores the best weights first.

    Args:
        path: file to write.
        network: network in training.
        batches: validation loader.
        coverage: as of :func:`calibrate`.
    """

    def __init__(self, *, path: str, network: nn.Module, batches: Iterable, coverage: float = 0.9) -> None:
        super().__init__(path=path, network=network)
        self.batches = batches
        self.coverage = coverage

    def __call__(self, engine: Engine) -> None:
        """Calibrate and save."""
        if not dist.is_initialized() or dist.get_rank() == 0:
            module = cast(SuperResolution, unwrapped(self.network))
            factors = calibrate(module, self.batches, self.coverage)
            logger.info("standard deviation scaled by %s", ", ".join(f"{factor:.3f}" for factor in factors))
            collapse(module)
        super().__call__(engine)
