"""Least-squares fits in the time domain, voxel by voxel: scipy's trust region with an analytic Jacobian."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from mrsikit.physics.fid_model import FidModel


def fid_least_squares(
    fids: NDArray[np.complexfloating], model: FidModel, *, max_shift: float = 30.0
) -> NDArray[np.float64]:
    """Fit amplitudes, phase, shift and broadening of each FID independently.

    The starting values are those a user would take. The tallest line is taken for the first line of the model: its
    position gives the shift, and its phase the phase. Projection on the lines gives the amplitudes.

    Args:
        fids: (B, T), complex.
        model: model of the FIDs.
        max_shift: largest shift that the fit allows (Hz).

    Returns:
        (B, K + 3): amplitudes, phase (rad), shift (Hz), broadening (Hz).
    """
    return np.array([_fit(np.asarray(fid, np.complex128), model, max_shift) for fid in fids])


def _fit(fid: NDArray[np.complex128], model: FidModel, max_shift: float) -> NDArray[np.float64]:
    count = len(model.ppm)
    at = model.times.numpy()
    delayed = at + model.delay
    lines = model.basis().numpy()

    def columns(p: NDArray[np.float64]) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        turn = np.exp(1j * (p[count] + 2 * np.pi * p[count + 1] * delayed) - np.pi * p[count + 2] * at)
        shapes = lines * turn
        return shapes, p[:count] @ shapes

    def residual(p: NDArray[np.float64]) -> NDArray[np.float64]:
        left = columns(p)[1] - fid
        return np.concatenate([left.real, left.imag])

    def jacobian(p: NDArray[np.float64]) -> NDArray[np.float64]:
        shapes, whole = columns(p)
        others = np.stack([1j * whole, 2j * np.pi * delayed * whole, -np.pi * at * whole])
        both = np.concatenate([shapes, others])
        return np.concatenate([both.real, both.imag], 1).T

    start = _start(fid, model, lines, delayed, max_shift)
    scale = np.maximum(np.abs(start), 1e-3 * np.abs(start[:count]).max())
    scale[count:] = (0.3, 3.0, 3.0)
    slowest = 1.0 / max(model.t2_star)
    low = np.r_[np.full(count, -np.inf), -np.inf, -max_shift, -0.7 * slowest / np.pi]
    high = np.r_[np.full(count, np.inf), np.inf, max_shift, 200.0]
    start[count + 1 :] = np.clip(start[count + 1 :], low[count + 1 :] + 1e-6, high[count + 1 :] - 1e-6)
    return least_squares(residual, start, jacobian, bounds=(low, high), x_scale=scale, method="trf").x


def _start(
    fid: NDArray[np.complex128],
    model: FidModel,
    lines: NDArray[np.complex128],
    delayed: NDArray[np.float64],
    max_shift: float,
) -> NDArray[np.float64]:
    """Find shift and phase of the tallest line near the first line's nominal position, then project for amplitudes."""
    shifts = np.arange(-max_shift, max_shift + 0.5, 1.0)
    height = np.conj(lines[0]) * np.exp(-2j * np.pi * shifts[:, None] * delayed) @ fid
    best = int(np.abs(height).argmax())
    shift, phase = shifts[best], float(np.angle(height[best]))
    turned = lines * np.exp(1j * (phase + 2 * np.pi * shift * delayed))
    amplitudes = np.linalg.solve((turned.conj() @ turned.T).real, (turned.conj() @ fid).real)
    return np.r_[amplitudes, phase, shift, 1.0]
