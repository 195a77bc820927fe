r"""Test of the sign of FIDs: whether their frequencies fall with the chemical shift, as NIfTI-MRS has them, or rise.

Some scanners and text files hold the conjugates of NIfTI-MRS's FIDs. Both signs are fitted, and the sum over the FIDs
of the differences of their log likelihoods says which is right:

.. math:: x = \sum_v \frac{R_v(\text{the other sign}) - R_v(\text{this sign})}{2 \sigma_v^2}

with the sums of squares :math:`R` that the fits leave and the noise :math:`\sigma`. Each bundle has its own fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

UNCLEAR = 1e-2
"""Chance of error above which the sign cannot be told."""

FLIPPED = 1e-3
"""Chance of error below which FIDs are conjugated; lower, because a wrong flip is worse than a warning."""

REAL = 1e-4
"""Share of the energy in the lesser of two orthogonal channels below which FIDs are real numbers."""

Finding = Literal["standard", "conjugate", "unclear", "real", "reference"]


@dataclass(frozen=True, kw_only=True)
class SignTest:
    """What FIDs say of their sign.

    Attributes:
        finding: the sign; or "unclear"; or "real": FIDs of real numbers, which have no sign; or "reference": the sign
            is the standard's, and the chemical shift of zero frequency is not what the file says.
        reference: chemical shift (ppm) of zero frequency that explains the FIDs better than the file's, or None.
        given: whether the user gave the sign, so that the FIDs were not asked.
    """

    finding: Finding
    reference: float | None = None
    given: bool = False


def chance_of_error(x: float, *, freedom: int, unexplained: float) -> float:
    r"""Largest chance that a sign is wrong although it fits better, from 0 to 1; 1 if it does not fit better.

    Two things can feign a difference x of the log likelihoods. The chance of error is the greater of the two:

    - *Noise*, where no line tells the signs apart. Then x is half the difference of two :math:`\chi^2` of m degrees of
      freedom, and exceeds its value with a probability of at most :math:`e^{-s x} (1 - s^2)^{-m / 2}`, for any s from 0
      to 1 (Chernoff's bound).
    - *A signal that neither sign explains*, such as a line that is not in the model. Then the chance is
      :math:`e^{-x / L}` with L the energy of the tallest line that is left, in the units of x.

    Args:
        x: sum over the FIDs of the differences of the log likelihoods.
        freedom: degrees of freedom m of the fits of all FIDs together.
        unexplained: energy L.
    """
    return max(_chernoff(x, freedom), math.exp(-max(0.0, x) / max(1.0, unexplained)))


def _chernoff(x: float, freedom: int) -> float:
    """Upper bound of the probability that half the difference of two chi-squares exceeds x."""
    if not x > 0:
        return 1.0
    s = (math.sqrt(freedom**2 + 4.0 * x**2) - freedom) / (2.0 * x)
    return math.exp(-s * x - 0.5 * freedom * math.log1p(-s * s))


def is_real(fids: Tensor) -> bool:
    """Whether FIDs (V, T) are real numbers stored as complex ones: one channel is empty, to the end of the FIDs."""
    tail = fids[:, -max(8, fids.shape[1] // 4) :]
    return _lesser_share(fids) < REAL and _lesser_share(tail) < REAL


def _lesser_share(fids: Tensor) -> float:
    """Share of the energy of FIDs that lies in the lesser of the two orthogonal channels that differ most."""
    values = fids.to(torch.complex128)
    energy = float((values.abs() ** 2).sum())
    return 0.0 if energy == 0 else 0.5 - 0.5 * float((values**2).sum().abs()) / energy


def sign_warnings(test: SignTest, *, reference: float, result: str) -> Iterator[str]:
    """Warnings of a test.

    Args:
        test: what the FIDs say.
        reference: chemical shift (ppm) of zero frequency that the file states or that was assumed.
        result: what the run makes, for example "maps".
    """
    if test.finding == "conjugate" and not test.given:
        yield (
            "the FIDs have the sign opposite to NIfTI-MRS's (chance of error under "
            f"{FLIPPED:.1%}): they were conjugated; --sign standard leaves them as they are"
        )
    elif test.finding == "unclear":
        yield "the sign of the FIDs cannot be told: NIfTI-MRS's was taken; set --sign standard or --sign conjugate"
    elif test.finding == "real":
        yield (
            f"the FIDs are real data stored as complex: every line has a mirror image, so the {result} are wrong; give "
            "both channels"
        )
    elif test.finding == "reference":
        yield (
            f"the spectrum fits a reference of {test.reference:.1f} ppm at zero frequency, not "
            f"{reference:g} ppm, so the {result} are wrong: correct SpecFreqChemShift (or RxOffset)"
        )
