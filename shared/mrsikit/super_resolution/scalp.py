"""Find out whether an MRI shows the scalp: a bright ring, beyond a dark gap, outside the outline of the map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage
from skimage.transform import warp_polar
from torch import Tensor

from mrsikit.restoration.resampling import image_on_grid

STEP = 2.0
"""The MRI is sampled every 2 mm or finer across the slices of the map."""

RAYS, SECTORS = 240, 24
"""Number of rays from the middle of the brain, and of the sectors over which their profiles are averaged."""

OUTERMOST, DEEP = 14.0, 40.0
"""The scalp's brightest part lies within 14 mm of the head's surface; profiles reach 40 mm deep."""

BRIGHT, DARK, DIP = 0.3, 0.45, 0.6
"""A scalp is brighter than 0.3 x the median of the brain; the gap is darker than 0.45 x that median and than 0.6 x the
scalp."""

SMALLEST = 3000.0
"""Slices in which the tissue spans less than 3000 square mm are not judged."""

RING = 0.35
"""An MRI shows the scalp if at least 35 % of the judged sectors do; chosen on BrainWeb 1 and MNI subjects, where
stripped MRIs of several contrasts had at most 17 %."""


def scalp_share(image: MetaTensor, tissue: Tensor, affine: Tensor) -> float:
    """Share of the directions from the middle of the brain in which an MRI shows the scalp.

    In each slice of the map, rays run from the middle of the tissue to the head's surface, the last place where the MRI
    is bright. A sector of rays shows the scalp if its median profile, from the surface inwards, is bright, then dark
    (skull), then bright again (brain), and if what lies beyond the dark gap is not tissue of the map. Sulci are no such
    gap: they do not run along the surface over a whole sector. A brain larger than the map's outline has no gap.

    Args:
        image: (1, X', Y'[, Z']) MRI with its affine, any unit.
        tissue: (X, Y, Z), True in the map's tissue.
        affine: (4, 4) of the map, voxel to mm.

    Returns:
        0 to 1; 0 if no slice can be judged.
    """
    sides = torch.linalg.vector_norm(affine[:3, :3].double(), dim=0).tolist()
    grid, shape = _square(affine, tissue.shape, sides)
    mri, covered = image_on_grid(image, shape, grid, points=(2, 2, 1))
    where = [
        np.minimum(((np.arange(n) + 0.5) * STEP / side).astype(int), size - 1)
        for n, side, size in zip(shape[:2], sides[:2], tissue.shape[:2], strict=True)
    ]
    brain = tissue.numpy()[np.ix_(*where)]
    values = np.where((covered.numpy() > 0.5) & np.isfinite(mri.numpy()), mri.numpy(), 0.0)
    signal = values[brain & (values > 0)]
    if not len(signal):
        return 0.0
    typical = float(np.median(signal))
    judged = [z for z in range(shape[2]) if brain[..., z].sum() * STEP**2 >= SMALLEST]
    shown = [_sectors_with_scalp(values[..., z] / typical, brain[..., z]) for z in judged]
    return float(np.mean(shown)) if shown else 0.0


def _square(affine: Tensor, shape: Sequence[int], sides: Sequence[float]) -> tuple[Tensor, tuple[int, int, int]]:
    """Affine and shape of a grid of square voxels of :data:`STEP` mm over the slices of a map."""
    finer = torch.eye(4, dtype=torch.float64)
    for axis in (0, 1):
        finer[axis, axis] = STEP / sides[axis]
        finer[axis, 3] = 0.5 * STEP / sides[axis] - 0.5
    return affine.double() @ finer, (
        math.ceil(shape[0] * sides[0] / STEP),
        math.ceil(shape[1] * sides[1] / STEP),
        shape[2],
    )


def _sectors_with_scalp(mri: np.ndarray, brain: np.ndarray) -> float:
    """Share of a slice's sectors that show the scalp; ``mri`` in units of the brain's median, both (X, Y)."""
    middle = ndimage.center_of_mass(brain)
    reach = math.ceil(math.hypot(*mri.shape))
    rays, tissue = (
        warp_polar(image, middle, radius=reach, output_shape=(RAYS, reach), order=1)
        for image in (ndimage.gaussian_filter(mri, 0.5), brain.astype(float))
    )
    bright = rays > BRIGHT
    surface = np.where(bright.any(1), reach - 1 - bright[:, ::-1].argmax(1), -1)
    index = surface[:, None] - np.arange(round(DEEP / STEP))
    rays, tissue = (
        np.where(index >= 0, np.take_along_axis(image, np.maximum(index, 0), 1), 0.0) for image in (rays, tissue)
    )
    rays = np.median(rays.reshape(SECTORS, -1, rays.shape[1]), 1)
    tissue = tissue.reshape(SECTORS, -1, tissue.shape[1]).mean(1)
    outermost = round(OUTERMOST / STEP)
    bright = 0
    for profile, inside in zip(rays, tissue, strict=True):
        top = int(profile[:outermost].argmax())
        gap = top + int(profile[top : 2 * outermost].argmin())
        bright += (
            profile[top] > BRIGHT
            and profile[gap] < min(DARK, DIP * profile[top])
            and profile[gap:].max() > BRIGHT
            and inside[: gap + 1].mean() < 0.5
        )
    return bright / SECTORS
