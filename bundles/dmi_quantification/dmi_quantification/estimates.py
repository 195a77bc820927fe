"""The result of an estimator, row by row, under names.

An estimator (:class:`dmi_quantification.network.FidLeastSquares`, or the network of the PRECISE-DMI paper) returns one
tensor of 3 K + 7 rows, because TorchScript and MONAI's inferers pass tensors. :class:`Estimates` is the one place that
knows which row is which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = TypeVar("Array", Tensor, NDArray[np.float64])


def number_of_rows(peaks: int) -> int:
    """Count the rows that an estimator returns for K = ``peaks`` lines."""
    return 3 * peaks + 7


@dataclass(frozen=True, kw_only=True)
class Estimates(Generic[Array]):
    """Estimates of K lines in V voxels; the attributes stand in the order of the rows.

    Every attribute is a view of the rows and has their type. Further axes of the rows, for example time points, follow
    the voxels. An estimator that gives amplitudes alone leaves all other rows at 0.

    Attributes:
        amplitude: (K, V) amplitude of each line in the first sample, in the unit of the FIDs.
        amplitude_sd: (K, V) standard deviation of each amplitude, in the same unit.
        covariance_with_first: (K, V) covariance of each amplitude with the first line's, in that unit squared.
        shift: (V,) frequency shift of all lines, in units of the largest shift that is sought.
        shift_sd: (V,) its standard deviation, in the same units.
        phase: (V,) phase of all lines (rad).
        broadening: (V,) full width at half maximum (FWHM) that each line gains, in the units of the shift.
        broadening_sd: (V,) its standard deviation, in the same units.
        noise_sd: (V,) standard deviation of the noise in each of the two channels, in the unit of the FIDs.
        explained: (V,) share of the FID's energy that the fit explains.
    """

    amplitude: Array
    amplitude_sd: Array
    covariance_with_first: Array
    shift: Array
    shift_sd: Array
    phase: Array
    broadening: Array
    broadening_sd: Array
    noise_sd: Array
    explained: Array

    @classmethod
    def from_rows(cls, rows: Array, peaks: int) -> Estimates[Array]:
        """Name the rows of an estimator's result.

        Args:
            rows: (3 K + 7, V) or (3 K + 7, V, ...), a tensor or an array.
            peaks: number K of lines.

        Raises:
            ValueError: the number of rows is not that of K lines.

        Example:
            >>> import torch
            >>> Estimates.from_rows(torch.zeros(19, 100), 4).amplitude.shape
            torch.Size([4, 100])
        """
        if len(rows) != number_of_rows(peaks):
            raise ValueError(f"{len(rows)} rows of estimates; {peaks} lines have {number_of_rows(peaks)}")
        single = 3 * peaks
        return Estimates(
            amplitude=rows[:peaks],
            amplitude_sd=rows[peaks : 2 * peaks],
            covariance_with_first=rows[2 * peaks : single],
            shift=rows[single],
            shift_sd=rows[single + 1],
            phase=rows[single + 2],
            broadening=rows[single + 3],
            broadening_sd=rows[single + 4],
            noise_sd=rows[single + 5],
            explained=rows[single + 6],
        )
