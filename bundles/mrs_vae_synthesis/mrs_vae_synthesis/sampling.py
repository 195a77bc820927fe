r"""Latents of new sessions, and of new transients of measured ones.

New sessions come from where the sessions of the training lie, not from the prior, which the heavy tails of water and
lipids do not follow. Every value of the bank is taken to normal scores by its rank, a session of the bank is moved in
that space,

.. math:: y = \sqrt{1 - h^2}\, y_j + h L \epsilon, \qquad L L^T = \mathrm{cov}(y),

and taken back by the inverse of the ranks: each value keeps its distribution, and their covariance stays (a smoothed
bootstrap; West, J R Stat Soc B 55 (1993)). The transients of a session drift as those of the one it came from, and
jitter about the drift as these did, in another order.

All chance comes in as numbers (:class:`Draws`): the same draws give the same spectra, on any machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from mrs_vae_synthesis.alignment import aligned, network_input, spectra_of, unaligned
from mrs_vae_synthesis.matched_filter import as_complex
from mrs_vae_synthesis.network import FACTORS, SessionVae
from mrs_vae_synthesis.training import described

Sampling = Literal["random", "interpolate", "hybrid", "reconstruct"]
Condition = Literal["both", "on", "off"]
SAMPLINGS: tuple[str, ...] = get_args(Sampling)

SESSION_WIDTH, TRANSIENT_WIDTH = 0.45, 0.35
"""h of sessions and of transients. Narrower, and new sessions lie close to the one they came from; wider, and their
concentrations spread too far (both on subjects of neither the training nor the benchmark)."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Standard normal deviates that a synthesis takes, of S sessions with N transients each.

    Attributes:
        session: (S, 1 + V), the first of which chooses a session of the bank, V the values of its row.
        transients: (S, N, transient + 2).
        choices: (S, N, 3), which choose the transient whose jitter is taken, the one whose noise is, and a place
            between two.
        noise: (S, N, 2 T).
    """

    session: Tensor
    transients: Tensor
    choices: Tensor
    noise: Tensor

    @classmethod
    def of(cls, values: Tensor, network: SessionVae) -> Draws:
        """From (S, N, W) deviates, W as of :func:`width_of`; those of the session are in the first row."""
        sizes = [1 + network.bank.shape[1], network.transient + 2, 3, 2 * network.points]
        session, transients, choices, noise = values.split(sizes, -1)
        return cls(session=session[:, 0], transients=transients, choices=choices, noise=noise)


def width_of(points: int, session: int, transient: int) -> int:
    """Deviates that one transient takes."""
    return 1 + session + 2 * transient + FACTORS + transient + 2 + 3 + 2 * points


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Sessions in the network's terms.

    Attributes:
        z: (S, session).
        t: (S, N, transient).
        on: (S, N).
        phase: (S, N) rad.
        shift: (S, N) Hz.
        noise: (S, N) standard deviation of the noise in each channel of a FID, over the scale.
        scale: (S,).
    """

    z: Tensor
    t: Tensor
    on: Tensor
    phase: Tensor
    shift: Tensor
    noise: Tensor
    scale: Tensor


def edits_of(transients: int, condition: str, edited: bool) -> Tensor:
    """(N,) whether each transient is ON: in turn, or all of one kind."""
    if not edited or condition == "off":
        return torch.zeros(transients, dtype=torch.bool)
    if condition == "on":
        return torch.ones(transients, dtype=torch.bool)
    return torch.arange(transients) % 2 == 0


@torch.no_grad()
def random_sessions(network: SessionVae, on: Tensor, draws: Draws, *, width: float = SESSION_WIDTH) -> Drawn:
    """Draw new sessions.

    Args:
        network: with its bank.
        on: (N,) edits.
        draws: of S sessions.
        width: h; 0: the bank's sessions themselves.
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
    """One of ``count`` places for each normal deviate."""
    return (torch.special.ndtr(deviates.double()) * count).long().clamp(0, count - 1)


def _normal_scores(values: Tensor) -> Tensor:
    """(N, D) values as normal deviates of the same rank, each column for itself."""
    ranks = values.argsort(0).argsort(0).double()
    return torch.special.ndtri((ranks + 0.5) / len(values)).to(values)


def _by_rank(scores: Tensor, ordered: Tensor) -> Tensor:
    """(S, D) values of the ranks of normal deviates, between the sorted ones (N, D)."""
    place = torch.special.ndtr(scores.double()) * len(ordered) - 0.5
    place = place.clamp(0, len(ordered) - 1)
    low = place.floor().long().clamp(max=len(ordered) - 2)
    part = (place - low).to(ordered)
    return ordered.gather(0, low) * (1 - part) + ordered.gather(0, low + 1) * part


def _session_of(network: SessionVae, vectors: Tensor, transients: Tensor, on: Tensor, draws: Draws) -> Drawn:
    """Sessions of vectors (S, ...) whose transients move as those (S, M, ...), as of the bank."""
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
    """(S, N, D) deviations of N transients from their session: the drift of M known ones, and jitter as theirs.

    Args:
        transients: (S, M, 1 + D), whether each is ON, and its deviations.
        on: (N,) edits.
        draws: of S sessions.
    """
    edits, own = transients[..., 0] > 0.5, transients[..., 1:]
    at, new = (((torch.arange(n, device=own.device) + 0.5) / n - 0.5).to(own) for n in (own.shape[1], len(on)))
    slope = (own * at[:, None]).sum(1) / at.square().sum().clamp(min=1e-6)
    left = own - slope[:, None] * at[:, None]
    spread = left.std(1, unbiased=False)[:, None]
    jitter = torch.zeros(len(own), len(on), own.shape[2]).to(own)
    for edit in (False, True):
        # rows of this edit first, all rows where a session has none
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
    """New transients of a measured session.

    ``reconstruct``: each of its transients, decoded. ``interpolate``: between two neighbours in time of the same edit,
    latents and factors alike. ``hybrid``: the session's latent drawn from its posterior, and its transients with the
    measured ones' drift and jitter.

    Args:
        network: of the same protocol.
        fids: (N, T) complex.
        on: (N,).
        sampling: one of :data:`SAMPLINGS` but random.
        wanted: (M,) edits of the new transients; for ``reconstruct`` not looked at.
        draws: of one session.
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
    """Where a session's transients (N,) are of an edit; all places where none is."""
    places = (on == edit).nonzero()[:, 0]
    return places if len(places) else torch.arange(len(on), device=on.device)


def _neighbours(on: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) each: the measured transients of its edit just before and after each new one's place in the session."""
    pairs = []
    for k, edit in enumerate(wanted.tolist()):
        places = _places_of(edit, on)
        low = max(0, min(len(places) - 2, math.floor((k + 0.5) / len(wanted) * len(places) - 0.5)))
        pairs.append(torch.stack([places[low], places[min(low + 1, len(places) - 1)]]))
    first, second = torch.stack(pairs, 1)
    return first, second


def _of_the_same_edit(on: Tensor, wanted: Tensor, deviates: Tensor) -> Tensor:
    """(M,) a measured transient for each new one, of its edit where there is one."""
    out = []
    for edit, deviate in zip(wanted.tolist(), deviates, strict=True):
        places = _places_of(edit, on)
        out.append(places[_place(deviate, len(places))])
    return torch.stack(out)


@torch.no_grad()
def clean_fids(network: SessionVae, drawn: Drawn) -> Tensor:
    """(S, N, T) without noise."""
    scores = network.decode(drawn.z, drawn.t, drawn.on.to(drawn.z))
    return unaligned(network, spectra_of(network, scores, drawn.on), drawn.phase, drawn.shift, drawn.scale)


def with_noise(fids: Tensor, drawn: Drawn, draws: Draws) -> Tensor:
    """FIDs (S, N, T) with white noise of each transient's own standard deviation."""
    sd = drawn.noise * drawn.scale[:, None]
    return fids + sd[..., None] * as_complex(draws.noise[:, : fids.shape[1]])
