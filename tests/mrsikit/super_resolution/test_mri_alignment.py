import pytest
import torch

from mrsikit.physics.spatial_encoding import forward_operator
from mrsikit.super_resolution.mri_alignment import mri_shift


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
    maps = 5 * forward_operator(contrast(image), 4, 0)[None]
    maps = maps + 0.02 * maps.max() * noise(*maps.shape)
    found, better = mri_shift(maps, moved(image, (-needed[0], -needed[1])), 4, (5, 4))
    assert found == needed
    assert better == 1 if needed == (0, 0) else better > 1.05


def test_maps_of_noise_beside_a_good_one_change_nothing() -> None:
    image = mri()
    good = forward_operator(image, 4, 0)
    lying = moved(image, (-3, 2))
    alone = mri_shift(good[None], lying, 4, (5, 5))
    found = mri_shift(torch.stack([good, 100 * noise(2, 24, 20), 1e-3 * noise(2, 24, 20)]), lying, 4, (5, 5))
    assert found[0] == alone[0] == (3, -2)
    assert found[1] == pytest.approx(alone[1], rel=0.1)


def test_what_would_fit_best_at_the_edge_of_the_search_is_no_shift() -> None:
    lying = moved(mri(), (-5, 0))
    maps = forward_operator(mri(), 4, 0)[None]
    assert mri_shift(maps, lying, 4, (5, 3)) == ((0, 0), 1.0)
    assert mri_shift(maps, lying, 4, (6, 3))[0] == (5, 0)


def test_empty_maps_or_mris_need_no_shift() -> None:
    image = mri(1)
    for maps, other in (
        (torch.zeros(1, 1, 24, 20), image),
        (forward_operator(image, 4, 0)[None], torch.zeros_like(image)),
    ):
        assert mri_shift(maps, other, 4, (3, 3)) == ((0, 0), 1.0)
