"""Where a coarse map shows tissue, and what stands in its gaps."""

from __future__ import annotations

import torch
from scipy import ndimage
from torch import Tensor

from mrsikit.restoration.brain_mask import brain_outline
from mrsikit.restoration.inpainting import nearest

SUPPORT = 0.05
"""Of the map's maximum: above lies tissue."""

ABOVE_BACKGROUND = 3.0
"""Root mean squares of the quietest corner of the slice, above which lies tissue."""

STEADY = 3.0
"""Times its spread from which on the mean of a corner is that of tissue and not of noise."""

CORNER = 6
"""So many times goes a corner into the slice along each axis."""

NO_SIGNAL = 0.2
"""Of the median of the tissue measured in a slice: under it a failed fit may be one of fluid."""

RIM = 2
"""Voxels around the outline of what was measured in which failed fits may be of tissue."""


def background(maps: Tensor) -> Tensor:
    """Root mean square (M, Z) of the quietest corner of each slice of maps (M, X, Y, Z), over what is a number.

    0 where that corner, or every one, holds tissue or no number.
    """
    rows, columns = (max(2, n // CORNER) for n in maps.shape[1:3])
    sides = maps[:, :rows], maps[:, -rows:]
    corners = torch.stack([part for side in sides for part in (side[:, :, :columns], side[:, :, -columns:])])
    corners = torch.where(torch.isfinite(corners), corners, torch.nan)
    mean = corners.nanmean((2, 3))
    power = corners.square().nanmean((2, 3))
    noisy = mean.square() <= STEADY**2 * (power - mean.square()).clamp(min=0)
    quiet = torch.where(power.isnan(), torch.inf, power.sqrt() * noisy).amin(0)
    return torch.where(quiet.isinf(), 0.0, quiet)


def tissue_mask(maps: Tensor, quiet: Tensor) -> Tensor:
    """Voxels of tissue, and not of noise around the head.

    Above :data:`SUPPORT` of the slice's maximum and above the noise in the corners of the slice, in pieces that hold a
    cross of five voxels, or, where none does, in all; none in a slice of noise alone, but for chance.

    Args:
        maps: (M, X, Y, Z), finite.
        quiet: (M, Z), of :func:`background`.

    Returns:
        (M, X, Y, Z), boolean.
    """
    out = torch.zeros_like(maps, dtype=torch.bool)
    for m in range(maps.shape[0]):
        for z in range(maps.shape[3]):
            out[m, :, :, z] = _tissue(maps[m, :, :, z].abs(), quiet[m, z])
    return out


def _tissue(plane: Tensor, quiet: Tensor) -> Tensor:
    above = plane > torch.maximum(SUPPORT * plane.max(), ABOVE_BACKGROUND * quiet)
    pieces, _ = ndimage.label(above.numpy())
    cores = set(pieces[ndimage.binary_opening(above.numpy())].tolist()) - {0}
    return torch.isin(torch.from_numpy(pieces), torch.tensor(sorted(cores))) if cores else above


def impute_missing(maps: Tensor, missing: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maps (M, X, Y, Z) whose ``missing`` voxels, all that hold no number among them, are filled.

    Returns:
        them; which voxels of the head were not measured; and the deviation of these, 0 elsewhere: the spread of the
        tissue, and how far what stands there is from the tissue's mean.
    """
    filled = torch.where(missing, 0.0, maps)
    lost, imputed_sd, quiet = torch.zeros_like(missing), torch.zeros_like(filled), background(maps)
    for m, z in torch.nonzero(missing.any(1).any(1)).tolist():
        plane, without, values = filled[m, :, :, z], missing[m, :, :, z], maps[m, :, :, z]
        if not plane.any():
            continue
        where = _tissue(plane.abs(), quiet[m, z])
        where = where if where.any() else plane != 0
        tissue = plane[where]
        head = torch.from_numpy(brain_outline(where.numpy()))
        field = torch.from_numpy(brain_outline(plane.abs().numpy()))
        near = torch.from_numpy(ndimage.binary_dilation(head.numpy(), iterations=RIM))
        number = torch.isfinite(values)
        signal = number & (values.abs() >= NO_SIGNAL * tissue.abs().median())
        # where there is no number at all, a faint voxel within what was measured is no reason to call it empty
        within = without & torch.where(number, head | (near & signal), field)
        full = torch.from_numpy(nearest(plane.numpy(), without.numpy()))
        kept = torch.where(number, values, 0.0).clamp(-plane.abs().max(), plane.max())
        fill = torch.where(torch.where(number, head & signal, field), full, kept)
        lost[m, :, :, z] = within
        filled[m, :, :, z] = torch.where(within, fill, plane)
        wide = torch.hypot(tissue.std(correction=0), (tissue.mean() - fill) * ~signal)
        imputed_sd[m, :, :, z] = torch.where(within, wide, 0.0)
    return filled, lost, imputed_sd
