"""Reference method: the published autoencoder (van de Sande et al.), fully connected, for single transients.

Its input is the real and imaginary spectrum, concatenated. As in the paper, noise, phase and frequency are not separate
factors. New samples come from the standard normal prior, from interpolation between encoded transients, or from around
such points. Depth, widths and the weight of the divergence are our choice, because the paper does not state them.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import Dataset
from monai.transforms import RandomizableTransform
from torch import Tensor, nn

from mrs_vae_synthesis.matched_filter import as_complex, as_real
from mrs_vae_synthesis.network import divergence
from mrs_vae_synthesis.options import SAMPLINGS
from mrs_vae_synthesis.sessions import Sessions
from mrs_vae_synthesis.training import TrainingSessions

WIDTHS = (512, 128)
HYBRID = 0.5
"""Standard deviation of hybrid samples about a point between two transients, relative to that of the prior."""


class VanDeSandeVae(nn.Module):
    """Variational autoencoder of the spectra of single transients.

    Args:
        points: samples T of a FID.
        latents: number of latent variables.
        widths: widths of the encoder's hidden layers; the decoder has them in reverse order.
    """

    def __init__(self, *, points: int = 2048, latents: int = 16, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.width = 2 * points
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
        transients: number of transients of each session.
    """

    def __init__(self, sessions: TrainingSessions, transients: int) -> None:
        self.sessions, self.transients = sessions, transients

    def __len__(self) -> int:
        """Number of transients."""
        return len(self.sessions) * self.transients

    def __getitem__(self, index: int) -> dict[str, Tensor]:  # type: ignore[override]
        """One transient."""
        row = self._rows[index % len(self._rows)]
        return {"image": row, "label": row}

    @functools.cached_property
    def _rows(self) -> Tensor:
        return plain_spectra(self.sessions.sessions).flatten(0, 1)


@torch.no_grad()
def van_de_sande_samples(
    network: VanDeSandeVae, spectra: Tensor, number: int, sampling: str, generator: torch.Generator
) -> Tensor:
    """Draw new spectra (number, 2 T) by the samplings of the paper.

    Args:
        network: trained network.
        spectra: (N, 2 T) spectra to encode; ``random`` does not use them.
        number: number of new spectra.
        sampling: ``random``: from the prior; ``interpolate``: between two encoded spectra; ``hybrid``: around such a
            point; ``reconstruct``: the given spectra, decoded.
        generator: source of all random draws.

    Raises:
        ValueError: the sampling is not known.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling {sampling!r} is none of {', '.join(SAMPLINGS)}")
    if sampling == "random":
        latents = int(network.decoder[0].in_features)  # type: ignore[arg-type]
        return network.decoder(torch.randn(number, latents, generator=generator))
    mean, _ = network.encode(spectra)
    if sampling == "reconstruct":
        return network.decoder(mean)
    first, second = torch.randint(len(mean), (2, number), generator=generator)
    part = torch.rand(number, 1, generator=generator)
    z = mean[first] * part + mean[second] * (1 - part)
    if sampling == "hybrid":
        z = z + HYBRID * torch.randn(z.shape, generator=generator)
    return network.decoder(z)


def fids_of_spectra(spectra: Tensor) -> Tensor:
    """FIDs (..., T) of spectra (..., 2 T)."""
    return torch.fft.ifft(as_complex(spectra), norm="ortho")
