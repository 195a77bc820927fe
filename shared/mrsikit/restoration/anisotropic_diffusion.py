"""Anisotropic diffusion: smoothing that stops at the edges of the noisy map itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def anisotropic_diffusion(
    values: NDArray[np.floating], mask: NDArray[np.bool_], *, threshold: float = 0.1, iterations: int = 20
) -> NDArray[np.float64]:
    r"""Smooth a map by Perona-Malik diffusion.

    .. math:: u \leftarrow u + \tfrac{1}{2 n} \sum_v g(u_v - u)\,(u_v - u), \quad g(d) = e^{-(d/\kappa)^2}

    with the sum over the 2 n neighbours v of each voxel, n being the number of axes. Source: Perona and Malik 1990,
    doi:10.1109/34.56205.

    Args:
        values: (X, Y[, Z]) map, any unit.
        mask: same shape; no diffusion crosses its border.
        threshold: :math:`\kappa` as a share of the range of values inside the mask.
        iterations: number of steps.

    Returns:
        Smoothed map, unchanged outside the mask.
    """
    out = np.array(values, np.float64)
    if not mask.any():
        return out
    kappa = threshold * np.ptp(out[mask])
    if kappa == 0:
        return out
    rate = 1.0 / (2 * out.ndim)
    for _ in range(iterations):
        flow = np.zeros_like(out)
        for axis in range(out.ndim):
            first = tuple(slice(None, -1) if a == axis else slice(None) for a in range(out.ndim))
            second = tuple(slice(1, None) if a == axis else slice(None) for a in range(out.ndim))
            change = out[second] - out[first]
            along = np.exp(-((change / kappa) ** 2)) * change * (mask[first] & mask[second])
            flow[first] += along
            flow[second] -= along
        out += rate * flow
    return out
