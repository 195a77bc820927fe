r"""Quantification of spectra by linear combination of a basis set, many spectra at once.

In a range of chemical shifts the model is

.. math:: y(\nu) = e^{i \phi}\, \mathcal{F}\Big[ \sum_m a_m b_m(t)\,
          e^{2 \pi i f t - \pi l t - (\pi g t)^2 / (4 \ln 2)} \Big](\nu) + \sum_k \beta_k B_k(\nu)

with amplitudes a, one phase :math:`\phi`, frequency shift f (Hz), Lorentzian and Gaussian broadening l and g (FWHM, Hz)
for all metabolites, and a baseline of cubic splines B with complex heights :math:`\beta`. The model is linear in the
amplitudes and the heights, so these have a closed form for each value of the four other parameters. Damped Gauss-Newton
steps on the residual find the four (variable projection; Golub and Pereyra, Inverse Problems 19 (2003)). Amplitudes may
be negative, so they are unbiased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import BSpline
from torch import Tensor
from tqdm import tqdm

from mrsikit.physics.spectra import frequency_axis, noise_sd, times

RANGE = (0.5, 4.2)
"""Default range of chemical shifts that is fitted (ppm)."""

KNOTS = 0.5
"""Distance between the knots of the baseline (ppm)."""

DURATION = 0.5
"""Duration of the FID that is used (s): in the brain, later samples hold only noise."""

START = (2.0, 4.0)
"""Starting values of Lorentzian and Gaussian broadening (Hz)."""

ITERATIONS, TOLERANCE = 30, 1e-6
BATCH = 64
SEARCH = 30.0
"""Default for the largest shift (Hz)."""

NARROWEST, WIDEST = 0.1, 50.0
"""Bounds of both broadenings (Hz)."""

LEAST_WIDTH = 1.0
"""Least linewidth of a fit that has converged (FWHM, Hz): a narrower line is noise."""

LEAST_EXPLAINED = 0.7
"""Least share of the signal, beyond noise and baseline, that a fit that has converged explains."""

CANDIDATES, PHASES = 4, 24
"""Numbers of shifts and of phases that are tried as starting values."""

BROAD = 0.008
"""Decay time of lines that are too broad for an estimate of the shift (s)."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Result of a fit of N spectra with M basis members.

    All values of a spectrum that is zero or holds NaN are NaN. A basis member without signal has an amplitude of 0 and
    an infinite standard deviation.

    Attributes:
        amplitudes: (N, M), in units of the basis.
        amplitude_sd: (N, M) Cramér-Rao bound of the amplitudes (standard deviation), for the noise of the residual.
        phase: (N,) rad.
        shift: (N,) frequency shift (Hz).
        lorentz: (N,) Lorentzian broadening (FWHM, Hz).
        gauss: (N,) Gaussian broadening (FWHM, Hz).
        noise: (N,) standard deviation of the residual in each of the two channels of the FID.
        measured: (N, P) complex spectra in the range, after phase correction.
        fitted: (N, P) complex spectra of the whole model in the range.
        baseline: (N, P) complex baseline of the model.
        ppm: (P,) chemical shifts of the points.
        covariance: (N, M, M) covariance of the amplitudes.
        converged: (N,) whether the steps converged within the range of shifts, with a linewidth of at least
            :data:`LEAST_WIDTH`, and the model explains most of a signal that is above the noise. False for a spectrum
            that is zero or holds NaN.
    """

    amplitudes: Tensor
    amplitude_sd: Tensor
    phase: Tensor
    shift: Tensor
    lorentz: Tensor
    gauss: Tensor
    noise: Tensor
    measured: Tensor
    fitted: Tensor
    baseline: Tensor
    ppm: Tensor
    covariance: Tensor
    converged: Tensor


def fit(
    fids: Tensor,
    basis: Tensor,
    *,
    dwell: float,
    larmor: float,
    reference: float,
    ppm_range: tuple[float, float] = RANGE,
    knots: float = KNOTS,
    duration: float = DURATION,
    delay: float = 0.0,
    shift_range: float = SEARCH,
    batch: int = BATCH,
) -> Fit:
    """Fit spectra with a basis set and a spline baseline.

    Args:
        fids: (N, T) complex.
        basis: (M, T) complex FIDs of the basis members, with the same sampling.
        dwell: time between two samples (s).
        larmor: Larmor frequency (MHz).
        reference: chemical shift of zero frequency (ppm).
        ppm_range: lowest and highest chemical shift that the fit uses (ppm).
        knots: distance between the knots of the baseline (ppm).
        duration: duration of the FID that is used (s).
        delay: time from the echo, where the basis starts, to the first sample of the FIDs (s), such as that of first
            points that are missing.
        shift_range: largest frequency shift (Hz).
        batch: number of spectra fitted at a time.

    Raises:
        ValueError: FIDs and basis differ in length, the range holds fewer values than the model has unknowns, or the
            delay is negative or leaves no sample.
    """
    if fids.shape[-1] != basis.shape[-1]:
        raise ValueError(f"FIDs of {fids.shape[-1]} points, a basis of {basis.shape[-1]}; give the same")
    count = min(fids.shape[-1], max(2, round(duration / dwell)))
    lost = round(delay / dwell)
    if delay < 0 or lost > basis.shape[-1] - 2:
        raise ValueError(f"a delay of {delay:g} s; give 0 to {(basis.shape[-1] - 2) * dwell:g} s")
    count = min(count, basis.shape[-1] - lost)
    noise = noise_sd(fids)
    problem = _Problem(basis[:, lost : lost + count], dwell, larmor, reference, ppm_range, knots, delay, shift_range)
    cut = fids[:, :count].to(torch.complex128)
    good = torch.isfinite(cut.abs()).all(1) & (cut.abs().amax(1) > 0)
    # replace a spectrum that cannot be fitted by any other one: its results are set to NaN below
    cut = torch.where(good[:, None], cut, problem.basis.sum(0))
    parts = zip(cut.split(batch), noise.split(batch), strict=True)
    batches = -(-len(cut) // batch)
    found = [problem.solve(*part) for part in tqdm(parts, desc="fitting", total=batches, delay=2, leave=False)]
    joined = {name: torch.cat([one[name] for one in found]) for name in found[0]}
    for name, values in joined.items():
        joined[name] = values & good if values.dtype == torch.bool else values
        if values.dtype != torch.bool:
            values[~good] = torch.nan
    return Fit(ppm=problem.ppm, **joined)


class _Problem:
    """Fit of a batch, with what all spectra share: basis, times, range and splines.

    The parameters ``theta`` (N, 4) are phase (rad), shift (Hz) and the logarithms of both broadenings (Hz).
    """

    def __init__(
        self,
        basis: Tensor,
        dwell: float,
        larmor: float,
        reference: float,
        ppm_range: tuple[float, float],
        knots: float,
        delay: float = 0.0,
        shift_range: float = SEARCH,
    ) -> None:
        points = basis.shape[-1]
        self.shift_range = shift_range
        self.at = times(points, dwell).to(basis.device) + delay
        hz = torch.fft.ifftshift(frequency_axis(points, dwell))
        ppm = reference - hz / larmor
        self.inside = ((ppm >= ppm_range[0]) & (ppm <= ppm_range[1])).nonzero()[:, 0]
        self.inside = self.inside[ppm[self.inside].argsort(descending=True)].to(basis.device)
        self.ppm = ppm[self.inside.cpu()]
        self.hz, self.points, self.dwell = hz.to(basis.device), points, dwell
        self.basis = basis.to(torch.complex128)
        if part := delay - round(delay / dwell) * dwell:  # less than a sample: a phase that grows with frequency
            turn = torch.polar(torch.ones_like(self.hz), 2 * math.pi * part * self.hz)
            self.basis = torch.fft.ifft(torch.fft.fft(self.basis) * turn)
        curves = torch.from_numpy(splines(self.ppm.numpy(), ppm_range, knots)).to(basis.device).T
        if 2 * len(self.ppm) <= len(basis) + 2 * len(curves) + 4:
            raise ValueError(f"{ppm_range} ppm hold {len(self.ppm)} points: too few for {len(basis)} metabolites")
        self.baseline = torch.block_diag(curves, curves)  # (2 K, 2 P), for real and imaginary heights
        # for the starting values, with the starting linewidth: spans of basis and baseline, and of the baseline alone
        envelope = _envelope(self.at, *(torch.tensor(hz).log() for hz in START))
        self.sharp = envelope * (1 - torch.exp(-((self.at / BROAD) ** 2)))
        self.pattern = torch.fft.fft(self.basis * self.sharp).abs().square().sum(0).sqrt()
        columns = self.spectra_in_range(self.basis * envelope)
        self.both = torch.linalg.qr(torch.cat([columns, self.baseline]).T)[0]
        self.flat = torch.linalg.qr(self.baseline.T)[0]
        self.upright = (columns - (columns @ self.flat) @ self.flat.T).sum(0)

    def spectra_in_range(self, fids: Tensor) -> Tensor:
        """Real and imaginary spectra (..., 2 P) of FIDs in the range; the Fourier transform is orthonormal."""
        values = torch.fft.fft(fids, norm="ortho")[..., self.inside]
        return torch.cat([values.real, values.imag], -1)

    def start(self, fids: Tensor) -> Tensor:
        """Starting values (N, 4): phase, shift and logarithms of the broadenings.

        The candidates are the four shifts at which the magnitude spectra of data and basis correlate best, and 24
        phases. A wrong match, as of creatine with choline, may be among them. The candidate with which the basis
        explains most beyond the baseline is taken.
        """
        measured = torch.zeros(len(fids), self.points, dtype=torch.float64, device=fids.device)
        measured[:, self.inside] = torch.fft.fft(fids * self.sharp)[..., self.inside].abs()
        # entry k: correlation with the measured spectrum shifted by k points from the basis
        crossed = torch.fft.ifft(torch.fft.fft(measured) * torch.fft.fft(self.pattern).conj()).real
        top = (crossed > crossed.roll(1, 1)) & (crossed >= crossed.roll(-1, 1)) & (self.hz.abs() < self.shift_range)
        places = torch.where(top, crossed, -torch.inf).topk(CANDIDATES, 1).indices
        judged = [self._phase(fids, self.hz[place]) for place in places.T]
        explained = torch.stack([one[1] for one in judged], 1)
        best = explained.argmax(1, keepdim=True)
        phase = torch.stack([one[0] for one in judged], 1).gather(1, best)
        shift = self.hz[places.gather(1, best)]
        logs = torch.tensor(START, dtype=torch.float64, device=fids.device).log()
        return torch.cat([phase, shift, logs.expand(len(fids), 2)], 1)

    def _phase(self, fids: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Best of 24 phases, by the energy that an upright basis explains beyond the baseline; this energy: (N,) each.

        Upright: the sum of the projections on the basis members must be positive.
        """
        moved = fids * torch.exp(-2j * math.pi * shift[:, None] * self.at)
        shown = torch.fft.fft(moved, norm="ortho")[..., self.inside]
        angles = torch.arange(PHASES, dtype=torch.float64, device=fids.device) * (2 * math.pi / PHASES)
        # the baseline fits any phase equally well, so only the basis distinguishes them
        explained = []
        for angle in angles:
            turned = shown * torch.polar(torch.ones_like(angle), -angle)
            y = torch.cat([turned.real, turned.imag], -1)
            gain = (y @ self.both).square().sum(1) - (y @ self.flat).square().sum(1)
            explained.append(torch.where(y @ self.upright > 0, gain, -torch.inf))
        best = torch.stack(explained, 1).max(1)
        return angles[best.indices], best.values

    def solve(self, fids: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Fit a batch of FIDs (N, T) with noise (N,) of each channel: the values of :class:`Fit` by name."""
        theta = self.start(fids)
        shown = torch.fft.fft(fids, norm="ortho")[..., self.inside]
        state = self._linear(theta, shown)
        damping = torch.full((len(fids),), 1e-3, dtype=torch.float64, device=fids.device)
        active = torch.ones(len(fids), dtype=torch.bool, device=fids.device)
        for _ in range(ITERATIONS):
            rows = active.nonzero()[:, 0]
            if not len(rows):
                break
            some = {key: value[rows] for key, value in state.items()}
            step = self._step(theta[rows], some, damping[rows])
            tried = theta[rows] + step
            tried[:, 2:] = tried[:, 2:].clamp(math.log(NARROWEST), math.log(WIDEST))
            new = self._linear(tried, shown[rows])
            better = new["cost"] <= some["cost"]
            gain = (some["cost"] - new["cost"]) / some["cost"]
            kept = rows[better]
            theta[kept] = tried[better]
            for key, value in state.items():
                value[kept] = new[key][better]
            damping[rows] = torch.where(better, damping[rows] / 5, damping[rows] * 10).clamp(1e-9, 1e6)
            active[rows] = ~((better & (gain < TOLERANCE)) | (damping[rows] > 1e5))
        return self._result(theta, shown, state) | {"converged": ~active & self._holds(theta, state, noise)}

    def _holds(self, theta: Tensor, state: dict[str, Tensor], noise: Tensor) -> Tensor:
        """Whether shift and linewidth of each fit are possible, and the basis explains the signal (N,)."""
        lorentz, gauss = theta[:, 2].exp(), theta[:, 3].exp()
        width = 0.5346 * lorentz + torch.sqrt(0.2166 * lorentz**2 + gauss**2)  # of a Voigt line; Olivero and Longbothum
        rest = state["y"] - (state["y"] @ self.flat) @ self.flat.T
        floor = noise.square() * rest.shape[1]
        signal, left = rest.square().sum(1) - floor, state["cost"] - floor
        explained = (signal > 3 * noise.square() * math.sqrt(2 * rest.shape[1])) & (
            left < (1 - LEAST_EXPLAINED) * signal
        )
        return (theta[:, 1].abs() < self.shift_range) & (width >= LEAST_WIDTH) & explained

    def _linear(self, theta: Tensor, shown: Tensor) -> dict[str, Tensor]:
        """Least-squares amplitudes and spline heights for given parameters, and the residual."""
        columns = self._columns(theta)
        turned = shown * torch.polar(torch.ones_like(theta[:, :1]), -theta[:, :1])
        y = torch.cat([turned.real, turned.imag], -1)
        gram = columns @ columns.mT
        # scale each column to unit length, so that double precision separates members that hardly differ
        size = gram.diagonal(dim1=1, dim2=2).sqrt()
        empty = size <= 1e-12 * size.amax(1, keepdim=True)
        size = torch.where(empty, 1.0, size)
        scaled = gram / (size[:, :, None] * size[:, None])
        factor = torch.linalg.cholesky(scaled + torch.diag_embed(1e-12 + empty.to(gram)))
        right = (columns @ y[..., None]) / size[..., None]
        heights = torch.cholesky_solve(right, factor)[..., 0] / size
        left = y - (heights[:, None] @ columns)[:, 0]
        return {
            "columns": columns, "factor": factor, "size": size, "heights": heights, "left": left,
            "cost": left.square().sum(1), "y": y,
        }  # fmt: skip

    def _columns(self, theta: Tensor) -> Tensor:
        """Columns (N, L, 2 P) of the linear model: broadened and shifted basis members, and the baseline's splines."""
        envelope = self._envelopes(theta)
        members = self.spectra_in_range(self.basis * envelope[:, None])
        return torch.cat([members, self.baseline.expand(len(theta), -1, -1)], 1)

    def _envelopes(self, theta: Tensor) -> Tensor:
        turn = torch.exp(2j * math.pi * theta[:, 1:2] * self.at)
        return turn * _envelope(self.at, theta[:, 2:3], theta[:, 3:4])

    def _slopes(self, theta: Tensor, state: dict[str, Tensor]) -> Tensor:
        """Derivatives (N, 4, 2 P) of model minus phase-corrected data with respect to each parameter."""
        members = len(self.basis)
        fid = (state["heights"][:, :members].to(torch.complex128) @ self.basis) * self._envelopes(theta)
        y = state["y"]
        half = y.shape[1] // 2
        phase = torch.cat([-y[:, half:], y[:, :half]], 1)  # data: factor -i; model minus data: i
        rates = (
            2j * math.pi * self.at,
            -math.pi * theta[:, 2:3].exp() * self.at,
            -2 * (math.pi * theta[:, 3:4].exp() * self.at) ** 2 / (4 * math.log(2)),
        )
        return torch.stack([phase, *(self.spectra_in_range(rate * fid) for rate in rates)], 1)

    def _step(self, theta: Tensor, state: dict[str, Tensor], damping: Tensor) -> Tensor:
        slopes = self._slopes(theta, state)
        free = slopes - self._projected(slopes, state)
        normal = free @ free.mT
        diagonal = normal.diagonal(dim1=1, dim2=2)
        normal = normal + torch.diag_embed(damping[:, None] * diagonal + 1e-12 * diagonal.amax(1, keepdim=True))
        step = torch.linalg.solve(normal, free @ state["left"][..., None])[..., 0]
        limit = torch.tensor([0.5, 5.0, 1.0, 1.0], dtype=torch.float64, device=theta.device)
        return step.clamp(-limit, limit)

    @staticmethod
    def _projected(rows: Tensor, state: dict[str, Tensor]) -> Tensor:
        """Project rows (N, 4, 2 P) onto the span of the columns."""
        right = (state["columns"] @ rows.mT) / state["size"][..., None]
        weights = torch.cholesky_solve(right, state["factor"]) / state["size"][..., None]
        return weights.mT @ state["columns"]

    def _result(self, theta: Tensor, shown: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
        members, points = len(self.basis), len(self.ppm)
        columns, heights = state["columns"], state["heights"]
        unknowns = columns.shape[1] + 4
        noise = torch.sqrt(state["cost"] / (2 * points - unknowns))
        jacobian = torch.cat([columns, self._slopes(theta, state)], 1)
        size = jacobian.square().sum(-1).sqrt().clamp(min=1e-300)
        fisher = (jacobian @ jacobian.mT) / (size[:, :, None] * size[:, None])
        eye = torch.eye(unknowns, dtype=fisher.dtype, device=fisher.device)
        inverse = torch.linalg.inv(fisher + 1e-12 * eye) / (size[:, :, None] * size[:, None])
        covariance = noise[:, None, None] ** 2 * inverse[:, :members, :members]
        lost = columns[:, :members].square().sum(-1) <= 1e-24 * columns.square().sum(-1).amax(1, keepdim=True)
        variance = torch.where(lost, torch.inf, covariance.diagonal(dim1=1, dim2=2).clamp(min=0))

        def shape(values: Tensor) -> Tensor:
            return torch.complex(values[:, :points], values[:, points:])

        baseline = (heights[:, None, members:] @ columns[:, members:])[:, 0]
        turned = torch.polar(torch.ones_like(theta[:, :1]), -theta[:, :1])
        return {
            "amplitudes": heights[:, :members],
            "amplitude_sd": variance.sqrt(),
            "covariance": covariance,
            "phase": torch.atan2(theta[:, 0].sin(), theta[:, 0].cos()),
            "shift": theta[:, 1], "lorentz": theta[:, 2].exp(), "gauss": theta[:, 3].exp(), "noise": noise,
            "measured": shown * turned, "fitted": shape(state["y"] - state["left"]), "baseline": shape(baseline),
        }  # fmt: skip


def _envelope(at: Tensor, log_lorentz: Tensor, log_gauss: Tensor) -> Tensor:
    wide = (math.pi * log_gauss.exp() * at) ** 2 / (4 * math.log(2))
    return torch.exp(-math.pi * log_lorentz.exp() * at - wide)


def splines(ppm: np.ndarray, ppm_range: tuple[float, float], distance: float) -> np.ndarray:
    """Cubic B-splines (P, K) at chemical shifts (P,) over a range, with knots at about ``distance`` (ppm)."""
    low, high = ppm_range
    inner = np.linspace(low, high, max(2, round((high - low) / distance) + 1))
    edges = np.concatenate([[low] * 3, inner, [high] * 3])
    return BSpline.design_matrix(np.clip(ppm, low, high - 1e-9), edges, 3).toarray()
