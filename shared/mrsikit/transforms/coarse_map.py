"""Fine metabolite maps with lesions, and the MRIs of the same head, which need not agree with them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import RandomizableTransform, ResizeWithPadOrCrop
from monai.utils import convert_to_tensor
from torch import Tensor

from mrsikit.phantoms.fields import waves
from mrsikit.phantoms.lesion import lesion
from mrsikit.phantoms.metabolites import RATIOS, SMALLEST_TISSUE, concentration_map, draw_concentrations, ratio_map
from mrsikit.phantoms.mri import brain_quantile, mri, scaled_to_brain
from mrsikit.phantoms.shading import as_measured
from mrsikit.phantoms.subject import Grid, Tissues
from mrsikit.transforms.metabolite_map import randomly_oriented

SPACING = 1.7
"""Side of a fine voxel (mm), used for the texture of the MRIs."""

MOST_LESIONS = 5
"""Largest number of lesions drawn in one head, in addition to its tumours."""


class RandFineMapd(RandomizableTransform):
    """Draw a metabolite map on the fine grid, with a FLAIR and a T1 image that need not agree with it.

    Physics: each tissue has one concentration with slow regional variation, and a voxel holds the mean of its tissues.
    Half of the maps follow the concentrations of patients with gliomas: NAA, tCr, tCho or a ratio of two. The others
    have an arbitrary contrast. Four of five heads have one to five lesions; of these, 40 % are in the map alone, 40 %
    in the MRIs alone and 20 % in both. In a quarter of the heads the MRIs are shifted by up to 3 voxels and rotated by
    up to 3 degrees. In a fifth they have another contrast.

    Drawn for an arbitrary contrast: grey to white matter ratio U(0.5, 1.6); oedema to white matter U(0.6, 1.4); tumour
    to white matter log-uniform from 0.1 to 8; necrosis to tumour U(0, 0.3); CSF 0, in one map of six U(0.02, 0.2).

    Drawn for all maps: regional variation with SD U(0.02, 0.15) in half of the maps; the shapes of the lesions by
    :func:`mrsikit.phantoms.lesion.lesion`. In the map, two in five lesions multiply the value by U(0, 0.8). The others,
    with equal probability, multiply it by a log-uniform factor from 1.2 to 4 or add U(0.2, 1.2) times the map's 90th
    percentile. In the MRIs, half of the lesions take the grey values of a random place in the brain (in heads with a
    tumour, half of these of a place in the tumour), and half take arbitrary grey values. Half of the lesions are
    opaque; the others let U(0, 0.5) of the anatomy show through.

    Args:
        tissues: key of the (S, 8, X, Y) uint8 tissues of :class:`VirtualSubjectd`; one of the S slices is drawn. Items
            without this key hold a measured fine map (M, X, Y[, Z]) under "map" instead. Then one metabolite and one
            slice are drawn, and there is no MRI.
        size: number of voxels per side of the result, cropped from the middle.
        flair: share of the heads that have a FLAIR image.
        t1: share of the heads that have a T1 image.
        agreeing: draw as the published cohorts do: only the concentrations of gliomas, without regional variation or
            further lesions, and MRIs that agree with the map.
        measured: share of the maps that look like measured ones, see :func:`mrsikit.phantoms.shading.as_measured`.

    Output:
        "map" and, if present, "flair" and "t1", each (size, size) float32; the map has a maximum of 1. "lesions"
        (2 :data:`MOST_LESIONS`, size, size): the fraction of each voxel that each lesion occupies, first the lesions of
        the map, then those that only the MRIs show; 0 for unused channels and in CSF.
    """

    def __init__(
        self,
        tissues: str = "tissues",
        *,
        size: int = 120,
        flair: float = 1.0,
        t1: float = 1.0,
        agreeing: bool = False,
        measured: float = 0.0,
    ) -> None:
        super().__init__(1.0)
        self.tissues = tissues
        self.size = size
        self.shares = {"flair": flair, "t1": t1}
        self.agreeing = agreeing
        self.measured = measured

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the images and drop the tissues."""
        out = dict(data)
        rng = np.random.default_rng(self.R.randint(2**31))
        out["lesions"] = torch.zeros(2 * MOST_LESIONS, self.size, self.size)
        if self.tissues not in out:
            return {**out, "map": self._own_map(convert_to_tensor(out["map"]), rng)}
        stack = convert_to_tensor(out.pop(self.tissues))
        fractions = stack[rng.integers(len(stack))].float() / 255
        low = [(n - self.size) // 2 for n in fractions.shape[1:]]
        fractions = fractions[:, low[0] : low[0] + self.size, low[1] : low[1] + self.size]
        tissues = Tissues(*randomly_oriented(fractions, rng))
        brain = tissues.brain > 0.5
        names = [name for name, share in self.shares.items() if rng.random() < share]
        grid = Grid(tuple(tissues.gm.shape), (SPACING, SPACING))
        contrasts = [mri(tissues, grid, contrast, rng) for contrast in names]
        if self.agreeing:
            image = _glioma_map(tissues, rng)
        else:
            image, contrasts, out["lesions"] = self._disagreeing(tissues, brain, contrasts, rng)
        if self.measured and rng.random() < self.measured:
            image = as_measured(image, brain, SPACING, rng)
        out["map"] = image / image.max().clamp(min=1e-6)
        return out | {name: scaled_to_brain(c, brain) for name, c in zip(names, contrasts, strict=True)}

    def _own_map(self, maps: Tensor, rng: np.random.Generator) -> Tensor:
        """Draw one slice of a measured map (M, X, Y[, Z]), scaled to a maximum of 1 and centred in (size, size)."""
        volumes = maps if maps.ndim == 4 else maps[..., None]
        planes = volumes.float().nan_to_num(0.0, 0.0, 0.0).movedim(-1, 1).flatten(0, 1)
        cut = convert_to_tensor(ResizeWithPadOrCrop((self.size, self.size))(planes))
        filled = torch.nonzero(cut.flatten(1).amax(1) > 0).flatten().tolist() or [0]
        plane = randomly_oriented(cut[[filled[rng.integers(len(filled))]]], rng)[0]
        return plane / plane.max().clamp(min=1e-6)

    @staticmethod
    def _disagreeing(
        tissues: Tissues, brain: Tensor, contrasts: list[Tensor], rng: np.random.Generator
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        image = _glioma_map(tissues, rng) if rng.random() < 0.5 else _any_map(tissues, rng)
        if rng.random() < 0.5:
            image = image * torch.exp(rng.uniform(0.02, 0.15) * _waves(image.shape, rng))
        if rng.random() < 0.2:
            contrasts = _other_contrast(contrasts, brain, rng)
        if rng.random() < 0.25 and contrasts:
            contrasts = _moved(torch.stack(contrasts), rng)
        lesions = torch.zeros(2 * MOST_LESIONS, *image.shape)
        if rng.random() < 0.8:
            for k in range(rng.integers(1, MOST_LESIONS + 1)):
                where = lesion(image.shape, brain, rng) * (tissues.gm + tissues.wm + tissues.tumour)
                shown_in = str(rng.choice(["map", "mri", "both"], p=[0.4, 0.4, 0.2]))
                if shown_in != "mri":
                    image = _changed(image, where, brain, rng)
                if shown_in != "mri" or contrasts:
                    lesions[k + MOST_LESIONS * (shown_in == "mri")] = where
                if shown_in != "map":
                    contrasts = _shown(contrasts, where, tissues, brain, rng)
        return image, contrasts, lesions


def _glioma_map(tissues: Tissues, rng: np.random.Generator) -> Tensor:
    """Map of NAA, tCr or tCho (mM), or of a ratio of two, of a patient with a glioma."""
    drawn = draw_concentrations(rng, str(rng.choice(["low", "high"])))
    name = str(rng.choice([*drawn, *RATIOS]))
    if name in RATIOS:
        over, under = RATIOS[name]
        return ratio_map(concentration_map(tissues, drawn[over]), concentration_map(tissues, drawn[under]))
    return concentration_map(tissues, drawn[name])


def _any_map(tissues: Tissues, rng: np.random.Generator) -> Tensor:
    """Map with an arbitrary contrast between the tissues; white matter is 1."""
    tumour = np.exp(rng.uniform(np.log(0.1), np.log(8)))
    csf = 0.0 if rng.random() < 0.83 else rng.uniform(0.02, 0.2)
    white = 1 + (rng.uniform(0.6, 1.4) - 1) * tissues.oedema
    image = rng.uniform(0.5, 1.6) * tissues.gm + white * tissues.wm + csf * tissues.csf
    image = image + tumour * (tissues.viable + rng.uniform(0, 0.3) * tissues.necrosis)
    return image * ((tissues.gm + tissues.wm + tissues.tumour >= SMALLEST_TISSUE) | (csf > 0))


def _other_contrast(images: list[Tensor], brain: Tensor, rng: np.random.Generator) -> list[Tensor]:
    """Give MRIs another contrast: map their grey values through a random curve, monotone or not."""
    heights = rng.uniform(0, 1, 5)
    heights = np.sort(heights)[:: rng.choice([-1, 1])] if rng.random() < 0.6 else heights
    curve = [np.interp(image, np.linspace(0, 1.2, 5), heights) for image in images]
    return [torch.from_numpy(c.astype(np.float32)) * brain for c in curve]


def _changed(image: Tensor, where: Tensor, brain: Tensor, rng: np.random.Generator) -> Tensor:
    """Add a lesion to a map (X, Y)."""
    if rng.random() < 0.4:
        return image * (1 + (rng.uniform(0, 0.8) - 1) * where)
    if rng.random() < 0.5:
        return image * (1 + (np.exp(rng.uniform(np.log(1.2), np.log(4))) - 1) * where)
    return image + rng.uniform(0.2, 1.2) * brain_quantile(image, brain, 0.9) * where


def _shown(
    images: list[Tensor], where: Tensor, tissues: Tissues, brain: Tensor, rng: np.random.Generator
) -> list[Tensor]:
    """Add a lesion to MRIs (X, Y)."""
    tumour = tissues.tumour > 0.5
    places = (tumour if tumour.any() and rng.random() < 0.5 else brain).nonzero()
    place = tuple(places[rng.integers(len(places))]) if len(places) and rng.random() < 0.5 else None
    opacity = 1.0 if rng.random() < 0.5 else rng.uniform(0.5, 1.0)
    greys = [float(image[place]) if place else rng.uniform(0.1, 1.1) for image in images]
    return [image + opacity * (grey - image) * where for image, grey in zip(images, greys, strict=True)]


def _moved(images: Tensor, rng: np.random.Generator) -> list[Tensor]:
    """Shift images (C, X, Y) by up to 3 voxels and rotate them by up to 3 degrees."""
    angle, shift = rng.uniform(-0.053, 0.053), rng.uniform(-3, 3, 2) * 2 / images.shape[-1]
    theta = torch.tensor([[np.cos(angle), -np.sin(angle), shift[0]], [np.sin(angle), np.cos(angle), shift[1]]])
    grid = F.affine_grid(theta[None].float(), [1, *images.shape], align_corners=False)
    return list(F.grid_sample(images[None].float(), grid, align_corners=False)[0])


def _waves(shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """Smooth unit-variance noise, correlated over about an eighth of the matrix."""
    step = max(2.0, shape[0] / 8)
    return torch.from_numpy(waves(shape, [max(3, round(n / step)) for n in shape], rng))
