import numpy as np
import pytest
import torch

from mrsikit.phantoms.lesion import FINER, RADII, lesion


@pytest.fixture(scope="module")
def drawn() -> list[torch.Tensor]:
    inside = torch.zeros(64, 64, dtype=torch.bool)
    inside[20:44, 20:44] = True
    rng = np.random.default_rng(0)
    return [lesion((64, 64), inside, rng) for _ in range(200)]


def test_lesions_are_of_many_sizes(drawn: list[torch.Tensor]) -> None:
    sizes = [float(blob.sum() / np.pi) ** 0.5 for blob in drawn]
    assert np.quantile(sizes, 0.1) < 2 * RADII[0]
    assert np.quantile(sizes, 0.9) > 0.7 * RADII[1]
    assert all(float(blob.min()) >= 0 and float(blob.max()) <= 1 for blob in drawn)


def test_about_half_have_an_edge_as_sharp_as_the_grid_allows(drawn: list[torch.Tensor]) -> None:
    """Only these have voxels whose shares are all multiples of one over the points within a voxel."""
    shares = [blob * FINER**2 for blob in drawn]
    sharp = [bool((share - share.round()).abs().max() < 1e-4) for share in shares]
    assert 0.35 < np.mean(sharp) < 0.65


def test_lesions_lie_where_they_may(drawn: list[torch.Tensor]) -> None:
    """Also at the border, where they are cut, and nowhere if there is no place."""
    rng = np.random.default_rng(1)
    for place in ((0, 0), (63, 20), (30, 63)):
        inside = torch.zeros(64, 64, dtype=torch.bool)
        inside[place] = True
        for _ in range(20):
            found = torch.nonzero(lesion((64, 64), inside, rng) > 0.5).float()
            assert found.numel() == 0 or torch.linalg.vector_norm(found - torch.tensor(place), dim=1).min() < 6
    assert lesion((64, 64), torch.zeros(64, 64, dtype=torch.bool), rng).sum() == 0


def test_the_same_draws_give_the_same_lesion() -> None:
    inside = torch.ones(32, 32, dtype=torch.bool)
    one, other = (lesion((32, 32), inside, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(one, other)
