"""A head measured coarse and fine, sodium MRI: nothing is harmed or moved.

The fine image is itself noisy and lies beside the coarse one, so this is no ranking. Each method's image is moved to
where it is most alike, and how far it had to be moved is compared with cubic interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage, optimize

from benchmark import Context
from mrsi_super_resolution import predict
from mrsikit.io import read_map
from mrsikit.physics.spatial_encoding import SpatialEncoding, cubic
from mrsikit.restoration.total_variation import total_variation
from mrsikit.super_resolution.network import TV_STRENGTH
from result_tables import Table

SET, CONDITION = "sodium", "measured coarse and fine"
LIKENESS, MOVED = "correlation with the fine image", "moved beside cubic, fine voxels"
FACTOR, CORNER, RICIAN = 4, 7, 0.655
"""The images are magnitudes: noise of unit standard deviation has one of .655 where there is no signal."""

FARTHEST = 4


def sodium(context: Context) -> None:
    """Likeness to the fine image and place of each method's image."""
    folder = context.data / "sodium_coarse_fine"
    coarse, fine = (np.squeeze(read_map(folder / f"Na_{kind}_2D.nii.gz")[0]) for kind in ("lr", "hr"))
    coarse = coarse / coarse.max()
    rows = slice(None, CORNER), slice(-CORNER, None)
    noise = float(np.std([coarse[a, b] for a in rows for b in rows]) / RICIAN)
    y = torch.from_numpy(coarse).float()[None]
    encoding = SpatialEncoding("kspace", FACTOR)
    images = {
        "bicubic": cubic(y, FACTOR)[0].numpy(),
        "zero filling": encoding.interpolate(y)[0].numpy(),
        "TV": total_variation(y, encoding, strength=TV_STRENGTH * noise)[0].numpy(),
        "ours, no MRI, not checked": predict(coarse, psf="kspace", noise=noise, check=False).sr,
        "ours, no MRI": predict(coarse, psf="kspace", noise=noise).sr,
    }
    head = ndimage.gaussian_filter(fine, 2) > 0.25 * np.percentile(fine, 99)
    inside = ndimage.binary_erosion(head, iterations=3)
    place = {}
    for method, image in images.items():
        likeness, place[method] = _best(image, fine, inside)
        context.add(SET, CONDITION, method, LIKENESS, [likeness])
        context.add(SET, CONDITION, method, MOVED, [float(np.linalg.norm(place[method] - place["bicubic"]))])


def _best(image: np.ndarray, fine: np.ndarray, inside: np.ndarray) -> tuple[float, np.ndarray]:
    """Highest correlation over all shifts, and that shift in voxels of the fine image."""

    def unlike(shift: Sequence[float]) -> float:
        at = [(np.arange(n) + 0.5 + s) * m / n - 0.5 for n, m, s in zip(fine.shape, image.shape, shift, strict=True)]
        moved = ndimage.map_coordinates(image, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")
        return -float(np.corrcoef(moved[inside], fine[inside])[0, 1])

    shifts = range(-FARTHEST, FARTHEST + 1)
    start = min(([a, b] for a in shifts for b in shifts), key=unlike)
    found = optimize.minimize(unlike, start, method="Nelder-Mead", options={"xatol": 0.01})
    return -found.fun, found.x


PARTS = {"sodium": sodium}

TABLES = [
    Table("A head measured coarse and fine: sodium", CONDITION, {LIKENESS: "%.3f", MOVED: "%.2f"},
          "One slice, 42x42 and 160x160. The likeness is limited by the fine image's noise and by the coarse one's "
          "wide point spread. The noise is that of the corners."),
]  # fmt: skip
