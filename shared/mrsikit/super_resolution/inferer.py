"""Inferer: run the network over the slices of a map, in batches, with and without its MRIs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from monai.inferers import Inferer
from monai.utils import convert_to_tensor
from torch import Tensor
from tqdm import tqdm

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.runtime import as_flag
from mrsikit.super_resolution.network import MRIS, NO_TRUST, network_input
from mrsikit.super_resolution.network import TV as TV_CHANNEL
from mrsikit.super_resolution.scale_check import (
    INTERPOLATION,
    METHODS,
    NETWORK,
    NOT_ASKED,
    NOTHING,
    SPREAD,
    TV,
    WEIGHT,
    WITH_MRI,
    Coarse,
    Estimates,
    blended,
    check_across_scales,
    mean_sd,
    unchecked,
    without_mri,
)

SLICES = 8
"""Number of slices at a time."""

PIXELS = 2**16
"""Number of pixels that the network takes at a time on a CPU: the features of more do not fit into its cache."""

PROBE = 0.1
"""Standard deviation, over that of the noise, of the change of the map that shows how the result follows the noise."""

RIPPLE = 0.4
"""Below this mean absolute value, over the noise's standard deviation, a map is 0: outside the head. That of noise is
.8."""

LEAST_NEGATIVE = 2.0
"""Results are lifted to minus 2 standard deviations of the noise."""

CUTS = 8
"""How often the cut and the restoration of what was measured alternate."""

NEGATIVES = 4.0
"""A coarse map with values below minus 4 standard deviations of the noise, and below its ringing, has true negative
values."""


class SliceStackInferer(Inferer):
    """Super-resolve every slice of every map by several methods, and weigh them by their errors on the map itself.

    The methods are the network with the MRIs, the network without them, total variation, and interpolation, see
    :mod:`mrsikit.super_resolution.scale_check`. Without a check the first of them that the map has is the result.

    Args:
        factor: fine voxels per coarse voxel along each in-plane axis.
        psf: point spread function, "block", "kspace" or "hamming".
        consistency: whether the maps follow the measurement, as far as it stands out of a known noise.
        check: whether to check the methods on the map. It requires a known noise and data consistency.
    """

    def __init__(
        self,
        *,
        factor: int = 4,
        psf: str = "block",
        consistency: bool | str = True,
        check: bool | str = True,
    ) -> None:
        super().__init__()
        self.encoding = SpatialEncoding(psf, factor)
        self.consistency = as_flag(consistency, "consistency")
        self.check = as_flag(check, "check")

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Super-resolve a batch.

        Args:
            inputs: (B, 2 M + 2, X, Y, Z), from :class:`mrsikit.super_resolution.preprocessing.PreprocessCoarseMapd`.
            network: network that takes (n, 10, X, Y), such as
                :class:`mrsikit.super_resolution.network.SuperResolution`.
            args: not used.
            kwargs: not used.

        Returns:
            "maps" (B, 3 M, X, Y, Z): for each of the M maps the super-resolved map, its standard deviation, and the
            super-resolved map without the MRIs. "check" (B, M, 3, 5): the check of each map, from
            :func:`mrsikit.super_resolution.scale_check.check_across_scales`.
        """
        # Plain tensors: a MetaTensor's bookkeeping takes longer than most of the operations on a slice.
        inputs = convert_to_tensor(inputs, track_meta=False)
        pairs = [pair for item in inputs for pair in self._maps(item, network)]
        maps, checks = torch.cat([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])
        return {
            "maps": maps.reshape(len(inputs), -1, *inputs.shape[2:]),
            "check": checks.reshape(len(inputs), -1, *checks.shape[1:]),
        }

    def _maps(self, item: Tensor, network: Callable[..., Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Super-resolve one item; the list holds the (3, X, Y, Z) result and the check of each map, in order."""
        starts, noises, mris = parts(item)
        return [
            super_resolved(
                network, Coarse(start, noise, mris, self.encoding), consistency=self.consistency, check=self.check
            )
            for start, noise in zip(starts, noises, strict=True)
        ]


def parts(item: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Split (2 M + 2, X, Y, Z) into M maps, their noise, and a dictionary of the MRIs (X, Y, Z) that are not empty."""
    count = (len(item) - len(MRIS)) // 2
    mris = {name: image for name, image in zip(MRIS, item[2 * count :], strict=True) if image.any()}
    return item[:count], item[count : 2 * count], mris


def super_resolved(
    network: Callable[..., Tensor], coarse: Coarse, *, consistency: bool = True, check: bool = True
) -> tuple[Tensor, Tensor]:
    """Super-resolve one map by the network and the classical methods, as they do on the map itself.

    Args:
        network: as for :class:`SliceStackInferer`.
        coarse: the map, on the fine grid (X, Y, Z).
        consistency: whether to correct the maps by the measurement, where its noise is known.
        check: whether to check the methods on the map, where its noise is known.

    Returns:
        (3, X, Y, Z): the map, its standard deviation, and the map without the MRIs; and the check (3, 5).
    """

    def estimate(given: Coarse) -> Estimates:
        return estimates(network, given, consistency=consistency)

    return weighed(estimate, coarse, consistency=consistency, check=check)


def weighed(
    estimate: Callable[[Coarse], Estimates], coarse: Coarse, *, consistency: bool = True, check: bool = True
) -> tuple[Tensor, Tensor]:
    """Run all methods on a map, weigh them by a check on the map itself, and lift what is too negative.

    Args:
        estimate: runs all methods.
        coarse: the map, on the fine grid (X, Y, Z).
        consistency: whether the methods follow the measurement; otherwise there is no check, and nothing is lifted.
        check: whether to check; otherwise the first of :data:`METHODS` that the map has is the result.

    Returns:
        As for :func:`super_resolved`.
    """
    found = estimate(coarse)
    checked = (
        check_across_scales(estimate, coarse, found) if check and consistency else unchecked(found.maps, NOT_ASKED)
    )
    sd = mean_sd(found.sds, checked) * checked[SPREAD, -1].nan_to_num(1.0)
    with_mri = checked[WEIGHT, METHODS.index(WITH_MRI)].nan_to_num() > 0
    weights = [checked[WEIGHT], without_mri(checked)] if with_mri else [checked[WEIGHT]]
    maps = [blended(found.maps, row) for row in weights]
    if consistency:
        maps = [_not_too_negative(image, coarse) for image in maps]
    return torch.stack([maps[0], sd, maps[-1]]), checked


def _not_too_negative(fine: Tensor, coarse: Coarse) -> Tensor:
    """Lift values of a map (X, Y, Z) below minus :data:`LEAST_NEGATIVE` standard deviations of a known noise.

    What was measured stays as it is: the cut alternates with its restoration. To cut at 0 would raise the mean of noise
    in fluid. Slices whose measurement has negative values are left alone.
    """
    if not coarse.noise_known:
        return fine
    level = coarse.level.flatten(1).median(1).values
    lowest = -(NEGATIVES * level).clamp(min=coarse.encoding.ringing)
    cut = coarse.map.flatten(1).amin(1) >= lowest
    if not cut.any():
        return fine
    image, limit = fine.movedim(-1, 0)[cut], -LEAST_NEGATIVE * level[cut, None, None]
    measured = coarse.encoding.A(image)
    for _ in range(CUTS):
        image = image.clamp(min=limit)
        image = image + coarse.encoding.unfiltered.interpolate(measured - coarse.encoding.A(image))
    out = fine.movedim(-1, 0).clone()
    out[cut] = image
    return out.movedim(0, -1)


def estimates(network: Callable[..., Tensor], coarse: Coarse, *, consistency: bool = True) -> Estimates:
    """Super-resolve one map slice by slice, by the network with and without its MRIs and by the classical methods.

    Args:
        network: as for :class:`SliceStackInferer`.
        coarse: the map, on the fine grid (X, Y, Z).
        consistency: whether to correct the network's maps by the measurement, where its noise is known.
    """
    encoding, mris = coarse.encoding, coarse.mris
    batches: list[Estimates] = []
    probed = consistency and coarse.noise_known and bool(coarse.noise.any())
    stacks = [image.movedim(-1, 0).split(SLICES) for image in (coarse.start, coarse.noise, *mris.values())]
    steps = list(zip(*stacks, strict=True))
    for plane, level, *images in tqdm(steps, desc="super-resolution", unit=f"{SLICES} slices", delay=2, leave=False):
        count, measured, noise = len(plane), encoding.A(plane), level[:, :: encoding.factor, :: encoding.factor]
        probe = encoding.noise_probe(noise * (noise < NO_TRUST))
        start = torch.cat([plane, plane + PROBE * encoding.interpolate(probe)]) if probed else plane
        level, *images = (image.repeat(len(start) // count, 1, 1) for image in (level, *images))
        given = dict(zip(mris, images, strict=True))
        x = network_input(start, encoding, noise=level if coarse.noise_known else None, mris=given)
        inputs = {WITH_MRI: x, NETWORK: _without_mris(x)} if mris else {NETWORK: x}
        preds = _in_batches(network, torch.cat(list(inputs.values()))).split(len(x))
        batch = Estimates({TV: x[:count, TV_CHANNEL], INTERPOLATION: plane})
        for name, pred in zip(inputs, preds, strict=True):
            (image, batch.sds[name]), moved = pred[:count].unbind(1), pred[count:, 0]
            if probed:
                image, batch.responses[name] = _consistent(image, moved, measured, noise, probe, encoding)
            elif consistency and coarse.noise_known:  # no noise
                image = encoding.data_consistency(image, measured)
            batch.maps[name] = image
        if probed:
            change = x[count:, TV_CHANNEL] - x[:count, TV_CHANNEL]
            batch.responses[TV] = _response(change, measured, noise, probe, encoding)
            batch.responses[INTERPOLATION] = torch.ones_like(measured)
        batches.append(batch)
    return Estimates(
        {name: torch.cat([batch.maps[name] for batch in batches]).movedim(0, -1) for name in batches[0].maps},
        {name: torch.cat([batch.responses[name] for batch in batches]) for name in batches[0].responses},
        {name: torch.cat([batch.sds[name] for batch in batches]).movedim(0, -1) for name in batches[0].sds},
    )


def _in_batches(network: Callable[..., Tensor], x: Tensor) -> Tensor:
    """Run the network over slices (B, 10, X, Y); on a CPU over as many at a time as its cache holds."""
    size = max(1, PIXELS // x[0, 0].numel()) if x.device.type == "cpu" else SLICES
    return torch.cat([network(part) for part in x.split(size)])


def _without_mris(x: Tensor) -> Tensor:
    blind = x.clone()
    for channels in MRIS.values():
        blind[:, channels] = 0
    return blind


def _response(change: Tensor, measured: Tensor, noise: Tensor, probe: Tensor, encoding: SpatialEncoding) -> Tensor:
    """Derivative of each voxel of A x by that of y, from the change of x by a probe; NaN where y was not measured.

    Outside the head many maps are 0: nothing was measured there. An even number of encodes lets them ripple.
    """
    response = probe * encoding.A(change) / PROBE / noise.square().clamp(min=1e-20)
    around = F.avg_pool2d(measured.abs()[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    there = (around > RIPPLE * noise) & (measured.abs() > NOTHING)
    return torch.where((noise < NO_TRUST) & there, response, torch.nan)


def _consistent(
    maps: Tensor, moved: Tensor, measured: Tensor, noise: Tensor, probe: Tensor, encoding: SpatialEncoding
) -> tuple[Tensor, Tensor]:
    """Correct maps by the measurement as far as the data themselves say that they err in what was measured.

    How far the network can be trusted was learnt on virtual patients. On this map it is read from the difference to
    the measurement, and from how the result follows a small change of it, see
    :meth:`mrsikit.physics.spatial_encoding.SpatialEncoding.data_consistency`.

    Args:
        maps: (B, X, Y) the network's maps.
        moved: same shape, those from the measurement plus :data:`PROBE` times the probe.
        measured: (B, X / factor, Y / factor) measurement.
        noise: same shape, standard deviation of its noise.
        probe: same shape, see :meth:`mrsikit.physics.spatial_encoding.SpatialEncoding.noise_probe`.
        encoding: encoding of the measurement.

    Returns:
        The corrected maps, and their response, see :func:`_response`.
    """
    response = _response(moved - maps, measured, noise, probe, encoding)
    found, shifted = (
        encoding.data_consistency(image, y, noise=noise, response=response)
        for image, y in ((maps, measured), (moved, measured + PROBE * probe))
    )
    return found, _response(shifted - found, measured, noise, probe, encoding)
