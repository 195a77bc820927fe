"""Simulate the defects of measured metabolite maps: missing voxels, and voxels that are wrong but not zero."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import RandomizableTransform
from scipy import ndimage

from mrsikit.phantoms.voxel_loss import PATTERNS, clusters, mixed, singles


class RandMissingVoxelsd(RandomizableTransform):
    """Remove voxels in mixed patterns, make a few voxels wrong, and draw which of this a user would know.

    Physics: fits fail singly and in clusters. Lipid signals spoil the rim next to the skull. The excitation slab and
    saturation bands cut off an edge. The frontal sinus distorts the field in a blob. An artefact leaves a value that is
    wrong but not zero. Fits fail in tumours as elsewhere but matter more there, so about a third of the maps with a
    tumour lose extra voxels at its edge. A user may give the whole mask of failed fits, a part of it (as NaN) or none,
    and a brain mask that is correct to about a voxel, or none.

    Drawn: the share of missing voxels uniformly from ``fraction``; one to four patterns; in about one map of eight
    0.3-4 % of the voxels wrong by a factor (0-0.4 or 1.6-6) or an offset (1-6 times white matter); the given mask as
    ``given`` states; a brain mask in half of the maps.

    Args:
        fraction: (lowest, highest) share of missing voxels, 0-1.
        given: shares of the maps that come with the whole mask and with a part of it, 0-1.

    Input:
        The entries of :class:`RandMetaboliteMapd`.

    Output:
        "image" (3, X, Y[, Z]): measured map with missing voxels at zero; observation mask (1 missing, 0 observed, -1
        unknown); brain mask (1 inside, 0 outside, -1 unknown). "label" (4, X, Y[, Z]): clean map; mask of the missing
        voxels (1 missing, 0 not); weight of the voxel in the detection loss (0 if its state is known or undecidable);
        reciprocal of the map's 99.8th percentile (at least 0.5).
    """

    def __init__(
        self, *, fraction: tuple[float, float] = (0.03, 0.35), given: tuple[float, float] = (0.45, 0.1)
    ) -> None:
        super().__init__(1.0)
        self.fraction = fraction
        self.given = given

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make "image" and "label" of one map."""
        rng = np.random.default_rng(self.R.randint(2**31))
        clean, measured, signal = data["clean"], data["measured"], data["signal"]
        brain, inside, noise = data["brain"], data["inside"], data["noise"]
        if signal.sum() < 12:
            signal = inside
        names = tuple(rng.permutation(list(PATTERNS))[: int(rng.integers(1, 5))])
        lost = mixed(signal, float(rng.uniform(*self.fraction)), rng, patterns=names)
        edge = signal & self._edge(data["tumour"])
        if edge.any() and rng.random() < 0.35:
            lost = lost | clusters(edge, float(rng.uniform(0.1, 0.5)), rng)
        target = lost.astype(np.float32)
        spoilt = measured.copy()
        if rng.random() < 0.12:
            wrong, spoilt = self._wrong(spoilt, signal & ~lost, rng)
            error = np.abs(spoilt - clean)
            target[wrong & (error < max(0.35, 4 * noise))] = -1
            target[wrong & (error >= max(0.35, 4 * noise))] = 1
        spoilt[lost] = 0
        observation = np.full(clean.shape, -1, np.float32)
        given = rng.random()
        if given < self.given[0]:
            observation = (target == 1).astype(np.float32)
        elif given < sum(self.given):
            observation[(target == 1) & (_blob(clean.shape, rng) > 0)] = 1
        observation[~inside] = 0
        known_brain = np.full(clean.shape, -1, np.float32)
        if rng.random() < 0.5:
            known_brain = self._brain(brain | (target == 1), inside, rng).astype(np.float32)
        known_brain[~inside] = 0
        # Zeros outside a known brain are not missing, and other values there were measured.
        observation[(known_brain == 0) & (observation < 0)] = 0
        # Filling a ventricle invents tissue, so zeros deep in the brain weigh most; those near the outline weigh less,
        # and those far outside, from which little can be learnt, least. Wrong values are rare, so correct values
        # weigh little.
        judge = np.where(ndimage.binary_dilation(brain, iterations=3), 0.5, 0.1)
        judge[ndimage.binary_erosion(brain, iterations=2)] = 8.0
        judge[(spoilt != 0) & (target != 1)] = 0.3
        judge[target == 1] = 1.0
        judge = judge * (observation < 0) * (target >= 0)
        peak = max(float(np.percentile(clean, 99.8)), 0.5)
        image = np.stack([np.where(observation == 1, 0, spoilt), observation, known_brain])
        label = np.stack([clean, target == 1, judge, np.full(clean.shape, 1 / peak)])
        return {
            "image": torch.from_numpy(image.astype(np.float32)),
            "label": torch.from_numpy(label.astype(np.float32)),
        }

    @staticmethod
    def _edge(tumour: np.ndarray) -> np.ndarray:
        """Mask of the voxels within two voxels of the tumour's edge."""
        if not tumour.any():
            return tumour
        return ndimage.binary_dilation(tumour, iterations=2) & ~ndimage.binary_erosion(tumour, iterations=2)

    @staticmethod
    def _wrong(values: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        draw = clusters if rng.random() < 0.5 else singles
        wrong = draw(where, float(rng.uniform(0.003, 0.04)), rng) if where.any() else where
        kind = rng.random()
        if kind < 0.4:
            values = np.where(wrong, values * rng.uniform(1.6, 6, values.shape), values)
        elif kind < 0.6:
            values = np.where(wrong, values * rng.uniform(0.0, 0.4, values.shape), values)
        else:
            values = np.where(wrong, values + rng.uniform(1, 6, values.shape), values)
        return wrong, values.astype(np.float32)

    @staticmethod
    def _brain(brain: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        brain = ndimage.binary_fill_holes(brain)
        kind = rng.random()
        if kind < 0.2:
            brain = ndimage.binary_dilation(brain)
        elif kind < 0.3:
            brain = ndimage.binary_erosion(brain)
        return brain & inside


def _blob(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return ndimage.gaussian_filter(rng.standard_normal(shape), 3)
