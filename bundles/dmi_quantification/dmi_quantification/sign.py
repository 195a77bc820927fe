"""Tell the sign of deuterium FIDs by fits of both signs; :mod:`mrsikit.fitting.sign_test` says what they are held to.

A wrong reference, such as that of a transmitter on glucose, can look like the wrong sign. So the standard's sign is
tried at other references too, and FIDs are conjugated only if none of them explains the spectrum as well.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dmi_quantification.acquisition import acquisition_rows, real_and_imaginary
from dmi_quantification.estimates import Estimates
from dmi_quantification.network import FidLeastSquares
from dmi_quantification.residual import examine
from mrsikit.fitting.sign_test import FLIPPED, UNCLEAR, SignTest, chance_of_error, is_real
from mrsikit.physics import spectra
from mrsikit.physics.fid_model import FidModel

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
        return chance_of_error(x, freedom=(len(self.amplitude) + 2) * len(self.variance), unexplained=0.0)

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
    return chance_of_error(x, freedom=freedom * len(variance), unexplained=better.unexplained)


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
