"""Draw the spectrum of one voxel with its fit and residual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes

from mrsikit.io import Fids
from mrsikit.physics import spectra
from mrsikit.physics.nuclei import NUCLEI


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

    The phase that the lines gain during the acquisition delay is taken out.

    Args:
        axis: to draw on.
        fids: that were fitted.
        fit: the fitted FIDs, or None.
        place: (x, y, z, time point).
        metabolites: names of the lines.
        shift: of all lines (Hz), positive towards higher ppm.
        delay: acquisition delay (s).
    """
    voxel, when = place[:3], place[3]
    nucleus = NUCLEI[fids.nucleus]
    reference = nucleus.reference if fids.reference is None else fids.reference
    measured = torch.from_numpy(fids.values[voxel].reshape(fids.values.shape[3], -1)[:, when])
    points = spectra.acquired_points(measured)
    filled = 8 * points  # zero filling makes lines smooth: at 3 T a line is only a few points wide
    ppm = spectra.ppm_axis(filled, fids.dwell, larmor=fids.larmor, reference=reference).numpy()
    lines = {"measured": (measured[:points], "0.45", 0.0)}
    angle = torch.from_numpy(2 * np.pi * (ppm - reference) * fids.larmor * delay).float()
    rotation = torch.polar(torch.ones(filled), angle)
    if fit is not None:
        model = torch.from_numpy(fit.values[voxel].reshape(fit.values.shape[3], -1)[:, when])[:points]
        # the phase of the fit's tallest line is taken out too
        rotated = spectra.spectrum(model, points=filled) * rotation
        rotation = rotation * torch.polar(torch.tensor(1.0), -torch.angle(rotated[rotated.abs().argmax()]))
        step = 1.15 * float(rotated.abs().max())
        lines |= {"fit": (model, "#c1272d", 0.0), "residual": (measured[:points] - model, "0.2", -0.35 * step)}
    shown = (ppm >= nucleus.shown[0]) & (ppm <= nucleus.shown[1])
    for name, (values, colour, offset) in lines.items():
        heights = (spectra.spectrum(values, points=filled) * rotation).real.numpy()
        axis.plot(ppm[shown], heights[shown] + offset, color=colour, linewidth=0.9, label=name)
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
