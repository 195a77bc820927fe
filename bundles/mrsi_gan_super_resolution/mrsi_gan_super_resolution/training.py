"""Published training: the training pairs and the handlers that MONAI's adversarial trainer needs for them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, cast

import torch
import torch.distributed as dist
from ignite.engine import Engine
from monai.transforms import RandomizableTransform
from monai.utils import CommonKeys
from monai.utils.enums import AdversarialIterationEvents, AdversarialKeys
from torch import Tensor, nn

from mrsi_gan_super_resolution.reference_li import Generator
from mrsikit.physics.spatial_encoding import cubic
from mrsikit.runtime.training import SaveWeights, unwrapped
from mrsikit.transforms.li_cohort import COARSE, FINE

TISSUE = 0.05
"""Errors count where the true map exceeds 0.05 of its maximum."""


class RandLiPaird(RandomizableTransform):
    """Draw a training pair from the paper's cohort (:mod:`mrsikit.transforms.li_cohort`), randomly cropped and flipped.

    Args:
        truth: ground truth, "sharp" or "soft".
        two_inputs: whether the second input channel is the MRI.
        size: side of the random crop in voxels; None: the whole slice, not flipped.

    Output:
        "image" (1 or 2, size, size), the cubic interpolation of the map and, with two inputs, the MRI; "label"
        (1, size, size), the true map.
    """

    def __init__(self, *, truth: str = "sharp", two_inputs: bool = False, size: int | None = 96) -> None:
        super().__init__(1.0)
        self.truth = truth
        self.two_inputs = two_inputs
        self.size = size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw one pair."""
        k = int(self.R.randint(len(data["coarse"])))
        coarse = torch.as_tensor(data["coarse"][k]).float()
        images = [cubic(coarse, FINE // COARSE)]
        images += [torch.as_tensor(data["mri"][k]).float()] if self.two_inputs else []
        pair = torch.stack([*images, torch.as_tensor(data[self.truth][k]).float()])
        if self.size is not None:
            x, y = self.R.randint(0, FINE - self.size + 1, 2)
            pair = pair[:, x : x + self.size, y : y + self.size]
            pair = pair.flip([axis for axis in (1, 2) if self.R.rand() < 0.5])
        return {"image": pair[:-1].clone(), "label": pair[-1:].clone()}


class RealsAreLabels:
    """Handler: make the discriminator compare generated maps with the true maps.

    MONAI's AdversarialTrainer uses the input as the real image, as for autoencoders, and sets no ``loss``. The trainer
    must be given ``event_names=[AdversarialIterationEvents]``, because it otherwise registers these events only after
    its handlers attach.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(AdversarialIterationEvents.GENERATOR_MODEL_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Replace the input by the true maps as the real images, and set the loss."""
        output = engine.state.output
        output[AdversarialKeys.REALS] = output[CommonKeys.LABEL]  # type: ignore[index]
        output[CommonKeys.LOSS] = output[AdversarialKeys.RECONSTRUCTION_LOSS]  # type: ignore[index]


class SaveGenerator(SaveWeights):
    """Handler: when training ends, measure the generator's root mean square error in tissue, then write its weights.

    It must come after ResumableTraining, which first restores the weights to keep.

    Args:
        path: file to write.
        network: network in training.
        batches: validation loader.
    """

    def __init__(self, *, path: str, network: nn.Module, batches: Iterable) -> None:
        super().__init__(path=path, network=network)
        self.batches = batches

    def __call__(self, engine: Engine) -> None:
        """Measure and save."""
        module = cast(Generator, unwrapped(self.network))
        if not dist.is_initialized() or dist.get_rank() == 0:
            module.error.fill_(tissue_error(module, self.batches))
        super().__call__(engine)


@torch.no_grad()
def tissue_error(network: nn.Module, batches: Iterable[Mapping[str, Tensor]]) -> float:
    """Root mean square error where the true map, of maximum about 1, exceeds :data:`TISSUE`."""
    network.eval()
    device = next(network.parameters()).device
    total = count = 0.0
    for batch in batches:
        label = batch["label"]
        error = network(batch["image"].to(device)).cpu() - label
        tissue = label > TISSUE
        total, count = total + float(error[tissue].square().sum()), count + float(tissue.sum())
    return (total / max(1.0, count)) ** 0.5
