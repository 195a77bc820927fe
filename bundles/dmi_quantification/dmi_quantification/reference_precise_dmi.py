"""Reference method: the network of the PRECISE-DMI paper, which estimates amplitudes, and its training data."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.networks.blocks import Convolution
from monai.transforms import Randomizable, Transform
from torch import Tensor, nn

from dmi_quantification.estimates import number_of_rows
from mrsikit.physics.fid_model import FidModel

EXPECTED = 14.0
"""Mean absolute first sample of FIDs whose amplitudes lie in the middle of the training's range."""


class PreciseDmiCnn(nn.Module):
    """Apply convolutions of size 3 with PReLU and max pooling, then two fully connected layers (Fig. 1 of the paper).

    The text of the paper does not give the numbers of kernels; ours are free choices.

    Args:
        peaks: number K of amplitudes.
        points: number T of samples of a FID.
        features: number of kernels of each convolution; the pooling after it halves the length.
        hidden: number of units of the first fully connected layer.
        largest: largest amplitude of the training; the network works in units of it.
    """

    def __init__(
        self,
        *,
        peaks: int = 4,
        points: int = 512,
        features: Sequence[int] = (16, 32, 64, 128, 128),
        hidden: int = 256,
        largest: float = 20.0,
    ) -> None:
        super().__init__()
        self.largest = largest
        layers: list[nn.Module] = []
        channels = [2, *features]
        for here, there in zip(channels[:-1], channels[1:], strict=True):
            layers += [
                Convolution(1, here, there, kernel_size=3, act="PRELU", norm=None),
                nn.MaxPool1d(2),
            ]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        length = points // 2 ** len(features)
        self.connected = nn.Sequential(nn.Linear(features[-1] * length, hidden), nn.PReLU(), nn.Linear(hidden, peaks))

    def forward(self, x: Tensor) -> Tensor:
        """Estimate amplitudes (..., K) of FIDs (..., 2, T), real and imaginary part."""
        flat = x.reshape([-1, x.shape[-2], x.shape[-1]]) / self.largest
        out = self.connected(self.convolutions(flat)) * self.largest
        return out.reshape(x.shape[:-2] + out.shape[-1:])


class RandFidsd(Transform, Randomizable):
    """Draw FIDs with their amplitudes, as the paper trains on them.

    All draws are uniform: amplitudes from 0 to ``largest``, the phase over a full turn, the shift and the paper's
    broadening (a change of every relaxation time) in their ranges, the standard deviation of the noise from 0 to
    ``noise``. A share of the FIDs has no noise.

    Args:
        model: of the FIDs.
        number: number of FIDs of an item.
        largest: largest amplitude, twice the expected one.
        shift: largest frequency shift (Hz).
        longer: range of the change of the relaxation times (s).
        noise: largest standard deviation of the noise in each of the two channels.
        noiseless: share of FIDs without noise.

    Output:
        "image" (number, 2, T) and "label" (number, K), float32.
    """

    def __init__(
        self,
        *,
        model: FidModel,
        number: int = 128,
        largest: float = 20.0,
        shift: float = 20.0,
        longer: tuple[float, float] = (-0.012, 0.010),
        noise: float = 7.0,
        noiseless: float = 0.2,
    ) -> None:
        self.model = model
        self.number = number
        self.largest = largest
        self.shift = shift
        self.longer = longer
        self.noise = noise
        self.noiseless = noiseless

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw one item and add it to the data."""
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(*shape, generator=generator)

        amplitudes = uniform(0.0, self.largest, self.number, len(self.model.ppm))
        noisy = uniform(0.0, 1.0, self.number) >= self.noiseless
        fids = self.model.simulate(
            amplitudes,
            shift=uniform(-self.shift, self.shift, self.number),
            phase=uniform(0.0, 2.0 * math.pi, self.number),
            longer=uniform(*self.longer, self.number),
            noise=uniform(0.0, self.noise, self.number) * noisy,
            generator=generator,
        )
        return {**data, "image": torch.view_as_real(fids).transpose(1, 2).contiguous(), "label": amplitudes}


class PreciseDmiEstimator(nn.Module):
    """Use the paper's network instead of :class:`dmi_quantification.network.FidLeastSquares`: same input and output.

    The network knows only the acquisition of its training (lines, dwell time, delay). It estimates amplitudes alone:
    standard deviations, shift and the rest are 0. FIDs are scaled so that their mean first sample is that of the
    training.

    Args:
        peaks: number K of lines.
        points: number of samples that the network takes; longer FIDs are cut, shorter ones are zero-filled.
        cnn: the network; None: an untrained one.
    """

    def __init__(self, *, peaks: int = 4, points: int = 512, cnn: PreciseDmiCnn | None = None) -> None:
        super().__init__()
        self.peaks = peaks
        self.points = points
        self.cnn = PreciseDmiCnn(peaks=peaks, points=points) if cnn is None else cnn

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, V, F) that the convolutions find in the FIDs, and the scale of the FIDs (B, 1, 1)."""
        fids = x[:, :, 1 + self.peaks :].transpose(1, 2)
        missing = self.points - fids.shape[-1]
        fids = nn.functional.pad(fids, [0, max(0, missing)])[..., : self.points]
        first = torch.sqrt((fids[..., :4] ** 2).sum(-2).mean(-1)).mean(1)[:, None, None]
        scale = torch.where(first > 0, first / EXPECTED, torch.ones_like(first))
        flat = (fids / (scale[..., None] * self.cnn.largest)).flatten(0, 1)
        features = self.cnn.convolutions(flat)
        return features.reshape([x.shape[0], -1, features.shape[-1]]), scale

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the amplitudes of V FIDs.

        Args:
            x: (B, 2, 1 + K + V, T), as of :meth:`dmi_quantification.network.FidLeastSquares.forward`.

        Returns:
            (B, 3 K + 7, V), the rows of :class:`dmi_quantification.estimates.Estimates`.
        """
        if not torch.jit.is_scripting() and isinstance(x, MetaTensor):
            x = x.as_tensor()
        features, scale = self.features(x)
        amplitudes = self.cnn.connected(features) * (self.cnn.largest * scale)
        rows = torch.zeros([x.shape[0], number_of_rows(self.peaks), features.shape[1]], device=x.device)
        rows[:, : self.peaks] = amplitudes.transpose(1, 2)
        return rows
