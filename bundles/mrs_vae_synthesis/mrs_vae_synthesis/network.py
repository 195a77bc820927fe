r"""The bundle's default network: a variational autoencoder of sessions, exact for the linear part of the signal.

:class:`SessionVae` is the network of ``models/model.pt``.

The transients of a session share a subject: concentrations, line shape, field. They differ in phase, frequency
(:mod:`mrs_vae_synthesis.matched_filter`) and noise, which are explicit factors. They also differ a little in the rest,
such as the residual water. So a session has one latent variable z, each of its transients has one latent variable t,
and the scores x of an aligned transient with edit e are

.. math:: x_i = m_e + U_e z + V_e t_i + g(z, t_i, e) + \epsilon_i , \qquad \epsilon_i \sim N(0, \sigma^2), \quad
          z, t_i \sim N(0, 1)

with a small network g. Without g the posterior of z and t has a closed form for any number of transients, ON, OFF or
both. The encoder computes this closed form, and networks correct it. U, V and m are initialised from the covariance
between and within the training sessions (:mod:`mrs_vae_synthesis.linear_initialisation`). The output of g and of the
correcting networks starts at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

HELD = 20.0
"""Residual, in standard deviations of the noise, at which the networks' input is clipped."""

EXTRA = 3
"""Values of a transient after its scores: whether it is ON, its noise (standard deviation), whether it is present."""

BENT = 0.1
"""Unit of the output of the network g, relative to the standard deviation of the scores."""

FACTORS = 6
"""Factors of a session in the bank: phase and frequency shift, and logarithms of their standard deviations, of its
noise and of its scale."""


def perceptron(inputs: int, outputs: int, width: int, *, silent: bool = True) -> nn.Sequential:
    """Multilayer perceptron with two hidden layers; ``silent``: its output is zero at initialisation."""
    layers = nn.Sequential(
        nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs)
    )
    if silent:
        nn.init.zeros_(layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(layers[-1].bias)  # type: ignore[arg-type]
    return layers


class SessionVae(nn.Module):
    """Variational autoencoder with latent variables of sessions and of their transients.

    Args:
        points: samples T of a FID.
        scores: number K of directions that span the aligned transients.
        session: size of z.
        transient: size of t.
        width: width of the hidden layers.
        sessions: number of sessions in the bank, from whose latent variables new sessions are drawn.
        kept: transients stored for each session of the bank.

    Attributes:
        deviates: normal deviates that the synthesis of a session and of one transient takes, see
            :class:`mrs_vae_synthesis.sampling.Draws`.
    """

    def __init__(
        self,
        *,
        points: int = 2048,
        scores: int = 160,
        session: int = 64,
        transient: int = 16,
        width: int = 256,
        sessions: int = 1500,
        kept: int = 16,
    ) -> None:
        super().__init__()
        self.points, self.scores, self.session, self.transient = points, scores, session, transient
        vector = session + 2 * transient + FACTORS
        self.deviates = 1 + vector + transient + 2 + 3 + 2 * points
        self.held, self.bent, self.extra = HELD, BENT, EXTRA  # TorchScript sees attributes, not the module's constants
        self.templates = nn.Buffer(torch.zeros(2, 2 * points))
        self.directions = nn.Buffer(torch.zeros(scores, 2 * points))
        self.centres = nn.Buffer(torch.zeros(2, 2 * points))
        # :class:`mrs_vae_synthesis.sessions.Acquisition` as integers, because saving rounds floats to half precision
        self.acquisition = nn.Buffer(torch.zeros(7, dtype=torch.int64))
        self.scale = nn.Buffer(torch.ones(scores))
        self.means = nn.Parameter(torch.zeros(2, scores))
        self.between = nn.Parameter(torch.zeros(2, scores, session))
        self.within = nn.Parameter(torch.zeros(2, scores, transient))
        condition = session + 2 * transient + 3
        self.pool = perceptron(scores + 2 * transient + 1, 64, width, silent=False)
        self.correct_session = perceptron(condition + 64, 2 * session, width)
        self.trust = perceptron(condition, transient, width)
        self.correct_transient = perceptron(condition + transient + 1 + scores, 2 * transient, width)
        self.bend = perceptron(session + transient + 1, scores, width)
        self.bank = nn.Buffer(torch.zeros(sessions, vector))
        self.bank_transients = nn.Buffer(torch.zeros(sessions, kept, 1 + transient + 2))

    def forward(self, x: Tensor) -> Tensor:
        """Encode, draw from the posterior if the input holds normal deviates for it, and decode.

        Args:
            x: (B, N, K + 3) scores, then the values of :data:`EXTRA`; or (B, N, K + 3 + transient + session), with
                normal deviates for t, and for z in the first row.

        Returns:
            (B, N, K + 1): scores without noise, then the Kullback-Leibler divergence of the posterior from the prior.
            The divergence of z is shared equally among the session's transients.
        """
        deviates = x[..., self.scores + self.extra :]
        x = x[..., : self.scores + self.extra]
        z, log_z, t, log_t = self.encode(x)
        count = x[..., -1].sum(1, keepdim=True).clamp(min=1)
        distance = divergence(t, log_t) + divergence(z, log_z)[:, None] / count
        if deviates.shape[-1] > 0:
            t = t + deviates[..., : self.transient] * torch.exp(0.5 * log_t)
            z = z + deviates[:, 0, self.transient :] * torch.exp(0.5 * log_z)
        return torch.cat([self.decode(z, t, x[..., -3]), distance[..., None]], -1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Posterior of the latent variables.

        Args:
            x: (B, N, K + 3), as of :meth:`forward`.

        Returns:
            Mean and logarithm of the variance of z (B, session), and of t (B, N, transient).
        """
        scores, on, sd, there = x[..., :-3], x[..., -3], x[..., -2], x[..., -1]
        count = there.sum(1, keepdim=True).clamp(min=1)
        noise = (sd * there).sum(1, keepdim=True) / count
        z, spread = self._session(scores, on, noise, there)
        t, spread_t = self._transients(scores, z, on, noise)

        weight = (there / count)[..., None]
        summary = torch.cat([torch.log(noise), torch.log(count), (on * there).sum(1, keepdim=True) / count], 1)
        energy = torch.log((t.square() * weight).sum(1) + 1e-4)
        condition = torch.cat([torch.asinh(z), energy, torch.asinh((t * weight).sum(1)), summary], 1)
        left = self._left(scores, z, t, on, noise)
        edit = on[..., None] - 0.5
        pooled = (self.pool(torch.cat([left, torch.asinh(t), torch.asinh(t.square()), edit], -1)) * weight).sum(1)
        more, wider = self.correct_session(torch.cat([condition, pooled], 1)).chunk(2, -1)
        z = z + more * torch.sqrt(1 + z.square().mean(1, keepdim=True))
        t, _ = self._transients(scores, z, on, noise)
        left = self._left(scores, z, t, on, noise)
        known = condition[:, None].expand(-1, t.shape[1], -1)
        more_t, wider_t = self.correct_transient(torch.cat([known, torch.asinh(t), edit, left], -1)).chunk(2, -1)
        trust = 2 * torch.sigmoid(self.trust(condition))[:, None]
        t = t * trust + more_t * torch.sqrt(1 + t.square().mean(-1, keepdim=True))
        return z, torch.log(spread) + wider, t, torch.log(spread_t) + wider_t

    def decode(self, z: Tensor, t: Tensor, on: Tensor) -> Tensor:
        """Decode latent variables z (B, session), t (B, N, transient) to scores (B, N, K); ``on`` (B, N): 1 for ON."""
        wide = z[:, None].expand(-1, t.shape[1], -1)
        size = torch.sqrt(1 + t.square().mean(-1, keepdim=True) + wide.square().mean(-1, keepdim=True))
        bent = self.bend(torch.cat([torch.asinh(wide), torch.asinh(t), on[..., None] - 0.5], -1))
        off_t, on_t = t @ self.within[0].T, t @ self.within[1].T
        linear = self._body(z, on) + torch.where(on[..., None] > 0.5, on_t, off_t)
        return linear + self.bent * bent * self.scale * size

    def _body(self, z: Tensor, on: Tensor) -> Tensor:
        """Scores (B, N, K) of z alone by the linear model."""
        both = torch.stack([self.means[edit] + z @ self.between[edit].T for edit in (0, 1)], 1)
        return torch.where(on[..., None] > 0.5, both[:, 1:2], both[:, 0:1])

    def _left(self, scores: Tensor, z: Tensor, t: Tensor, on: Tensor, noise: Tensor) -> Tensor:
        """Residual of the linear model in standard deviations of the noise, clipped at :data:`HELD`, divided by 3."""
        off_t, on_t = t @ self.within[0].T, t @ self.within[1].T
        left = scores - self._body(z, on) - torch.where(on[..., None] > 0.5, on_t, off_t)
        return (left / noise[..., None]).clamp(-self.held, self.held) / 3

    def _gain(self, edit: int, noise: Tensor) -> Tensor:
        """Posterior covariance of t over the noise variance, (V^T V + noise^2 I)^-1: (B, transient, transient)."""
        own = self.within[edit].T @ self.within[edit]
        return torch.linalg.inv(own + noise.square()[..., None] * torch.eye(self.transient, device=own.device))

    def _session(self, scores: Tensor, on: Tensor, noise: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and variance (B, session) of z by the linear model, with t integrated out."""
        variance = noise.square()
        precision = torch.eye(self.session, device=scores.device).expand(len(scores), -1, -1)
        pull = scores.new_zeros(len(scores), self.session)
        for edit in (0, 1):
            weight = there * (on > 0.5 if edit else on <= 0.5).to(there)
            total = weight.sum(1, keepdim=True)
            summed = (scores * weight[..., None]).sum(1) - total * self.means[edit]
            u, v, gain = self.between[edit], self.within[edit], self._gain(edit, noise)
            crossed = u.T @ v
            precision = precision + total[..., None] * (u.T @ u - crossed @ gain @ crossed.T) / variance[..., None]
            crossed_pull = (gain @ (summed @ v)[..., None])[..., 0] @ crossed.T
            pull = pull + (summed @ u - crossed_pull) / variance
        spread = torch.linalg.inv(precision)
        return (spread @ pull[..., None])[..., 0], spread.diagonal(dim1=1, dim2=2).clamp(min=1e-8)

    def _transients(self, scores: Tensor, z: Tensor, on: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and variance (B, N, transient) of t, given z, by the linear model."""
        left = scores - self._body(z, on)
        found, spread = [], []
        for edit in (0, 1):
            gain = self._gain(edit, noise)
            found.append(left @ self.within[edit] @ gain)
            own = noise.square() * gain.diagonal(dim1=1, dim2=2)
            spread.append(own.clamp(min=1e-8)[:, None].expand(-1, scores.shape[1], -1))
        edited = on[..., None] > 0.5
        return torch.where(edited, found[1], found[0]), torch.where(edited, spread[1], spread[0])


def network_like(weights: str | Path) -> SessionVae:
    """Build a network of the sizes of a weights file, or of the default sizes if the file holds no such network."""
    return sized_like(
        weights,
        SessionVae,
        lambda state: {
            "points": state["templates"].shape[1] // 2,
            "scores": state["between"].shape[1],
            "session": state["between"].shape[2],
            "transient": state["within"].shape[2],
            "width": len(state["pool.0.bias"]),
            "sessions": len(state["bank"]),
            "kept": state["bank_transients"].shape[1],
        },
    )


def sized_like(
    weights: str | Path, network: Callable[..., Network], sizes: Callable[[Mapping[str, Tensor]], dict[str, Any]]
) -> Network:
    """Build a network of the sizes of a weights file, or of the default sizes if the file holds no such network.

    Args:
        weights: file of a state dict.
        network: its class.
        sizes: reads the arguments of the class off the state dict.
    """
    try:
        found = sizes(torch.load(weights, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, UnpicklingError):
        found = {}  # the check of the weights reports what is wrong with the file
    return network(**found)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence (...) of a Gaussian (..., D) of diagonal covariance from the standard normal one."""
    return 0.5 * (mean.square() + torch.exp(log_variance) - 1 - log_variance).sum(-1)
