"""The virtual cohort of the glioma super-resolution paper: its maps, its grids and its two ground truths."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

from mrsikit.phantoms.metabolites import TUMOUR_WEIGHTS, weighted_map
from mrsikit.phantoms.mri import mri
from mrsikit.phantoms.subject import Grid, Tissues
from mrsikit.physics.kspace import resample
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.guided_non_local_means import guided_non_local_means
from mrsikit.restoration.non_local_means import mri_features
from mrsikit.transforms.virtual_subject import VirtualSubjectd

VERY_FINE, FINE, COARSE = 256, 184, 46
"""Matrix size (voxels per side) of the paper's three grids."""

FIELD_OF_VIEW = 256.0
"""Field of view (mm) along each side."""

SOFT_PASSES, SOFT_WINDOW, SOFT_WIDTHS, SOFT_SPREAD = 3, 9, (0.8, 0.2), 2.0
"""Settings of the non-local means that make the soft ground truth; see :func:`guided_non_local_means`."""


class LiCohortd(MapTransform):
    """Replace a seed by maps of the virtual patient with this seed, by the paper's rule and on its grids.

    Physics: a map 0.1 GM + 0.12 WM + tau tumour, scaled to a maximum of 1, on 256 x 256 voxels of 1 mm. Its k-space is
    cropped to 184 x 184 for the sharp ground truth and to 46 x 46 for the measured map. The soft ground truth is the
    super-resolution of the measured map by feature-based non-local means, guided by FLAIR and T1. The MRIs agree with
    the map. The transform is deterministic, so its output may be cached.

    Args:
        keys: entries that hold an int seed.
        slices: number of slices S per patient, 1.4 to 5.6 mm thick; half of them cut a tumour if there is one.
        allow_missing_keys: leave items without the key unchanged.

    Output:
        In place of each key: "coarse" (S, 46, 46), and "sharp", "soft" and "mri" (the FLAIR), each (S, 184, 184), half
        precision.
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
            made = [li_maps(Tissues(*fractions), rng) for fractions in slices]
            out |= {name: torch.stack([m[name] for m in made]).half() for name in made[0]}
        return out


def li_maps(tissues: Tissues, rng: np.random.Generator, tau: float | None = None) -> dict[str, Tensor]:
    """Make one map by the paper's rule, on its grids.

    Args:
        tissues: tissue fractions, each (256, 256).
        rng: random generator that draws tau and the MRIs' grey values.
        tau: weight of the tumour; None: drawn from 0.2, 0.3, ..., 0.8.

    Returns:
        "coarse" (46, 46), and "sharp", "soft" and "mri" (the FLAIR), each (184, 184), all with a maximum of about 1.
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
    """Make the paper's soft ground truth: super-resolution of a coarse map by non-local means guided by its MRIs.

    Args:
        coarse: measured map (B, 46, 46).
        mris: MRIs of the same head, each (184, 184).
        brain: brain mask (184, 184), bool.

    Returns:
        The super-resolved map (B, 184, 184).
    """
    features = mri_features([m[None] for m in mris], brain[None])
    return guided_non_local_means(
        coarse,
        SpatialEncoding("kspace", FINE // COARSE),
        features,
        passes=SOFT_PASSES,
        window=SOFT_WINDOW,
        h_features=SOFT_WIDTHS,
        spread=SOFT_SPREAD,
    )
