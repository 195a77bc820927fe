r"""Convert transients to another acquisition: Larmor frequency, dwell time, reference and number of samples.

Chemical shifts stay what they are. A line at :math:`\delta` has the frequency
:math:`\nu = (\delta_\mathrm{ref} - \delta)\,\nu_0`, so a FID of dwell time d at the Larmor frequency :math:`\nu_0` is,
sample by sample, a FID of dwell time :math:`d\,\nu_0 / \nu_0'` at :math:`\nu_0'`. Its J couplings and linewidths in Hz
are then larger by :math:`\nu_0' / \nu_0`: by 3.6 % from 123.25 to 127.73 MHz, both sold as 3 T.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from scipy.signal import resample
from torch import Tensor

from mrs_vae_synthesis.sessions import Acquisition
from mrsikit.io import Fids
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.physics.spectra import shifted, times

SAME = 1e-3
"""Largest relative difference of two dwell times that count as one: a line is then off by 0.003 ppm at most."""

SAME_FIELD = 0.05
"""Largest relative difference of the Larmor frequencies of one nominal field."""

SAME_ECHO = 0.002
"""Largest difference of echo times within one protocol (s)."""

NARROWEST = 0.95
"""Smallest spectral width (ppm), relative to the wanted one, that is accepted: only noise is missing at the edges."""

SHORTEST = 0.35
"""Shortest acquisition, relative to the wanted one, that zeros may complete: the lines have decayed by then."""

REFLECTED = 32
"""Samples by which FIDs are extended to negative times before they are resampled."""

NOMINAL_FIELDS = (0.55, 1.5, 3.0, 4.0, 4.7, 7.0, 9.4, 10.5, 11.7, 14.1)
"""Field strengths by which magnets are sold (T)."""

FINEST = 10000
"""Largest denominator of the ratio of two dwell times."""


def converted(values: Tensor, known: Acquisition, wanted: Acquisition) -> Tensor:
    """Convert FIDs (..., T) of one acquisition to another, (..., T'), cut or completed with zeros.

    Args:
        values: FIDs (..., T).
        known: acquisition of the FIDs.
        wanted: acquisition of the result.
    """
    moved = rereferenced(values, known.dwell, (wanted.reference - known.reference) * known.larmor)
    found = resampled(moved, dwell_at(known, wanted.larmor), wanted.dwell)[..., : wanted.points]
    return torch.nn.functional.pad(found, (0, wanted.points - found.shape[-1]))


def dwell_at(known: Acquisition, larmor: float) -> float:
    """Dwell time (s) at which the FIDs of an acquisition have the same chemical shifts at a Larmor frequency (MHz)."""
    return known.dwell * known.larmor / larmor


def points_at(known: Acquisition, dwell: float, larmor: float) -> int:
    """Number of samples that FIDs of an acquisition have after conversion to a dwell time (s) at ``larmor`` (MHz)."""
    return int(known.points * _share(dwell_at(known, larmor), dwell))


def resampled(fids: Tensor, dwell: float, wanted: float) -> Tensor:
    """Resample FIDs (..., T) to another dwell time (s); of a longer one only the narrower spectral width remains.

    The Fourier transform takes a FID for periodic. The step from zero to the first sample would ring, and bend the
    baseline of the spectrum. So zeros are appended, and the FID is continued to negative times by its point reflection
    at the first sample, tapered to zero; they stand at the end of the period.
    """
    share = _share(dwell, wanted)
    if share == 1:
        return fids
    points = -(-2 * fids.shape[-1] // share.denominator) * share.denominator
    padded = torch.nn.functional.pad(fids, (0, points - fids.shape[-1]))
    before = min(REFLECTED, fids.shape[-1] - 1)
    taper = torch.cos(0.5 * math.pi * torch.arange(1, before + 1) / before) ** 2
    padded[..., points - before :] = ((2 * fids[..., :1] - fids[..., 1 : before + 1]) * taper).flip(-1)
    found = resample(padded.numpy(), points * share.numerator // share.denominator, axis=-1)
    return torch.from_numpy(found[..., : int(fids.shape[-1] * share)]).to(fids)


def _share(dwell: float, wanted: float) -> Fraction:
    """Ratio of two dwell times; 1 if they count as one."""
    return Fraction(1 if abs(dwell / wanted - 1) < SAME else dwell / wanted).limit_denominator(FINEST)


def rereferenced(values: Tensor, dwell: float, hz: float) -> Tensor:
    """Shift FIDs (..., T) by ``hz``, as another chemical shift of zero frequency requires."""
    if abs(hz) < 1e-3:
        return values
    moved = torch.tensor(hz, dtype=torch.float64).expand(values.shape[:-1])
    return shifted(values, moved, times(values.shape[-1], dwell))


def acquisition_of(fids: Fids, like: Acquisition) -> Acquisition:
    """Acquisition of FIDs as read; what a file does not state, and what it cannot, is that of ``like``."""
    return Acquisition(
        dwell=fids.dwell, larmor=fids.larmor, points=fids.values.shape[3],
        reference=NUCLEI["1H"].reference if fids.reference is None else fids.reference,
        echo=like.echo if fids.echo is None else fids.echo, edited=like.edited, water=like.water,
    )  # fmt: skip


def conversion_problems(known: Acquisition, wanted: Acquisition) -> list[str]:
    """List what keeps FIDs of one acquisition from being converted to another.

    Args:
        known: acquisition of the FIDs.
        wanted: acquisition that a network was trained on.
    """
    problems = []
    if abs(known.larmor / wanted.larmor - 1) > SAME_FIELD:
        problems.append(
            f"is of {nominal_field(known.larmor):g} T ({known.larmor:.4g} MHz), the network of "
            f"{nominal_field(wanted.larmor):g} T ({wanted.larmor:.4g} MHz)"
        )
    elif wanted.dwell / dwell_at(known, wanted.larmor) < NARROWEST:
        problems.append(
            f"has a bandwidth of {1 / known.dwell:g} Hz at {known.larmor:.4g} MHz, the network "
            f"{1 / wanted.dwell:g} at {wanted.larmor:.4g}, and what lies outside was not measured"
        )
    elif (points := points_at(known, wanted.dwell, wanted.larmor)) < SHORTEST * wanted.points:
        problems.append(
            f"has FIDs of {known.points * known.dwell:.3g} s, {points} points at the network's bandwidth, the network "
            f"{wanted.points}"
        )
    if abs(known.echo - wanted.echo) > SAME_ECHO:
        problems.append(f"has an echo time of {1e3 * known.echo:g} ms, the network {1e3 * wanted.echo:g}")
    return [f"{problem}; train a network on files like it" for problem in problems]


def conversion_warnings(known: Acquisition, wanted: Acquisition) -> list[str]:
    """Say what the conversion of FIDs of one acquisition to another changes."""
    warnings = []
    if abs(known.larmor / wanted.larmor - 1) > SAME:
        warnings.append(
            f"is of {known.larmor:.5g} MHz, the network of {wanted.larmor:.5g} MHz: chemical shifts are kept, and the "
            f"network takes J couplings and linewidths for {100 * (wanted.larmor / known.larmor - 1):+.1f} % of theirs"
        )
    points = points_at(known, wanted.dwell, wanted.larmor)
    if points < (1 - SAME_FIELD) * wanted.points:
        warnings.append(
            f"its FIDs end after {known.points * known.dwell:.2g} s, {points / wanted.points:.0%} of the network's: "
            "they were completed with zeros"
        )
    return warnings


def nominal_field(larmor: float) -> float:
    """Nominal field (T) of a magnet whose protons have a Larmor frequency (MHz): 123.25 MHz is 3 T, not 2.89 T."""
    field = NUCLEI["1H"].field_of(larmor)
    nearest = min(NOMINAL_FIELDS, key=lambda nominal: abs(nominal - field))
    return nearest if abs(field / nearest - 1) < SAME_FIELD else float(f"{field:.3g}")
