"""Estimate the amplitudes of FIDs by batched least squares, without training and without starting values.

:class:`FidLeastSquares` is the network of ``models/model.pt``. :class:`dmi_quantification.estimates.Estimates` names
the rows of the result. This module stays free of it, because TorchScript compiles the class below as a whole.
"""

from __future__ import annotations

import math

import torch
from monai.data import MetaTensor
from torch import Tensor, nn


class FidLeastSquares(nn.Module):
    r"""Fit amplitudes, phase, shift and broadening of K lines to all FIDs at once, with their Cramér-Rao bounds.

    The model is that of :mod:`mrsikit.physics.fid_model`. Amplitudes may be negative, so that noise does not bias them.

    1. *Matched filter.* For each shift and broadening of a grid, the best phase and amplitudes have a closed form. With
       the damped lines :math:`B`, the FID :math:`y`, :math:`\mathrm{Re}(B^H B) = L L^T` and :math:`c = L^{-1} B^H y`,
       the lines explain the energy :math:`(\sum |c_k|^2 + |\sum c_k^2|) / 2`, and the phase is
       :math:`\arg(\sum c_k^2) / 2`. The best of the grid is the start. The filter cannot take one line for another as
       long as the shift is below half the distance of the two.
    2. *Gauss-Newton steps* over all unknowns start there. The last two steps are taken only in voxels where they do not
       make the fit worse.
    3. *Cramér-Rao bounds* follow from the Fisher information at the estimate and the noise of the residual.

    Times are in units of one over the largest shift. So nothing here depends on the nucleus, the field or the dwell
    time: they come with the data, in the first rows of the input.

    Args:
        peaks: number K of lines.
        shifts: number of shifts in the grid, from -1 to 1 in units of the largest shift.
        broadenings: of the grid, as multiples of the lines' mean decay rate.
        steps: number of Gauss-Newton steps, at least two.
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
            x: (B, 2, 1 + K + V, T), real and imaginary part. Row 0 holds times in units of one over the largest shift:
                real, from the first sample; imaginary, from excitation. Rows 1 to K hold the lines at amplitude one.
                The FIDs follow.

        Returns:
            (B, 3 K + 7, V), the rows of :class:`dmi_quantification.estimates.Estimates`.
        """
        if not torch.jit.is_scripting() and isinstance(x, MetaTensor):
            x = x.as_tensor()
        return torch.stack([self._fit(x[b].to(torch.float32)) for b in range(x.shape[0])])

    def _fit(self, x: Tensor) -> Tensor:
        """Fit the FIDs of one item (2, 1 + K + V, T): estimates (3 K + 7, V)."""
        first = 1 + self.peaks
        times, delayed = x[0, 0], x[1, 0]
        lines = torch.complex(x[0, 1:first], x[1, 1:first])
        fids = torch.complex(x[0, first:], x[1, first:])
        # each FID at unit scale, so that float32 holds the squares of any unit
        scale = torch.sqrt((fids.abs() ** 2).mean(1, keepdim=True))
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        fids = fids / scale
        amplitudes, phase, shift, rate = self._start(fids, lines, times, delayed)
        current = torch.cat([amplitudes, torch.stack([phase, shift, rate], 1)], 1)
        slowest = self._decay_rates(lines, times).min()
        # the first steps do not need the tail of the FIDs
        half = max(16, times.shape[0] // 2)
        for _ in range(self.steps - 2):
            columns, residual = self._columns(fids[:, :half], lines[:, :half], times[:half], delayed[:half], current)
            current = self._stepped(current, columns, residual, slowest)
        columns, residual = self._columns(fids, lines, times, delayed, current)
        cost = (residual * residual).sum(1)
        for _ in range(2):
            new = self._stepped(current, columns, residual, slowest)
            new_columns, new_residual = self._columns(fids, lines, times, delayed, new)
            new_cost = (new_residual * new_residual).sum(1)
            # a voxel does not take a step that makes its fit worse
            better = new_cost <= cost * (1.0 + 1e-6)
            cost = torch.where(better, new_cost, cost)
            if bool(better.all()):
                current, columns, residual = new, new_columns, new_residual
            else:
                current = torch.where(better[:, None], new, current)
                columns = torch.where(better[:, None, None], new_columns, columns)
                residual = torch.where(better[:, None], new_residual, residual)
        return self._rows(current, columns, residual, scale, fids)

    def _start(
        self, fids: Tensor, lines: Tensor, times: Tensor, delayed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Search the grid: amplitudes (V, K), phase, shift and decay rate (V,) that explain most of the energy."""
        # half of the samples hold enough for a start
        points = max(16, times.shape[0] // 2)
        fids, lines, times, delayed = fids[:, :points], lines[:, :points], times[:points], delayed[:points]
        mean_rate = self._decay_rates(lines, times).mean()
        angle = -2.0 * math.pi * self.shifts[:, None] * delayed
        rotations = torch.complex(torch.cos(angle), torch.sin(angle))
        best = torch.full([fids.shape[0]], -1.0, device=fids.device)
        amplitudes = torch.zeros([fids.shape[0], self.peaks], device=fids.device)
        phase, shift, rate = torch.zeros_like(best), torch.zeros_like(best), torch.zeros_like(best)
        for k in range(self.broadenings.shape[0]):
            extra_rate = self.broadenings[k] * mean_rate
            energy, place, new_amplitudes, new_phase = self._matched_filter(
                fids, lines * torch.exp(-extra_rate * times), rotations
            )
            better = energy > best
            best = torch.where(better, energy, best)
            amplitudes = torch.where(better[:, None], new_amplitudes, amplitudes)
            phase = torch.where(better, new_phase, phase)
            shift = torch.where(better, self.shifts[place], shift)
            rate = torch.where(better, extra_rate.expand_as(rate), rate)
        return amplitudes, phase, shift, rate

    def _matched_filter(self, fids: Tensor, damped: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Find the best shift of the grid for FIDs (V, T) and damped lines (K, T).

        Returns:
            (V,) energy that the lines explain; (V,) number of the shift; (V, K) amplitudes; (V,) phase.
        """
        gram = torch.matmul(damped, damped.conj().transpose(0, 1)).real
        ridge = 1e-6 * gram.diagonal().mean() + 1e-12
        lower = torch.linalg.cholesky_ex(gram + ridge * torch.eye(self.peaks, device=gram.device))[0]
        filters = damped.conj()[:, None] * rotations[None]
        products = torch.matmul(fids, filters.flatten(0, 1).transpose(0, 1))
        products = products.reshape(fids.shape[0], self.peaks, self.shifts.shape[0])
        inverse = torch.linalg.solve_triangular(lower, torch.eye(self.peaks, device=gram.device), upper=False)
        whitened = torch.matmul(inverse.to(products.dtype), products)
        squared = (whitened * whitened).sum(1)
        energy, place = (0.5 * ((whitened.abs() ** 2).sum(1) + squared.abs())).max(1)
        chosen = torch.gather(whitened, 2, place[:, None, None].expand(-1, self.peaks, 1))[:, :, 0]
        phase = 0.5 * torch.angle(torch.gather(squared, 1, place[:, None])[:, 0])
        rotation = torch.complex(torch.cos(phase), -torch.sin(phase))
        amplitudes = torch.matmul((chosen * rotation[:, None]).real, inverse)
        # the phase is known except for half a turn: most of the signal is positive
        flipped = amplitudes.sum(1) < 0
        amplitudes = torch.where(flipped[:, None], -amplitudes, amplitudes)
        phase = torch.where(flipped, phase + math.pi, phase)
        return energy, place, amplitudes, phase

    def _decay_rates(self, lines: Tensor, times: Tensor) -> Tensor:
        """Decay rate (K,) of each line, from its energy."""
        step = (times[-1] - times[0]) / (times.shape[0] - 1)
        energy = (lines.abs() ** 2).sum(1) * step
        return 1.0 / (2.0 * energy).clamp(min=1e-12)

    def _stepped(self, current: Tensor, columns: Tensor, residual: Tensor, slowest: Tensor) -> Tensor:
        """Take a Gauss-Newton step and keep the unknowns in bounds.

        Args:
            current: (V, K + 3) amplitudes, phase, shift and decay rate.
            columns: (V, K + 3, 2 T) derivatives.
            residual: (V, 2 T).
            slowest: () smallest decay rate of the lines.
        """
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

    def _columns(
        self, fids: Tensor, lines: Tensor, times: Tensor, delayed: Tensor, parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Derivatives (V, K + 3, 2 T) and residual (V, 2 T), real part first.

        Phase and shift are taken out of the FIDs, which does not change the noise.
        """
        k = self.peaks
        angle = 2.0 * math.pi * parameters[:, k + 1 : k + 2] * delayed + parameters[:, k : k + 1]
        cosine, sine = torch.cos(angle), torch.sin(angle)
        decay = torch.exp(-parameters[:, k + 2 : k + 3] * times)
        real, imaginary = torch.zeros_like(decay), torch.zeros_like(decay)
        points = times.shape[0]
        columns = torch.empty([fids.shape[0], k + 3, 2 * points], device=fids.device)
        for j in range(k):
            columns[:, j, :points] = decay * lines[j].real
            columns[:, j, points:] = decay * lines[j].imag
            real = real + parameters[:, j : j + 1] * columns[:, j, :points]
            imaginary = imaginary + parameters[:, j : j + 1] * columns[:, j, points:]
        columns[:, k, :points], columns[:, k, points:] = -imaginary, real
        turning = 2.0 * math.pi * delayed
        columns[:, k + 1, :points], columns[:, k + 1, points:] = -imaginary * turning, real * turning
        columns[:, k + 2, :points], columns[:, k + 2, points:] = -real * times, -imaginary * times
        residual = torch.cat(
            [
                fids.real * cosine + fids.imag * sine - real,
                fids.imag * cosine - fids.real * sine - imaginary,
            ],
            1,
        )
        return columns, residual

    def _normal(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Normal matrix (V, K + 3, K + 3), scaled to a unit diagonal, and the scale (V, K + 3)."""
        normal = torch.matmul(columns, columns.transpose(1, 2))
        scale = normal.diagonal(dim1=1, dim2=2).clamp(min=1e-20).rsqrt()
        normal = normal * scale[:, :, None] * scale[:, None, :]
        return normal + 1e-6 * torch.eye(normal.shape[1], device=normal.device), scale

    def _solve(self, columns: Tensor, residual: Tensor) -> Tensor:
        """Solve the normal equations: change (V, K + 3) of the unknowns."""
        normal, scale = self._normal(columns)
        gradient = torch.matmul(columns, residual[:, :, None])[:, :, 0] * scale
        return torch.linalg.solve_ex(normal, gradient)[0] * scale

    def _rows(self, parameters: Tensor, columns: Tensor, residual: Tensor, scale: Tensor, fids: Tensor) -> Tensor:
        """Write the result (3 K + 7, V), the standard deviations from the Fisher information."""
        k = self.peaks
        unknowns = k + 3
        cost = (residual * residual).sum(1)
        noise = torch.sqrt(cost / max(1, residual.shape[1] - unknowns))
        normal, weight = self._normal(columns)
        covariance = torch.linalg.inv_ex(normal)[0] * weight[:, :, None] * weight[:, None, :]
        covariance = covariance * (noise * noise)[:, None, None]
        sd = covariance.diagonal(dim1=1, dim2=2).clamp(min=0.0).sqrt()
        phase = torch.remainder(parameters[:, k] + math.pi, 2.0 * math.pi) - math.pi
        explained = 1.0 - cost / (fids.abs() ** 2).sum(1).clamp(min=1e-20)
        # in the order of Estimates
        rows = [
            parameters[:, :k] * scale,
            sd[:, :k] * scale,
            covariance[:, :k, 0] * scale * scale,
            torch.stack(
                [
                    parameters[:, k + 1],
                    sd[:, k + 1],
                    phase,
                    parameters[:, k + 2] / math.pi,
                    sd[:, k + 2] / math.pi,
                    noise * scale[:, 0],
                    explained,
                ],
                1,
            ),
        ]
        return torch.cat(rows, 1).transpose(0, 1)
