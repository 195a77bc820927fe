"""Phantoms for deuterium metabolic imaging: rings or a brain, with lesions visible in DMI, MRI, both or neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PEAKS = ("water", "Glc", "Glx", "Lac")
PROFILES = {1: (10.0, 1.5, 2.0, 1.0), 2: (10.0, 2.0, 2.5, 1.0), 3: (10.0, 2.0, 3.0, 1.0)}
"""Amplitudes (mM) of the peaks in each compartment, from the outermost to the innermost."""

LESION = (10.0, 2.0, 1.0, 3.0)
"""Amplitudes (mM) of the peaks in a lesion: less Glx and more lactate, as in high-grade tumours."""

MRI_LEVELS = {0: 0.0, 1: 0.35, 2: 0.6, 3: 0.85}
LESION_LEVEL = 1.0
FINER = 5
"""Number of MRI voxels along each side of a DMI voxel."""

SHOWN_BY = {"A": "neither", "B": "DMI", "C": "both", "D": "MRI"}
"""The four lesions of the PRECISE-DMI paper (Fig. 3) and the modality that shows them."""


@dataclass(frozen=True, kw_only=True)
class DmiPhantom:
    """Ground truth of one phantom.

    Attributes:
        compartments: (X, Y[, Z]) int labels 1 to 3, 0 outside.
        amplitudes: (X, Y[, Z], K) amplitudes (mM) of the K peaks :data:`PEAKS`.
        mri: noisy image on a grid :data:`FINER` times finer, from 0 to about 1.
        lesions: mask (X, Y[, Z]) of each lesion by its letter.
        spacing: side of a DMI voxel (mm).
        contrast: (X, Y[, Z], K) change of the amplitudes (mM) in a lesion; for a lesion that DMI does not show, the
            change it would have; 0 elsewhere.
    """

    compartments: NDArray[np.int_]
    amplitudes: NDArray[np.float32]
    mri: NDArray[np.float32]
    lesions: Mapping[str, NDArray[np.bool_]]
    spacing: float
    contrast: NDArray[np.float32]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Mask (X, Y[, Z]) of the voxels with signal."""
        return self.compartments > 0

    def interior(self, compartment: int, distance: int = 1) -> NDArray[np.bool_]:
        """Mask of the voxels of a compartment more than ``distance`` voxels from its edges and from lesions."""
        region = (self.compartments == compartment) & ~np.any(list(self.lesions.values()), axis=0)
        cube = np.ones((2 * distance + 1,) * region.ndim, bool)
        return ndimage.binary_erosion(region, cube)


def rings(
    *,
    matrix: int = 32,
    dims: int = 2,
    lesion: int = 2,
    contrast: float = 1.0,
    field_of_view: float = 160.0,
    mri_noise: float = 0.02,
    rng: np.random.Generator,
) -> DmiPhantom:
    """Make three rings (or shells) with four lesions in the second: Fig. 3 of the PRECISE-DMI paper.

    The paper prints that water is ten times lactate, and no other concentration. So all others are choices, as are the
    levels of the MRI. Lactate decays more slowly than water in this project, so its SNR is above the one that the paper
    states.

    Args:
        matrix: number of DMI voxels per side.
        dims: 2 or 3.
        lesion: side of a lesion in voxels.
        contrast: contrast of the lesions as a share of the full contrast, 0-1.
        field_of_view: field of view (mm) along each side.
        mri_noise: standard deviation of the MRI's noise, in units of the image, in which a lesion is 1.
        rng: random generator of the noise.
    """

    def labelled(size: int) -> NDArray[np.int_]:
        axes = np.meshgrid(*[(np.arange(size) + 0.5) / size - 0.5] * dims, indexing="ij")
        radius = np.sqrt(sum(axis**2 for axis in axes))
        return np.select([radius < 0.20, radius < 0.34, radius < 0.46], [3, 2, 1], 0)

    centre, out = matrix // 2, round(0.27 * matrix)
    middle = (centre,) * (dims - 1)
    places = {
        "A": (centre - out, *middle),
        "B": (centre, centre + out - 1, *middle[1:]),
        "C": (centre + out - 1, *middle),
        "D": (centre, centre - out, *middle[1:]),
    }
    return with_lesions(
        labelled(matrix),
        labelled(matrix * FINER),
        places,
        lesion=lesion,
        contrast=contrast,
        spacing=field_of_view / matrix,
        mri_noise=mri_noise,
        rng=rng,
    )


def with_lesions(
    compartments: NDArray[np.int_],
    fine: NDArray[np.int_],
    places: Mapping[str, Sequence[int]],
    *,
    lesion: int = 2,
    contrast: float = 1.0,
    spacing: float = 5.0,
    mri_noise: float = 0.02,
    rng: np.random.Generator,
) -> DmiPhantom:
    """Put the lesions A to D into any geometry.

    Args:
        compartments: (X, Y[, Z]) labels 0 to 3 on the grid of the DMI.
        fine: labels 0 to 3 on a grid :data:`FINER` times finer.
        places: centre of each lesion in DMI voxels, by its letter.
        lesion: side of a lesion in DMI voxels.
        contrast: contrast of the lesions as a share of the full contrast, 0-1.
        spacing: side of a DMI voxel (mm).
        mri_noise: standard deviation of the MRI's noise, in units of the image, in which a lesion is 1.
        rng: random generator of the noise.
    """
    amplitudes = np.zeros((*compartments.shape, len(PEAKS)), np.float32)
    mri = np.vectorize(MRI_LEVELS.get, otypes=[float])(fine)
    for label, profile in PROFILES.items():
        amplitudes[compartments == label] = profile
    masks = {}
    change = np.zeros_like(amplitudes)
    for letter, place in places.items():
        where = tuple(slice(p - lesion // 2, p - lesion // 2 + lesion) for p in place)
        mask = np.zeros(compartments.shape, bool)
        mask[where] = True
        masks[letter] = mask
        change[mask] = contrast * (np.array(LESION, np.float32) - amplitudes[mask])
        if SHOWN_BY[letter] in ("DMI", "both"):
            amplitudes[mask] += change[mask]
        if SHOWN_BY[letter] in ("MRI", "both"):
            mri[tuple(slice(s.start * FINER, s.stop * FINER) for s in where)] = LESION_LEVEL
    mri = np.maximum(mri + mri_noise * rng.standard_normal(mri.shape), 0).astype(np.float32)
    return DmiPhantom(
        compartments=compartments, amplitudes=amplitudes, mri=mri, lesions=masks, spacing=spacing, contrast=change
    )


def b0_map(shape: Sequence[int], *, largest: float = 20.0) -> NDArray[np.float32]:
    """Map of the frequency shift (Hz): a slow variation over the head and a strong one near an air-filled cavity.

    Args:
        shape: (X, Y[, Z]).
        largest: largest absolute shift (Hz).
    """
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    slow = 0.5 * axes[0] - 0.4 * axes[1] ** 2 + 0.2
    cavity = np.exp(-((axes[0] - 0.1) ** 2 + (axes[1] - 0.75) ** 2) / 0.05)
    field = 0.6 * slow + 1.4 * cavity
    return (largest * field / np.abs(field).max()).astype(np.float32)


def broadening_of(b0: NDArray[np.float32]) -> NDArray[np.float32]:
    """Extra linewidth (Hz) from a field gradient: the change of ``b0`` (Hz) over one voxel along the steepest axis."""
    return (np.max([np.abs(change) for change in np.gradient(b0)], axis=0)).astype(np.float32)


def b1_map(shape: Sequence[int], *, weakest: float = 0.5) -> NDArray[np.float32]:
    """Sensitivity map of a surface coil at one side, which falls from 1 to ``weakest`` along the second axis.

    Args:
        shape: (X, Y[, Z]).
        weakest: smallest sensitivity.
    """
    depth = np.linspace(0, 1, shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
    fall = np.exp(-1.5 * depth)
    fall = weakest + (1 - weakest) * (fall - fall.min()) / (fall.max() - fall.min())
    return np.broadcast_to(fall, shape).astype(np.float32)
