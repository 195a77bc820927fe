"""A coarse map of a disc, with noise and without, and MRIs of it."""

import torch
from monai.data import MetaTensor

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.inferer import parts, super_resolved
from mrsikit.super_resolution.preprocessing import subdivided
from mrsikit.super_resolution.scale_check import Coarse

AFFINE = torch.tensor([[-7.0, 0, 0, 100], [0, 7, 0, -90], [0, 0, 10, 20], [0, 0, 0, 1]], dtype=torch.float64)


def volume(maps: int = 1) -> MetaTensor:
    values = torch.rand(maps, 12, 16, 3, generator=torch.Generator().manual_seed(0)) + 0.5
    return MetaTensor(values * torch.tensor([50.0, 2.0])[:maps, None, None, None], affine=AFFINE)


def layers(out: dict) -> torch.Tensor:
    """(n, 10, X, Y), what the network sees of what was prepared, slice by slice of map by map."""
    seen: list[torch.Tensor] = []

    def network(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x[:, :2]

    fine, coarse = out["image"].shape[1], out["map"].shape[1]
    starts, noises, mris = parts(out["image"].as_tensor())
    for start, noise in zip(starts, noises, strict=True):
        super_resolved(network, Coarse(start, noise, mris, SpatialEncoding("block", fine // coarse)), consistency=False)
    return torch.cat([x[: starts.shape[-1]] for x in seen])  # then the same without the MRIs


def stacked(slices: torch.Tensor, item: dict) -> torch.Tensor:
    """(3 M, X, Y, Z) of (M Z, 3, X, Y), as the inferer gives it."""
    maps = slices.unflatten(0, (len(item["map"]), -1))
    return maps.permute(0, 2, 3, 4, 1).flatten(0, 1)


def flair(shift: float = 0.0) -> MetaTensor:
    """A ramp along the first world axis on its own fine grid, over all of the map."""
    fine = AFFINE @ subdivided(7) @ torch.diag(torch.tensor([1, 1, 0.1, 1.0], dtype=torch.float64))
    fine[2, 3] -= 4.5
    fine[0, 3] += shift
    values = torch.arange(84.0)[:, None, None].expand(84, 112, 30) + 10
    return MetaTensor(values[None].contiguous(), affine=fine)


def head_map() -> MetaTensor:
    """A disc of 1 to 1.5 on zeros."""
    x, y = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    inside = torch.hypot(x - 11, y - 12) < 9
    values = (1 + 0.5 * torch.rand(24, 24, generator=torch.Generator().manual_seed(0))) * inside
    return MetaTensor(values[None], affine=AFFINE)


NOISY = 0.08
"""Standard deviation of the noise of :func:`noisy_map`, 5 % of its maximum."""


def noisy_map() -> MetaTensor:
    """The disc, on a field of view full of noise."""
    values = head_map().as_tensor() + NOISY * torch.randn(1, 24, 24, generator=torch.Generator().manual_seed(1))
    return MetaTensor(values, affine=AFFINE)


def brain(shift: float = 0.0) -> MetaTensor:
    """An MRI of the disc alone, as far beside it along the first axis of the patient as said (mm)."""
    fine = AFFINE @ subdivided(7)
    values = head_map().as_tensor()[0].repeat_interleave(7, 0).repeat_interleave(7, 1)
    fine[0, 3] += shift
    return MetaTensor(values[None, ..., None], affine=fine)
