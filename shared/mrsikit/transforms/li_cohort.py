"""The virtual cohort of the glioma super-resolution paper: its maps, its grids and its two ground truths."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

from mrsikit.phantoms.metabolites import TUMOUR_WEIGHTS, weighted_map
from mrsikit.phantoms.mri import mri, scaled_to_brain
from mrsikit.phantoms.subject import Grid, Tissues, VirtualSubject
from mrsikit.physics.kspace import resample
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.guided_non_local_means import guided_non_local_means
from mrsikit.restoration.non_local_means import mri_features
from mrsikit.transforms.virtual_subject import VirtualSubjectd

VERY_FINE, FINE, COARSE = 256, 184, 46
"""Matrix size (voxels per side in plane) of the paper's three grids."""

SLICES = {VERY_FINE: 176, FINE: 128, COARSE: 32}
"""Number of slices of each of these grids. The paper's 9600 pairs are 75 patients times 128 slices."""

CENTRE = (0.0, -15.0, 18.0)
"""Middle (mm) of the volume, which holds the whole head."""

FIELD_OF_VIEW = 256.0
"""Field of view (mm) along each side."""

SOFT_PASSES, SOFT_WINDOW, SOFT_WIDTHS, SOFT_SPREAD = 3, 9, (0.8, 0.2), 2.0
"""Settings of the non-local means that make the soft ground truth; see :func:`guided_non_local_means`."""


class LiCohortd(MapTransform):
    """Replace a seed by maps of the virtual patient with this seed, by the paper's rule and on its grids.

    Physics: a map 0.1 GM + 0.12 WM + tau tumour, scaled to a maximum of 1, on 256 x 256 voxels of 1 mm. Its k-space is
    cropped to 184 x 184 for the sharp ground truth and to 46 x 46 for the measured map. With ``dims`` 3, as in the
    paper, all three axes are cropped, 256 x 256 x 176 to 184 x 184 x 128 and to 46 x 46 x 32 voxels, and every patient
    has a tumour; the measured slices are interpolated cubically to the 128 fine ones. The soft ground truth is the
    super-resolution of the measured map by feature-based non-local means, guided by FLAIR and T1, slice by slice. The
    MRIs show the same tissues, and oedema and small white-matter hyperintensities, which the map does not show. The
    transform is deterministic, so its output may be cached.

    Args:
        keys: entries that hold an int seed.
        dims: 3: whole heads, S = 128 slices per patient; 2: single slices, 1.4 to 5.6 mm thick, where the slice profile
            takes the place of the third axis.
        slices: number of slices S per patient for ``dims`` 2; half of them cut a tumour if there is one.
        allow_missing_keys: leave items without the key unchanged.

    Output:
        In place of each key: "coarse" (S, 46, 46), and "sharp", "soft" and "mri" (the FLAIR), each (S, 184, 184), half
        precision.
    """

    def __init__(
        self, keys: KeysCollection = "tissues", *, dims: int = 2, slices: int = 6, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.dims = dims
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
            if self.dims == 3:
                made = li_maps(VirtualSubject(seed, tumours=1).tissues(_grid(3)), rng)
                out |= {name: images.movedim(-1, 0).half() for name, images in made.items()}
                continue
            slices = self.draw({"tissues": seed})["tissues"].float() / 255
            each = [li_maps(Tissues(*fractions), rng) for fractions in slices]
            out |= {name: torch.stack([maps[name] for maps in each]).half() for name in each[0]}
        return out


def li_maps(tissues: Tissues, rng: np.random.Generator, tau: float | None = None) -> dict[str, Tensor]:
    """Make the maps of one slice or one head by the paper's rule, on its grids.

    Args:
        tissues: tissue fractions, each (256, 256), or (256, 256, 176).
        rng: random generator that draws tau and the MRIs' grey values.
        tau: weight of the tumour; None: drawn from 0.2, 0.3, ..., 0.8.

    Returns:
        "coarse" (46, 46), and "sharp", "soft" and "mri" (the FLAIR), each (184, 184), all with a maximum of about 1.
        For a head, all have a last axis of 128 slices: the measured slices are interpolated.
    """
    image = weighted_map(tissues, float(rng.choice(TUMOUR_WEIGHTS)) if tau is None else tau)
    shapes = {side: (side, side, SLICES[side])[: image.ndim] for side in (FINE, COARSE)}
    sharp, coarse = resample(image, shapes[FINE]), resample(image, shapes[COARSE])
    brain = resample(tissues.brain, shapes[FINE]) > 0.5
    mris = []
    for contrast in ("flair", "t1"):
        fine = resample(mri(tissues, _grid(image.ndim), contrast, rng), shapes[FINE]) * brain
        mris.append(scaled_to_brain(fine, brain))
    if image.ndim == 2:
        return {"coarse": coarse, "sharp": sharp, "soft": softened(coarse[None], mris, brain)[0], "mri": mris[0]}
    coarse = _between_slices(coarse)
    soft = [
        softened(coarse[None, ..., k], [image[..., k] for image in mris], brain[..., k])[0]
        for k in range(coarse.shape[-1])
    ]
    return {"coarse": coarse, "sharp": sharp, "soft": torch.stack(soft, -1), "mri": mris[0]}


def _grid(dims: int) -> Grid:
    """Return the grid of 1 mm voxels on which a map is made."""
    if dims == 2:
        return Grid((VERY_FINE, VERY_FINE), (FIELD_OF_VIEW / VERY_FINE,) * 2)
    return Grid((VERY_FINE, VERY_FINE, SLICES[VERY_FINE]), (FIELD_OF_VIEW / VERY_FINE,) * 3, CENTRE)


def _between_slices(coarse: Tensor) -> Tensor:
    """Interpolate (X, Y, Z) cubically along its last axis to the fine slices."""
    lines = coarse.flatten(0, 1)[:, None, None]
    factor = SLICES[FINE] / SLICES[COARSE]
    fine = F.interpolate(lines, scale_factor=[1.0, factor], mode="bicubic", align_corners=False)
    return fine.reshape(*coarse.shape[:2], -1)


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
