r"""Check across scales: try every method on the measured map itself, made coarser once more, and weigh the methods.

The measured map is coarsened by two. Each method super-resolves the coarser map, and the measured map is the truth. Two
rules make the trial fair:

- Coarsening averages the noise away. So noise z of the known standard deviation is added first, and part of it is
  subtracted from the truth: :math:`y_+ = y + \sqrt{3} z` is coarsened and has the measured map's noise again, and
  :math:`y_- = y - z / \sqrt{3}` is compared. The noises of the two are independent (arXiv:2111.09447), so the mean
  squared difference less :math:`\tfrac{4}{3} \sigma^2` is the mean squared error, without bias.
- How much a method errs in what the acquisition does measure can be read at the true scale, by Stein's unbiased risk
  estimate. The trial only decides about what is not measured.

The weights of the methods minimise the estimated error of their mean, with a penalty that keeps them near the method
named beforehand. The penalty fades with the number of voxels.

The trial shows as well whether the stated standard deviation holds on this map. If fewer than nine in ten of the 90 %
intervals hold, it is widened until they do. It is never narrowed: where noise dominates, a trial cannot tell a standard
deviation that is too large from a noise that was overstated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor

from mrsikit.metrics.calibration import Z90
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.network import NO_TRUST
from mrsikit.super_resolution.tissue_mask import SUPPORT

WITH_MRI, NETWORK, TV, INTERPOLATION = "with MRI", "network", "total variation", "interpolation"
METHODS = (WITH_MRI, NETWORK, TV, INTERPOLATION)
"""Methods that a check compares; the first that a map has is the one named beforehand."""

WEIGHT, ERROR, SPREAD = range(3)
"""Rows of a check: the weight of each method, its root mean squared error as a share of the root mean square of the
tissue, and the factor of the standard deviation, of the result alone. The last column is that of the result; its weight
is the number of the reason why there was no check."""

COLUMNS = (*METHODS, "result")
DONE, NOT_ASKED, SMALL, LITTLE, QUIET = range(5)

SCALE = 2
"""The map is coarsened by two, whatever the factor of the super-resolution."""

FEWEST = 20
"""A map with fewer voxels along an axis is not checked: coarsened, it would have less than 10."""

LEAST_VOXELS = 50
"""A map with fewer voxels of tissue is not checked."""

REASONS = {
    SMALL: f"it has fewer than {FEWEST} voxels along an axis in plane",
    LITTLE: f"it has fewer than {LEAST_VOXELS} voxels of tissue",
    QUIET: "it varies less from voxel to voxel than the stated noise: the noise is less, or it was interpolated",
}
"""Reasons for which a map with a known noise is not checked, as the user reads them."""

WINDOW, NOISES = 3, 3.0
"""Tissue is where the mean of 3 x 3 voxels exceeds :data:`SUPPORT` by 3 standard deviations of that mean."""

NOTHING = 1e-6
"""A map outside the head is 0; after its interpolation, up to rounding."""

LISTED = 0.005
"""Shares below half a percent are not listed."""

LEAST_NOISE = 0.5
"""What varies from voxel to voxel has at least the noise's variance. Below half of it, the stated noise is wrong."""

HOLD = 0.9
"""Share of the intervals of plus or minus :data:`Z90` standard deviations that is to hold."""

SPREADS = np.geomspace(1.0, 3.0, 31)
"""Factors of the standard deviation that are tried."""

AS_ONE, TIMIDITY = 9, 3.0
"""Neighbours err together: 9 voxels count as one. Weight of the squared logarithm of the factor against chi-square of
the share that holds; it keeps the factor of few voxels near 1. Chosen on BrainWeb 1, with and without shading."""

PENALTIES = {WITH_MRI: 30.0, NETWORK: 30.0, TV: 200.0, INTERPOLATION: 200.0}
"""The penalty for leaving the method named beforehand, in voxels, for weight given to each method. It is larger for the
classical methods, because on the coarser map they look better than they are on the finer. Chosen on BrainWeb 1, for
both bundles, with and without shading."""


@dataclass(frozen=True)
class Coarse:
    """A coarse map on the fine grid, with what is known of it; slices last.

    Attributes:
        start: (X, Y, Z) interpolated map, each slice divided by the maximum of the coarse one.
        noise: (X, Y, Z) standard deviation of the coarse map's noise; NaN where it is unknown.
        mris: MRIs by name, each (X, Y, Z).
        encoding: encoding of the coarse map, in plane.
    """

    start: Tensor
    noise: Tensor
    mris: Mapping[str, Tensor]
    encoding: SpatialEncoding

    @functools.cached_property
    def map(self) -> Tensor:
        """Coarse map (Z, X / f, Y / f)."""
        return self.encoding.A(self.start.movedim(-1, 0))

    @property
    def level(self) -> Tensor:
        """Standard deviation of its noise (Z, X / f, Y / f)."""
        return self.noise[:: self.encoding.factor, :: self.encoding.factor].movedim(-1, 0)

    @property
    def noise_known(self) -> bool:
        """Whether the noise is known everywhere."""
        return not bool(self.noise.isnan().any())


@dataclass(frozen=True)
class Estimates:
    """What the methods make of a coarse map.

    Attributes:
        maps: fine map (X, Y, Z) of each method.
        responses: for each method the derivative of each voxel of A x by that of y, (Z, X / f, Y / f); empty without
            noise.
        sds: standard deviation (X, Y, Z) of the methods that state one.
    """

    maps: dict[str, Tensor]
    responses: dict[str, Tensor] = field(default_factory=dict)
    sds: dict[str, Tensor] = field(default_factory=dict)


def check_across_scales(
    estimate: Callable[[Coarse], Estimates], coarse: Coarse, found: Estimates, seed: int = 0
) -> Tensor:
    """Weigh the methods by their errors on this map.

    Args:
        estimate: runs all methods.
        coarse: the measured map.
        found: what the methods make of it.
        seed: seed of the noise that is added.

    Returns:
        (3, 5): :data:`WEIGHT`, :data:`ERROR` and :data:`SPREAD` of each of :data:`COLUMNS`; NaN for methods that this
        map does not have. Without a check, see :func:`unchecked`.
    """
    measured, level = coarse.map, coarse.level
    if not coarse.noise_known:
        return unchecked(found.maps, NOT_ASKED)
    if min(measured.shape[1:]) < FEWEST:
        return unchecked(found.maps, SMALL)
    names = [name for name in METHODS if name in found.maps]
    tissue = _tissue(measured, level)
    rows, columns = (n // SCALE * SCALE for n in measured.shape[1:])
    kept = tissue[:, :rows, :columns]
    if int(kept.sum()) < LEAST_VOXELS:
        return unchecked(found.maps, LITTLE)
    products = _measured_part(coarse, found, names, measured, level, tissue)
    measured, level = measured[:, :rows, :columns], level[:, :rows, :columns]
    white = torch.randn(measured.shape, generator=torch.Generator().manual_seed(seed)).to(measured)
    noise = coarse.encoding.coloured(white)
    tried, scale, truth = _coarser(coarse, measured, level, noise)
    share = _unmeasured(noise, tried.encoding).square().mean() / noise.square().mean()
    variance = float(share * level[kept].square().mean())
    rough, expected = (_unmeasured(image, SpatialEncoding("kspace", SCALE)) for image in (measured, level * noise))
    if float(rough[kept].square().mean()) < LEAST_NOISE * float(expected[kept].square().mean()):
        return unchecked(found.maps, QUIET)
    trial = estimate(tried)
    maps = {name: scale * image.movedim(-1, 0) for name, image in trial.maps.items()}
    # The truth is filtered, so the trial says little of a filter's outer encodes.
    wrong = [_unmeasured(tried.encoding.filtered(maps[name]) - truth, tried.encoding) for name in names]
    products = products + _products(wrong, kept) - 4 / 3 * variance
    weights = _weights(products, np.array([PENALTIES[name] for name in names]) / int(kept.sum()))
    squares = np.append(products.diagonal(), weights @ products @ weights)
    errors = np.sqrt(squares.clip(min=0) / float(measured[kept].square().mean()))
    out = empty()
    places = [METHODS.index(name) for name in names]
    out[WEIGHT, [*places, len(METHODS)]] = torch.from_numpy(np.append(weights, DONE)).float()
    out[ERROR, [*places, len(METHODS)]] = torch.from_numpy(errors).float()
    result, sd = (image.movedim(-1, 0) * scale for image in (blended(trial.maps, out[WEIGHT]), mean_sd(trial.sds, out)))
    wrong_by = (tried.encoding.filtered(result) - truth)[kept].abs()
    out[SPREAD, -1] = _spread(wrong_by, sd[kept], 4 / 3 * level[kept].square())
    return out


def empty() -> Tensor:
    """Return a check (3, 5) that says nothing: NaN everywhere."""
    return torch.full((SPREAD + 1, len(COLUMNS)), torch.nan)


def unchecked(maps: Mapping[str, Tensor], reason: int) -> Tensor:
    """Return the check (3, 5) of a map that is not checked: all weight on the method named beforehand, no errors.

    Args:
        maps: fine map of each method.
        reason: :data:`NOT_ASKED` or one of :data:`REASONS`.
    """
    out = empty()
    out[WEIGHT, METHODS.index(next(name for name in METHODS if name in maps))] = 1
    out[WEIGHT, len(METHODS)] = reason
    return out


def without_mri(check: Tensor) -> Tensor:
    """Weights (5,) of a check with the share of the MRI given to the network without it."""
    out = check[WEIGHT].nan_to_num()
    place, alone = METHODS.index(WITH_MRI), METHODS.index(NETWORK)
    out[alone] += out[place]
    out[place] = 0
    return out


def blended(maps: Mapping[str, Tensor], weights: Tensor) -> Tensor:
    """Mean of maps by name with the weights (5,) of a check; NaN counts as 0."""
    shares = dict(zip(COLUMNS, weights.nan_to_num().tolist(), strict=True))
    return torch.stack([shares[name] * image for name, image in maps.items() if shares[name] > 0]).sum(0)


def mean_sd(sds: Mapping[str, Tensor], check: Tensor) -> Tensor:
    """Mean standard deviation of the network with and without the MRIs, by the MRIs' share in a check (3, 5)."""
    share = float(check[WEIGHT, METHODS.index(WITH_MRI)].nan_to_num())
    return (1 - share) * sds[NETWORK] + share * sds.get(WITH_MRI, sds[NETWORK])


def _spread(wrong: Tensor, sd: Tensor, variance: Tensor) -> float:
    """Find the factor of the standard deviations, at least 1, with which the due share of the intervals holds.

    Args:
        wrong: (n,) absolute errors, against a noisy truth.
        sd: (n,) standard deviations.
        variance: (n,) variance of the truth's noise.
    """
    held = np.array([float((wrong <= Z90 * (variance + (x * sd).square()).sqrt()).float().mean()) for x in SPREADS])
    unlikely = (held - HOLD) ** 2 * len(wrong) / AS_ONE / (HOLD * (1 - HOLD))
    return float(SPREADS[np.argmin(unlikely + TIMIDITY * np.log(SPREADS) ** 2)])


def _tissue(measured: Tensor, level: Tensor) -> Tensor:
    """Measured voxels (Z, x, y) in whose neighbourhood there is signal.

    A voxel's own value hardly decides: to choose the voxels whose noise is positive would bias the estimates. But
    zeros, as outside the head of many maps, have no noise and do not count.
    """
    mean, noise = (F.avg_pool2d(image[:, None], WINDOW, 1, WINDOW // 2)[:, 0] for image in (measured, level))
    return (mean > SUPPORT + NOISES * noise / WINDOW) & (measured.abs() > NOTHING) & (level < NO_TRUST)


def _measured_part(
    coarse: Coarse, found: Estimates, names: list[str], measured: Tensor, level: Tensor, tissue: Tensor
) -> NDArray[np.float64]:
    """Mean products of the methods' errors in what is measured, by Stein's unbiased risk estimate."""
    wrong = [coarse.encoding.A(found.maps[name].movedim(-1, 0)) - measured for name in names]
    out = _products(wrong, tissue)
    variance = level[tissue].square().double()
    if variance.any():
        followed = np.array([float((variance * found.responses[name][tissue].nan_to_num()).mean()) for name in names])
        out = out + followed[:, None] + followed[None] - float(variance.mean())
    return out


def _coarser(coarse: Coarse, measured: Tensor, level: Tensor, noise: Tensor) -> tuple[Coarse, Tensor, Tensor]:
    """Coarsen the measured map (Z, x, y); return it with what is known of it, its unit (Z, 1, 1), and the truth."""
    encoding = SpatialEncoding(coarse.encoding.psf, SCALE)
    level = torch.where(level < NO_TRUST, level, 0.0)  # an unmeasured voxel needs no noise
    noise = level * noise
    louder, truth = measured + 3**0.5 * noise, measured - noise / 3**0.5
    y = encoding.measured_again(louder)
    average = SpatialEncoding("block", SCALE)
    scale = y.abs().amax((1, 2), keepdim=True).clamp(min=1e-12)
    spread = average.A_dagger(average.A(level.square()).sqrt() / scale)
    factor = coarse.encoding.factor
    rows, columns = measured.shape[1:]
    mris = {
        name: F.avg_pool2d(image.movedim(-1, 0)[:, None], factor)[:, 0, :rows, :columns].movedim(0, -1)
        for name, image in coarse.mris.items()
    }
    tried = Coarse(encoding.interpolate(y / scale).movedim(0, -1), spread.movedim(0, -1), mris, encoding)
    return tried, scale, truth


def _unmeasured(image: Tensor, encoding: SpatialEncoding) -> Tensor:
    """Return the part of maps (Z, x, y) that the coarser map does not hold."""
    plain = encoding.unfiltered
    return image - plain.A_dagger(plain.A(image))


def _products(errors: list[Tensor], tissue: Tensor) -> NDArray[np.float64]:
    inside = torch.stack([error[tissue] for error in errors]).double()
    return (inside @ inside.T / inside.shape[1]).cpu().numpy()


def _weights(products: NDArray[np.float64], penalties: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights, not negative and of sum 1, that make the expected squared error of the mean small.

    Args:
        products: (n, n) mean products of the errors; the first method is the one named beforehand.
        penalties: (n,) of the squared distance of each weight from 1 for that method and 0 for the others, in units of
            its mean squared error.
    """
    before = np.eye(len(products))[0]
    unit = max(products[0, 0], 1e-3 * np.abs(products).max(), 1e-20)
    # The noise of the truth is in all products alike. A constant changes no weights of sum 1, and keeps them positive.
    products = products / unit + np.abs(products).max() / unit
    values, vectors = np.linalg.eigh(products + np.diag(penalties))
    root = (vectors * np.sqrt(values.clip(min=1e-9))).T
    target = np.linalg.solve(root.T, penalties * before)
    heavy = 1e3  # of the condition that the sum is 1
    found, _ = nnls(np.r_[root, np.full((1, len(root)), heavy)], np.r_[target, heavy])
    return np.asarray(found / found.sum())


def check_records(checks: Tensor) -> list[dict[str, Any]]:
    """Return what record and report hold of the checks (M, 3, 5) of an input's maps: a table for each checked map."""
    out = []
    for number, check in enumerate(checks, start=1):
        table = {
            name: {
                "share": _number(check[WEIGHT, k]) if name in METHODS else None,
                "error / tissue": _number(check[ERROR, k]),
            }
            for k, name in enumerate(COLUMNS)
            if check[ERROR, k].isfinite()
        }
        if table:
            which = f"map {number}, " if len(checks) > 1 else ""
            title = f"{which}what each method does on this map, made coarser once more"
            factor = float(check[SPREAD, -1].nan_to_num(1.0))
            if factor > 1:
                title += f"; its standard deviation was too small there, and is multiplied by {factor:.2f}"
            out.append({"title": title, "candidates": table, "sd_factor": round(factor, 4)})
    return out


def summary_of(checks: Tensor) -> dict[str, Any]:
    """Return the columns of the summary for the checks (M, 3, 5): means over the maps, and the largest factor."""
    done = checks[checks[:, ERROR, -1].isfinite()]
    if not len(done):
        return {"check": "none"}
    shares = done[:, WEIGHT, : len(METHODS)].nan_to_num().mean(0)
    errors = {name: done[:, ERROR, k].nanmean() for k, name in enumerate(COLUMNS)}
    return {
        "check": ", ".join(
            f"{name} {share:.0%}" for name, share in zip(METHODS, shares, strict=True) if share > LISTED
        ),
        **{f"check: error / tissue, {name}": _number(error) for name, error in errors.items() if error.isfinite()},
        "check: factor of the SD, at most": _number(done[:, SPREAD, -1].max()),
    }


def _number(value: Tensor) -> float | None:
    return round(float(value), 4) if value.isfinite() else None
