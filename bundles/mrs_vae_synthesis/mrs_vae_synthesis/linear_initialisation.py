"""Initialisation of a network: templates and directions of the training sessions, and a linear model of the scores."""

from __future__ import annotations

import torch
from torch import Tensor

from mrs_vae_synthesis.alignment import aligned, matched_sessions, point_weights
from mrs_vae_synthesis.matched_filter import (
    RESONANCES,
    WATER,
    as_complex,
    as_real,
    in_band,
    signal_space,
    turned,
    without_water,
)
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrsikit.physics.spectra import noise_sd

REPEATS = 3
"""Iterations in which transients are aligned with the templates and averaged to new templates."""

MOST = 8000
"""Most transients that the templates are averaged from, in whole sessions."""

WITHIN_DIRECTIONS = 24
"""Number of directions for the differences between the transients of one session."""


@torch.no_grad()
def initialise_linear_model(network: SessionVae, sessions: Sessions, *, water: bool = True) -> None:
    """Set the templates, the directions and the linear model of a network from its training sessions.

    The templates are means of aligned transients. The directions lie in the subspace of possible signals: the
    directions in which the transients of a session differ most, and those in which sessions differ most. U and V follow
    from the covariance of the scores between and within sessions, after subtraction of the noise's part.

    Args:
        network: network to write into.
        sessions: at least three sessions with two or more transients each; unedited sessions may have one.
        water: whether the network learns the residual water. False: water and all signal at higher chemical shifts are
            removed, here and wherever the network is used.
    """
    known, templates = templates_of(sessions, water=water)
    network.acquisition.copy_(known.stored())
    network.templates.copy_(templates)
    fids, on = sessions.fids, sessions.on
    dwell, larmor, reference = sessions.dwell, sessions.larmor, sessions.reference
    edits = _edits_of(on)

    band = RESONANCES if water else (RESONANCES[0], WATER[0])
    weight = point_weights(known).to(fids.device)
    space = torch.fft.fft(signal_space(fids.shape[-1], dwell, larmor, reference, band).to(fids.device).T, norm="ortho")
    space = torch.linalg.qr((space * weight[: fids.shape[-1]]).T)[0]
    kept = []
    levels = []
    total = torch.zeros(2, 2 * fids.shape[-1])
    counts = torch.zeros(2)
    for part, edit in zip(fids.split(64), on.split(64), strict=True):
        found = aligned(network, part, edit)
        levels.append(found.noise)
        kept.append(as_real(as_complex(found.spectra * weight) @ space.conj()))
        for which in edits:
            total[int(which)] += found.spectra[edit == which].sum(0)
            counts[int(which)] += (edit == which).sum()
    network.centres.copy_(total / counts.clamp(min=1)[:, None])
    small, sd = torch.cat(kept), torch.cat(levels).median(1).values
    small = small - as_real(as_complex(network.centres * weight) @ space.conj())[on.long()]
    session_means = _session_means(small, on)
    own = small - torch.where(on[..., None], session_means[:, 1:], session_means[:, :1])
    within_directions = (
        _leading(own.flatten(0, 1), min(WITHIN_DIRECTIONS, network.scores // 2))
        if small.shape[1] > len(edits)
        else None
    )
    between = _leading(session_means[:, [int(edit) for edit in edits]].flatten(0, 1), network.scores)
    both = between if within_directions is None else torch.cat([within_directions, between], 1)
    directions = torch.linalg.qr(both)[0][:, : network.scores]
    missing = network.scores - directions.shape[1]
    network.directions[: network.scores - missing].copy_(as_real(as_complex(directions.T) @ space.T))
    _linear_model(network, torch.nn.functional.pad(small @ directions, (0, missing)), on, sd)


@torch.no_grad()
def templates_of(sessions: Sessions, *, water: bool = True) -> tuple[Acquisition, Tensor]:
    """Acquisition of training sessions, and their templates (2, 2 T): means of aligned OFF and ON transients.

    Args:
        sessions: as of :func:`initialise_linear_model`.
        water: whether the network learns the residual water.
    """
    fids, on = sessions.fids, sessions.on
    dwell, larmor, reference = sessions.dwell, sessions.larmor, sessions.reference
    edits = _edits_of(on)
    known = Acquisition(
        dwell=dwell, larmor=larmor, reference=reference, echo=sessions.echo, points=fids.shape[-1],
        edited=len(edits) == 2, water=water,
    )  # fmt: skip

    def means(values: Tensor, which: Tensor) -> Tensor:
        out = [
            values[which == edit].mean(0) if edit in edits else values.new_zeros(values.shape[-1]) for edit in (0, 1)
        ]
        return torch.stack(out)

    few = max(1, min(len(fids), MOST // fids.shape[1]))
    some = without_water(fids[:few], dwell, larmor, reference)
    templates = means(in_band(some[0], dwell, larmor, reference), on[0])
    for _ in range(REPEATS):
        phase, shift, height = matched_sessions(some, on[:few], templates, dwell, larmor, reference)
        scaled = turned(some, -phase, -shift, dwell) / height.median(1).values[:, None, None]
        templates = means(in_band(scaled, dwell, larmor, reference), on[:few])
    # scale to noise of about 1, so that half precision can store the values; a power of two is exact
    noise = noise_sd(fids[:few]) / height.median(1).values[:, None]
    templates = templates * 2.0 ** -float(torch.log2(noise.median()).round())
    return known, as_real(templates)


def _edits_of(on: Tensor) -> list[bool]:
    """Edits that there are among transients, ON where ``on`` is True."""
    return [edit for edit in (False, True) if bool((on == edit).any())]


def _session_means(values: Tensor, on: Tensor) -> Tensor:
    """Means (S, 2, D) of the OFF and the ON rows of values (S, N, D); 0 where there are none."""
    out = []
    for edit in (False, True):
        weight = (on == edit).to(values)[..., None]
        out.append((values * weight).sum(1) / weight.sum(1).clamp(min=1))
    return torch.stack(out, 1)


def _leading(rows: Tensor, count: int) -> Tensor:
    """Leading eigenvectors (D, count or fewer) of the covariance of rows (N, D)."""
    covariance = (rows.T @ rows).double() / len(rows)
    vectors = torch.linalg.eigh(covariance)[1].flip(1)
    return vectors[:, : min(count, len(rows))].to(rows)


def _linear_model(network: SessionVae, scores: Tensor, on: Tensor, sd: Tensor) -> None:
    """Set the network's means, U and V from scores (S, N, K) and the standard deviation of their noise (S,)."""
    count, size = scores.shape[1], scores.shape[2]
    edits = [edit for edit in (0, 1) if bool((on == bool(edit)).any())]
    variance = float(sd.square().mean())
    eye = torch.eye(size, dtype=torch.float64)
    means = _session_means(scores, on).double()
    own = (scores.double() - torch.where(on[..., None], means[:, 1:], means[:, :1])).flatten(0, 1)
    freedom = len(scores) * (count - len(edits))
    within = own.T @ own / max(1, freedom) - (variance * eye if freedom else 0.0)
    values, vectors = torch.linalg.eigh(within)
    v = (vectors * values.clamp(min=1e-9).sqrt()).flip(1)[:, : network.transient]
    network.within.zero_()
    network.within[..., : v.shape[1]].copy_(v.to(scores).expand(2, -1, -1))
    network.means.copy_(means.mean(0).to(scores))
    joined = (means - means.mean(0))[:, edits].flatten(1)
    covariance = joined.T @ joined / max(1, len(joined) - 1)
    share = count / len(edits)
    noise = torch.block_diag(*[(within + variance * eye) / share] * len(edits))
    values, vectors = torch.linalg.eigh(covariance - noise)
    u = (vectors * values.clamp(min=1e-9).sqrt()).flip(1)[:, : network.session].unflatten(0, (len(edits), size))
    network.between.zero_()
    for place, edit in enumerate(edits):
        network.between[edit, :, : u.shape[2]].copy_(u[place].to(scores))
    network.scale.copy_(scores.flatten(0, 1).std(0).clamp(min=1e-6))
