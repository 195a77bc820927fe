"""Metabolite maps of random contrast, resolution and noise from a virtual patient's tissues."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import RandomizableTransform
from monai.utils import convert_to_tensor
from scipy import ndimage

from mrsikit.phantoms.fields import waves
from mrsikit.phantoms.metabolites import SMALLEST_TISSUE
from mrsikit.phantoms.subject import Tissues
from mrsikit.restoration.brain_mask import brain_outline


class RandMetaboliteMapd(RandomizableTransform):
    """Draw a metabolite, an acquisition and a noise level, and make the clean and the measured map.

    Physics: each tissue has one concentration with slow regional variation. A voxel averages its tissues, and the point
    spread function of the acquisition blurs the map. Some maps give the concentration per tissue instead of per voxel.
    Voxels with little tissue or outside the brain have no fit and are zero. The noise of the fit is Gaussian; it keeps
    its sign (30 %), is cut at zero as in non-negative fits (55 %), or is rectified (15 %).

    About one map in eight is a smooth field in an ellipse, as maps of other organs look at low resolution. One in ten
    was interpolated to a finer matrix after the fit, which also blurs its noise; its ground truth is the measured map.

    Drawn: grey to white matter ratio U(0.55, 1.3); oedema to white matter U(0.7, 1.3); tumour to white matter U(0.1, 1)
    in 30 %, else log-uniform from 1.2 to 8; necrosis to tumour 0 in half, else U(0, 0.3); CSF 0 in 85 %, else
    U(0.02, 0.15); smallest tissue fraction 5 % in 60 %, else U(0.01, 0.3); voxel size 1, 2 or 4 times that of the
    tissues; blur in half of the maps, SD U(0.3, 0.9) voxels; noise in 55 %, SD U(0.01, 0.3) of white matter.

    Args:
        tissues: key of the (S, 8, ...) uint8 tissues of :class:`VirtualSubjectd`; one of the S slices is drawn. Items
            without this key hold a measured map (M, X, Y[, Z]) under "map" instead. Then one metabolite and, in 2D, one
            slice are drawn and taken unchanged as ground truth.
        canvas: number of voxels per side of the result; smaller maps are embedded in it, larger ones cropped.
        factors: block sizes (voxels) by which the tissues are averaged; one is drawn.
        spatial_dims: number of spatial axes of the result; only measured maps need it.

    Output:
        "clean" and "measured": (X, Y[, Z]) float32 arrays, white matter about 1. Bool arrays of the same shape:
        "signal", where the map can have a value; "brain", inside the skull; "tumour", more than half tumour; "inside",
        within the matrix of the map. "noise": SD of the noise in the same unit as the maps.
    """

    def __init__(
        self, tissues: str, *, canvas: int, factors: tuple[int, ...] = (1, 2, 2, 2, 4), spatial_dims: int = 2
    ) -> None:
        super().__init__(1.0)
        self.spatial_dims = spatial_dims
        self.tissues = tissues
        self.canvas = canvas
        self.factors = factors

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the maps and drop the tissues."""
        out = dict(data)
        rng = np.random.default_rng(self.R.randint(2**31))
        if self.tissues not in out:
            clean, brain = self._own_map(out.pop("map"), rng)
            return self._embedded(out, clean, clean.copy(), clean != 0, brain, np.zeros_like(brain), noise=0.0, rng=rng)
        stack = out.pop(self.tissues)
        fractions = torch.as_tensor(stack[rng.integers(len(stack))]).float() / 255
        factor = int(rng.choice(self.factors))
        if factor > 1:
            pool = F.avg_pool2d if fractions.ndim == 3 else F.avg_pool3d
            fractions = pool(fractions[None], factor)[0]
        fractions = randomly_oriented(self._cropped(fractions, rng), rng)
        tissues = Tissues(*fractions)
        tumour = tissues.tumour.numpy() > 0.5
        if rng.random() < 0.12:
            clean, brain = _organ(tuple(fractions.shape[1:]), rng)
            tumour = np.zeros_like(brain)
        else:
            clean, brain = self._brain_map(tissues, rng)
        noise = 0.0 if rng.random() < 0.45 else float(rng.uniform(0.01, 0.3))
        signal = clean > 0
        noisy = signal | (brain if rng.random() < 0.5 else signal)
        measured = clean + noise * rng.standard_normal(clean.shape).astype(np.float32) * noisy
        rectify = rng.choice(["cut", "absolute", "signed"], p=[0.55, 0.15, 0.3])
        measured = {"cut": np.maximum(measured, 0), "absolute": np.abs(measured), "signed": measured}[str(rectify)]
        where = noisy if noise else signal
        if rng.random() < 0.1:
            measured = ndimage.gaussian_filter(measured, rng.uniform(0.6, 1.4)) * where
            clean, noise = measured.copy(), 0.0
        return self._embedded(out, clean, measured, where, brain, tumour, noise=noise, rng=rng)

    def _embedded(
        self,
        out: dict[Hashable, Any],
        clean: np.ndarray,
        measured: np.ndarray,
        signal: np.ndarray,
        brain: np.ndarray,
        tumour: np.ndarray,
        *,
        noise: float,
        rng: np.random.Generator,
    ) -> dict[Hashable, Any]:
        place = [self._place(n, rng) for n in clean.shape]
        inside = np.ones(clean.shape, bool)
        arrays = {"clean": clean, "measured": measured, "signal": signal, "brain": brain, "tumour": tumour}
        arrays["inside"] = inside
        return {**out, **{key: np.pad(array, place) for key, array in arrays.items()}, "noise": noise}

    def _own_map(self, maps: torch.Tensor, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw one of the user's maps, scaled to a median of 1, and its outline."""
        values = convert_to_tensor(maps)[rng.integers(len(maps))].nan_to_num(0, 0, 0)
        if values.ndim == 3 and self.spatial_dims == 2:
            filled = torch.nonzero((values != 0).flatten(0, 1).float().mean(0) > 0.05).flatten()
            values = values[..., int(filled[rng.integers(len(filled))]) if len(filled) else values.shape[-1] // 2]
        values = randomly_oriented(self._cropped(values[None], rng), rng)[0]
        positive = values[values > 0]
        clean = (values / positive.median() if len(positive) else values).numpy()
        return clean, brain_outline(np.abs(clean))

    def _cropped(self, fractions: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Crop at random to the canvas; crop about one in eight to a small window, as seen by a small coil."""
        window = min(fractions.shape[1], self.canvas)
        if rng.random() < 0.12:
            window = int(rng.integers(min(12, window), window + 1))
        for axis in range(1, fractions.ndim):
            size = fractions.shape[axis]
            side = min(size, window)
            low = int(rng.integers(0, size - side + 1))
            fractions = fractions.narrow(axis, low, side)
        return fractions

    def _place(self, size: int, rng: np.random.Generator) -> tuple[int, int]:
        low = int(rng.integers(0, self.canvas - size + 1))
        return low, self.canvas - size - low

    @staticmethod
    def _brain_map(tissues: Tissues, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        tumour = rng.uniform(0.1, 1.0) if rng.random() < 0.3 else np.exp(rng.uniform(np.log(1.2), np.log(8)))
        csf = 0.0 if rng.random() < 0.85 else rng.uniform(0.02, 0.15)
        white = 1 + (rng.uniform(0.7, 1.3) - 1) * tissues.oedema
        values = rng.uniform(0.55, 1.3) * tissues.gm + white * tissues.wm + csf * tissues.csf
        # Half of the necroses hold no metabolite; their zeros are no failed fits.
        necrosis = 0.0 if rng.random() < 0.5 else rng.uniform(0.0, 0.3)
        values = values + tumour * (tissues.viable + necrosis * tissues.necrosis)
        clean = values.numpy()
        brain = tissues.brain.numpy() > 0.5
        if rng.random() < 0.5:
            clean = clean * np.exp(rng.uniform(0.03, 0.15) * _waves(clean.shape, rng))
        tissue = (tissues.gm + tissues.wm + (tissues.tumour if necrosis > 0 else tissues.viable)).numpy()
        if rng.random() < 0.3:
            # Many pipelines report concentrations per tissue, not per voxel; edges then stay steep to the last voxel.
            clean = clean / np.maximum(tissue, SMALLEST_TISSUE) ** rng.uniform(0.3, 1.0)
        present = tissue >= (SMALLEST_TISSUE if rng.random() < 0.6 else rng.uniform(0.01, 0.3))
        if csf > 0:
            present = present | brain
        if rng.random() < 0.5:
            clean = ndimage.gaussian_filter(clean, rng.uniform(0.3, 0.9), mode="constant")
            # Blur fills ventricles and extends beyond the brain; most pipelines cut it at a brain or tissue mask.
            present = present if rng.random() < 0.3 else brain & (clean > 0.02 if rng.random() < 0.5 else brain)
        return (clean * present).astype(np.float32), brain


def _organ(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Smooth field in an ellipse with a wavy edge, which may exceed the matrix; returns the map and its mask."""
    axes = np.array([n * rng.uniform(0.2, 0.8) for n in shape]).reshape(-1, *[1] * len(shape))
    centre = np.array([n * rng.uniform(0.35, 0.65) for n in shape]).reshape(-1, *[1] * len(shape))
    inside = (((np.indices(shape) - centre) / axes) ** 2).sum(0) < 1 + 0.2 * _waves(shape, rng)
    sharpness = [max(0.8, n * rng.uniform(0.03, 0.2)) for n in shape]
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sharpness)
    field = np.exp(rng.uniform(0.2, 0.9) * field / max(field.std(), 1e-6))
    return (field * inside).astype(np.float32), inside


def _waves(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Smooth unit-variance noise with a knot every eight voxels."""
    return waves(shape, [max(3, n // 8) for n in shape], rng)


def randomly_oriented(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Flip images (C, X, Y[, Z]) along each axis and exchange X and Y, each with probability 0.5."""
    flips = [axis for axis in range(1, images.ndim) if rng.random() < 0.5]
    if rng.random() < 0.5:
        images = images.transpose(1, 2)
    return torch.flip(images, flips)
