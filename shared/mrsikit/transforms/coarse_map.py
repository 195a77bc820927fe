"""Fine metabolite maps, the MRIs of the same head, and what a coarse acquisition measures of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import RandomizableTransform
from monai.utils import convert_to_tensor
from torch import Tensor

from mrsikit.synthesis.fields import waves
from mrsikit.synthesis.metabolites import RATIOS, SMALLEST_TISSUE, concentration_map, draw_concentrations, ratio_map
from mrsikit.synthesis.mri import mri
from mrsikit.synthesis.subject import Grid, Tissues
from mrsikit.transforms.metabolite_map import randomly_oriented

SPACING = 1.7
"""mm a fine voxel, for the texture of the MRIs."""


class RandFineMapd(RandomizableTransform):
    """Draw a metabolite on the fine grid, and FLAIR and T1 that need not agree with it.

    Physics: each tissue has one concentration with slow regional variation, and a voxel holds the mean of its tissues.
    Half of the maps follow the concentrations of patients with gliomas, NAA, tCr, tCho or a ratio of two; the others
    have any contrast. In half of the maps lesions that the MRIs do not show raise or lower the map, in a third the MRIs
    show some that the map does not; in a third the MRIs lie up to 3 voxels and 3 degrees off; in a quarter their
    contrast is another.

    Drawn: grey to white ratio U(.5, 1.6); tumour to white log-uniform .1 to 8; necrosis to tumour U(0, .3); fluid 0,
    one in six U(.02, .2); regional variation SD U(.02, .15) in half; lesions' mean radius U(1.2, 8) voxels, their map
    multiplied by U(0, .8) or 1.2 to 4.

    Args:
        tissues: key of the (S, 8, X, Y) uint8 tissues of :class:`VirtualSubjectd`; one of the S slices is drawn.
        size: voxels a side, cut from the middle.
        flair: share of the heads of which there is a FLAIR.
        t1: share of those of which there is a T1.

    Output:
        "map" and, where there are, "flair" and "t1", (size, size) float32; the map's maximum 1.
    """

    def __init__(self, tissues: str = "tissues", *, size: int = 120, flair: float = 1.0, t1: float = 1.0) -> None:
        super().__init__(1.0)
        self.tissues = tissues
        self.size = size
        self.shares = {"flair": flair, "t1": t1}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the images; the tissues are dropped."""
        out = dict(data)
        rng = np.random.default_rng(self.R.randint(2**31))
        stack = convert_to_tensor(out.pop(self.tissues))
        fractions = stack[rng.integers(len(stack))].float() / 255
        low = [(n - self.size) // 2 for n in fractions.shape[1:]]
        fractions = fractions[:, low[0] : low[0] + self.size, low[1] : low[1] + self.size]
        tissues = Tissues(*randomly_oriented(fractions, rng))
        image = self._map(tissues, rng)
        brain = tissues.brain > 0.5
        names = [name for name, share in self.shares.items() if rng.random() < share]
        contrasts = self._mris(tissues, names, rng)
        if rng.random() < 0.5:
            for _ in range(rng.integers(1, 4)):
                gain = rng.uniform(0, 0.8) if rng.random() < 0.4 else np.exp(rng.uniform(np.log(1.2), np.log(4)))
                image = image * (1 + (gain - 1) * lesion(image.shape, brain, rng))
        if rng.random() < 0.33:
            for _ in range(rng.integers(1, 4)):
                where = lesion(image.shape, brain, rng)
                contrasts = [c + (rng.uniform(0.1, 1.1) - c) * where * brain for c in contrasts]
        if rng.random() < 0.33 and contrasts:
            contrasts = _moved(torch.stack(contrasts), rng)
        out["map"] = image / image.max().clamp(min=1e-6)
        return out | {name: _scaled(c, brain) for name, c in zip(names, contrasts, strict=True)}

    @staticmethod
    def _map(tissues: Tissues, rng: np.random.Generator) -> Tensor:
        if rng.random() < 0.5:
            drawn = draw_concentrations(rng, str(rng.choice(["low", "high"])))
            name = str(rng.choice([*drawn, *RATIOS]))
            if name in RATIOS:
                numerator, denominator = (concentration_map(tissues, drawn[m]) for m in RATIOS[name])
                image = ratio_map(numerator, denominator)
            else:
                image = concentration_map(tissues, drawn[name])
        else:
            tumour = np.exp(rng.uniform(np.log(0.1), np.log(8)))
            csf = 0.0 if rng.random() < 0.83 else rng.uniform(0.02, 0.2)
            white = 1 + (rng.uniform(0.6, 1.4) - 1) * tissues.oedema
            image = rng.uniform(0.5, 1.6) * tissues.gm + white * tissues.wm + csf * tissues.csf
            image = image + tumour * (tissues.viable + rng.uniform(0, 0.3) * tissues.necrosis)
            present = tissues.gm + tissues.wm + tissues.tumour
            image = image * ((present >= SMALLEST_TISSUE) | (csf > 0))
        if rng.random() < 0.5:
            image = image * torch.exp(rng.uniform(0.02, 0.15) * _waves(image.shape, rng))
        return image

    @staticmethod
    def _mris(tissues: Tissues, names: list[str], rng: np.random.Generator) -> list[Tensor]:
        grid = Grid(tuple(tissues.gm.shape), (SPACING, SPACING))
        images = [mri(tissues, grid, contrast, rng) for contrast in names]
        if rng.random() < 0.25:
            # a monotone or folded curve of grey values stands for another protocol
            heights = rng.uniform(0, 1, 5)
            heights = np.sort(heights)[:: rng.choice([-1, 1])] if rng.random() < 0.6 else heights
            curve = [np.interp(image, np.linspace(0, 1.2, 5), heights) for image in images]
            images = [torch.from_numpy(c.astype(np.float32)) * (tissues.brain > 0.5) for c in curve]
        return images


def lesion(shape: tuple[int, ...], inside: Tensor, rng: np.random.Generator) -> Tensor:
    """Soft mask (X, Y) of an irregular blob of random size, 0 to 1, its centre drawn from ``inside``."""
    places = inside.nonzero()
    if len(places) == 0:
        return torch.zeros(shape)
    centre = places[rng.integers(len(places))].numpy()
    radius = rng.uniform(1.2, 8.0)
    x, y = (np.arange(n) - c for n, c in zip(shape, centre, strict=True))
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.8)
    along = x[:, None] * np.cos(turn) + y[None] * np.sin(turn)
    across = -x[:, None] * np.sin(turn) + y[None] * np.cos(turn)
    distance = np.hypot(along / np.sqrt(stretch), across * np.sqrt(stretch))
    distance = distance * (1 + rng.uniform(0, 0.35) * _waves(shape, rng, radius).numpy())
    edge = rng.uniform(0.2, 0.5) if rng.random() < 0.6 else rng.uniform(0.5, 0.5 * radius + 0.5)
    return torch.from_numpy((1 / (1 + np.exp(np.clip((distance - radius) / edge, -30, 30)))).astype(np.float32))


def _moved(images: Tensor, rng: np.random.Generator) -> list[Tensor]:
    """Shift images (C, X, Y) by up to 3 voxels and turn them by up to 3 degrees."""
    angle, shift = rng.uniform(-0.053, 0.053), rng.uniform(-3, 3, 2) * 2 / images.shape[-1]
    theta = torch.tensor([[np.cos(angle), -np.sin(angle), shift[0]], [np.sin(angle), np.cos(angle), shift[1]]])
    grid = F.affine_grid(theta[None].float(), [1, *images.shape], align_corners=False)
    return list(F.grid_sample(images[None].float(), grid, align_corners=False)[0])


def _scaled(image: Tensor, brain: Tensor) -> Tensor:
    """0 to about 1: the brightest hundredth of the brain is beyond 1."""
    inside = image[brain]
    top = torch.quantile(inside, 0.99) if inside.numel() else image.new_tensor(1.0)
    return (image / top.clamp(min=1e-6)).float()


def _waves(shape: tuple[int, ...], rng: np.random.Generator, length: float | None = None) -> Tensor:
    """Smooth unit-variance noise, correlated over ``length`` voxels, else about an eighth of the matrix."""
    step = max(2.0, shape[0] / 8 if length is None else length)
    return torch.from_numpy(waves(shape, [max(3, round(n / step)) for n in shape], rng))
