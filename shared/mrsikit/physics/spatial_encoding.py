r"""Spatial encoding: what an acquisition measures of a fine map, and the way back to the fine grid.

:class:`SpatialEncoding` is the one place where a point spread function is known. Images are real. Their last two axes
are the in-plane axes; where ``dims`` is 3, their last three axes are the spatial axes. A coarse voxel lies at the
centre of its fine voxels.

:func:`sampled`, :func:`interpolated` and :func:`wiener_filtered` are plain functions because TorchScript compiles them
as part of :class:`mrsikit.super_resolution.network.SuperResolution`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mrsikit.physics.kspace import hamming_weights, low_pass_sample, weighted, zero_fill

PSFS = ("block", "kspace", "hamming")
"""Point spread functions. The place of each is its code in the network's input."""

MOST_GAIN = 12.5
"""Maximum gain of the inverse Hamming filter: the inverse of the filter's value at the ends of an axis. The corners of
k-space, where the filter is below a hundredth, stay damped."""

HAMMING_NOISE = 0.397
"""Standard deviation of white noise after the two-dimensional Hamming filter, relative to that before it."""

RINGING = 0.15
"""Gibbs ringing of sampled k-space reaches down to minus 15 % of the maximum without any noise."""

NEIGHBOURS, ABOVE_NOISE = 3, 1.5
"""Side, in coarse voxels, of the window in which a difference is compared with the noise, and the factor c of
:meth:`SpatialEncoding.data_consistency`; chosen on BrainWeb 1."""

WIDE, MARGIN = 15, 1.0
"""The same side where the response to the noise is known, and by how many standard errors a difference must exceed the
noise. Chosen on shaded maps of BrainWeb 1: the error is 1.00 of that without the step where the network is right, and
.92 to .98 where it is not. Without the margin and in windows of 9, the first is up to 1.04."""


@dataclass(frozen=True)
class SpatialEncoding:
    r"""Encoding of a fine map x into the coarse map y that an acquisition measures, with noise n.

    .. math:: y = A x + n

    block
        Each coarse voxel is the mean of the :math:`f^d` fine voxels of its block:
        :math:`(A x)_j = f^{-d} \sum_{v \in j} x_v`. :math:`A^+` repeats it over its block. The interpolation is cubic,
        aligned to the centres of the blocks, plus :math:`A^+` of the difference that each block mean leaves. The noise
        may vary from voxel to voxel.

    kspace
        The centre of k-space is sampled: :math:`A = S F^{-1} M F`, with F the Fourier transform, M the mask of the
        measured encodes and S the values at the centres of the coarse voxels. If the number of encodes is even, M
        leaves out the Nyquist encode, which has no counterpart of opposite sign. :math:`A^+` is zero filling, and so is
        the interpolation. The noise is white and uniform.

    hamming
        The same after a Hamming filter H of the encodes: :math:`A = S F^{-1} H M F`, in two dimensions only.
        :math:`A^+` stands for zero filling without the filter's inverse. The interpolation is zero filling and
        :math:`\min(1 / H, g)` with g = :data:`MOST_GAIN`. H filters the noise too, which leaves :data:`HAMMING_NOISE`
        of its standard deviation.

    So :math:`x + A^+ (y - A x)` is the map nearest to x that A maps to y (Hamming: a step towards it).

    Args:
        psf: point spread function, one of :data:`PSFS`.
        factor: f, fine voxels per coarse voxel along each axis.
        dims: d, number of spatial axes, 2 or 3.

    Raises:
        ValueError: the point spread function is unknown, or the Hamming filter with three dimensions.

    Example:
        >>> encoding = SpatialEncoding("block", 2)
        >>> encoding.A(torch.arange(4.0).expand(4, 4))
        tensor([[0.5000, 2.5000],
                [0.5000, 2.5000]])
    """

    psf: str
    factor: int
    dims: int = 2

    def __post_init__(self) -> None:
        if self.psf not in PSFS:
            raise ValueError(f"psf {self.psf!r}: must be one of {', '.join(PSFS)}")
        if self.psf == "hamming" and self.dims != 2:
            raise ValueError(f"Hamming's filter is known in two dimensions, not in {self.dims}")

    @classmethod
    def of(cls, code: int, factor: int, dims: int = 2) -> SpatialEncoding:
        """Make the encoding of a code, as the network's input holds it."""
        return cls(PSFS[code], factor, dims)

    @property
    def code(self) -> int:
        """Code of the point spread function in the network's input."""
        return PSFS.index(self.psf)

    @property
    def in_kspace(self) -> bool:
        """Whether encodes are measured, so that the noise is uniform over the image and edges ring."""
        return self.psf != "block"

    @property
    def ringing(self) -> float:
        """How far below 0, over the maximum, the ringing at edges reaches; 0 for block."""
        return RINGING if self.in_kspace else 0.0

    @property
    def unfiltered(self) -> SpatialEncoding:
        """The same encoding without a filter; it measures what :meth:`interpolate` gives, the filter undone."""
        return replace(self, psf="kspace") if self.psf == "hamming" else self

    @property
    def filter_noise(self) -> float:
        """Standard deviation of white noise after the filter, relative to that before it; 1 without a filter."""
        return HAMMING_NOISE if self.psf == "hamming" else 1.0

    def A(self, fine: Tensor) -> Tensor:  # noqa: N802 (the operator's name)
        """Compute the noise-free coarse map of a fine map.

        Args:
            fine: (..., f X, f Y), or (..., f X, f Y, f Z), any unit.

        Returns:
            (..., X, Y[, Z]), same unit.
        """
        if self.psf == "hamming":
            fine = weighted(fine, _hamming(fine, self.factor))
        return sampled(fine, self.psf, self.factor, self.dims)

    def A_dagger(self, coarse: Tensor) -> Tensor:  # noqa: N802 (the operator's name)
        """Compute the fine map of least norm: constant within each block, or zero-filled in k-space.

        Args:
            coarse: (..., X, Y), or (..., X, Y, Z), any unit.

        Returns:
            (..., f X, f Y[, f Z]), same unit.
        """
        if self.psf == "block":
            return _repeated(coarse, self.factor, self.dims)
        return zero_fill(coarse, self.factor, self.dims)

    def interpolate(self, coarse: Tensor) -> Tensor:
        """Interpolate a coarse map so that A maps the result back to it (Hamming: to about a thousandth).

        Args:
            coarse: (..., X, Y), or (..., X, Y, Z), any unit.

        Returns:
            (..., f X, f Y[, f Z]), same unit.
        """
        fine = interpolated(coarse, self.psf, self.factor, self.dims)
        if self.psf == "hamming":
            filter_ = _hamming(fine, self.factor)
            fine = weighted(fine, torch.where(filter_ > 0, (1 / filter_).clamp(max=MOST_GAIN), 0.0))
        return fine

    def in_range(self, coarse: Tensor) -> Tensor:
        """Project a coarse map (..., X, Y[, Z]) on what A can give: without the Nyquist encode in k-space.

        An iteration that corrects x by y - A x would otherwise add this encode again in each pass.
        """
        return self.unfiltered.A(self.A_dagger(coarse))

    def data_consistency(
        self, fine: Tensor, coarse: Tensor, *, noise: float | Tensor = 0.0, response: Tensor | None = None
    ) -> Tensor:
        r"""Enforce data consistency: correct a fine map where it differs from the measurement by more than the noise.

        .. math:: x \leftarrow x + B W (y - A x),
                  \qquad W = \max(0, 1 - c \sigma^2 / \langle (y - A x)^2 \rangle)

        with B the interpolation of :meth:`interpolate` and the mean over :data:`NEIGHBOURS` coarse voxels along each
        axis. W is a Wiener filter of the difference. Without noise, A maps the result to y (with the Hamming filter, to
        about a thousandth), except for the Nyquist encode of an even number of encodes, which has no counterpart. With
        noise, differences of the size of the noise remain and larger ones, such as those of a lesion, are removed.

        Where it is known how A x follows the noise of y, c is not chosen: the weight of least squared error is that of
        Stein's unbiased risk estimate, :math:`c = 1 - \langle \partial (A x) / \partial y \rangle`, means over
        :data:`WIDE` coarse voxels (doi:10.1214/aos/1176345632). A mean of n squares is uncertain by a share of
        :math:`\sqrt{2 / n}`, and c is larger by that share. B then does not invert a filter, which would amplify what
        is left of the noise.

        Args:
            fine: (B, f X, f Y[, f Z]), x, any unit.
            coarse: (B, X, Y[, Z]), y, same unit.
            noise: standard deviation of the coarse map's noise, one number or a tensor of the shape of ``coarse``.
            response: derivative of each voxel of A x by that of y, of the shape of ``coarse``; NaN where y was not
                measured, and A x is kept. None: c is :data:`ABOVE_NOISE`.

        Returns:
            The corrected map, of the shape of ``fine``.
        """
        wrong = self.in_range(coarse - self.A(fine))
        variance = torch.as_tensor(noise, dtype=fine.dtype, device=fine.device).square()
        if not variance.any():
            return fine + self.interpolate(wrong)
        if response is None:
            around = self._sum(wrong.square(), NEIGHBOURS) / self._sum(torch.ones_like(wrong), NEIGHBOURS)
            return fine + self.interpolate(wrong * (1 - ABOVE_NOISE * variance / around.clamp(min=1e-20)).clamp(min=0))
        return fine + self.unfiltered.interpolate(wrong * self._trust(wrong, noise, response))

    def _trust(self, wrong: Tensor, noise: float | Tensor, response: Tensor) -> Tensor:
        """Weight W of the measurement where the response to the noise is known, see :meth:`data_consistency`.

        Args:
            wrong: (B, X, Y[, Z]) difference y - A x.
            noise: standard deviation of the coarse map's noise, as for :meth:`data_consistency`.
            response: as for :meth:`data_consistency`.

        Returns:
            (B, X, Y[, Z]), 0 to 1; 1 where there is no noise.
        """
        variance = torch.as_tensor(noise, dtype=wrong.dtype, device=wrong.device).square()
        counts = (response.isfinite() & (variance > 0)).to(wrong)
        expected = self._sum(counts * (1 - response).nan_to_num(), WIDE)
        found = self._sum(counts * wrong.square() / variance.clamp(min=1e-20), WIDE)
        margin = MARGIN * (2 / self._sum(counts, WIDE).clamp(min=1)).sqrt()
        weight = (1 - expected * (1 + margin) / found.clamp(min=1e-20)).clamp(0, 1)
        return torch.where(variance > 0, weight * counts, 1.0)

    def _sum(self, coarse: Tensor, width: int) -> Tensor:
        """Sum over windows of ``width`` voxels along each axis."""
        pool = F.avg_pool2d if self.dims == 2 else F.avg_pool3d
        return pool(coarse[:, None], width, 1, width // 2, divisor_override=1)[:, 0]

    def filtered(self, coarse: Tensor) -> Tensor:
        """Filter a coarse map (..., X, Y) as the acquisition filters its encodes; the map itself without a filter."""
        return weighted(coarse, _hamming(coarse, 1)) if self.psf == "hamming" else coarse

    def coloured(self, white: Tensor) -> Tensor:
        """Colour white noise (..., X, Y) as the acquisition does, at the same standard deviation."""
        return self.filtered(white) / self.filter_noise

    def measured_again(self, coarse: Tensor) -> Tensor:
        """Measure a coarse map (..., f X, f Y) of this acquisition once more: (..., X, Y), same unit.

        A filter is applied as if to the map before its own: the quotient of the narrow and the wide filter, at most 1.
        """
        if self.psf != "hamming":
            return self.A(coarse)
        wide, narrow = (_hamming(coarse, factor) for factor in (1, self.factor))
        quotient = torch.where(narrow > 0, narrow / wide.clamp(min=1e-6), 0.0)
        return low_pass_sample(weighted(coarse, quotient), self.factor)

    def noise_probe(self, noise: Tensor, seed: int = 0) -> Tensor:
        """Draw noise as the acquisition makes it, the same in every map.

        Args:
            noise: (B, X, Y) its standard deviation.
            seed: seed of the signs.

        Returns:
            (B, X, Y), same unit: plus or minus the standard deviation, drawn for each voxel and coloured.
        """
        generator = torch.Generator().manual_seed(seed)
        signs = 2.0 * torch.randint(0, 2, noise.shape[-2:], generator=generator) - 1
        return noise * self.coloured(signs.to(noise))


def sampled(fine: Tensor, psf: str, factor: int, dims: int = 2) -> Tensor:
    """Compute A x without the filter: means of blocks (..., X, Y[, Z]), or the centre of k-space.

    Args:
        fine: (..., f X, f Y), or (..., f X, f Y, f Z), any unit.
        psf: point spread function, one of :data:`PSFS`.
        factor: f, fine voxels per coarse voxel along each axis.
        dims: number of spatial axes, 2 or 3.
    """
    if psf != "block":
        return low_pass_sample(fine, factor, dims)
    for axis in range(fine.ndim - 1, fine.ndim - 1 - dims, -1):
        fine = fine.unflatten(axis, [-1, factor])
    return fine.mean([-1 - 2 * k for k in range(dims)])


def interpolated(coarse: Tensor, psf: str, factor: int, dims: int = 2) -> Tensor:
    """Interpolate a coarse map without a filter, so that :func:`sampled` gives it back: (..., f X, f Y[, f Z]).

    Args:
        coarse: (..., X, Y), or (..., X, Y, Z), any unit.
        psf: point spread function, one of :data:`PSFS`.
        factor: f, fine voxels per coarse voxel along each axis.
        dims: number of spatial axes, 2 or 3.
    """
    if psf != "block":
        return zero_fill(coarse, factor, dims)
    fine = cubic(coarse, factor, dims)
    return fine + _repeated(coarse - sampled(fine, psf, factor, dims), factor, dims)


def wiener_filtered(
    coarse: Tensor,
    error: Tensor,
    noise: Tensor,
    psf: str,
    most_gain: float = MOST_GAIN,
    hamming_noise: float = HAMMING_NOISE,
) -> Tensor:
    r"""Weight the measurable part of an error by the Wiener filter :math:`W = s^2 / (s^2 + \sigma^2)`.

    Block: W differs from voxel to voxel. In k-space, sigma is the root mean square of the noise. With the Hamming
    filter H, W differs from encode to encode: sigma is that before the filter, and s is s times the share
    :math:`\min(1, g H)` of an encode that the limited inverse filter gives back.

    Args:
        coarse: (X, Y) error without the filter, as :func:`sampled` gives it.
        error: variance s^2 of the error, a scalar.
        noise: (X, Y) standard deviation of the noise.
        psf: point spread function, one of :data:`PSFS`.
        most_gain: g (TorchScript reads constants only as defaults).
        hamming_noise: standard deviation of white noise after the Hamming filter, relative to that before it.

    Returns:
        (X, Y).
    """
    if psf == "block":
        return coarse * error / (error + noise**2)
    variance = (noise**2).mean() + 1e-12
    if psf == "kspace":
        return coarse * error / (error + variance)
    power = error * (most_gain * _hamming(coarse, 1)).clamp(max=1.0) ** 2
    return weighted(coarse, power / (power + variance / hamming_noise**2))


def cubic(coarse: Tensor, factor: int, dims: int = 2) -> Tensor:
    """Interpolate cubically, aligned to the centres of the coarse voxels.

    Args:
        coarse: (..., X, Y), or (..., X, Y, Z), any unit.
        factor: fine voxels per coarse voxel along each axis.
        dims: number of spatial axes, 2 or 3.

    Returns:
        (..., factor X, factor Y[, factor Z]), same unit.
    """
    if dims == 3:  # in plane, then along the third axis, because PyTorch has no tricubic interpolation
        planes = _cubic_in_plane(coarse.movedim(-1, 0), factor).movedim(0, -1)
        lines = planes.flatten(0, -2)[:, None, None]
        fine = F.interpolate(lines, scale_factor=[1.0, float(factor)], mode="bicubic", align_corners=False)
        return fine.reshape(planes.shape[:-1] + fine.shape[-1:])
    return _cubic_in_plane(coarse, factor)


def _cubic_in_plane(coarse: Tensor, factor: int) -> Tensor:
    images = coarse[None].flatten(0, -3)[:, None]
    fine = F.interpolate(images, scale_factor=float(factor), mode="bicubic", align_corners=False)
    return fine.reshape(coarse.shape[:-2] + fine.shape[-2:])


def _repeated(coarse: Tensor, factor: int, dims: int) -> Tensor:
    for axis in range(-dims, 0):
        coarse = coarse.repeat_interleave(factor, axis)
    return coarse


def _hamming(image: Tensor, factor: int) -> Tensor:
    """Hamming weights for the spectrum of an image (..., X, Y)."""
    return hamming_weights(image.shape[-2], image.shape[-1], factor).to(image)
