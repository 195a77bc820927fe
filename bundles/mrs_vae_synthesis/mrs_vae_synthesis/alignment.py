"""The network's frame: transients without phase and shift, of one scale, as scores of its directions; and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mrs_vae_synthesis.matched_filter import as_complex, as_real, fft_ppm, in_band, matched, turned, without_water
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Acquisition
from mrsikit.physics.spectra import noise_sd

EDGE = 4.2
"""Where the edge of what is left of removed water begins (ppm)."""


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Transients in the network's frame, and what brings them back.

    Attributes:
        spectra: (S, N, 2 T) real and imaginary spectra, without phase and shift, of height about 1.
        noise: (S, N) standard deviation of each value of these.
        phase: (S, N) rad.
        shift: (S, N) Hz.
        scale: (S,) height of a session.
    """

    spectra: Tensor
    noise: Tensor
    phase: Tensor
    shift: Tensor
    scale: Tensor


def aligned(network: SessionVae, fids: Tensor, on: Tensor) -> Aligned:
    """Bring transients (S, N, T) into the network's frame; where their lines lie is sought without their water."""
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
    """FIDs (S, N, T) of spectra (S, N, 2 T) in the network's frame."""
    fids = torch.fft.ifft(as_complex(spectra), norm="ortho")
    return turned(fids * scale[:, None, None], phase, shift, Acquisition.of(network.acquisition).dwell)


def scores_of(network: SessionVae, spectra: Tensor, on: Tensor) -> Tensor:
    """Scores (S, N, K) of spectra (S, N, 2 T)."""
    return ((spectra - network.centres[on.long()]) * _weight_of(network)) @ network.directions.T


def spectra_of(network: SessionVae, scores: Tensor, on: Tensor) -> Tensor:
    """Spectra (S, N, 2 T) of scores (S, N, K)."""
    return network.centres[on.long()] + scores @ network.directions / _weight_of(network)


def _weight_of(network: SessionVae) -> Tensor:
    return point_weights(Acquisition.of(network.acquisition)).to(network.centres)


def point_weights(known: Acquisition) -> Tensor:
    """(2 T,) by which the points of a spectrum count: a tenth from :data:`EDGE` on where water was taken away."""
    ppm = fft_ppm(known.points, known.dwell, known.larmor, known.reference)
    near = (ppm > EDGE) & (not known.water)
    return torch.where(near, 0.1, 1.0).repeat(2)


def network_input(network: SessionVae, found: Aligned, on: Tensor) -> Tensor:
    """(S, N, K + 3), what :meth:`SessionVae.forward` takes."""
    noise = found.noise.median(1, keepdim=True).values.expand_as(found.noise)
    extra = torch.stack([on.float(), noise.float(), torch.ones_like(noise)], -1)
    return torch.cat([scores_of(network, found.spectra, on), extra], -1)


def matched_sessions(
    fids: Tensor, on: Tensor, templates: Tensor, dwell: float, larmor: float, reference: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`mrs_vae_synthesis.matched_filter.matched`, of sessions (S, N, T), some at a time: (S, N) each."""
    found = [
        torch.stack(
            matched(in_band(part, dwell, larmor, reference).flatten(0, 1), templates[edit.long()].flatten(0, 1), dwell)
        ).unflatten(1, edit.shape)
        for part, edit in zip(fids.split(16), on.split(16), strict=True)
    ]
    phase, shift, height = torch.cat(found, 1)
    return phase, shift, height


def likeness(templates: Tensor, known: Acquisition, fids: Tensor, on: Tensor) -> tuple[float, float]:
    """How much transients (N, T) are like the templates (2, 2 T) of their own edit, and of the other; 1: no difference.

    In band and without water, whatever their phase and shift, the median over transients.
    """
    known_lines = as_complex(templates.float())
    about = (known.dwell, known.larmor, known.reference)
    moved = in_band(without_water(fids, *about), *about)
    size = moved.abs().square().sum(-1)
    out = []
    for rows in (known_lines[on.long()], known_lines[(~on).long()]):
        height = matched(moved, rows, known.dwell)[2]
        out.append(float((height * (rows.abs().square().sum(-1) / size.clamp(min=1e-300)).sqrt()).median()))
    return out[0], out[1]
