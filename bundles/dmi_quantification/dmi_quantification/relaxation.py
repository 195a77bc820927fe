"""Fit relaxation times to a whole file, because a wrong one biases its metabolite in every voxel alike."""

from __future__ import annotations

import torch
from torch import Tensor

from dmi_quantification.estimates import Estimates
from dmi_quantification.network import FidLeastSquares

MOST_VOXELS = 2048
"""Largest number of FIDs that the relaxation times are fitted to: those of the most energy."""

CHUNK = 512
"""Number of FIDs that are fitted at a time."""


def fit_t2_star(
    rows: Tensor, t2_star: list[float], unit: float, *, network: FidLeastSquares, iterations: int = 8
) -> tuple[list[float], list[float]]:
    """Fit the relaxation times of all lines but the first to all voxels together, by least squares.

    A voxel's broadening widens all its lines alike, so the data tell only the differences of the decay rates: the first
    line's time stays as it is. The unknowns of single voxels are eliminated, so the work grows linearly with the
    number of voxels.

    Args:
        rows: (2, 1 + K + V, T), the estimator's input.
        t2_star: K relaxation times (s) to start from.
        unit: largest shift (Hz), the input's unit of frequency.
        network: the estimator.
        iterations: number of Gauss-Newton steps.

    Returns:
        The K relaxation times (s) and their standard deviations (s), 0 for the first.
    """
    count = len(t2_star)
    first = 1 + count
    head = torch.complex(rows[0, :first], rows[1, :first])
    times = head[0].real
    undamped = head[1:] * torch.exp(times / unit / torch.tensor(t2_star)[:, None])
    fids = strongest_fids(rows, first)
    rates = 1.0 / (torch.tensor(t2_star) * unit)
    information = torch.eye(count - 1, dtype=torch.float64)
    for _ in range(iterations):
        lines = undamped * torch.exp(-rates[:, None] * times)
        step, information = _step(network, torch.cat([head[:1], lines, fids]), count)
        rates[1:] = torch.maximum(rates[1:] + step.float().clamp(-0.3 * rates[1:], 0.3 * rates[1:]), 0.05 * rates[:1])
    fitted = 1.0 / (rates * unit)
    rate_sd = torch.linalg.inv(information).diagonal().clamp(min=0).sqrt().float()
    fitted_sd = torch.cat([rate_sd.new_zeros(1), rate_sd * unit * fitted[1:] ** 2])
    return fitted.tolist(), fitted_sd.tolist()


def strongest_fids(rows: Tensor, first: int) -> Tensor:
    """FIDs (N, T) of the most energy, of those behind the ``first`` rows."""
    energy = torch.cat([(part**2).sum((0, 2)) for part in rows[:, first:].split(MOST_VOXELS, 1)])
    chosen = first + energy.argsort(descending=True)[: min(MOST_VOXELS, int((energy > 0).sum()))]
    return torch.complex(rows[0, chosen], rows[1, chosen])


def _step(network: FidLeastSquares, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Take one Gauss-Newton step of the shared decay rates.

    Args:
        network: the estimator.
        rows: (1 + K + N, T), complex: its input.
        count: number K of lines.

    Returns:
        (K - 1,) change of the rates of all lines but the first, and their Fisher information (K - 1, K - 1), from which
        the unknowns of the single voxels are eliminated.
    """
    first = 1 + count
    information = torch.zeros(count - 1, count - 1, dtype=torch.float64)
    gradient = torch.zeros(count - 1, dtype=torch.float64)
    times = torch.cat([rows[0].real, rows[0].real]).double()
    for fids in rows[first:].split(CHUNK):
        x = torch.view_as_real(torch.cat([rows[:first], fids])).movedim(-1, 0)[None].float()
        with torch.no_grad():
            estimates = Estimates.from_rows(network(x)[0], count)
        parameters = _parameters(estimates)
        columns, residual = network._columns(fids, rows[1:first], rows[0].real, rows[0].imag, parameters)
        columns, residual = columns.double(), residual.double()
        # derivatives by the shared rates
        shared = -times * parameters[:, 1:count, None].double() * columns[:, 1:count]
        weight = 1.0 / estimates.noise_sd.double().clamp(min=1e-30) ** 2
        normal = columns @ columns.transpose(1, 2)
        cross = shared @ columns.transpose(1, 2)
        both = torch.linalg.solve(normal, torch.cat([cross.transpose(1, 2), (columns @ residual[..., None])], 2))
        information += torch.einsum("v,vij->ij", weight, shared @ shared.transpose(1, 2) - cross @ both[..., :-1])
        unexplained = (shared @ residual[..., None] - cross @ both[..., -1:])[..., 0]
        gradient += torch.einsum("v,vi->i", weight, unexplained)
    return torch.linalg.solve(information, gradient), information


def _parameters(estimates: Estimates[Tensor]) -> Tensor:
    """The estimator's unknowns (N, K + 3): amplitudes, phase, shift and decay rate."""
    single = [estimates.phase[None], estimates.shift[None], torch.pi * estimates.broadening[None]]
    return torch.cat([estimates.amplitude, *single]).transpose(0, 1)
