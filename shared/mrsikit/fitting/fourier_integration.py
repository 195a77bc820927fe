"""Fourier reconstruction: metabolite amplitudes by integration of the spectrum around each line."""

from __future__ import annotations

import torch
from torch import Tensor

from mrsikit.physics import spectra
from mrsikit.physics.fid_model import FidModel


def fourier_integration(fids: Tensor, model: FidModel, *, bins: int = 2, phase: Tensor | float = 0.0) -> Tensor:
    """Integrate the real spectrum over ``bins`` points on either side of each line's nominal frequency.

    The result is divided by the integral of an unbroadened line of amplitude 1 at that frequency, so it is unbiased for
    data without shift, broadening and overlap. The shift is not corrected, as in a plain Fourier reconstruction.

    Args:
        fids: (B, T), complex.
        model: model of the FIDs.
        bins: points on either side. The PRECISE-DMI paper does not state its window; two points of 4.88 Hz are used for
            its figures.
        phase: known common phase (rad), a number or (B,).

    Returns:
        Amplitudes (B, K), float32.
    """
    axis = spectra.frequency_axis(model.points, model.dwell)
    places = [int((axis - hz).abs().argmin()) for hz in model.frequencies]
    windows = [slice(max(0, p - bins), p + bins + 1) for p in places]
    values = spectra.spectrum(spectra.phased(fids, -torch.as_tensor(phase)))
    lines = spectra.spectrum(model.basis())
    parts = []
    for k, window in enumerate(windows):
        # the delay gives each line a phase; division by the line's own complex integral removes it
        whole = lines[k, window].sum().to(values.dtype)
        parts.append((values[:, window].sum(1) / whole).real)
    return torch.stack(parts, 1).float()
