"""Estimators of the amplitudes of FIDs: batched least squares, which needs no training and no starting values."""

from __future__ import annotations

import math

import torch
from monai.data import MetaTensor
from torch import Tensor, nn


class FidLeastSquares(nn.Module):
    r"""Least squares for all voxels at once: amplitudes, phase, shift and broadening of K lines, with their bounds.

    The model is that of :mod:`mrsikit.physics.fid_model`; amplitudes may be negative, so that noise does not bias them.

    1. *Matched filter.* For each shift and broadening of a grid the best phase and amplitudes have a closed form: with
       :math:`\mathrm{Re}(B^H B) = L L^T` and :math:`c = L^{-1} B^H y`, the energy explained is
       :math:`(\sum |c_k|^2 + |\sum c_k^2|) / 2` and the phase :math:`\arg(\sum c_k^2) / 2`. The best of the grid is the
       start; no line can be mistaken for another while the shift stays below half their distance.
    2. *Gauss-Newton steps* over all unknowns from there; at the end one that makes the fit worse is not taken.
    3. *Bounds* from the Fisher information at the estimate and the noise of the residual.

    Times are in units of one over the largest shift, so that nothing here depends on the nucleus, field or dwell
    time: all that comes with the data, in the first rows of the input.

    Args:
        peaks: number K of lines.
        shifts: number of shifts in the grid, from -1 to 1 in units of the largest shift.
        broadenings: of the grid, as multiples of the lines' mean decay rate.
        steps: Gauss-Newton steps, at least two.
    """

    def __init__(
        self, *, peaks: int = 4, shifts: int = 33, broadenings: tuple[float, ...] = (0.0, 1.0, 3.0), steps: int = 4
    ) -> None:
        super().__init__()
        self.peaks = peaks
        self.steps = steps
        self.shifts = nn.Buffer(torch.linspace(-1.0, 1.0, shifts))
        self.broadenings = nn.Buffer(torch.tensor(broadenings))

    def forward(self, x: Tensor) -> Tensor:
        """Fit V FIDs of T samples.

        Args:
            x: (B, 2, 1 + K + V, T), real and imaginary part. Row 0: times after the first sample, and times after
                excitation, in units of one over the largest shift. Rows 1 to K: the lines at amplitude one. Then the
                FIDs.

        Returns:
            (B, 3 K + 7, V): K amplitudes, their K standard deviations, their K covariances with the first; shift, its
            standard deviation in units of the largest shift; phase (rad); broadening, the full width at half maximum a
            line gains, in the same units as the shift, and its standard deviation; standard deviation of the noise in
            each channel; share of the FID's energy that the fit explains.
        """
        if not torch.jit.is_scripting() and isinstance(x, MetaTensor):
            x = x.as_tensor()
        return torch.stack([self._fit(x[b].to(torch.float32)) for b in range(x.shape[0])])

    def _fit(self, x: Tensor) -> Tensor:
        first = 1 + self.peaks
        at, delayed = x[0, 0], x[1, 0]
        lines = torch.complex(x[0, 1:first], x[1, 1:first])
        fids = torch.complex(x[0, first:], x[1, first:])
        # Unit scale, voxel by voxel: float32 holds the squares of any unit then.
        scale = torch.sqrt((fids.abs() ** 2).mean(1, keepdim=True))
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        fids = fids / scale
        amplitudes, phase, shift, rate = self._start(fids, lines, at, delayed)
        current = torch.cat([amplitudes, torch.stack([phase, shift, rate], 1)], 1)
        slowest = self._rates(lines, at).min()
        # the first steps need not see the tail of the FIDs
        half = max(16, at.shape[0] // 2)
        for _ in range(self.steps - 2):
            columns, residual = self._columns(fids[:, :half], lines[:, :half], at[:half], delayed[:half], current)
            current = self._stepped(current, columns, residual, slowest)
        columns, residual = self._columns(fids, lines, at, delayed, current)
        cost = (residual * residual).sum(1)
        for _ in range(2):
            new = self._stepped(current, columns, residual, slowest)
            new_columns, new_residual = self._columns(fids, lines, at, delayed, new)
            new_cost = (new_residual * new_residual).sum(1)
            # a step that makes it worse is not taken
            better = new_cost <= cost * (1.0 + 1e-6)
            cost = torch.where(better, new_cost, cost)
            if bool(better.all()):
                current, columns, residual = new, new_columns, new_residual
            else:
                current = torch.where(better[:, None], new, current)
                columns = torch.where(better[:, None, None], new_columns, columns)
                residual = torch.where(better[:, None], new_residual, residual)
        return self._results(current, columns, residual, scale, fids)

    def _stepped(self, current: Tensor, columns: Tensor, residual: Tensor, slowest: Tensor) -> Tensor:
        """A Gauss-Newton step from the current unknowns (V, K + 3): amplitudes, phase, shift, rate; kept in bounds."""
        k = self.peaks
        delta = self._solve(columns, residual)
        rate = current[:, k + 2] + delta[:, k + 2].clamp(-slowest, slowest)
        others = torch.stack(
            [
                current[:, k] + delta[:, k].clamp(-0.7, 0.7),
                (current[:, k + 1] + delta[:, k + 1].clamp(-0.15, 0.15)).clamp(-1.0, 1.0),
                torch.maximum(rate, -0.7 * slowest),
            ],
            1,
        )
        return torch.cat([current[:, :k] + delta[:, :k], others], 1)

    def _rates(self, lines: Tensor, at: Tensor) -> Tensor:
        """Decay rate (K,) of each line, from its energy."""
        step = (at[-1] - at[0]) / (at.shape[0] - 1)
        energy = (lines.abs() ** 2).sum(1) * step
        return 1.0 / (2.0 * energy).clamp(min=1e-12)

    def _start(self, fids: Tensor, lines: Tensor, at: Tensor, delayed: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # what half the samples hold is enough for a start
        points = max(16, at.shape[0] // 2)
        fids, lines, at, delayed = fids[:, :points], lines[:, :points], at[:points], delayed[:points]
        mean = self._rates(lines, at).mean()
        angle = -2.0 * math.pi * self.shifts[:, None] * delayed
        turns = torch.complex(torch.cos(angle), torch.sin(angle))
        best = torch.full([fids.shape[0]], -1.0, device=fids.device)
        amplitudes = torch.zeros([fids.shape[0], self.peaks], device=fids.device)
        phase, shift, rate = torch.zeros_like(best), torch.zeros_like(best), torch.zeros_like(best)
        for k in range(self.broadenings.shape[0]):
            slower = self.broadenings[k] * mean
            damped = lines * torch.exp(-slower * at)
            gram = torch.matmul(damped, damped.conj().transpose(0, 1)).real
            ridge = 1e-6 * gram.diagonal().mean() + 1e-12
            lower = torch.linalg.cholesky_ex(gram + ridge * torch.eye(self.peaks, device=gram.device))[0]
            filters = damped.conj()[:, None] * turns[None]
            products = torch.matmul(fids, filters.flatten(0, 1).transpose(0, 1))
            products = products.reshape(fids.shape[0], self.peaks, self.shifts.shape[0])
            inverse = torch.linalg.solve_triangular(lower, torch.eye(self.peaks, device=gram.device), upper=False)
            whitened = torch.matmul(inverse.to(products.dtype), products)
            squared = (whitened * whitened).sum(1)
            energy = 0.5 * ((whitened.abs() ** 2).sum(1) + squared.abs())
            top, where = energy.max(1)
            chosen = torch.gather(whitened, 2, where[:, None, None].expand(-1, self.peaks, 1))[:, :, 0]
            turn = 0.5 * torch.angle(torch.gather(squared, 1, where[:, None])[:, 0])
            back = torch.complex(torch.cos(turn), -torch.sin(turn))
            found = torch.matmul((chosen * back[:, None]).real, inverse)
            # the phase is known but for a half turn: most signal is positive
            flipped = found.sum(1) < 0
            found = torch.where(flipped[:, None], -found, found)
            turn = torch.where(flipped, turn + math.pi, turn)
            better = top > best
            best = torch.where(better, top, best)
            amplitudes = torch.where(better[:, None], found, amplitudes)
            phase = torch.where(better, turn, phase)
            shift = torch.where(better, self.shifts[where], shift)
            rate = torch.where(better, slower.expand_as(rate), rate)
        return amplitudes, phase, shift, rate

    def _columns(
        self, fids: Tensor, lines: Tensor, at: Tensor, delayed: Tensor, parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Derivatives (V, K + 3, 2 T) and residual (V, 2 T), turned back by phase and shift: noise does not change."""
        k = self.peaks
        angle = 2.0 * math.pi * parameters[:, k + 1 : k + 2] * delayed + parameters[:, k : k + 1]
        cosine, sine = torch.cos(angle), torch.sin(angle)
        decay = torch.exp(-parameters[:, k + 2 : k + 3] * at)
        real, imaginary = torch.zeros_like(decay), torch.zeros_like(decay)
        points = at.shape[0]
        columns = torch.empty([fids.shape[0], k + 3, 2 * points], device=fids.device)
        for j in range(k):
            columns[:, j, :points] = decay * lines[j].real
            columns[:, j, points:] = decay * lines[j].imag
            real = real + parameters[:, j : j + 1] * columns[:, j, :points]
            imaginary = imaginary + parameters[:, j : j + 1] * columns[:, j, points:]
        columns[:, k, :points], columns[:, k, points:] = -imaginary, real
        turning = 2.0 * math.pi * delayed
        columns[:, k + 1, :points], columns[:, k + 1, points:] = -imaginary * turning, real * turning
        columns[:, k + 2, :points], columns[:, k + 2, points:] = -real * at, -imaginary * at
        residual = torch.cat(
            [
                fids.real * cosine + fids.imag * sine - real,
                fids.imag * cosine - fids.real * sine - imaginary,
            ],
            1,
        )
        return columns, residual

    def _normal(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Normal matrix scaled to a unit diagonal, and the scale (V, K + 3)."""
        normal = torch.matmul(columns, columns.transpose(1, 2))
        scale = normal.diagonal(dim1=1, dim2=2).clamp(min=1e-20).rsqrt()
        normal = normal * scale[:, :, None] * scale[:, None, :]
        return normal + 1e-6 * torch.eye(normal.shape[1], device=normal.device), scale

    def _solve(self, columns: Tensor, residual: Tensor) -> Tensor:
        normal, scale = self._normal(columns)
        gradient = torch.matmul(columns, residual[:, :, None])[:, :, 0] * scale
        return torch.linalg.solve_ex(normal, gradient)[0] * scale

    def _results(self, parameters: Tensor, columns: Tensor, residual: Tensor, scale: Tensor, fids: Tensor) -> Tensor:
        k = self.peaks
        unknowns = k + 3
        cost = (residual * residual).sum(1)
        noise = torch.sqrt(cost / max(1, residual.shape[1] - unknowns))
        normal, weight = self._normal(columns)
        covariance = torch.linalg.inv_ex(normal)[0] * weight[:, :, None] * weight[:, None, :]
        covariance = covariance * (noise * noise)[:, None, None]
        deviations = covariance.diagonal(dim1=1, dim2=2).clamp(min=0.0).sqrt()
        phase = torch.remainder(parameters[:, k] + math.pi, 2.0 * math.pi) - math.pi
        explained = 1.0 - cost / (fids.abs() ** 2).sum(1).clamp(min=1e-20)
        rows = [
            parameters[:, :k] * scale,
            deviations[:, :k] * scale,
            covariance[:, :k, 0] * scale * scale,
            torch.stack(
                [
                    parameters[:, k + 1],
                    deviations[:, k + 1],
                    phase,
                    parameters[:, k + 2] / math.pi,
                    deviations[:, k + 2] / math.pi,
                    noise * scale[:, 0],
                    explained,
                ],
                1,
            ),
        ]
        return torch.cat(rows, 1).transpose(0, 1)
