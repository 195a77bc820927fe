"""Biharmonic inpainting: the surface of least bending energy through the observed voxels."""

import numpy as np
from skimage.restoration import inpaint_biharmonic

from mrsikit.restoration.inpainting.dct import penalised_least_squares
from mrsikit.restoration.inpainting.fill_missing import fill_missing


def biharmonic(map: np.ndarray, missing: np.ndarray, *, brain: np.ndarray | None = None) -> np.ndarray:
    """Solve the biharmonic equation in the missing voxels with the observed voxels as boundary values.

    The function calls `skimage.restoration.inpaint_biharmonic` region by region on the map scaled to unit maximum,
    because the library's numerical safeguards assume about that range. The library clips the result to the observed
    range.

    Args:
        map: ``(X, Y)`` or ``(X, Y, Z)``, any unit.
        missing: same shape, True where missing; NaN and infinity in the map count as missing too.
        brain: same shape. If given, only observed voxels inside it are data. The outside is first replaced by the
            smooth continuation that `dct` finds, so that a missing rim continues the tissue; missing voxels outside
            become 0. Without ``brain``, zeros outside the head are observed values and pull a missing rim down. On maps
            whose border voxels fade to zero (partial volume), missing voxels in the interior are filled better without
            it.

    Returns:
        Filled map, float32, observed voxels bit-identical.

    Raises:
        ValueError: the map is not 2D or 3D, or the shapes differ.

    References:
        Damelin & Hoang 2018, doi:10.1155/2018/3950312.
    """

    def estimate(values: np.ndarray, data: np.ndarray, target: np.ndarray) -> np.ndarray:
        known = values if brain is None else np.where(data, values, penalised_least_squares(values, data))
        return inpaint_biharmonic(known, target, split_into_regions=True)

    return fill_missing(map, missing, brain, estimate)
