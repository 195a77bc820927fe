import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.mri_alignment import mri_shift, share_outside_brain, shift_needed
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd, subdivided

from .conftest import AFFINE, NOISY, brain, noisy_map

BLOCKS = SpatialEncoding("block", 4)


def mri(slices: int = 2) -> torch.Tensor:
    """Blobs of several greys in a round head, (Z, 96, 80)."""
    x, y = torch.meshgrid(torch.arange(96.0) - 47, torch.arange(80.0) - 40, indexing="ij")
    head = ((x / 40) ** 2 + (y / 33) ** 2 < 1).float()
    texture = torch.stack([0.6 + 0.3 * torch.sin(x / 5 + z) * torch.cos(y / 7) for z in range(slices)])
    return head * texture


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def moved(image: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
    return torch.roll(image, shift, (1, 2))


@pytest.mark.parametrize("needed", [(0, 0), (3, -2), (-4, 1)])
@pytest.mark.parametrize("contrast", [lambda m: m, lambda m: (m > 0) * (1 - m), lambda m: (m - 0.6).abs() * (m > 0)])
def test_the_shift_is_found_whatever_the_contrast(needed: tuple[int, int], contrast) -> None:
    image = mri()
    maps = 5 * BLOCKS.A(contrast(image))[None]
    maps = maps + 0.02 * maps.max() * noise(*maps.shape)
    found, better = mri_shift(maps, moved(image, (-needed[0], -needed[1])), 4, (5, 4))
    assert found == needed
    assert better == 1 if needed == (0, 0) else better > 1.05


def test_maps_of_noise_beside_a_good_one_change_nothing() -> None:
    image = mri()
    good = BLOCKS.A(image)
    lying = moved(image, (-3, 2))
    alone = mri_shift(good[None], lying, 4, (5, 5))
    found = mri_shift(torch.stack([good, 100 * noise(2, 24, 20), 1e-3 * noise(2, 24, 20)]), lying, 4, (5, 5))
    assert found[0] == alone[0] == (3, -2)
    assert found[1] == pytest.approx(alone[1], rel=0.1)


def test_what_would_fit_best_at_the_edge_of_the_search_is_no_shift() -> None:
    lying = moved(mri(), (-5, 0))
    maps = BLOCKS.A(mri())[None]
    assert mri_shift(maps, lying, 4, (5, 3)) == ((0, 0), 1.0)
    assert mri_shift(maps, lying, 4, (6, 3))[0] == (5, 0)


def test_empty_maps_or_mris_need_no_shift() -> None:
    image = mri(1)
    for maps, other in (
        (torch.zeros(1, 1, 24, 20), image),
        (BLOCKS.A(image)[None], torch.zeros_like(image)),
    ):
        assert mri_shift(maps, other, 4, (3, 3)) == ((0, 0), 1.0)


@pytest.mark.parametrize("axis", [2, 0])
def test_the_shift_that_an_mri_needs_is_told_in_the_patients_directions(axis: int) -> None:
    """Maps turned by 30 degrees in plane, one of them of noise, stored slices last or first."""
    turn = np.deg2rad(30)
    matrix = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.from_numpy(matrix @ np.diag([6.0, 6, 10]))
    affine[:3, 3] = -affine[:3, :3] @ torch.tensor([9.5, 9.5, 5], dtype=torch.float64)

    def seen(grid: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        index = torch.stack(torch.meshgrid(*(torch.arange(n).double() for n in shape), indexing="ij"), -1)
        x, y, z = (index @ grid[:3, :3].T + grid[:3, 3]).unbind(-1)
        return ((x / 45) ** 2 + (y / 50) ** 2 < 1) * (0.6 + 0.3 * torch.sin(x / 9 + z / 20) * torch.cos(y / 12))

    values = seen(affine @ subdivided(4), (80, 80, 11)).float()
    maps = torch.nn.functional.avg_pool2d(values.movedim(-1, 0)[None], 4)[0].movedim(0, -1)
    generator = torch.Generator().manual_seed(0)
    maps = torch.stack([maps, 0.2 * torch.rand(maps.shape, generator=generator)])
    own = torch.diag(torch.tensor([2.0, 2, 10, 1])).double()
    own[:3, 3] = torch.tensor([-79, -79, -50])
    lying = own.clone()
    lying[:2, 3] += torch.tensor([4.0, -3.0], dtype=torch.float64)
    image = MetaTensor(seen(own, (80, 80, 11)).float()[None], affine=lying)
    order = [2, 0, 1] if axis == 0 else [0, 1, 2]
    stored = MetaTensor(maps.permute(0, *(1 + o for o in order)), affine=affine[:, [*order, 3]])
    out = PreprocessCoarseMapd(factor=4, noise=0.01)({"image": stored, "flair": image})
    assert out["slice_axis"] == axis
    np.testing.assert_allclose(out["shifted"]["flair"], [-4, 3, 0], atol=1.2)
    in_place = MetaTensor(image.as_tensor(), affine=own)
    assert PreprocessCoarseMapd(factor=4, noise=0.01)({"image": stored, "flair": in_place})["shifted"]["flair"] == [
        0,
        0,
        0,
    ]


def test_maps_of_a_box_alone_raise_no_alarm() -> None:
    values = torch.zeros(1, 20, 20)
    values[0, 6:14, 5:14] = 1 + 0.2 * torch.rand(8, 9, generator=torch.Generator().manual_seed(0))
    affine = torch.diag(torch.tensor([7.0, 7, 10, 1])).double()
    x, y = torch.meshgrid(torch.arange(80.0) - 40, torch.arange(80.0) - 40, indexing="ij")
    head = (torch.hypot(x, y) < 36) * (0.6 + 0.3 * torch.sin(x / 4) * torch.cos(y / 5))
    image = MetaTensor(head[None, ..., None], affine=affine @ subdivided(4))
    out = PreprocessCoarseMapd(factor=4, noise=0.01)({"image": MetaTensor(values, affine=affine), "flair": image})
    assert out["shifted"]["flair"] == [0, 0, 0]


def test_empty_metabolites_and_slices_do_not_speak_against_an_mri() -> None:
    """Lactate that is noise alone, and end slices without signal."""
    noise = NOISY * torch.randn(1, 24, 24, generator=torch.Generator().manual_seed(2))
    two = MetaTensor(torch.cat([noisy_map().as_tensor(), noise]), affine=AFFINE)
    assert PreprocessCoarseMapd()({"image": two, "flair": brain()})["outside_brain"]["flair"] < 0.03
    stack = torch.stack([noise, noisy_map().as_tensor(), noise], -1)
    wide = brain()
    thick = MetaTensor(wide.as_tensor().expand(1, 168, 168, 30), affine=wide.affine)
    assert (
        PreprocessCoarseMapd()({"image": MetaTensor(stack, affine=AFFINE), "flair": thick})["outside_brain"]["flair"]
        < 0.03
    )


def test_the_shift_is_told_in_mm_of_the_patient() -> None:
    """Three fine voxels of 2 mm along the first axis, which runs to the left, and two to the front."""
    image = mri()
    maps = BLOCKS.A(image)[None].movedim(1, -1)
    tissue = maps > 0.05
    affine = torch.diag(torch.tensor([-2.0, 2, 10, 1]))
    for needed, expected in (((3, 2), [-6.0, 4.0, 0.0]), ((0, 0), [0.0] * 3)):
        lying = moved(image, (-needed[0], -needed[1])).movedim(0, -1)
        assert shift_needed(maps, tissue, lying, 4, affine) == expected
    fine = torch.diag(torch.tensor([0.5, 0.5, 10, 1]))
    lying = moved(image, (-3, -2)).movedim(0, -1)
    assert shift_needed(maps, tissue, lying, 4, fine) == [0.0] * 3  # 1.8 mm: as good as in place


def test_the_share_outside_the_brain_by_hand() -> None:
    maps, tissue = torch.zeros(2, 20, 20, 1), torch.zeros(2, 20, 20, 1, dtype=torch.bool)
    mri = torch.zeros(20, 20, 1)
    mri[2:18, 2:10] = 1
    maps[:, 4:16, 4:14] = 1
    maps[0, 4:16, 12:] = 0.3  # under half of what is typical: does not count
    tissue[:, 4:16, 4:14] = True
    assert share_outside_brain(maps[1:], tissue[1:], mri) == pytest.approx(4 / 10)
    assert share_outside_brain(maps[:1], tissue[:1], mri) == pytest.approx(2 / 8)
    assert share_outside_brain(maps, tissue, mri) == pytest.approx(2 / 8)  # of the map that fits best
    assert share_outside_brain(maps, tissue, 0.05 + 0 * mri) == 1
    assert share_outside_brain(maps, 0 * tissue, mri) == 0
