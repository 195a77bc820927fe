"""Ratio kriging: predict the ratio of a map to another of its session, and multiply by what was measured of the other.

What the maps share, such as coil shading, loss of signal and partial volume with fluid, divides out. The ratio is even
where each map is not, so that it is predicted well. Where the other map failed, or changed by itself as at a lesion,
the product is wrong: whoever uses it must see to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsikit.restoration.inpainting.kriging import NEIGHBOURS, Covariance, SquareRoot, fit_covariance, kriging_weights

FEWEST_RATIOS = 40
"""Voxels known in both maps below which there is no ratio."""
LEAST = 1e-3
"""Share of its median up to which the other map counts as not known, because a ratio to it is no ratio."""


@dataclass(frozen=True)
class RatioKriging:
    """A map over another of its session, and how that ratio varies.

    Attributes:
        ratio: (X, Y[, Z]) root of the ratio, 0 where it is not known.
        known: same shape, True where both maps are known and above 0.
        other: same shape, the other map, NaN where it is not known or next to nothing.
        sides: (A,) voxel size along each axis.
        covariance: that of the root of the ratio.
        noise: (X, Y[, Z]) standard deviation of the root of the ratio by the map's bounds; None: the same everywhere.
    """

    ratio: NDArray[np.float64]
    known: NDArray[np.bool_]
    other: NDArray[np.float64]
    sides: NDArray[np.float64]
    covariance: Covariance
    noise: NDArray[np.float64] | None = None

    @classmethod
    def fit(
        cls,
        values: NDArray[np.float64],
        data: NDArray[np.bool_],
        other: NDArray[np.float64],
        spacing: Sequence[float] | NDArray[np.float64],
        *,
        bounds: NDArray[np.float64] | None = None,
    ) -> RatioKriging | None:
        """Fit to two maps; None if either has negative values, or too few voxels are known in both.

        Args:
            values: the map (X, Y[, Z]).
            data: same shape, True where it is known.
            other: same shape, the other map, NaN where it is not known.
            spacing: voxel size along each axis.
            bounds: same shape, standard deviation of the map's noise, such as the absolute Cramér-Rao bound; None: all
                alike.
        """
        if (values[data] < 0).any() or (other[np.isfinite(other)] < 0).any():
            return None
        positive = other[other > 0]
        least = LEAST * float(np.median(positive)) if positive.size else 0.0
        other = np.where(other > least, other, np.nan)
        known = data & np.isfinite(other) & (values > 0)
        if known.sum() < FEWEST_RATIOS:
            return None
        root, divisor = SquareRoot(used=True), np.where(known, other, 1.0)
        plain = np.where(known, values, 0.0) / divisor
        noise = None if bounds is None else root.deviation(plain, bounds / divisor)
        ratio = np.where(known, root(plain), 0.0)
        covariance = fit_covariance(ratio, known, spacing, bounds=noise)
        return cls(ratio, known, other, np.asarray(spacing, float), covariance, noise)

    def predict(
        self, data: NDArray[np.bool_], targets: NDArray[np.bool_], neighbours: int = NEIGHBOURS
    ) -> NDArray[np.float64]:
        """Predict the map at the targets (N,) from the data; NaN where the other map is not known.

        Args:
            data: (X, Y[, Z]), True where the map may be used.
            targets: same shape.
            neighbours: number of data voxels for each target.
        """
        data, out = data & self.known, np.full(int(targets.sum()), np.nan)
        if not data.any():
            return out
        there = np.isfinite(self.other[targets])
        wanted = np.argwhere(targets)[there]
        if len(wanted):
            noise = self.covariance.noise(None if self.noise is None else self.noise[data], int(data.sum()))
            weights = kriging_weights(
                self.covariance, np.argwhere(data), wanted, self.sides, noise=noise, neighbours=neighbours
            )
            known = self.ratio[data]
            out[there] = weights.predict(known).clip(known.min(), known.max()) ** 2 * self.other[targets][there]
        return out
