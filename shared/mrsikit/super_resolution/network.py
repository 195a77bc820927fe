"""The network that sharpens metabolite maps, made of the published blocks, and the evidence that it sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mrsikit.physics.kspace import band_weights, hamming_weights, weighted
from mrsikit.physics.spatial_encoding import BLOCK, HAMMING, HAMMING_NOISE, KSPACE, MOST_GAIN, forward_operator
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
"""Channels of the default network's input."""

CHANNELS = 10
MRIS = {"flair": (FLAIR, HAS_FLAIR), "t1": (T1, HAS_T1)}
"""Channels of each MRI and of whether it is there."""

NO_TRUST = 0.2
"""Standard deviation, of the map's maximum, of a coarse voxel that is not trusted: more than any that was measured."""

MRI_SETS = 4
"""None, FLAIR, T1, both: each has its own calibration of the standard deviation."""

RIDGE = 1e-3
"""Of the regression on the classes, relative to their power."""

MOST_LOG_SD = -1.2
"""A deviation of .3: values spread evenly from 0 to a map's maximum have one of .29; none may be said to be wider."""

TV_ITERATIONS = 50
TV_STRENGTH = 2.0
"""Of the noise, chosen on BrainWeb 1."""


def network_input(
    start: Tensor, factor: int, psf: int, *, noise: Tensor | None = None, mris: Mapping[str, Tensor] | None = None
) -> Tensor:
    """The input of :class:`SuperResolution`: what is known of a map, and its sharpening by total variation.

    Args:
        start: (B, X, Y) interpolated maps, each divided by the maximum of its coarse map.
        factor: fine voxels a coarse one along each axis.
        psf: of :mod:`mrsikit.physics.spatial_encoding`.
        noise: (B, X, Y) standard deviation of the coarse map in the same unit; None: not known.
        mris: by name, "flair" and "t1", (B, X, Y), brain about 0 to 1. One that is 0 everywhere is not there.

    Returns:
        (B, 10, X, Y).
    """
    out = start.new_zeros(len(start), CHANNELS, *start.shape[1:])
    out[:, INTERPOLATED], out[:, FACTOR], out[:, PSF_CHANNEL] = start, factor, psf
    if noise is not None:
        out[:, NOISE], out[:, NOISE_KNOWN] = noise, 1
    strength = TV_STRENGTH * out[:, NOISE].flatten(1).median(1).values[:, None, None]
    if psf == HAMMING:  # the interpolation undoes the filter, and with it the filter's smoothing of the noise
        strength = strength / HAMMING_NOISE
    sampled = BLOCK if psf == BLOCK else KSPACE
    coarse = forward_operator(start, factor, sampled)
    out[:, TV] = total_variation(coarse, factor, sampled, strength=strength, iterations=TV_ITERATIONS)
    for name, image in (mris or {}).items():
        channel, flag = MRIS[name]
        out[:, channel], out[:, flag] = image, (image != 0).flatten(1).any(1)[:, None, None].to(out)
    return out


def mri_set(x: Tensor) -> Tensor:
    """Which MRIs an input (B, 10, X, Y) has, (B,): 0 none, 1 FLAIR, 2 T1, 3 both."""
    return (x[:, HAS_FLAIR, 0, 0] > 0.5).long() + 2 * (x[:, HAS_T1, 0, 0] > 0.5).long()


class Stage(nn.Module):
    """What the default network does at one resolution: ERB, HFAB and, where it is coarse, GDFN.

    Args:
        channels: n.
        attention: with HFAB.
        gated: with GDFN.
    """

    def __init__(self, channels: int, *, attention: bool = True, gated: bool = True) -> None:
        super().__init__()
        self.residual = EnhancedResidualBlock(channels, normalised=True)
        self.after = nn.Sequential(InstanceNorm(channels), nn.LeakyReLU(SLOPE))
        self.attention = HighFrequencyAttention(channels, 16, normalised=False) if attention else nn.Identity()
        self.gated = GatedFeedForward(channels) if gated else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, X, Y) of the same."""
        return self.gated(self.attention(self.after(self.residual(x))))


class Context(nn.Module):
    """Adds to features what is seen around them at half and a quarter of the resolution; nothing at first.

    Args:
        channels: n.
        widths: channels at these two resolutions.
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
        """(B, n, X, Y) of the same."""
        rows, columns = x.shape[-2], x.shape[-1]
        z = self.near(self.down(F.pad(x, [0, -columns % 4, 0, -rows % 4], mode="replicate")))
        z = self.after(self.mix(torch.cat([z, self.wide(z)], 1)))
        return x + self.up(z)[..., :rows, :columns]


class SuperResolution(nn.Module):
    r"""The bundle's default: a residual on an aligned interpolation, without what contradicts the measurement.

    With :math:`x_0` the interpolation, which measured again gives the coarse map, r the network's residual, P the
    projection on what the acquisition sees, and W the trust in it,

    .. math:: x = x_0 + (1 - P W)\, r, \qquad W = \frac{s^2}{s^2 + \sigma^2}

    with :math:`\sigma` the noise and s how far the network itself errs, a parameter. P keeps the measured encodes; for
    blocks it is the smooth image of the same block means, which makes no edges between blocks. Without noise the coarse
    map is kept exactly (Hamming's filter: but for the corners of k-space); noise unknown: W = 0.

    The paper's blocks stand in the shape of a U, on the fine grid: on the coarse one, where the paper has them, the
    sub-voxel places of an MRI are channels, and the same edge must be learnt at each of them. The U divides the head
    into soft classes (tissues, seen in whatever images there are). What each class holds is not learnt but read from
    the map itself: the ridge regression of the coarse map on the coarse classes, in closed form, so that any contrast
    between tissues is met in one step. A last block sees where the classes explain the map and where not, as where a
    lesion is in the map or in the MRI alone, and sees it whole (:class:`Context`). It says by voxel how much more or
    less to take of what the classes explain, how much of what they leave unexplained and how much of what total
    variation would add, so that these keep their height, and adds the rest. One set of weights serves factors 2, 3 and
    4, with FLAIR, T1, both or none.

    Args:
        widths: channels at each resolution, each half of the one before.
        classes: number of classes.
        collapsed: as the weights are shipped, each ERB's parts one convolution; such a network is not trained further.
    """

    def __init__(self, *, widths: Sequence[int] = (16, 32, 64, 64), classes: int = 10, collapsed: bool = False) -> None:
        super().__init__()
        # TorchScript sees attributes, not the module's constants
        self.multiple = 2 ** (len(widths) - 1)
        self.block, self.kspace, self.hamming = BLOCK, KSPACE, HAMMING
        self.most_log_sd = MOST_LOG_SD
        self.gain, self.hamming_noise, self.ridge = MOST_GAIN, HAMMING_NOISE, RIDGE
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
        """Sharpen.

        Args:
            x: (B, 10, X, Y) on the fine grid, map units of about 1: interpolated map; FLAIR and T1, brain about 0 to 1,
                0 where there is none; 1 where FLAIR and T1 are there; standard deviation of the coarse map's noise, and
                1 where it is known; factor; point spread function, of :mod:`mrsikit.physics.spatial_encoding`; the map
                super-resolved by total variation.

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
        flags += [(psf == value).to(x.dtype) for value in (self.block, self.kspace, self.hamming)]
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
        regressed = torch.stack(
            [
                self._regression(start[b], classes[b], noise[b], max(1, int(factor[b, 0, 0])), int(psf[b, 0, 0]))
                for b in range(len(x))
            ]
        )
        explained, unexplained = regressed[:, 0], regressed[:, 1]
        candidates = torch.stack([start, explained, start + explained, unexplained, tv_detail], 1)
        out = self.tail(self.last(self.context(self.join(torch.cat([z, candidates], 1))))).float()
        sources = torch.stack([explained, unexplained, tv_detail], 1)
        added = explained + (out[:, 2:] * sources).sum(1) + out[:, 0]
        residual = torch.stack(
            [
                self._data_consistency(
                    added[b],
                    noise[b],
                    bool(known[b, 0, 0] > 0.5),
                    max(1, int(factor[b, 0, 0])),
                    int(psf[b, 0, 0]),
                )
                for b in range(len(x))
            ]
        )
        # the normalisations hide how large anything is, so the spread is condition
        sizes = sources.detach().square().mean([2, 3]).sqrt() / (start.square().mean([1, 2]).sqrt()[:, None] + 1e-6)
        shift = self.spread(torch.cat([condition, torch.log(sizes + 1e-3)], 1))[:, 0].float()
        shift = shift + self.log_sd_shift[(condition[:, 0] > 0.5).long() + 2 * (condition[:, 1] > 0.5).long()]
        sd = torch.exp((out[:, 1] + shift[:, None, None]).clamp(-9.0, self.most_log_sd))
        return torch.stack([start + residual, sd], 1)

    def _regression(self, start: Tensor, classes: Tensor, noise: Tensor, factor: int, psf: int) -> Tensor:
        """What the classes (K, X, Y) tell of the map beyond its interpolation (X, Y), by regression on them.

        Returns:
            (2, X, Y): that, and the interpolation of what they leave unexplained of the measurement.
        """
        images = torch.cat([classes, start[None]])
        if psf == self.block:
            coarse = F.avg_pool2d(images[None], factor)[0]
            noise = F.avg_pool2d(noise[None, None], factor)[0, 0]
        else:
            coarse = self._in_band(images, factor)[:, ::factor, ::factor]
            noise = noise[::factor, ::factor]
        error = torch.exp(2 * self.log_error).double()
        weight = error / (error + noise.flatten().double().square())
        # double precision, for classes can be nearly alike; half precision then passes it by in training
        coarse = coarse.flatten(1).double()
        a, d = coarse[:-1], coarse[-1]
        products = (a * weight) @ a.T / a.shape[1]
        # relative to each class's own power, so that a small one is not drawn to zero
        ridge = torch.diag(self.ridge * products.diagonal() + 1e-9 * products.diagonal().mean())
        level = torch.linalg.solve(products + ridge, a @ (weight * d) / a.shape[1]).to(classes)
        fine = (level[:, None, None] * classes).sum(0)
        if psf == self.block:
            measurable = self._smooth_from_block_means(F.avg_pool2d(fine[None, None], factor), factor)
        else:
            measurable = self._in_band(fine[None], factor)[0]
        return torch.stack([fine - measurable, start - measurable])

    def _smooth_from_block_means(self, coarse: Tensor, factor: int) -> Tensor:
        """Smooth image (X, Y) whose blocks have these means (1, 1, X / factor, Y / factor)."""
        fine = F.interpolate(coarse, scale_factor=float(factor), mode="bicubic", align_corners=False)
        error = coarse - F.avg_pool2d(fine, factor)
        return (fine + F.interpolate(error, scale_factor=float(factor), mode="nearest"))[0, 0]

    def _in_band(self, images: Tensor, factor: int) -> Tensor:
        """Images (C, X, Y) without the encodes that k-space sampling does not see."""
        return weighted(images, band_weights(images.shape[-2], images.shape[-1], factor).to(images))

    def _data_consistency(self, residual: Tensor, noise: Tensor, known: bool, factor: int, psf: int) -> Tensor:
        """What of one residual (X, Y) the measurement does not speak against."""
        if not known:
            return residual
        error = torch.exp(2 * self.log_error)
        if psf == self.block:
            trust = error / (error + noise**2)
            measurable = F.avg_pool2d(residual[None, None], factor) * F.avg_pool2d(trust[None, None], factor)
            return residual - self._smooth_from_block_means(measurable, factor)
        power = band_weights(residual.shape[0], residual.shape[1], factor).to(residual) * error
        variance = (noise**2).mean() + 1e-12
        if psf == self.hamming:
            filter_ = hamming_weights(residual.shape[0], residual.shape[1], factor).to(residual)
            power = power * (self.gain * filter_).clamp(max=1.0) ** 2
            variance = variance / self.hamming_noise**2
        return residual - weighted(residual, power / (power + variance))
