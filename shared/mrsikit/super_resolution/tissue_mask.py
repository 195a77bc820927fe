"""Find the tissue of a coarse map and impute its missing voxels."""

from __future__ import annotations

import torch
from scipy import ndimage
from torch import Tensor

from mrsikit.restoration.brain_mask import brain_outline
from mrsikit.restoration.inpainting import nearest

SUPPORT = 0.05
"""Voxels above 0.05 x the map's maximum are tissue."""

ABOVE_BACKGROUND = 3.0
"""Tissue must exceed 3 x the root mean square of the quietest corner of the slice."""

STEADY = 3.0
"""A corner counts as tissue if its mean exceeds 3 x its standard deviation."""

CORNER = 6
"""A corner spans 1/6 of the slice along each axis, but at least 2 voxels."""

NO_SIGNAL = 0.2
"""A failed fit below 0.2 x the median of the slice's tissue may be fluid."""

RIM = 2
"""Failed fits up to 2 voxels outside the outline of the measured tissue may be tissue."""


def background(maps: Tensor) -> Tensor:
    """Root mean square (M, Z) of the quietest corner of each slice of maps (M, X, Y, Z), over the finite voxels.

    A corner with tissue counts as 0, so the result is 0 if any corner holds tissue. It is also 0 if no corner holds a
    finite voxel.
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
    """Mark the voxels of tissue, as opposed to noise around the head.

    A voxel must exceed :data:`SUPPORT` x the slice's maximum and :data:`ABOVE_BACKGROUND` x the noise in the slice's
    corners. It must also belong to a connected piece that contains a cross of five voxels; if no piece does, all count.
    A slice of pure noise has no tissue, except by chance.

    Args:
        maps: (M, X, Y, Z), finite, any sign.
        quiet: (M, Z), from :func:`background`.

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
    """Fill the missing voxels of maps.

    Args:
        maps: (M, X, Y, Z), any unit.
        missing: same shape, True where missing; it must include all NaN and infinite voxels.

    Returns:
        The filled maps; a mask of the voxels of the head that were not measured; and the standard deviation of these
        imputed voxels, 0 elsewhere. It is the standard deviation of the tissue; where there is no number or almost no
        signal, the distance between the filled value and the mean of the tissue is added in quadrature.
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
        # A voxel without a number inside the measured field is always filled: there is no sign that it is empty.
        within = without & torch.where(number, head | (near & signal), field)
        full = torch.from_numpy(nearest(plane.numpy(), without.numpy()))
        kept = torch.where(number, values, 0.0).clamp(-plane.abs().max(), plane.max())
        fill = torch.where(torch.where(number, head & signal, field), full, kept)
        lost[m, :, :, z] = within
        filled[m, :, :, z] = torch.where(within, fill, plane)
        wide = torch.hypot(tissue.std(correction=0), (tissue.mean() - fill) * ~signal)
        imputed_sd[m, :, :, z] = torch.where(within, wide, 0.0)
    return filled, lost, imputed_sd
