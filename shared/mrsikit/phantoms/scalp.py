"""Skull and scalp around the brain of an MRI that was not skull-stripped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from mrsikit.phantoms.fields import waves

KNOT = 40.0
"""Thicknesses and brightness vary along the head over about 40 mm."""


@dataclass(frozen=True)
class Scalp:
    """What surrounds one virtual brain.

    Attributes:
        gap: mean distance (mm) from the brain to the scalp: fluid, meninges and skull.
        thickness: mean thickness (mm) of the scalp.
        brightness: signal of the scalp over the brightest tissue of the brain. Fat is brighter than the brain; with
            fat suppression the scalp is darker.
        marrow: signal of the marrow, in the middle third of the gap, over the same.
        bone: signal of bone and fluid over the same.
        variation: relative standard deviation of thicknesses and brightness along the head.
    """

    gap: float
    thickness: float
    brightness: float
    marrow: float = 0.1
    bone: float = 0.05
    variation: float = 0.15

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Scalp:
        """Draw an adult's head; skull and scalp as in Oostenveld and Praamstra 2001, doi:10.1016/S1388-2457(00)00527-7.

        The gap is 6 to 13 mm, the scalp 4 to 10 mm thick.
        """
        return cls(
            gap=float(rng.uniform(6, 13)),
            thickness=float(rng.uniform(4, 10)),
            brightness=float(rng.uniform(0.5, 1.6)),
            marrow=float(rng.uniform(0.03, 0.25)),
            bone=float(rng.uniform(0.01, 0.08)),
            variation=float(rng.uniform(0.05, 0.2)),
        )


def with_scalp(
    image: np.ndarray, brain: np.ndarray, spacing: Sequence[float], rng: np.random.Generator, scalp: Scalp | None = None
) -> np.ndarray:
    """Add skull and scalp to a skull-stripped MRI.

    The scalp is a shell at a distance from the brain; its distance, thickness and brightness vary smoothly. Marrow
    lies in the middle of the gap. Gaussian noise of 2 % is added there.

    Args:
        image: (X, Y) or (X, Y, Z) MRI, zero outside the brain, any unit.
        brain: mask of the brain, of the same shape.
        spacing: voxel size (mm) along each axis.
        rng: random generator.
        scalp: what to add; None: drawn.

    Returns:
        float32 image of the same shape.
    """
    scalp = Scalp.draw(rng) if scalp is None else scalp
    outside = ndimage.distance_transform_edt(~brain, sampling=spacing)
    knots = [max(3, round(n * side / KNOT)) for n, side in zip(image.shape, spacing, strict=True)]
    gap, thickness, brightness = (
        mean * np.clip(1 + scalp.variation * waves(image.shape, knots, rng), 0.4, 1.6)
        for mean in (scalp.gap, scalp.thickness, scalp.brightness)
    )
    marrow = abs(outside / gap - 0.6) < 1 / 6
    shell = np.where(outside < gap, np.where(marrow, scalp.marrow, scalp.bone), brightness)
    shell = shell + 0.02 * rng.standard_normal(image.shape)
    top = np.quantile(image[brain], 0.99)
    around = ~brain & (outside < gap + thickness)
    return np.where(around, top * abs(shell), image).astype(np.float32)
