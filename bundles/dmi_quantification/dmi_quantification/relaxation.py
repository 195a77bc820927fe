"""Relaxation times fitted to a whole data set: a wrong one biases its amplitude in every voxel alike."""

from __future__ import annotations

import torch
from torch import Tensor

from dmi_quantification.network import FidLeastSquares

MOST_VOXELS = 2048


def fit_t2_star(
    rows: Tensor, t2_star: list[float], unit: float, *, network: FidLeastSquares, iterations: int = 8
) -> tuple[list[float], list[float]]:
    """Fit the relaxation times of all lines but the first, which all voxels share, by least squares over all of them.

    Each voxel's broadening widens all its lines alike, so only the differences of the rates can be known: the first
    line's time stays as it is. The unknowns of single voxels are eliminated: the work grows with the voxels linearly.

    Args:
        rows: (2, 1 + K + V, T), the estimator's input; the voxels with most signal are used.
        t2_star: start (s), K.
        unit: largest shift (Hz), the input's unit of frequency.
        network: the estimator.
        iterations: Gauss-Newton steps.

    Returns:
        The K times (s) and their standard deviations, 0 for the first.
    """
    count = len(t2_star)
    first = 1 + count
    head = torch.complex(rows[0, :first], rows[1, :first])
    at = head[0].real
    bare = head[1:] * torch.exp(at / unit / torch.tensor(t2_star)[:, None])
    energy = torch.cat([(part**2).sum((0, 2)) for part in rows[:, first:].split(MOST_VOXELS, 1)])
    chosen = first + energy.argsort(descending=True)[: min(MOST_VOXELS, int((energy > 0).sum()))]
    fids = torch.complex(rows[0, chosen], rows[1, chosen])
    rates = 1.0 / (torch.tensor(t2_star) * unit)
    information = torch.eye(count - 1, dtype=torch.float64)
    for _ in range(iterations):
        lines = bare * torch.exp(-rates[:, None] * at)
        step, information = _step(network, torch.cat([head[:1], lines, fids]), count)
        rates[1:] = torch.maximum(rates[1:] + step.float().clamp(-0.3 * rates[1:], 0.3 * rates[1:]), 0.05 * rates[:1])
    times = 1.0 / (rates * unit)
    spread = torch.linalg.inv(information).diagonal().clamp(min=0).sqrt().float()
    deviations = torch.cat([spread.new_zeros(1), spread * unit * times[1:] ** 2])
    return times.tolist(), deviations.tolist()


def _step(network: FidLeastSquares, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Step of the shared rates, and their information with each voxel's own unknowns eliminated."""
    first = 1 + count
    information = torch.zeros(count - 1, count - 1, dtype=torch.float64)
    gradient = torch.zeros(count - 1, dtype=torch.float64)
    for fids in rows[first:].split(512):
        x = torch.view_as_real(torch.cat([rows[:first], fids])).movedim(-1, 0)[None].float()
        with torch.no_grad():
            estimate = network(x)[0]
        own = torch.cat(
            [
                estimate[:count],
                estimate[3 * count + 2][None],
                estimate[3 * count][None],
                torch.pi * estimate[3 * count + 3][None],
            ]
        ).transpose(0, 1)
        columns, residual = network._columns(fids, rows[1:first], rows[0].real, rows[0].imag, own)
        columns, residual = columns.double(), residual.double()
        at = torch.cat([rows[0].real, rows[0].real]).double()
        shared = -at * own[:, 1:count, None].double() * columns[:, 1:count]
        weight = 1.0 / estimate[3 * count + 5].double().clamp(min=1e-30) ** 2
        normal = columns @ columns.transpose(1, 2)
        cross = shared @ columns.transpose(1, 2)
        both = torch.linalg.solve(normal, torch.cat([cross.transpose(1, 2), (columns @ residual[..., None])], 2))
        information += torch.einsum("v,vij->ij", weight, shared @ shared.transpose(1, 2) - cross @ both[..., :-1])
        left = (shared @ residual[..., None] - cross @ both[..., -1:])[..., 0]
        gradient += torch.einsum("v,vi->i", weight, left)
    return torch.linalg.solve(information, gradient), information
