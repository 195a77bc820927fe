import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from mrsikit.phantoms.scalp import Scalp, with_scalp
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd
from mrsikit.super_resolution.scalp import RING, scalp_share

HEAD = 110, 130
"""Pixels of 2 mm of the MRI."""

OWN = torch.diag(torch.tensor([2.0, 2.0, 10.0, 1.0], dtype=torch.float64))
OWN[:2, 3] = torch.tensor([-109.0, -129.0])


def brain(shrink: float = 0.0) -> np.ndarray:
    """An egg of 130 x 170 mm, or one that is smaller by ``shrink`` mm on all sides."""
    x, y = np.meshgrid(*(2 * (np.arange(n) - (n - 1) / 2) for n in HEAD), indexing="ij")
    return (x / (65 - shrink)) ** 2 + (y / (85 - shrink)) ** 2 < 1 - 0.002 * y


def mri() -> np.ndarray:
    """Sulci, white matter, ventricles and noise in the brain."""
    rng = np.random.default_rng(0)
    waves = ndimage.gaussian_filter(rng.standard_normal(HEAD), 3)
    image = np.where(waves > 0.5 * waves.std(), 0.1, 0.7)
    deep = ndimage.distance_transform_edt(brain()) * 2
    image = np.where(deep > 14, 0.9, image)
    image = np.where(deep > 55, 0.15, image)
    return (image + 0.03 * rng.standard_normal(HEAD)) * brain()


def as_image(values: np.ndarray, affine: torch.Tensor = OWN) -> MetaTensor:
    return MetaTensor(torch.from_numpy(values)[None, ..., None].float(), affine=affine)


def coarse(shrink: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """The tissue on a grid of 10 mm, (22, 26, 1), and its affine."""
    share = brain(shrink).reshape(22, 5, 26, 5).mean((1, 3))
    affine = OWN @ torch.diag(torch.tensor([5.0, 5, 1, 1], dtype=torch.float64))
    affine[:2, 3] = torch.tensor([-105.0, -125.0])
    return torch.from_numpy(share > 0.3)[..., None], affine


def scalped(seed: int = 0, **given: float) -> np.ndarray:
    layers = {"gap": 8.0, "thickness": 6.0, "brightness": 1.2} | given
    return with_scalp(mri(), brain(), (2.0, 2.0), np.random.default_rng(seed), Scalp(**layers))


@pytest.mark.parametrize(
    "given", [{}, {"gap": 12.0}, {"thickness": 4.0}, {"brightness": 0.5}, {"marrow": 0.25, "brightness": 1.6}]
)
def test_a_scalp_is_seen(given: dict[str, float]) -> None:
    tissue, affine = coarse()
    assert scalp_share(as_image(scalped(**given)), tissue, affine) > RING
    assert scalp_share(as_image(100 * scalped(**given)), tissue, affine) > RING


@pytest.mark.parametrize("shrink", [0.0, 10.0, 20.0])
def test_a_stripped_brain_larger_than_the_map_is_not_accused(shrink: float) -> None:
    tissue, affine = coarse(shrink)
    assert scalp_share(as_image(mri()), tissue, affine) < RING
    assert scalp_share(as_image((1.05 - mri()) * brain()), tissue, affine) < RING


def test_a_ring_inside_the_outline_of_the_map_is_no_scalp() -> None:
    """Such as the grey matter of an MRI, where the map shows tissue too."""
    tissue, affine = coarse()
    wide = torch.from_numpy(ndimage.binary_dilation(tissue.numpy(), np.ones((3, 3, 1)), iterations=3))
    assert scalp_share(as_image(scalped()), wide, affine) < RING


def test_turned_slices_and_stretched_voxels() -> None:
    tissue, affine = coarse()
    turn = torch.eye(4, dtype=torch.float64)
    turn[:3, :3] = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)
    for grid, where in (
        (turn @ affine, tissue),
        (turn @ affine @ torch.diag(torch.tensor([0.5, 1, 1, 1], dtype=torch.float64)), tissue.repeat_interleave(2, 0)),
    ):
        assert scalp_share(as_image(scalped(), turn @ OWN), where, grid) > RING
        assert scalp_share(as_image(mri(), turn @ OWN), where, grid) < RING


def test_nothing_to_judge() -> None:
    tissue, affine = coarse()
    assert scalp_share(as_image(0 * mri()), tissue, affine) == 0
    assert scalp_share(as_image(scalped()), tissue & False, affine) == 0
    few = torch.zeros_like(tissue)
    few[10:12, 12:14] = True
    assert scalp_share(as_image(scalped()), few, affine) == 0


def test_preprocessing_tells_the_share_of_each_mri() -> None:
    """A noise-only metabolite and one of lipids in the scalp do not hide the ring."""
    tissue, affine = coarse()
    generator = torch.Generator().manual_seed(0)
    maps = torch.stack([1.0 * tissue, 1.0 * tissue, 0 * tissue]) + 0.02 * torch.randn(
        3, *tissue.shape, generator=generator
    )
    out = PreprocessCoarseMapd(noise=0.02)(
        {"image": MetaTensor(maps, affine=affine), "flair": as_image(scalped()), "t1": as_image(mri())}
    )
    assert out["scalp"]["flair"] > RING
    assert out["scalp"]["t1"] < RING
