r"""Latent variables of new sessions, and of new transients of measured sessions.

New sessions are drawn from the distribution of the training sessions, not from the prior, because water and lipids have
heavier tails than the prior. Every value of the bank is transformed to a normal score by its rank. A session j of the
bank is moved in that space,

.. math:: y = \sqrt{1 - h^2}\, y_j + h L \epsilon, \qquad L L^T = \mathrm{cov}(y),

and transformed back by the inverse of the ranks. So each value keeps its distribution, and the covariance remains (a
smoothed bootstrap; West, J R Stat Soc B 55 (1993)). The transients of a new session have the drift of the session it
came from, and its jitter about the drift in another order.

All random numbers are inputs (:class:`Draws`): the same draws give the same spectra on any machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mrs_vae_synthesis.alignment import aligned, network_input, spectra_of, unaligned
from mrs_vae_synthesis.matched_filter import as_complex
from mrs_vae_synthesis.network import FACTORS, SessionVae
from mrs_vae_synthesis.training import described

SESSION_WIDTH, TRANSIENT_WIDTH = 0.45, 0.35
"""h of sessions and of transients. With a smaller h, new sessions lie too close to the session they came from; with a
larger h, their concentrations vary too much. Both were seen on subjects of neither the training nor the benchmark."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Standard normal deviates for the synthesis of S sessions with N transients each.

    Attributes:
        session: (S, 1 + V): the first selects a session of the bank, the others move the V values of its row.
        transients: (S, N, transient + 2), for t, phase and shift.
        choices: (S, N, 3): they select the transient whose jitter is used, the one whose noise is used, and a position
            between two transients.
        noise: (S, N, 2 T), for the real and imaginary parts of the FIDs.
    """

    session: Tensor
    transients: Tensor
    choices: Tensor
    noise: Tensor

    @classmethod
    def of(cls, values: Tensor, network: SessionVae) -> Draws:
        """Split deviates (S, N, W), W as ``network.deviates``; those of the session are in the first row."""
        sizes = [1 + network.bank.shape[1], network.transient + 2, 3, 2 * network.points]
        session, transients, choices, noise = values.split(sizes, -1)
        return cls(session=session[:, 0], transients=transients, choices=choices, noise=noise)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Latent variables and factors of sessions.

    Attributes:
        z: (S, session) latent variables of the sessions.
        t: (S, N, transient) latent variables of the transients.
        on: (S, N) whether each transient is ON.
        phase: (S, N) rad.
        shift: (S, N) Hz.
        noise: (S, N) standard deviation of the noise in each channel of a FID, divided by the scale.
        scale: (S,) median height of a session's transients, relative to the templates.
    """

    z: Tensor
    t: Tensor
    on: Tensor
    phase: Tensor
    shift: Tensor
    noise: Tensor
    scale: Tensor


def edits_of(transients: int, condition: str, edited: bool) -> Tensor:
    """Whether each transient is ON, (N,): ON and OFF alternate, or all have one edit."""
    if not edited or condition == "off":
        return torch.zeros(transients, dtype=torch.bool)
    if condition == "on":
        return torch.ones(transients, dtype=torch.bool)
    return torch.arange(transients) % 2 == 0


@torch.no_grad()
def random_sessions(network: SessionVae, on: Tensor, draws: Draws, *, width: float = SESSION_WIDTH) -> Drawn:
    """Draw new sessions.

    Args:
        network: trained network with its bank.
        on: (N,) whether each transient is ON.
        draws: normal deviates of S sessions.
        width: h of the module's first lines; 0: the sessions of the bank themselves.
    """
    bank = network.bank
    chosen = _place(draws.session[:, 0], len(bank))
    ordered = bank.sort(0).values
    scores = _normal_scores(bank)
    moved = math.sqrt(1 - width**2) * scores[chosen]
    covariance = torch.cov(scores.T.double())
    root = torch.linalg.cholesky(covariance + 1e-3 * torch.eye(len(covariance)).to(covariance)).to(bank)
    moved = moved + width * draws.session[:, 1:] @ root.T
    return _session_of(network, _by_rank(moved, ordered), network.bank_transients[chosen], on, draws)


def _place(deviates: Tensor, count: int) -> Tensor:
    """Index from 0 to ``count`` - 1 for each normal deviate, all equally likely."""
    return (torch.special.ndtr(deviates.double()) * count).long().clamp(0, count - 1)


def _normal_scores(values: Tensor) -> Tensor:
    """Normal scores (N, D): each value is replaced by the normal deviate of its rank in its column."""
    ranks = values.argsort(0).argsort(0).double()
    return torch.special.ndtri((ranks + 0.5) / len(values)).to(values)


def _by_rank(scores: Tensor, ordered: Tensor) -> Tensor:
    """Values (S, D) of normal scores, interpolated between the sorted values (N, D); inverts :func:`_normal_scores`."""
    place = torch.special.ndtr(scores.double()) * len(ordered) - 0.5
    place = place.clamp(0, len(ordered) - 1)
    low = place.floor().long().clamp(max=len(ordered) - 2)
    part = (place - low).to(ordered)
    return ordered.gather(0, low) * (1 - part) + ordered.gather(0, low + 1) * part


def _session_of(network: SessionVae, vectors: Tensor, transients: Tensor, on: Tensor, draws: Draws) -> Drawn:
    """Sessions of vectors (S, V) of the bank, with drift and jitter of the bank's transients (S, M, 1 + D)."""
    sizes = [network.session, network.transient, network.transient, *[1] * FACTORS]
    z, mean, log_spread, phase, log_turn, shift, log_drift, noise, scale = vectors.split(sizes, 1)
    own = _moving(transients, on, draws)
    d = network.transient
    return Drawn(
        z=z,
        t=mean[:, None] + own[..., :d] * log_spread.exp()[:, None],
        on=on.expand(len(z), -1),
        phase=phase + own[..., d] * log_turn.exp(),
        shift=shift + own[..., d + 1] * log_drift.exp(),
        noise=noise.exp().expand(-1, len(on)),
        scale=scale[:, 0].exp(),
    )


def _moving(transients: Tensor, on: Tensor, draws: Draws) -> Tensor:
    """Draw deviations (S, N, D) of N transients from their session's mean, with the drift and jitter of M known ones.

    Args:
        transients: (S, M, 1 + D): whether each is ON, and its deviations.
        on: (N,) whether each new transient is ON.
        draws: normal deviates of S sessions.
    """
    edits, own = transients[..., 0] > 0.5, transients[..., 1:]
    at, new = (((torch.arange(n, device=own.device) + 0.5) / n - 0.5).to(own) for n in (own.shape[1], len(on)))
    slope = (own * at[:, None]).sum(1) / at.square().sum().clamp(min=1e-6)
    left = own - slope[:, None] * at[:, None]
    spread = left.std(1, unbiased=False)[:, None]
    jitter = torch.zeros(len(own), len(on), own.shape[2]).to(own)
    for edit in (False, True):
        # sort the rows of this edit to the front; a session without any uses all its rows
        order = (edits != edit).to(torch.int64).argsort(dim=1, stable=True)
        count = (edits == edit).sum(1)
        count = torch.where(count > 0, count, own.shape[1])
        chosen = (torch.special.ndtr(draws.choices[..., 0].double()) * count[:, None]).long()
        rows = order.gather(1, chosen.clamp(min=0).minimum(count[:, None] - 1))
        taken = left.gather(1, rows[..., None].expand(-1, -1, own.shape[2]))
        jitter = torch.where((on == edit)[:, None], taken, jitter)
    jitter = math.sqrt(1 - TRANSIENT_WIDTH**2) * jitter + TRANSIENT_WIDTH * spread * draws.transients
    return slope[:, None] * new[:, None] + jitter


@torch.no_grad()
def more_of(
    network: SessionVae,
    fids: Tensor,
    on: Tensor,
    sampling: str,
    wanted: Tensor,
    draws: Draws,
) -> Drawn:
    """Draw new transients of a measured session.

    ``reconstruct``: encode and decode each of its transients. ``interpolate``: interpolate latent variables and factors
    between two transients of the same edit that follow each other in time. ``hybrid``: draw the latent variable of the
    session from its posterior, and give the transients the drift and jitter of the measured ones.

    Args:
        network: network trained on the same protocol.
        fids: (N, T) complex, measured.
        on: (N,) whether each measured transient is ON.
        sampling: one of :data:`mrs_vae_synthesis.options.SAMPLINGS` except random.
        wanted: (M,) whether each new transient is ON; ``reconstruct`` does not use it.
        draws: normal deviates of one session.
    """
    found = aligned(network, fids[None], on[None])
    z, log_z, t, _ = network.encode(network_input(network, found, on[None]))
    noise = found.noise.float()
    if sampling == "reconstruct":
        return Drawn(z=z, t=t, on=on[None], phase=found.phase, shift=found.shift, noise=noise, scale=found.scale)
    if sampling == "interpolate":
        first, second = _neighbours(on, wanted)
        part = torch.special.ndtr(draws.choices[0, :, 2])

        def between(values: Tensor) -> Tensor:
            share = part.reshape(-1, *[1] * (values.ndim - 2))
            return values[:, first] * (1 - share) + values[:, second] * share

        turn = torch.polar(torch.ones_like(found.phase), found.phase)
        return Drawn(
            z=z, t=between(t), on=wanted[None], phase=between(turn).angle(), shift=between(found.shift),
            noise=between(noise), scale=found.scale,
        )  # fmt: skip
    z = z + torch.exp(0.5 * log_z) * draws.session[:, 1 : 1 + network.session]
    vector, own = described(found, z, t, on[None])
    drawn = _session_of(network, vector, own, wanted, draws)
    return Drawn(**{**vars(drawn), "noise": noise[:, _of_the_same_edit(on, wanted, draws.choices[0, :, 1])]})


def _places_of(edit: bool, on: Tensor) -> Tensor:
    """Indices of the transients with one edit in ``on`` (N,); all indices if there is none."""
    places = (on == edit).nonzero()[:, 0]
    return places if len(places) else torch.arange(len(on), device=on.device)


def _neighbours(on: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Indices, (M,) each, of the measured transients of the same edit just before and after each new one in time."""
    pairs = []
    for k, edit in enumerate(wanted.tolist()):
        places = _places_of(edit, on)
        low = max(0, min(len(places) - 2, math.floor((k + 0.5) / len(wanted) * len(places) - 0.5)))
        pairs.append(torch.stack([places[low], places[min(low + 1, len(places) - 1)]]))
    first, second = torch.stack(pairs, 1)
    return first, second


def _of_the_same_edit(on: Tensor, wanted: Tensor, deviates: Tensor) -> Tensor:
    """Index of a measured transient for each new one, (M,), of the same edit if there is one."""
    out = []
    for edit, deviate in zip(wanted.tolist(), deviates, strict=True):
        places = _places_of(edit, on)
        out.append(places[_place(deviate, len(places))])
    return torch.stack(out)


@torch.no_grad()
def clean_fids(network: SessionVae, drawn: Drawn) -> Tensor:
    """FIDs (S, N, T) of drawn sessions without noise."""
    scores = network.decode(drawn.z, drawn.t, drawn.on.to(drawn.z))
    return unaligned(network, spectra_of(network, scores, drawn.on), drawn.phase, drawn.shift, drawn.scale)


def with_noise(fids: Tensor, drawn: Drawn, draws: Draws) -> Tensor:
    """Add white noise of each transient's own standard deviation to FIDs (S, N, T)."""
    sd = drawn.noise * drawn.scale[:, None]
    return fids + sd[..., None] * as_complex(draws.noise[:, : fids.shape[1]])
