"""Figure of one session in the report: a single transient, means of ON and OFF, and their difference."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from mrs_vae_synthesis.inputs import SynthesisInputs
from mrs_vae_synthesis.matched_filter import without_water
from mrs_vae_synthesis.nifti_sessions import read_session
from mrs_vae_synthesis.postprocessing import SYNTHETIC
from mrs_vae_synthesis.sessions import Sessions
from mrsikit.io import InputError
from mrsikit.physics import spectra
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.runtime.report import Picture

ABOVE_NAA = 2.2
"""Chemical shift above which the difference spectrum sets its vertical scale (ppm)."""

MEASURED, MADE = "#888888", "#1f77b4"


def draw_session(inputs: SynthesisInputs, path: Path) -> Picture:
    """Draw a synthetic session over the measured session that it was made from, if there is one.

    Args:
        inputs: inputs of the run.
        path: path of the input.

    Returns:
        The picture.
    """
    made = read_session(inputs.output_path(inputs.name_of(path), SYNTHETIC))
    measured = None
    if Path(path).exists():
        try:
            measured = inputs.measured(path)
        except InputError:
            measured = None
    figure = Figure(figsize=(12, 3.6))
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    kind = ("ON" if made.on[0, 0] else "OFF") if made.on.any() else ""
    titles = (f"one transient {kind}".strip(), "means", "ON less OFF, NAA cut off")
    for name, session, colour in (("measured", measured, MEASURED), ("synthetic", made, MADE)):
        if session is None:
            continue
        values, on = _phased(session), session.on[0]
        _line(axes[0], session, values[0], colour, name)
        for edit, style in ((True, "-"), (False, "--")):
            if (on == edit).any():
                kind = ("ON" if edit else "OFF") if session.on.any() else "mean"
                _line(axes[1], session, values[on == edit].mean(0), colour, f"{name}, {kind}", style)
        if on.any() and (~on).any():
            _line(axes[2], session, values[on].mean(0) - values[~on].mean(0), colour, name)
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("chemical shift (ppm)")
        axis.set_yticks([])
        axis.invert_xaxis()
        if axis is axes[2] and axis.lines:  # scaled to show GABA+ at 3.0 ppm
            heights = np.concatenate([line.get_ydata()[line.get_xdata() > ABOVE_NAA] for line in axis.lines])
            axis.set_ylim(heights.min() - 0.5 * np.ptp(heights), heights.max() + 0.1 * np.ptp(heights))
        if axis.lines:
            axis.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90)
    return Picture(png=buffer.getvalue())


def _phased(session: Sessions) -> Tensor:
    """FIDs (N, T) aligned in phase and frequency by their tallest line between 2.8 and 3.4 ppm."""
    fids = session.fids[0]
    at = spectra.times(fids.shape[-1], session.dwell)
    ppm = _ppm(session)
    inside = (ppm > 2.8) & (ppm < 3.4)
    # remove the water first: its tail would bias the phase
    dry = without_water(fids, session.dwell, session.larmor, session.reference)
    wide = spectra.broadened(dry, 5.0, at)
    values = spectra.spectrum(wide)
    peak = torch.where(inside, values.abs(), 0.0).argmax(-1)
    hz = spectra.frequency_axis(fids.shape[-1], session.dwell)[peak]
    middle = hz.median()
    moved = spectra.shifted(fids, middle - hz, at)
    # the phase of the integral over whole lines does not depend on where the points lie on a line
    aligned_dry = spectra.shifted(dry, middle - hz, at)
    phase = spectra.spectrum(aligned_dry)[:, inside].sum(-1).angle()
    return spectra.phased(moved, -phase)


def _ppm(session: Sessions) -> Tensor:
    reference = session.reference
    return spectra.ppm_axis(session.fids.shape[-1], session.dwell, larmor=session.larmor, reference=reference)


def _line(axis: Axes, session: Sessions, fid: Tensor, colour: str, name: str, style: str = "-") -> None:
    ppm = _ppm(session).numpy()
    low, high = NUCLEI["1H"].shown
    inside = (ppm > low) & (ppm < high)
    values = spectra.spectrum(fid).real.numpy() / math.sqrt(len(ppm))
    axis.plot(ppm[inside], values[inside], style, color=colour, lw=0.8, label=name)
