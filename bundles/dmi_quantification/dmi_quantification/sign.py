r"""Tell the sign of FIDs: whether their frequencies fall with the chemical shift, as NIfTI-MRS has them, or rise.

Some scanners and text files hold the conjugates of NIfTI-MRS's FIDs. Both signs are fitted, and the sum over the FIDs
of the differences of their log likelihoods says which is right:

.. math:: x = \sum_v \frac{R_v(\text{the other sign}) - R_v(\text{this sign})}{2 \sigma_v^2}

with the sums of squares :math:`R` that the fits leave and the noise :math:`\sigma` of the better fit. Two things can
feign such a difference. The chance of error is the greater of the two:

- *Noise*, where no line tells the signs apart. Then a term is half the difference of two :math:`\chi^2` of m degrees of
  freedom, and the sum over V FIDs exceeds x with a probability of at most
  :math:`e^{-s x} (1 - s^2)^{-m V / 2}`, for any s from 0 to 1 (Chernoff's bound).
- *A signal that neither sign explains*, such as a line that is not in the model. Then the chance is :math:`e^{-x / L}`
  with L the energy of the tallest line that is left, in the units of x.

A wrong reference, such as that of a transmitter on glucose, can look like the wrong sign. So the standard's sign is
tried at other references too, and FIDs are conjugated only if none of them explains the spectrum as well.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dmi_quantification.acquisition import acquisition_rows, real_and_imaginary
from dmi_quantification.estimates import Estimates
from dmi_quantification.network import FidLeastSquares
from dmi_quantification.residual import examine
from mrsikit.physics import spectra
from mrsikit.physics.fid_model import FidModel

UNCLEAR = 1e-2
"""Chance of error above which the sign cannot be told."""

FLIPPED = 1e-3
"""Chance of error below which FIDs are conjugated; lower, because a wrong flip is worse than a warning."""

FEWER_FIDS = 64
"""Largest number of FIDs at which other delays and references are tried: those of the most energy."""

CHUNK = 512
"""Number of FIDs that are fitted at a time."""

REFERENCES = 2.5
"""Largest error of the reference (ppm) that is looked for: to that of a transmitter on Glx."""

LATEST = 3e-3
"""Longest delay (s) that is tried where the stated one may be wrong."""

AXIS = 0.5
"""Distance (ppm) from zero frequency within which the signs look alike."""

FAINTEST = 0.05
"""Share of the first line that another line must have to count: the foot of an uneven water line mimics one."""

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


def find_sign(fids: Tensor, model: FidModel, *, max_shift: float) -> SignTest:
    """Compare FIDs with the model in both signs.

    Args:
        fids: (V, T), complex.
        model: of FIDs of the standard's sign, with all lines that the FIDs may hold; its first line is the reference.
        max_shift: largest frequency shift (ppm).
    """
    if not len(fids) or not bool(torch.isfinite(torch.view_as_real(fids)).all()):
        return SignTest(finding="unclear")
    if is_real(fids):
        return SignTest(finding="real")
    mirrored_fids = fids.conj().resolve_conj()
    as_is, mirrored = _fit(fids, model, max_shift), _fit(mirrored_fids, model, max_shift)
    if _chance_of_error(mirrored, as_is) < UNCLEAR and as_is.unexplained <= 1.0:
        return SignTest(finding="standard")
    # otherwise the delay or the reference may be wrong
    fids, mirrored_fids = _strongest(fids, FEWER_FIDS), _strongest(mirrored_fids, FEWER_FIDS)
    as_is, mirrored = _best_delay(fids, model, max_shift), _best_delay(mirrored_fids, model, max_shift)
    moved = _best_reference(fids, model, {model.delay, mirrored.model.delay}, max_shift)
    if moved is not None and all(_is_the_reference(moved, other) for other in (as_is, mirrored)):
        return SignTest(finding="reference", reference=moved.reference(max_shift))
    if _chance_of_error(mirrored, as_is) < UNCLEAR:
        return SignTest(finding="standard")
    others = [as_is, *([] if moved is None else [moved])]
    conjugate = _visible(mirrored) and all(_chance_of_error(other, mirrored) < FLIPPED for other in others)
    return SignTest(finding="conjugate" if conjugate else "unclear")


def _is_the_reference(moved: _Fit, other: _Fit) -> bool:
    """Whether a fit at another reference is right, and not the other fit, at the file's reference.

    If the other one has a line taller than water, the one at another reference need only be as good, if it is beyond
    noise and shows more than water. A line taller than water may be real, but then no other reference fits so well.
    """
    if _chance_of_error(other, moved) < UNCLEAR:
        return True
    odd = other.amplitude[0] < other.amplitude.abs().max()
    return bool(odd) and _left(moved) <= _left(other) and _visible(moved) and moved.chance_of_noise < FLIPPED


def _visible(fit: _Fit) -> bool:
    """Whether a fit shows a line beside the first one."""
    return bool(fit.amplitude[1:].amax() > FAINTEST * fit.amplitude[0])


def is_real(fids: Tensor) -> bool:
    """Whether FIDs (V, T) are real numbers stored as complex ones: one channel is empty, to the end of the FIDs."""
    tail = fids[:, -max(8, fids.shape[1] // 4) :]
    return _lesser_share(fids) < REAL and _lesser_share(tail) < REAL


def _lesser_share(fids: Tensor) -> float:
    """Share of the energy of FIDs that lies in the lesser of the two orthogonal channels that differ most."""
    values = fids.to(torch.complex128)
    energy = float((values.abs() ** 2).sum())
    return 0.0 if energy == 0 else 0.5 - 0.5 * float((values**2).sum().abs()) / energy


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """Fits of V FIDs by one model.

    Attributes:
        squares: (V,) sums of squares that the fits leave.
        variance: (V,) of the noise in each channel.
        amplitude: (K,) sum over the FIDs, in units of the noise.
        rows: (2, 1 + K + V, T), the estimator's input.
        estimates: (3 K + 7, V), its output.
        model: that was fitted.
    """

    squares: Tensor
    variance: Tensor
    amplitude: Tensor
    rows: Tensor
    estimates: Tensor
    model: FidModel

    def reference(self, max_shift: float) -> float:
        """Chemical shift (ppm) of zero frequency, with the median of the shifts, whose unit is ``max_shift`` (ppm)."""
        shift = Estimates.from_rows(self.estimates, len(self.model.ppm)).shift
        return self.model.reference + max_shift * float(shift.median())

    @property
    def chance_of_noise(self) -> float:
        """Largest chance that noise alone is explained as well."""
        energy = self.rows[:, 1 + len(self.model.ppm) :].double().square().sum((0, 2))
        x = float(((energy - self.squares) / (2.0 * self.variance)).sum())
        return _chernoff(x, (len(self.amplitude) + 2) * len(self.variance))

    @property
    def unexplained(self) -> float:
        """Energy of the tallest line that the fit leaves, sum over the FIDs, in units of twice the variance.

        It is counted above what the noise of as many points holds, but for four standard deviations. Lines within
        :data:`AXIS` of zero frequency do not count.
        """
        model = self.model
        residual = examine(self.rows, self.estimates, len(model.ppm), keep=False)
        width = 2.0 / (math.pi * min(model.t2_star)) * model.points * model.dwell
        points = int(np.clip(math.ceil(width), 1, model.points))
        axis = spectra.ppm_axis(model.points, model.dwell, larmor=model.larmor, reference=model.reference).numpy()
        power = np.where(np.abs(axis - model.reference) > AXIS, residual.power.numpy(), 1.0)
        around = np.convolve(np.concatenate([power, power[: points - 1]]), np.ones(points), "valid")
        excess = residual.count * (around.max() - points) - 4.0 * math.sqrt(residual.count * points)
        return max(0.0, float(excess))


def _strongest(fids: Tensor, count: int) -> Tensor:
    energy = (fids.abs() ** 2).sum(1)
    chosen = energy.argsort(descending=True)[: min(count, int((energy > 0).sum()))]
    return fids[chosen]


def _fit(fids: Tensor, model: FidModel, max_shift: float) -> _Fit:
    peaks, unit = len(model.ppm), max_shift * model.larmor
    network = FidLeastSquares(peaks=peaks).eval()
    rows = real_and_imaginary(torch.cat([acquisition_rows(model, unit), fids]))
    head, first = rows[:, : 1 + peaks], 1 + peaks
    with torch.no_grad():
        parts = [network(torch.cat([head, part], 1)[None])[0] for part in rows[:, first:].split(CHUNK, 1)]
    values = torch.nan_to_num(torch.cat(parts, 1), nan=0.0, posinf=0.0, neginf=0.0)
    estimates = Estimates.from_rows(values, peaks)
    energy = (fids.abs() ** 2).sum(1).double()
    freedom = 2 * model.points - peaks - 3
    variance = torch.where(estimates.noise_sd > 0, estimates.noise_sd.double() ** 2, energy / freedom)
    return _Fit(
        squares=variance * freedom,
        variance=variance,
        amplitude=(estimates.amplitude / estimates.noise_sd.clamp(min=1e-30)).double().sum(1),
        rows=rows,
        estimates=values,
        model=model,
    )


def _chance_of_error(worse: _Fit, better: _Fit) -> float:
    """Largest chance that the model of the worse fit is the right one; 1 if its fit is not worse."""
    variance = torch.minimum(worse.variance, better.variance)
    x = float(((worse.squares - better.squares) / (2.0 * variance)).sum())
    freedom = len(better.amplitude) + 2
    by_noise = _chernoff(x, freedom * len(variance))
    return max(by_noise, math.exp(-max(0.0, x) / max(1.0, better.unexplained)))


def _chernoff(x: float, freedom: int) -> float:
    """Upper bound of the probability that half the difference of two chi-squares exceeds x."""
    if not x > 0:
        return 1.0
    s = (math.sqrt(freedom**2 + 4.0 * x**2) - freedom) / (2.0 * x)
    return math.exp(-s * x - 0.5 * freedom * math.log1p(-s * s))


def _best_delay(fids: Tensor, model: FidModel, max_shift: float) -> _Fit:
    """Fit FIDs at the model's delay and at others, which a header may lack: the best fit of all FIDs together."""
    step = 0.25 / ((max(model.ppm) - min(model.ppm) or 1.0) * model.larmor)
    delays = {model.delay, *np.arange(0.0, LATEST, step).tolist()}
    return min((_fit(fids, replace(model, delay=delay), max_shift) for delay in sorted(delays)), key=_left)


def _best_reference(fids: Tensor, model: FidModel, delays: Set[float], max_shift: float) -> _Fit | None:
    """Fit FIDs at other references: the best fit of all FIDs together whose first line is the tallest."""
    farthest = min(REFERENCES, 0.5 / (model.dwell * model.larmor))
    offsets = np.arange(1.75 * max_shift, farthest, 1.75 * max_shift)
    fits = []
    for reference in (model.reference + np.concatenate([-offsets, offsets])).tolist():
        moved = [replace(model, reference=reference, delay=delay) for delay in sorted(delays)]
        fit = min((_fit(fids, other, max_shift) for other in moved), key=_left)
        if fit.amplitude[0] >= fit.amplitude.abs().max():
            fits.append(fit)
    return min(fits, key=_left, default=None)


def _left(fit: _Fit) -> float:
    return float(fit.squares.sum())
