"""Calibrate the standard deviation of a trained network and write the weights that the bundle ships."""

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
"""Errors count where the true map exceeds 0.02 of its maximum; a map needs at least 200 such voxels."""


@torch.no_grad()
def calibrate(
    network: SuperResolution, batches: Iterable[Mapping[str, torch.Tensor]], coverage: float = 0.9
) -> list[float]:
    """Shift the log standard deviation so that +-1.645 standard deviations hold ``coverage`` of the errors in tissue.

    Maps without an MRI, with FLAIR, with T1 and with both are calibrated separately.

    Args:
        network: network to calibrate in place; it is put in evaluation mode. Any network with a ``log_sd_shift`` will
            do.
        batches: validation batches with "image" and "label".
        coverage: share of the errors that the interval should hold, averaged over maps.

    Returns:
        The factor applied to the standard deviation for each of the four MRI combinations; 1 where there is no map.
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
    """Handler: when training ends, calibrate the standard deviation, collapse the network, then write the weights.

    It must come after ResumableTraining, which restores the best weights first.

    Args:
        path: file to write.
        network: network in training.
        batches: validation loader.
        coverage: as for :func:`calibrate`.
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
