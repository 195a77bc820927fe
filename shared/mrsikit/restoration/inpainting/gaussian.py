"""Normalised Gaussian convolution: a weighted mean of the observed neighbours, wider where there are few."""

import numpy as np
from scipy import ndimage

from mrsikit.restoration.brain_mask import brain_outline
from mrsikit.restoration.inpainting.fill_missing import fill_missing

#: Share of a Gaussian's weight that must lie on data to use its mean alone; below it, wider Gaussians contribute.
ENOUGH = 0.05


def gaussian(
    map: np.ndarray, missing: np.ndarray, *, brain: np.ndarray | None = None, sigma: float = 1.0
) -> np.ndarray:
    r"""Fill with the Gaussian-weighted mean of the observed voxels nearby, which averages out noise.

    .. math:: f_\sigma = \frac{G_\sigma * (w y)}{G_\sigma * w}, \qquad
              z_\sigma = c f_\sigma + (1 - c) z_{2 \sigma}, \qquad c = \min(1, (G_\sigma * w) / 0.05)

    with w = 1 on observed brain voxels and 0 elsewhere. The widths double up to half the size of the map. For the next
    larger width, z is the mean of the data.

    Args:
        map: ``(X, Y)`` or ``(X, Y, Z)``, any unit.
        missing: same shape, True where missing; NaN and infinity in the map count as missing too.
        brain: same shape. If given, observed voxels inside it are the data, and missing voxels outside become 0.
            Otherwise `brain_outline` of the observed voxels replaces it, so that the zeros of a ventricle count as data
            and zeros outside the head do not; missing voxels far outside the outline get the mean of the brain.
        sigma: width of the narrowest Gaussian, in voxels. The default is the best of .6, .8, 1 and 1.4 on 64x64 maps
            with a signal-to-noise ratio of 5 to 20 and 20 % of the brain missing.

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
