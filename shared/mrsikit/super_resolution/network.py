"""The network of both bundles' ``models/model.pt``, :class:`SuperResolution`, built of published blocks; and its input.

It enforces data consistency on its own residual, inside :meth:`SuperResolution.forward`;
:meth:`mrsikit.physics.spatial_encoding.SpatialEncoding.data_consistency` does so for any fine map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mrsikit.physics.spatial_encoding import PSFS, SpatialEncoding, interpolated, sampled, wiener_filtered
from mrsikit.restoration.total_variation import total_variation
from mrsikit.super_resolution.blocks import (
    SLOPE,
    EnhancedResidualBlock,
    GatedFeedForward,
    HighFrequencyAttention,
    InstanceNorm,
    collapse,
)

INTERPOLATED, FLAIR, T1, HAS_FLAIR, HAS_T1, NOISE, NOISE_KNOWN, FACTOR, PSF_CHANNEL, TV = range(10)
"""Channel indices of the default network's input."""

CHANNELS = 10
MRIS = {"flair": (FLAIR, HAS_FLAIR), "t1": (T1, HAS_T1)}
"""For each MRI, the channel of its image and the channel that states whether it exists."""

NO_TRUST = 0.2
"""Standard deviation, as a share of the map's maximum, of an unmeasured coarse voxel. No measured voxel has more."""

MRI_SETS = 4
"""Number of MRI combinations (none, FLAIR, T1, both), each with its own calibration of the standard deviation."""

RIDGE = 1e-3
"""Ridge penalty of the regression on the classes, relative to the power of each class."""

MOST_LOG_SD = -1.2
"""Upper limit of the log standard deviation: .3 of the map's maximum. A uniform distribution from 0 to the maximum has
a standard deviation of .29, so no larger value makes sense."""

TV_ITERATIONS = 50
TV_STRENGTH = 2.0
"""Weight of the total variation as a multiple of the noise's standard deviation; chosen on BrainWeb 1."""


def network_input(
    start: Tensor,
    encoding: SpatialEncoding,
    *,
    noise: Tensor | None = None,
    mris: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Build the input of :class:`SuperResolution`, including super-resolution by total variation.

    Args:
        start: (B, X, Y) interpolated maps, each divided by the maximum of its coarse map.
        encoding: encoding of the coarse maps, in plane.
        noise: (B, X, Y) standard deviation of the coarse map's noise in the same unit; None: unknown.
        mris: MRIs by name, "flair" and "t1", each (B, X, Y), brain about 0 to 1. An MRI of only zeros counts as
            missing.

    Returns:
        (B, 10, X, Y), with the channels that :meth:`SuperResolution.forward` lists.
    """
    out = start.new_zeros(len(start), CHANNELS, *start.shape[1:])
    out[:, INTERPOLATED], out[:, FACTOR], out[:, PSF_CHANNEL] = start, encoding.factor, encoding.code
    if noise is not None:
        out[:, NOISE], out[:, NOISE_KNOWN] = noise, 1
    strength = TV_STRENGTH * out[:, NOISE].flatten(1).median(1).values[:, None, None]
    strength = strength / encoding.filter_noise  # the interpolation inverts a filter and so amplifies the noise again
    plain = encoding.unfiltered
    out[:, TV] = total_variation(plain.A(start), plain, strength=strength, iterations=TV_ITERATIONS)
    for name, image in (mris or {}).items():
        channel, flag = MRIS[name]
        out[:, channel], out[:, flag] = image, (image != 0).flatten(1).any(1)[:, None, None].to(out)
    return out


def mri_set(x: Tensor) -> Tensor:
    """Return which MRIs an input (B, 10, X, Y) has, as (B,) codes: 0 none, 1 FLAIR, 2 T1, 3 both."""
    return (x[:, HAS_FLAIR, 0, 0] > 0.5).long() + 2 * (x[:, HAS_T1, 0, 0] > 0.5).long()


class Stage(nn.Module):
    """One resolution level of the default network: ERB, optional HFAB, and GDFN at the coarse levels.

    Args:
        channels: number of channels n.
        attention: whether to include an HFAB.
        gated: whether to include a GDFN.
    """

    def __init__(self, channels: int, *, attention: bool = True, gated: bool = True) -> None:
        super().__init__()
        self.residual = EnhancedResidualBlock(channels, normalised=True)
        self.after = nn.Sequential(InstanceNorm(channels), nn.LeakyReLU(SLOPE))
        self.attention = HighFrequencyAttention(channels, 16, normalised=False) if attention else nn.Identity()
        self.gated = GatedFeedForward(channels) if gated else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Transform features (B, n, X, Y) to the same shape."""
        return self.gated(self.attention(self.after(self.residual(x))))


class Context(nn.Module):
    """Add context from half and a quarter of the resolution to the features. It adds nothing before training.

    Args:
        channels: number of channels n.
        widths: channels at half and at a quarter of the resolution.
    """

    def __init__(self, channels: int, widths: tuple[int, int] = (32, 48)) -> None:
        super().__init__()
        half, quarter = widths
        self.down = nn.Conv2d(channels, half, 3, stride=2, padding=1)
        self.near = Stage(half, gated=False)
        self.wide = nn.Sequential(
            nn.Conv2d(half, quarter, 3, stride=2, padding=1),
            Stage(quarter),
            nn.ConvTranspose2d(quarter, half, 2, stride=2),
        )
        self.mix = nn.Conv2d(2 * half, half, 1)
        self.after = Stage(half, attention=False, gated=False)
        self.up = nn.ConvTranspose2d(half, channels, 2, stride=2)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Transform features (B, n, X, Y) to the same shape."""
        rows, columns = x.shape[-2], x.shape[-1]
        z = self.near(self.down(F.pad(x, [0, -columns % 4, 0, -rows % 4], mode="replicate")))
        z = self.after(self.mix(torch.cat([z, self.wide(z)], 1)))
        return x + self.up(z)[..., :rows, :columns]


class SuperResolution(nn.Module):
    r"""Default network: add a learned residual to the interpolated map, then enforce data consistency.

    With :math:`x_0` the interpolation, which the forward operator A maps back to the coarse map, r the network's
    residual, B the interpolation of a coarse map, both without a filter
    (:class:`mrsikit.physics.spatial_encoding.SpatialEncoding`), and W the weight of the measurement,

    .. math:: x = x_0 + (1 - B W A)\, r, \qquad W = \frac{s^2}{s^2 + \sigma^2}

    with :math:`\sigma` the standard deviation of the noise and s that of the network's own error, a learned parameter.
    P = B A is the projection on what the acquisition measures: the measured encodes or, for the block point spread
    function, the smooth image with the same block means, which has no edges between blocks. Without noise the network
    keeps the coarse map exactly (with the Hamming filter, except for the corners of k-space). With unknown noise W = 0.

    The paper's blocks form a U-Net on the fine grid. The paper uses them on the coarse grid, where the sub-voxel
    positions of an MRI become channels and the network must learn the same edge at each of them. The U-Net divides the
    head into soft classes (tissues, from whatever images there are). The network does not learn the level of each
    class. It reads it from the map itself, by a closed-form ridge regression of the coarse map on the coarse classes,
    so that one step adapts to any contrast between tissues. A last block sees where the classes explain the map and
    where they do not, for example where a lesion is only in the map or only in the MRI. :class:`Context` lets it see
    the whole lesion. At each voxel, the block scales what the classes explain, what they leave unexplained, and what
    total variation would add, so that these keep their height, and adds a remainder. One set of weights serves factors
    2, 3 and 4, with FLAIR, T1, both or no MRI.

    Args:
        widths: channels at each resolution, finest first; the resolution halves from one to the next.
        classes: number of classes.
        collapsed: whether each part of an ERB is one merged convolution, as in the shipped weights.
    """

    def __init__(self, *, widths: Sequence[int] = (16, 32, 64, 64), classes: int = 10, collapsed: bool = False) -> None:
        super().__init__()
        # TorchScript can read attributes but not the constants of a Python module.
        self.multiple = 2 ** (len(widths) - 1)
        self.psfs = list(PSFS)
        self.most_log_sd = MOST_LOG_SD
        self.ridge = RIDGE
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.stem = nn.Conv2d(5, widths[0], 3, padding=1)
        self.conditions = nn.ModuleList(nn.Linear(10, width) for width in widths[:-1])
        self.bottom_conditions = nn.Linear(10, widths[-1])
        self.encoder = nn.ModuleList(self._stage(k, width) for k, width in enumerate(widths[:-1]))
        self.bottom = nn.Sequential(Stage(widths[-1]), Stage(widths[-1]))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs[::-1])
        self.mix = nn.ModuleList(nn.Conv2d(2 * fine, fine, 1) for fine, _ in pairs[::-1])
        self.decoder = nn.ModuleList(self._stage(k, width) for k, width in reversed(list(enumerate(widths[:-1]))))
        self.classes = nn.Conv2d(widths[0], classes, 1)
        self.join = nn.Conv2d(widths[0] + 5, widths[0], 3, padding=1)
        self.context = Context(widths[0])
        self.last = Stage(widths[0], attention=False, gated=False)
        self.tail = nn.Conv2d(widths[0], 5, 3, padding=1)
        self.spread = nn.Linear(13, 1)
        self.log_error = nn.Parameter(torch.tensor(-3.5))
        self.log_sd_shift = nn.Buffer(torch.zeros(MRI_SETS))
        for weights in (self.tail.weight, self.spread.weight, self.spread.bias):
            nn.init.zeros_(weights)
        with torch.no_grad():
            self.tail.bias.copy_(torch.tensor([0.0, -3.0, 0.0, 0.0, 0.0]))  # type: ignore[union-attr]
        if collapsed:
            collapse(self)

    @staticmethod
    def _stage(level: int, width: int) -> Stage:
        return Stage(width, attention=level > 0, gated=level > 1)

    def forward(self, x: Tensor) -> Tensor:
        """Super-resolve a batch of slices.

        Args:
            x: (B, 10, X, Y) on the fine grid, maps scaled to a maximum of about 1. The channels are: interpolated map;
                FLAIR and T1, brain about 0 to 1, 0 if missing; one flag each, 1 if FLAIR and T1 exist; standard
                deviation of the coarse map's noise; a flag, 1 if it is known; factor; code of the point spread
                function, from :mod:`mrsikit.physics.spatial_encoding`; the map super-resolved by total variation.

        Returns:
            (B, 2, X, Y): the map and its standard deviation.
        """
        start, flair, t1, has_flair, has_t1, noise, known, factor, psf, tv = x.unbind(1)
        noise, tv_detail = noise * known, tv - start
        rows, columns = x.shape[-2], x.shape[-1]
        images = torch.stack([start, flair, t1, 10.0 * noise, tv_detail], 1)
        images = F.pad(images, [0, -columns % self.multiple, 0, -rows % self.multiple], mode="replicate")
        flags = [has_flair, has_t1, 10.0 * noise.mean([1, 2], keepdim=True), known]
        flags += [(factor == value).to(x.dtype) for value in (2, 3, 4)]
        flags += [(psf == value).to(x.dtype) for value in range(len(self.psfs))]
        condition = torch.stack([flag[:, 0, 0] for flag in flags], 1)
        z = self.stem(images.contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for embed, stage, down in zip(self.conditions, self.encoder, self.down):  # noqa: B905 (TorchScript)
            z = stage(z + embed(condition)[..., None, None])
            skips.append(z)
            z = down(z)
        z = self.bottom(z + self.bottom_conditions(condition)[..., None, None])
        for up, mix, stage in zip(self.up, self.mix, self.decoder):  # noqa: B905 (TorchScript)
            z = stage(mix(torch.cat([up(z), skips.pop()], 1)))
        z = z[..., :rows, :columns]
        classes = torch.softmax(self.classes(z).float(), 1)
        factors = [max(1, int(f)) for f in factor[:, 0, 0]]
        psfs = [self.psfs[int(code)] for code in psf[:, 0, 0]]
        regressed = torch.stack(
            [self._regression(start[b], classes[b], noise[b], psfs[b], factors[b]) for b in range(len(x))]
        )
        explained, unexplained = regressed[:, 0], regressed[:, 1]
        candidates = torch.stack([start, explained, start + explained, unexplained, tv_detail], 1)
        out = self.tail(self.last(self.context(self.join(torch.cat([z, candidates], 1))))).float()
        sources = torch.stack([explained, unexplained, tv_detail], 1)
        added = explained + (out[:, 2:] * sources).sum(1) + out[:, 0]
        residual = torch.stack(
            [
                self._data_consistency(added[b], noise[b], bool(known[b, 0, 0] > 0.5), psfs[b], factors[b])
                for b in range(len(x))
            ]
        )
        # The normalisations remove absolute sizes, so the standard deviation takes them from the condition vector.
        sizes = sources.detach().square().mean([2, 3]).sqrt() / (start.square().mean([1, 2]).sqrt()[:, None] + 1e-6)
        shift = self.spread(torch.cat([condition, torch.log(sizes + 1e-3)], 1))[:, 0].float()
        shift = shift + self.log_sd_shift[(condition[:, 0] > 0.5).long() + 2 * (condition[:, 1] > 0.5).long()]
        sd = torch.exp((out[:, 1] + shift[:, None, None]).clamp(-9.0, self.most_log_sd))
        return torch.stack([start + residual, sd], 1)

    def _regression(self, start: Tensor, classes: Tensor, noise: Tensor, psf: str, factor: int) -> Tensor:
        """Regress the map on the classes (K, X, Y).

        Returns:
            (2, X, Y): what the classes add to the interpolation (X, Y), and the interpolation of the part of the
            measurement that they leave unexplained.
        """
        coarse = sampled(torch.cat([classes, start[None]]), psf, factor)
        error = torch.exp(2 * self.log_error).double()
        weight = error / (error + noise[::factor, ::factor].flatten().double().square())
        # Double precision because classes can be nearly alike. Mixed-precision training leaves float64 alone.
        coarse = coarse.flatten(1).double()
        a, d = coarse[:-1], coarse[-1]
        products = (a * weight) @ a.T / a.shape[1]
        # The penalty is relative to the power of each class, so that it does not pull a small class to zero.
        ridge = torch.diag(self.ridge * products.diagonal() + 1e-9 * products.diagonal().mean())
        level = torch.linalg.solve(products + ridge, a @ (weight * d) / a.shape[1]).to(classes)
        fine = (level[:, None, None] * classes).sum(0)
        measurable = interpolated(sampled(fine, psf, factor), psf, factor)
        return torch.stack([fine - measurable, start - measurable])

    def _data_consistency(self, residual: Tensor, noise: Tensor, known: bool, psf: str, factor: int) -> Tensor:
        """Remove from one residual (X, Y) what contradicts the measurement."""
        if not known:
            return residual
        error = torch.exp(2 * self.log_error)
        wrong = wiener_filtered(sampled(residual, psf, factor), error, noise[::factor, ::factor], psf)
        return residual - interpolated(wrong, psf, factor)
