import numpy as np
import pytest
import torch

from dmi_quantification.mri_prior import neighbours
from dmi_quantification.reference_precise_dmi import PreciseDmiEstimator
from dmi_quantification.reference_precise_dmi_fine_tuning import fine_tuned


@pytest.fixture(scope="module")
def scene() -> tuple[PreciseDmiEstimator, torch.Tensor, torch.Tensor]:
    """A network, features of an 8 x 8 grid in two halves, and its pairs."""
    torch.manual_seed(0)
    network = PreciseDmiEstimator(points=64).eval()
    halves = torch.zeros(8, 8, network.cnn.connected[0].in_features)
    halves[4:] += 1.0
    features = (halves + 0.5 * torch.randn(halves.shape)).flatten(0, 1)
    pairs, _ = neighbours(np.zeros((8, 8)), np.ones((8, 8), bool))
    return network, features, torch.from_numpy(pairs)


def roughness(values: torch.Tensor, pairs: torch.Tensor) -> float:
    return float(((values[pairs[:, 0]] - values[pairs[:, 1]]) ** 2).sum())


def test_more_strength_makes_smoother_maps_and_none_keeps_them(scene: tuple) -> None:
    network, features, pairs = scene
    with torch.no_grad():
        before = network.cnn.connected(features)
    weights = torch.ones(len(pairs))
    found = [
        fine_tuned(
            network, features, pairs, weights, strength=strength, steps=150, generator=torch.Generator().manual_seed(0)
        )
        for strength in (0.0, 1.0, 30.0)
    ]
    torch.testing.assert_close(found[0], before, atol=1e-3, rtol=1e-3)
    rough = [roughness(values, pairs) for values in found]
    assert rough[0] > 1.05 * rough[1] > 1.1 * rough[2]
    with torch.no_grad():  # the single-voxel network is as it was
        torch.testing.assert_close(network.cnn.connected(features), before)


def test_edges_of_the_mri_are_kept(scene: tuple) -> None:
    network, features, pairs = scene
    half = torch.arange(64) >= 32
    across = half[pairs[:, 0]] != half[pairs[:, 1]]
    kept, lost = (
        fine_tuned(
            network, features, pairs, weights, strength=30.0, steps=150, generator=torch.Generator().manual_seed(0)
        )
        for weights in (torch.where(across, 0.0, 1.0), torch.ones(len(pairs)))
    )

    def contrast(values: torch.Tensor) -> float:
        return float((values[half].mean(0) - values[~half].mean(0)).abs().sum())

    assert contrast(kept) > contrast(lost)
