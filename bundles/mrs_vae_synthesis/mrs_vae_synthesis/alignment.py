"""Alignment of transients with the network's templates, their projection on its directions, and the inverse of both."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mrs_vae_synthesis.matched_filter import as_complex, as_real, fft_ppm, in_band, matched, turned, without_water
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Acquisition
from mrsikit.physics.spectra import noise_sd

EDGE = 4.2
"""Chemical shift above which the removal of water distorts the spectrum (ppm)."""


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Aligned transients of S sessions, and the phases, shifts and scales that undo the alignment.

    Attributes:
        spectra: (S, N, 2 T) real and imaginary parts of the spectra after correction of phase and frequency shift,
            divided by ``scale``. Their noise has a standard deviation of about 1, as the templates are scaled for it.
        noise: (S, N) standard deviation of the noise in each value of ``spectra``.
        phase: (S, N) rad.
        shift: (S, N) Hz.
        scale: (S,) median height of a session's transients, relative to the templates.
    """

    spectra: Tensor
    noise: Tensor
    phase: Tensor
    shift: Tensor
    scale: Tensor


def aligned(network: SessionVae, fids: Tensor, on: Tensor) -> Aligned:
    """Align transients (S, N, T), ON where ``on`` (S, N) is True, with the network's templates.

    Phase and shift are estimated after removal of the water. The spectra keep it if the network was trained with it.
    """
    known = Acquisition.of(network.acquisition)
    templates = as_complex(network.templates)
    dry = without_water(fids, known.dwell, known.larmor, known.reference)
    phase, shift, height = matched_sessions(dry, on, templates, known.dwell, known.larmor, known.reference)
    scale = height.median(1).values
    values = turned(fids if known.water else dry, -phase, -shift, known.dwell) / scale[:, None, None]
    spectra = as_real(torch.fft.fft(values, norm="ortho"))
    return Aligned(
        spectra=spectra, noise=noise_sd(fids) / scale[:, None], phase=phase, shift=shift, scale=scale
    )  # fmt: skip


def unaligned(network: SessionVae, spectra: Tensor, phase: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Undo the alignment: FIDs (S, N, T) of aligned spectra (S, N, 2 T), with phase (rad), shift (Hz) and scale."""
    fids = torch.fft.ifft(as_complex(spectra), norm="ortho")
    return turned(fids * scale[:, None, None], phase, shift, Acquisition.of(network.acquisition).dwell)


def scores_of(network: SessionVae, spectra: Tensor, on: Tensor) -> Tensor:
    """Project aligned spectra (S, N, 2 T) on the network's directions: scores (S, N, K)."""
    return ((spectra - network.centres[on.long()]) * _weight_of(network)) @ network.directions.T


def spectra_of(network: SessionVae, scores: Tensor, on: Tensor) -> Tensor:
    """Aligned spectra (S, N, 2 T) of scores (S, N, K): the inverse of :func:`scores_of` within the directions."""
    return network.centres[on.long()] + scores @ network.directions / _weight_of(network)


def _weight_of(network: SessionVae) -> Tensor:
    return point_weights(Acquisition.of(network.acquisition)).to(network.centres)


def point_weights(known: Acquisition) -> Tensor:
    """Weights (2 T,) of the points of a spectrum: 0.1 above :data:`EDGE` if the water was removed, else 1."""
    ppm = fft_ppm(known.points, known.dwell, known.larmor, known.reference)
    near = (ppm > EDGE) & (not known.water)
    return torch.where(near, 0.1, 1.0).repeat(2)


def network_input(network: SessionVae, found: Aligned, on: Tensor) -> Tensor:
    """Input (S, N, K + 3) of :meth:`SessionVae.forward`: scores, whether ON, noise of the session, and 1 (present)."""
    noise = found.noise.median(1, keepdim=True).values.expand_as(found.noise)
    extra = torch.stack([on.float(), noise.float(), torch.ones_like(noise)], -1)
    return torch.cat([scores_of(network, found.spectra, on), extra], -1)


def matched_sessions(
    fids: Tensor, on: Tensor, templates: Tensor, dwell: float, larmor: float, reference: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Phase (rad), shift (Hz) and height of sessions (S, N, T), (S, N) each, in batches of 16 sessions.

    The FIDs are filtered to the band and given to :func:`mrs_vae_synthesis.matched_filter.matched`.
    """
    found = [
        torch.stack(
            matched(in_band(part, dwell, larmor, reference).flatten(0, 1), templates[edit.long()].flatten(0, 1), dwell)
        ).unflatten(1, edit.shape)
        for part, edit in zip(fids.split(16), on.split(16), strict=True)
    ]
    phase, shift, height = torch.cat(found, 1)
    return phase, shift, height


def similarities(templates: Tensor, known: Acquisition, fids: Tensor) -> Tensor:
    """Similarity of each transient (N, T) to the templates (2, 2 T) of OFF and of ON, (N, 2), 0 to 1.

    It is the normalised correlation in band, without water and at the best phase and shift. A template of an edit that
    the network does not know has a similarity of 0.
    """
    rows = as_complex(templates.float())
    about = (known.dwell, known.larmor, known.reference)
    moved = in_band(without_water(fids, *about), *about)
    size = torch.linalg.vector_norm(moved, dim=-1).clamp(min=1e-30)
    heights = [matched(moved, row.expand_as(moved), known.dwell)[2] * torch.linalg.vector_norm(row) for row in rows]
    return torch.stack(heights, -1) / size[:, None]
