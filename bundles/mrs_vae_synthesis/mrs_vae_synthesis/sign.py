"""Tell the sign of a session's FIDs by the network's templates; :mod:`mrsikit.fitting.sign_test` says what it takes.

A transient of either sign is fitted by the template of ON or of OFF, at the best phase, shift and height, and by any
signal of water and of lipids where these are: another sign or reference moves them among the lines, where a template
takes a part of them. A wrong reference, such as that of a transmitter on creatine, moves the lines too. So the
standard's sign is tried at other references, and FIDs are conjugated only if none of them explains the transients as
well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mrs_vae_synthesis.conversion import converted
from mrs_vae_synthesis.matched_filter import (
    BAND,
    SEARCH,
    WATER,
    as_complex,
    in_band,
    matched,
    signal_space,
    turned,
    without_water,
)
from mrs_vae_synthesis.sessions import Acquisition
from mrsikit.fitting.sign_test import FLIPPED, UNCLEAR, SignTest, chance_of_error, is_real
from mrsikit.physics.spectra import noise_sd

MOST = 32
"""Most transients that are asked."""

PARAMETERS = 5
"""Parameters of the fit of a transient: edit, shift, and the real and imaginary parts of the height; one is spare."""

LINE = 10.0
"""Width of a line (Hz), within which what no sign explains is summed."""

REFERENCES = 2.5
"""Largest error of the reference that is looked for (ppm): a transmitter between GABA and water lies within it."""

LIPIDS = (0.6, 1.6)
"""Range of lipids and lactate (ppm)."""

ALIKE = 0.65
"""Similarity to the templates below which transients are not those of the network's protocol."""


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """Fits of N transients by the templates.

    Attributes:
        explained: (N,) energy that the fits explain, in units of twice the variance of the noise.
        freedom: degrees of freedom of all fits together.
        similarity: normalised correlation with the better template, all transients together, without the noise's part.
        unexplained: energy of the tallest line that is left, sum over the transients, in the same units.
    """

    explained: Tensor
    freedom: int
    similarity: float
    unexplained: float


def find_sign(values: Tensor, file: Acquisition, known: Acquisition, templates: Tensor) -> SignTest:
    """Compare transients with the templates in both signs.

    Args:
        values: (N, T) transients as read.
        file: their acquisition.
        known: acquisition of the network.
        templates: (2, 2 T') templates of the network.
    """
    some = values[torch.linspace(0, len(values) - 1, min(MOST, len(values))).long()]
    if is_real(some):
        return SignTest(finding="real")
    as_is = _fit(converted(some, file, known), known, templates)
    mirrored = _fit(converted(some.conj().resolve_conj(), file, known), known, templates)
    if _chance_of_error(mirrored, as_is) < UNCLEAR:
        return SignTest(finding="standard")
    reference, moved = _best_reference(some, file, known, templates)
    others = (as_is, mirrored)
    if moved.similarity > ALIKE and all(_chance_of_error(other, moved) < UNCLEAR for other in others):
        return SignTest(finding="reference", reference=reference)
    likely = all(_chance_of_error(other, mirrored) < FLIPPED for other in (as_is, moved))
    return SignTest(finding="conjugate" if likely and mirrored.similarity > ALIKE else "unclear")


def _best_reference(values: Tensor, file: Acquisition, known: Acquisition, templates: Tensor) -> tuple[float, _Fit]:
    """Fit transients of the standard's sign at other references: the best one (ppm), and its fit."""
    step = 1.75 * SEARCH / known.larmor
    offsets = np.arange(step, REFERENCES, step)
    fits = {}
    for reference in (file.reference + np.concatenate([-offsets, offsets])).tolist():
        fits[reference] = _fit(converted(values, replace(file, reference=reference), known), known, templates)
    best = max(fits, key=lambda reference: float(fits[reference].explained.sum()))
    return best, fits[best]


def _fit(fids: Tensor, known: Acquisition, templates: Tensor) -> _Fit:
    """Fit transients (N, T) of the network's acquisition."""
    about = (known.dwell, known.larmor, known.reference)
    dry = without_water(fids, *about)
    moved = in_band(dry, *about)
    spaces = [signal_space(fids.shape[-1], *about, band).to(fids) for band in (WATER, LIPIDS)]
    plain = (fids @ spaces[0].conj()).abs().square().sum(-1) + (dry @ spaces[1].conj()).abs().square().sum(-1)
    rows = as_complex(templates.float())
    variance = noise_sd(fids).square().clamp(min=1e-30)
    found = [torch.stack(matched(moved, row.expand_as(moved), known.dwell)) for row in rows]
    energies = torch.stack([one[2].square() * row.abs().square().sum() for one, row in zip(found, rows, strict=True)])
    best = energies.argmax(0)
    phase, shift, height = torch.stack(found)[best, :, torch.arange(len(fids))].unbind(-1)
    left = torch.fft.fft(
        moved - turned(height[:, None].to(moved) * rows[best], phase, shift.double(), known.dwell), norm="ortho"
    )
    power = (left.abs().square() / (2 * variance[:, None])).sum(0)
    points = max(1, round(LINE * known.points * known.dwell))
    around = torch.cat([power, power[: points - 1]]).unfold(0, points, 1).sum(-1)
    count = len(fids)
    excess = float(around.max()) - count * points - 4 * (count * points) ** 0.5
    energy = energies.amax(0)
    band = (BAND[1] - BAND[0]) * known.larmor * known.points * known.dwell
    total = (moved.abs().square().sum(-1) - 2 * variance * band).sum()
    signal = (energy - PARAMETERS * variance).sum()
    # what noise leaves of the energy in band may be anything, down to nothing
    clear = total > 4 * (variance * 2).square().mul(band).sum().sqrt()
    return _Fit(
        explained=(plain + energy) / (2 * variance),
        freedom=count * (PARAMETERS + 2 * sum(space.shape[1] for space in spaces)),
        similarity=float((signal / total).clamp(0, 1).sqrt()) if clear else 0.0,
        unexplained=max(0.0, excess),
    )


def _chance_of_error(worse: _Fit, better: _Fit) -> float:
    """Largest chance that the sign or the reference of the worse fit is the right one."""
    x = float((better.explained - worse.explained).sum())
    return chance_of_error(x, freedom=better.freedom, unexplained=better.unexplained)
