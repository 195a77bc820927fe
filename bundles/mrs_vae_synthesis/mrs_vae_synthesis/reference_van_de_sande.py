"""Reference method: the published autoencoder (van de Sande et al.), fully connected, for single transients.

Its input is the real and imaginary spectrum, concatenated. As in the paper, noise, phase and frequency are not separate
factors. Measured transients are encoded, and new samples are drawn around them, between them, or both. Depth, widths,
the weight of the divergence and the spread of the samples are our choice: the text that we have does not state them.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from ignite.engine import Engine
from monai.data import Dataset
from monai.inferers import Inferer
from monai.transforms import RandomizableTransform
from torch import Tensor, nn

from mrs_vae_synthesis.linear_initialisation import templates_of
from mrs_vae_synthesis.matched_filter import as_complex, as_real
from mrs_vae_synthesis.network import divergence, sized_like
from mrs_vae_synthesis.options import SAMPLINGS, Spread
from mrs_vae_synthesis.preprocessing import PLAN
from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrs_vae_synthesis.training import InitialiseLinearModel, TrainingSessions
from mrsikit.runtime.training import unwrapped

WIDTHS = (512, 128)
CHOICES = 3
"""Deviates of a new transient besides those of its latents: they select two transients, and a place between them."""


class VanDeSandeVae(nn.Module):
    """Variational autoencoder of the spectra of single transients.

    Args:
        points: samples T of a FID.
        latents: number of latent variables.
        widths: widths of the encoder's hidden layers; the decoder has them in reverse order.

    Attributes:
        acquisition: acquisition of the training data, as of :class:`mrs_vae_synthesis.sessions.Acquisition`.
        templates: (2, 2 T) means of its OFF and ON transients. Only the check of the input uses them.
        deviates: normal deviates of a new transient.
    """

    def __init__(self, *, points: int = 2048, latents: int = 16, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.points, self.width, self.deviates = points, 2 * points, latents + CHOICES
        self.acquisition = nn.Buffer(torch.zeros(7, dtype=torch.int64))
        self.templates = nn.Buffer(torch.zeros(2, 2 * points))
        sizes = [2 * points, *widths]
        self.encoder = _layers(sizes, 2 * latents)
        self.decoder = _layers([latents, *widths[::-1]], 2 * points)

    def forward(self, x: Tensor) -> Tensor:
        """Encode, draw from the posterior if the input holds normal deviates for it, and decode.

        Args:
            x: (B, 2 T) spectra of height about 1, or (B, 2 T + latents) with normal deviates after them.

        Returns:
            (B, 2 T + 1): spectra, then the Kullback-Leibler divergence of the posterior from the prior.
        """
        z, log_variance = self.encode(x[:, : self.width])
        distance = divergence(z, log_variance)
        if x.shape[1] > self.width:
            z = z + x[:, self.width :] * torch.exp(0.5 * log_variance)
        return torch.cat([self.decoder(z), distance[:, None]], 1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and logarithm of the variance, (B, latents) each, of spectra (B, 2 T)."""
        mean, log_variance = self.encoder(x).chunk(2, -1)
        return mean, log_variance.clamp(-12, 4)


def van_de_sande_like(weights: str | Path) -> VanDeSandeVae:
    """Build a network of the sizes of a weights file, or of the default sizes if the file holds no such network."""
    return sized_like(weights, VanDeSandeVae, _sizes)


def _sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    shapes = [value.shape for name, value in state.items() if name.startswith("encoder.") and value.ndim == 2]
    return {
        "points": shapes[0][1] // 2,
        "latents": shapes[-1][0] // 2,
        "widths": [shape[0] for shape in shapes[:-1]],
    }


def _layers(sizes: Sequence[int], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


class RandDeviatesd(RandomizableTransform):
    """Append normal deviates to a spectrum, for the draw from the posterior during training.

    Args:
        number: number of deviates.
    """

    def __init__(self, number: int) -> None:
        super().__init__(1.0)
        self.number = number

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw and append the deviates."""
        image = torch.as_tensor(data["image"])
        drawn = torch.from_numpy(self.R.standard_normal(self.number)).to(image)
        return {**data, "image": torch.cat([image, drawn])}


class VanDeSandeLoss(nn.Module):
    """Squared error plus weighted divergence: the likelihood of noise with a variance of half the weight.

    Args:
        weight: weight beta of the Kullback-Leibler divergence.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Mean loss over transients of predictions (B, 2 T + 1) and spectra (B, 2 T)."""
        return ((pred[:, :-1] - label).square().sum(1) + self.weight * pred[:, -1]).mean()


def heights(sessions: Sessions) -> Tensor:
    """Divisor (S,) of each session: median over transients of the largest magnitude between 1.5 and 4.2 ppm."""
    ppm = sessions.reference - torch.fft.fftfreq(sessions.fids.shape[-1], sessions.dwell) / sessions.larmor
    inside = (ppm > 1.5) & (ppm < 4.2)
    size = [torch.fft.fft(part, norm="ortho")[..., inside].abs().amax(-1) for part in sessions.fids.split(64)]
    return torch.cat(size).median(1).values


def plain_spectra(sessions: Sessions) -> Tensor:
    """Spectra (S, N, 2 T) as the published network takes them."""
    parts = zip(sessions.fids.split(64), heights(sessions).split(64), strict=True)
    return torch.cat([as_real(torch.fft.fft(part / top[:, None, None], norm="ortho")) for part, top in parts])


class TransientSpectra(Dataset):
    """Data set of single transients, {"image": (2 T,), "label": the same}, computed on first access.

    Args:
        sessions: sessions to take the transients from.
        transients: number of transients of each simulated session; all those of the user's own are taken.
    """

    def __init__(self, sessions: TrainingSessions, transients: int) -> None:
        self.sessions, self.transients = sessions, transients

    def __len__(self) -> int:
        """Number of transients."""
        return len(self.sessions) * self.transients if self.sessions.dataset_dir is None else len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:  # type: ignore[override]
        """One transient."""
        row = self._rows[index % len(self._rows)]
        return {"image": row, "label": row}

    @functools.cached_property
    def _rows(self) -> Tensor:
        return plain_spectra(self.sessions.sessions).flatten(0, 1)


class InitialiseTemplates(InitialiseLinearModel):
    """Handler: store the acquisition and the templates of the training sessions in the network, before the first epoch.

    The network itself starts from random weights.
    """

    def __call__(self, engine: Engine) -> None:
        """Store both."""
        module = cast(VanDeSandeVae, unwrapped(self.network))
        known, templates = templates_of(self.sessions.sessions, water=self.water)
        module.acquisition.copy_(known.stored())
        module.templates.copy_(templates)


@torch.no_grad()
def van_de_sande_samples(
    network: VanDeSandeVae,
    spectra: Tensor,
    sampling: str,
    deviates: Tensor,
    *,
    spread: Spread = "posterior",
    radius: float = 1.0,
) -> Tensor:
    """Encode spectra of one edit, and decode new ones (M, 2 T) by a sampling of the paper.

    Args:
        network: trained network.
        spectra: (N, 2 T) spectra to encode.
        sampling: ``random``: around one of the encoded spectra; ``interpolate``: on the line between two of them;
            ``hybrid``: around a point of that line; ``reconstruct``: the given spectra, decoded.
        deviates: (M, latents + 3) standard normal deviates.
        spread: what the standard deviation of ``random`` and ``hybrid`` is measured in: that of the encoder's
            posterior, that of the encoded subset, or that of the prior, which is 1.
        radius: standard deviation of ``random`` and ``hybrid`` in these units.

    Raises:
        ValueError: the sampling is not known.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling {sampling!r} is none of {', '.join(SAMPLINGS)}")
    mean, log_variance = network.encode(spectra)
    if sampling == "reconstruct":
        return network.decoder(mean)
    chosen = torch.special.ndtr(deviates[:, :CHOICES].double())
    first, second = (chosen[:, :2] * len(mean)).long().clamp(max=len(mean) - 1).T
    part = torch.zeros_like(chosen[:, 2:]) if sampling == "random" else chosen[:, 2:]
    part = part.to(mean)

    def between(values: Tensor) -> Tensor:
        return values[first] * (1 - part) + values[second] * part

    z = between(mean)
    if sampling != "interpolate":
        units = {
            "posterior": between(torch.exp(0.5 * log_variance)),
            "subset": mean.std(0, unbiased=False),
            "prior": torch.ones_like(z),
        }
        z = z + radius * units[spread] * deviates[:, CHOICES:]
    return network.decoder(z)


def fids_of_spectra(spectra: Tensor) -> Tensor:
    """FIDs (..., T) of spectra (..., 2 T)."""
    return torch.fft.ifft(as_complex(spectra), norm="ortho")


class VanDeSandeInferer(Inferer):
    """Draw new transients of measured sessions by the published network, which adds no noise.

    Args:
        sampling: as of :func:`van_de_sande_samples`.
        spread: as of :func:`van_de_sande_samples`.
        radius: as of :func:`van_de_sande_samples`.
        subset: transients of each edit that are encoded, the first ones; None: all. Nothing else is used.
    """

    def __init__(
        self,
        *,
        sampling: str = "random",
        spread: Spread = "posterior",
        radius: float = 1.0,
        subset: int | None = None,
    ) -> None:
        super().__init__()
        self.sampling, self.spread, self.radius, self.subset = sampling, spread, radius, subset

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Synthesise a batch of sessions.

        Args:
            inputs: (B, R, W + 4 + 2 T) of :class:`mrs_vae_synthesis.preprocessing.PreprocessSessiond`.
            network: trained network.
            args: not used.
            kwargs: not used.

        Returns:
            (B, R, 2 T + 2) as of :class:`mrs_vae_synthesis.inferer.SynthesisInferer`.
        """
        return torch.stack([self._session(torch.as_tensor(item), network) for item in inputs])

    def _session(self, item: Tensor, network: VanDeSandeVae) -> Tensor:
        deviates, plan, measured = item.split([network.deviates, PLAN, network.width], -1)
        wanted, there = plan[:, 0] > 0.5, plan[:, 2] > 0.5
        fids, on = as_complex(measured[there]), plan[there, 3] > 0.5
        encoded = torch.cat([(on == edit).nonzero()[: self.subset, 0] for edit in (False, True)])
        fids, on = fids[encoded], on[encoded]
        given = session_of(network, fids, on)
        spectra, top = plain_spectra(given)[0], heights(given)
        out = item.new_zeros(len(item), network.width + 2)
        out[wanted, -2], out[wanted, -1] = 1, plan[wanted, 1]
        for edit in (False, True):
            rows = wanted & ((plan[:, 1] > 0.5) == edit)
            if rows.any():
                made = van_de_sande_samples(
                    network, spectra[on == edit], self.sampling, deviates[rows], spread=self.spread, radius=self.radius
                )
                out[rows, :-2] = as_real(fids_of_spectra(made) * top).to(out)
        return out


def session_of(network: VanDeSandeVae, fids: Tensor, on: Tensor) -> Sessions:
    """One session (S = 1) of FIDs (N, T) of the network's acquisition, ON where ``on`` (N,) is True."""
    known = Acquisition.of(network.acquisition)
    return Sessions(
        fids=fids[None], on=on[None], dwell=known.dwell, larmor=known.larmor, reference=known.reference, echo=known.echo
    )
