"""Check in three dimensions whether an MRI is shifted or turned against a volume of maps."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation
from torch import Tensor

from mrsikit.restoration.resampling import image_on_grid

logger = logging.getLogger(__name__)

SLICES, DEPTH = 3, 25.0
"""A volume has at least 3 slices that span at least 25 mm together."""

STEP = 4.0
"""The MRI is averaged over voxels of 4 mm before the search."""

MARGIN = 40.0
"""The MRI is taken up to 40 mm beyond the map."""

MOST_VOXELS = 2500
"""Largest number of coarse voxels that the search uses, evenly spread."""

STARTS = (-24.0, -12.0, 12.0, 24.0)
"""Shifts (mm) along and turns (degrees) about each axis at which the search starts, besides none."""

REFINED = 1
"""The search is refined from the start without any move and from the best other start."""

FARTHEST = 45.0
"""Moves beyond 45 mm or 45 degrees are not believed."""

MOVED = 7.0
"""An MRI is misplaced if it needs a shift of at least 7 mm or a turn of at least 7 degrees."""

BRIGHT = 0.2
"""Where the map shows no tissue but the MRI in place exceeds 0.2 x the level of its brain, tissue may be lost there.
Such voxels do not count."""

FITS_BETTER = 0.05
"""The move must lower the logarithm of the unexplained variance of a map by at least 0.05."""

BLOCK, CLEARLY = 20.0, 2.5
"""The sum of what the move explains must exceed 2.5 x its standard error, taken from its spread over blocks of 20 mm: a
gain in one place, such as a lesion, is no sign of a move. The three limits were chosen on BrainWeb 1 and MNI
subjects."""

NO_MOVE = (0.0,) * 6
"""What :func:`move_needed` returns for an MRI in place."""


def move_in_words(move: Sequence[float]) -> str:
    """Name the parts of a move that matter, in the patient's directions.

    Args:
        move: shift in mm to the right, to the front and up; turn in degrees about the same axes, as
            :func:`move_needed` returns them.
    """
    ways = (("to the right", "to the left"), ("to the front", "to the back"), ("to the head", "to the feet"))
    turns = (
        ("nose up", "nose down"),
        ("top of the head to the right", "top of the head to the left"),
        ("nose to the left", "nose to the right"),
    )
    moved, turned = _named(move[:3], ways, "mm"), _named(move[3:], turns, "degrees")
    parts = [f"moved {moved}"] * bool(moved) + [f"turned {turned}"] * bool(turned)
    return " and ".join(parts)


def _named(sizes: Sequence[float], names: Sequence[tuple[str, str]], unit: str) -> str:
    """Name the sizes of at least half of :data:`MOVED`; an empty string if together they are below :data:`MOVED`."""
    if np.linalg.norm(sizes) < MOVED:
        return ""
    least = MOVED / 2
    return ", ".join(
        f"{abs(size):.0f} {unit} {names[n][int(size < 0)]}" for n, size in enumerate(sizes) if abs(size) >= least
    )


def move_needed(maps: Tensor, tissue: Tensor, image: MetaTensor, affine: Tensor) -> tuple[float, ...]:
    """Find the rigid move that aligns an MRI with a volume of maps.

    For each move, each map is regressed on a constant, the MRI and its square at the voxels of and around the tissue,
    so the contrasts may differ, and the logarithms of the unexplained variances are added. The search starts from no
    move and from moves along and about each axis, and is refined by Powell's method. It draws nothing at random.

    Voxels without tissue where the MRI in place is bright do not count, because fits fail and excited volumes end
    inside the head: a move that takes the MRI away from a lost rim would seem to fit better.

    A search by ITK's mutual information would do, but loading ITK's registration takes 18 s and 1 GB.

    Args:
        maps: (M, X, Y, Z) coarse maps.
        tissue: (M, X, Y, Z), True in tissue.
        image: (1, X', Y', Z') MRI with its affine, any unit.
        affine: (4, 4) of the maps, voxel to mm.

    Returns:
        The move that the MRI needs, about the middle of the tissue: the shift in mm to the right, to the front and up,
        then the turn in degrees about the same axes (positive: nose up, top of the head to the right, nose to the
        left). It may fall short by some mm or degrees. :data:`NO_MOVE` if no move is large and clearly better, or if
        the maps have fewer slices than a volume.
    """
    affine = affine.double()
    sides = torch.linalg.vector_norm(affine[:3, :3], dim=0).numpy()
    if maps.shape[3] < SLICES or maps.shape[3] * sides[2] < DEPTH or not tissue.any():
        return NO_MOVE
    around = ndimage.binary_dilation(tissue.any(0).numpy(), np.ones((3, 3, 3), bool), iterations=2)
    index = np.argwhere(around)
    index = index[:: math.ceil(len(index) / MOST_VOXELS)]
    points = index @ affine[:3, :3].numpy().T + affine[:3, 3].numpy()
    low = points.min(0) - MARGIN
    shape = np.ceil((points.max(0) + MARGIN - low) / STEP).astype(int)
    grid = torch.diag(torch.tensor([STEP, STEP, STEP, 1.0], dtype=torch.float64))
    grid[:3, 3] = torch.from_numpy(low)
    mri, covered = (part.numpy() for part in image_on_grid(image, shape.tolist(), grid, points=(2, 2, 2)))
    mri = ndimage.gaussian_filter(np.where((covered > 0.5) & np.isfinite(mri), mri, 0.0), np.mean(sides) / STEP / 2.5)
    if not mri.any():
        return NO_MOVE
    mri = mri / np.quantile(mri[mri > 0.1 * mri.max()], 0.9)
    known, bright = (ndimage.map_coordinates(part, ((points - low) / STEP).T, order=1) for part in (covered, mri))
    counts = (known > 0.5) & (tissue.any(0).numpy()[tuple(index.T)] | (bright < BRIGHT))
    points, index = points[counts], index[counts]
    values = maps[:, index[:, 0], index[:, 1], index[:, 2]].double().numpy()
    values = values[values.std(1) > 0] if len(index) else values[:0]
    if not len(values):
        return NO_MOVE
    values = (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)
    middle = np.argwhere(tissue.any(0).numpy()).mean(0) @ affine[:3, :3].numpy().T + affine[:3, 3].numpy()
    return _search(values, points - middle, mri, middle - low)


def _search(values: np.ndarray, points: np.ndarray, mri: np.ndarray, middle: np.ndarray) -> tuple[float, ...]:
    """Search the move; standardised ``values`` (M, N) at ``points`` (N, 3) mm about ``middle`` mm of the ``mri``."""

    def residuals(move: np.ndarray) -> np.ndarray:
        where = points @ Rotation.from_rotvec(move[3:], degrees=True).as_matrix().T + move[:3] + middle
        visible = ndimage.map_coordinates(mri, where.T / STEP, order=1, mode="constant")
        regressors = np.stack([np.ones_like(visible), visible, visible**2])
        products = regressors @ regressors.T
        weights = np.linalg.solve(products + 1e-6 * np.trace(products) * np.eye(3), regressors @ values.T)
        return values - weights.T @ regressors

    def unexplained(move: np.ndarray) -> np.ndarray:
        return np.maximum(np.mean(residuals(move) ** 2, 1), 1e-12)

    def cost(move: np.ndarray) -> float:
        return float(np.log(unexplained(move)).sum())

    starts = [size * axis for axis in np.eye(6) for size in STARTS]
    best = min(
        (
            optimize.minimize(cost, start, method="Powell", options={"xtol": 0.1, "ftol": 1e-4, "direc": 4 * np.eye(6)})
            for start in [np.zeros(6), *sorted(starts, key=cost)[:REFINED]]
        ),
        key=lambda found: found.fun,
    ).x
    shift, turn = best[:3], best[3:]
    far = max(np.linalg.norm(shift), np.linalg.norm(turn))
    better = float(np.log(unexplained(np.zeros(6)) / unexplained(best)).max())
    gains = (residuals(np.zeros(6)) ** 2 - residuals(best) ** 2) / unexplained(best)[:, None]
    clearly = _over_standard_error(gains.sum(0), points)
    logger.debug(
        "rigid check: %s mm, %s degrees, logarithm lower by %.3f, %.1f standard errors",
        *(shift.round(1), turn.round(1), better, clearly),
    )
    if not MOVED <= far <= FARTHEST or better < FITS_BETTER or clearly < CLEARLY:
        return NO_MOVE
    # The MRI shows at R p + t what the map shows at p: it must turn back, and its middle must move back by t.
    back = Rotation.from_rotvec(-turn, degrees=True)
    return tuple(float(v) for v in (*-back.apply(shift), *-turn))


def _over_standard_error(gains: np.ndarray, points: np.ndarray) -> float:
    """Return the sum of ``gains`` (N,) at ``points`` (N, 3) mm over its standard error, from sums over blocks."""
    _, block = np.unique(np.round(points / BLOCK), axis=0, return_inverse=True)
    sums = np.bincount(block.ravel(), gains)
    if len(sums) < 2:
        return 0.0
    return float(sums.sum() / max(np.sqrt(len(sums) * sums.var(ddof=1)), 1e-12))
