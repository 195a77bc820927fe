"""Spectrum of one voxel with its fit and residual: its values, and their drawing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mrsikit.io import Fids
from mrsikit.physics import spectra
from mrsikit.physics.nuclei import NUCLEI

COLOURS = {"measured": "0.45", "fit": "#c1272d", "residual": "0.2"}

FILLING = 8
"""Zero filling makes lines smooth: at 3 T a line is only a few points wide."""


def spectrum_of(
    fids: Fids, fit: Fids | None, place: tuple[int, ...], *, delay: float, filling: int = FILLING
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float32]]]:
    """Compute spectrum, fit and residual of one voxel and time point.

    The phase that the lines gain during the acquisition delay is taken out, and that of the fit's tallest line.

    Args:
        fids: that were fitted.
        fit: the fitted FIDs, or None.
        place: (x, y, z, time point).
        delay: acquisition delay (s).
        filling: points of the spectrum per acquired point.

    Returns:
        The chemical shifts (ppm) that are shown of the nucleus, and the real parts there: "measured" and, with a fit,
        "fit" and "residual".
    """
    voxel, when = place[:3], place[3]
    nucleus = NUCLEI[fids.nucleus]
    reference = nucleus.reference if fids.reference is None else fids.reference
    measured = torch.from_numpy(fids.values[voxel].reshape(fids.values.shape[3], -1)[:, when])
    points = spectra.acquired_points(measured)
    filled = filling * points
    ppm = spectra.ppm_axis(filled, fids.dwell, larmor=fids.larmor, reference=reference).numpy()
    lines = {"measured": measured[:points]}
    angle = torch.from_numpy(2 * np.pi * (ppm - reference) * fids.larmor * delay).float()
    rotation = torch.polar(torch.ones(filled), angle)
    if fit is not None:
        model = torch.from_numpy(fit.values[voxel].reshape(fit.values.shape[3], -1)[:, when])[:points]
        rotated = spectra.spectrum(model, points=filled) * rotation
        rotation = rotation * torch.polar(torch.tensor(1.0), -torch.angle(rotated[rotated.abs().argmax()]))
        lines |= {"fit": model, "residual": measured[:points] - model}
    shown = (ppm >= nucleus.shown[0]) & (ppm <= nucleus.shown[1])
    heights = {name: (spectra.spectrum(v, points=filled) * rotation).real.numpy()[shown] for name, v in lines.items()}
    return ppm[shown], heights


def draw_spectrum(
    axis: Axes,
    fids: Fids,
    fit: Fids | None,
    place: tuple[int, ...],
    metabolites: Sequence[str],
    *,
    shift: float,
    delay: float,
) -> None:
    """Draw spectrum, fit and residual of one voxel and time point.

    Args:
        axis: to draw on.
        fids: that were fitted.
        fit: the fitted FIDs, or None.
        place: (x, y, z, time point).
        metabolites: names of the lines.
        shift: of all lines (Hz), positive towards higher ppm.
        delay: acquisition delay (s).
    """
    nucleus = NUCLEI[fids.nucleus]
    ppm, lines = spectrum_of(fids, fit, place, delay=delay)
    below = 0.4 * float(np.abs(lines.get("fit", lines["measured"])).max())
    for name, heights in lines.items():
        offset = below if name == "residual" else 0.0
        axis.plot(ppm, heights - offset, color=COLOURS[name], linewidth=0.9, label=name)
    axis.margins(y=0.12)
    for name in metabolites:
        at = nucleus.resonances[name].ppm + shift / fids.larmor
        axis.axvline(at, color="0.8", linewidth=0.7, zorder=0)
        axis.text(at, 0.99, name, transform=axis.get_xaxis_transform(), fontsize=7, ha="center", va="top")
    axis.set_xlim(nucleus.shown[1], nucleus.shown[0])
    axis.set_yticks([])
    axis.set_xlabel("ppm", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=6, frameon=False, loc="upper right", bbox_to_anchor=(1, 0.93))
