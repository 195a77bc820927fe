"""Normalised Gaussian convolution: a weighted mean of the observed neighbours, widening where there are few."""

import numpy as np
from scipy import ndimage

from mrsikit.restoration.brain_mask import brain_outline
from mrsikit.restoration.inpainting.fill_missing import fill_missing

#: Share of a Gaussian's weight that must lie on data for its mean to be trusted fully; below it wider ones join in.
ENOUGH = 0.05


def gaussian(
    map: np.ndarray, missing: np.ndarray, *, brain: np.ndarray | None = None, sigma: float = 1.0
) -> np.ndarray:
    r"""Fill with the Gaussian-weighted mean of the observed voxels around, which averages noise out.

    .. math:: f_\sigma = \frac{G_\sigma * (w y)}{G_\sigma * w}, \qquad
              z_\sigma = c f_\sigma + (1 - c) z_{2 \sigma}, \qquad c = \min(1, (G_\sigma * w) / 0.05)

    with w = 1 on observed brain voxels and 0 elsewhere. Widths double until they span half the map; beyond them
    stands the mean of the data.

    Args:
        map: ``(X, Y)`` or ``(X, Y, Z)``, any unit.
        missing: same shape, True where missing; NaN and infinity in the map count as missing too.
        brain: same shape; if given, observed voxels inside it are the data and missing ones outside become 0. Without
            it, `brain_outline` of the observed voxels stands in, so that a ventricle's zeros count and the outside's
            do not; where that outline has nothing to give, missing voxels far outside get the brain's mean.
        sigma: width of the narrowest Gaussian, in voxels. The default is the best of .6, .8, 1 and 1.4 on 64x64 maps
            of signal-to-noise ratio 5 to 20 with 20 % of the brain missing.

    Returns:
        Filled map, float32, observed voxels bit-identical.

    Raises:
        ValueError: the map is not 2D or 3D, the shapes differ, or sigma is not above 0.

    References:
        Knutsson & Westin 1993, doi:10.1109/CVPR.1993.341081.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0 voxels, got {sigma}")

    def estimate(values: np.ndarray, data: np.ndarray, target: np.ndarray) -> np.ndarray:
        if brain is None and (values > 0).any():
            data = data & brain_outline(values)
        weights = data.astype(np.float64)
        weighted = weights * values
        result = np.full(values.shape, weighted.sum() / weights.sum())
        octaves = max(1, int(np.ceil(np.log2(max(values.shape) / 2 / sigma))))
        for width in sigma * 2.0 ** np.arange(octaves)[::-1]:
            near = ndimage.gaussian_filter(weights, width, mode="constant")
            total = ndimage.gaussian_filter(weighted, width, mode="constant")
            trust = np.minimum(near / ENOUGH, 1.0)
            local = np.divide(total, near, out=np.zeros_like(total), where=near > 0)
            result = trust * local + (1.0 - trust) * result
        return result

    return fill_missing(map, missing, brain, estimate)
