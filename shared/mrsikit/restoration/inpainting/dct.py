"""Penalised least squares in the cosine domain, with missing data."""

import numpy as np
from scipy.fft import dctn, idctn

from mrsikit.restoration.inpainting.fill_missing import fill_missing, nearest_data


def dct(map: np.ndarray, missing: np.ndarray, *, brain: np.ndarray | None = None, iterations: int = 100) -> np.ndarray:
    r"""Fill by Garcia's penalised least squares, with a smoothness penalty that decreases at each iteration.

    .. math:: z \leftarrow \mathrm{IDCT}\left(\Gamma \, \mathrm{DCT}(W (y - z) + z)\right), \quad
              \Gamma = \frac{1}{1 + s \Lambda^2}, \quad \Lambda_k = \sum_d 2 - 2 \cos(\pi k_d / n_d)

    with W = 1 on data and 0 elsewhere. s decreases logarithmically from 1e3 to 1e-3, and z starts from the nearest
    observed value.

    Args:
        map: ``(X, Y)`` or ``(X, Y, Z)``, any unit.
        missing: same shape, True where missing; NaN and infinity in the map count as missing too.
        brain: same shape. If given, W = 0 outside it too, so that the smooth surface continues there freely, and
            missing voxels outside become 0. Otherwise zeros outside the head are data.
        iterations: number of iterations, one for each value of s.

    Returns:
        Filled map, float32, observed voxels bit-identical.

    Raises:
        ValueError: the map is not 2D or 3D, the shapes differ, or iterations is below 1.

    References:
        Garcia 2010, doi:10.1016/j.csda.2009.09.020; Wang et al. 2012, doi:10.1016/j.envsoft.2011.10.015.
    """
    if iterations < 1:
        raise ValueError(f"at least 1 iteration is needed, got {iterations}")
    return fill_missing(
        map, missing, brain, lambda values, data, target: penalised_least_squares(values, data, iterations=iterations)
    )


def penalised_least_squares(values: np.ndarray, data: np.ndarray, *, iterations: int = 100) -> np.ndarray:
    """Return the smooth surface of `dct` at every voxel, including the data voxels; ``data`` must not be empty."""
    eigenvalues = np.ix_(*(2 - 2 * np.cos(np.pi * np.arange(size) / size) for size in values.shape))
    penalty = sum(eigenvalues, np.zeros(values.shape)) ** 2
    z = nearest_data(values, data)
    for s in np.logspace(3, -3, iterations):
        z = idctn(dctn(np.where(data, values, z)) / (1 + s * penalty))
    return z
