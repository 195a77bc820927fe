"""The published training: its virtual cohort, its pairs, and what MONAI's adversarial trainer needs for them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from ignite.engine import Engine
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import CommonKeys
from monai.utils.enums import AdversarialIterationEvents, AdversarialKeys
from torch import Tensor, nn

from mrsi_gan_super_resolution.network import Generator
from mrsikit.baselines.guided_non_local_means import guided_non_local_means
from mrsikit.baselines.non_local_means import mri_features
from mrsikit.kspace import resample
from mrsikit.measurement import KSPACE, cubic
from mrsikit.synthesis.metabolites import TUMOUR_WEIGHTS, weighted_map
from mrsikit.synthesis.mri import mri
from mrsikit.synthesis.subject import Grid, Tissues
from mrsikit.training import SaveWeights, unwrapped
from mrsikit.transforms.virtual_subject import VirtualSubjectd

VERY_FINE, FINE, COARSE = 256, 184, 46
"""Voxels a side of the paper's three grids."""

FIELD_OF_VIEW = 256.0
"""mm"""

SOFT_PASSES, SOFT_WINDOW, SOFT_WIDTHS, SOFT_SPREAD = 3, 9, (0.8, 0.2), 2.0
"""Of the non-local means that make the softer ground truth."""

TISSUE = 0.05
"""Part of a map's maximum above which errors count."""


class PublishedCohortd(MapTransform):
    """Replace a seed by maps of the virtual patient it stands for, by the paper's rule and on its grids.

    Physics: a map .1 GM + .12 WM + tau tumour on 256 x 256 voxels of 1 mm, its maximum 1; k-space crops of it to 184 x
    184, the sharp ground truth, and 46 x 46, the measured map; the soft ground truth is the measured map sharpened by
    feature non-local means along FLAIR and T1. The MRIs agree with the map. Deterministic, so it may be cached.

    Args:
        keys: entries that hold an int seed.
        slices: of a patient, 1.4 to 5.6 mm thick; half of them through a tumour if there is one.
        allow_missing_keys: leave items without the key alone.

    Output:
        in place of each key "coarse" (S, 46, 46), "sharp", "soft" and "mri" (S, 184, 184), half precision.
    """

    def __init__(self, keys: KeysCollection = "tissues", *, slices: int = 6, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.draw = VirtualSubjectd(
            "tissues",
            spatial_dims=2,
            matrix=VERY_FINE,
            field_of_view=(FIELD_OF_VIEW, FIELD_OF_VIEW),
            slices=slices,
            thickness=(1.4, 5.6),
            subsamples=(1, 1, 1),
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the maps."""
        out = dict(data)
        for key in self.key_iterator(out):
            seed = int(out.pop(key))
            rng = np.random.default_rng([seed, 2])
            slices = self.draw({"tissues": seed})["tissues"].float() / 255
            made = [published_maps(Tissues(*fractions), rng) for fractions in slices]
            out |= {name: torch.stack([m[name] for m in made]).half() for name in made[0]}
        return out


def published_maps(tissues: Tissues, rng: np.random.Generator, tau: float | None = None) -> dict[str, Tensor]:
    """One map by the paper's rule, on its grids.

    Args:
        tissues: (256, 256) each.
        rng: draws tau and the MRIs' grey values.
        tau: weight of the tumour; None: drawn.

    Returns:
        "coarse" (46, 46), "sharp", "soft" and "mri", the FLAIR, (184, 184), all of maximum about 1.
    """
    image = weighted_map(tissues, float(rng.choice(TUMOUR_WEIGHTS)) if tau is None else tau)
    grid = Grid((VERY_FINE, VERY_FINE), (FIELD_OF_VIEW / VERY_FINE,) * 2)
    sharp, coarse = resample(image, (FINE, FINE)), resample(image, (COARSE, COARSE))
    brain = resample(tissues.brain, (FINE, FINE)) > 0.5
    mris = []
    for contrast in ("flair", "t1"):
        fine = resample(mri(tissues, grid, contrast, rng), (FINE, FINE)) * brain
        top = torch.quantile(fine[brain], 0.99) if brain.any() else fine.new_tensor(1.0)
        mris.append(fine / top.clamp(min=1e-6))
    return {"coarse": coarse, "sharp": sharp, "soft": softened(coarse[None], mris, brain)[0], "mri": mris[0]}


def softened(coarse: Tensor, mris: list[Tensor], brain: Tensor) -> Tensor:
    """The paper's softer ground truth (B, 184, 184): a coarse map (B, 46, 46) sharpened along its MRIs (184, 184)."""
    features = mri_features([m[None] for m in mris], brain[None])
    return guided_non_local_means(
        coarse,
        FINE // COARSE,
        KSPACE,
        features,
        passes=SOFT_PASSES,
        window=SOFT_WINDOW,
        h_features=SOFT_WIDTHS,
        spread=SOFT_SPREAD,
    )


class RandPublishedPaird(RandomizableTransform):
    """Draw the paper's training pair from :class:`PublishedCohortd`: a crop, flipped.

    Args:
        truth: "sharp" or "soft".
        two_inputs: whether the MRI is the second.
        size: voxels a side of the crop, a random one; None: the whole slice, as it is.

    Output:
        "image" (1 or 2, size, size), the map interpolated by cubic polynomials, and the MRI; "label" (1, size, size).
    """

    def __init__(self, *, truth: str = "sharp", two_inputs: bool = False, size: int | None = 96) -> None:
        super().__init__(1.0)
        self.truth = truth
        self.two_inputs = two_inputs
        self.size = size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make one pair."""
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
    """Handler: the discriminator judges generated maps against the true ones.

    MONAI's AdversarialTrainer takes the input for the real image, as fits autoencoders, and names no loss. The trainer
    must be given ``event_names=[AdversarialIterationEvents]``, for it registers them only after its handlers attach.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(AdversarialIterationEvents.GENERATOR_MODEL_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Put the true maps in the place of the input, and name the loss."""
        output = engine.state.output
        output[AdversarialKeys.REALS] = output[CommonKeys.LABEL]  # type: ignore[index]
        output[CommonKeys.LOSS] = output[AdversarialKeys.RECONSTRUCTION_LOSS]  # type: ignore[index]


class SaveGenerator(SaveWeights):
    """Handler: measure a generator's root mean square error in tissue when its training ends, and write its weights.

    Must stand after ResumableTraining, which restores the weights that count.

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
    """Root mean square error where the true map is above :data:`TISSUE` of its maximum."""
    network.eval()
    device = next(network.parameters()).device
    total = count = 0.0
    for batch in batches:
        label = batch["label"]
        error = network(batch["image"].to(device)).cpu() - label
        tissue = label > TISSUE
        total, count = total + float(error[tissue].square().sum()), count + float(tissue.sum())
    return (total / max(1.0, count)) ** 0.5
