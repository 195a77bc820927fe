from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
import torch

from dmi_quantification.estimates import Estimates
from dmi_quantification.mri_prior import neighbours
from dmi_quantification.preprocessing import PreprocessFidsd
from dmi_quantification.reference_precise_dmi import PreciseDmiEstimator
from dmi_quantification.reference_precise_dmi_fine_tuning import (
    FineTuneFidsd,
    PreciseDmiPrior,
    edge_weights,
    fine_tuned,
)

from .conftest import BUNDLE, METABOLITES, read_image, simulated

WEIGHTS = BUNDLE / "models" / "model_cnn.pt"


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


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def roughness(values: torch.Tensor, pairs: torch.Tensor) -> float:
    return float(((values[pairs[:, 0]] - values[pairs[:, 1]]) ** 2).sum())


BATCHES = {"neighbourhood": {"epochs": 3}, "pairs": {"steps": 150}}


@pytest.mark.parametrize("batch", BATCHES)
def test_more_strength_makes_smoother_maps_and_none_keeps_them(scene: tuple, batch: str) -> None:
    network, features, pairs = scene
    with torch.no_grad():
        before = network.cnn.connected(features)
    weights = torch.ones(len(pairs))
    found = [
        fine_tuned(
            network, features, pairs, weights, strength=strength, batch=batch, **BATCHES[batch], generator=seeded()
        )
        for strength in (0.0, 1.0, 30.0)
    ]
    torch.testing.assert_close(found[0], before, atol=1e-3, rtol=1e-3)
    rough = [roughness(values, pairs) for values in found]
    assert rough[0] > 1.05 * rough[1] > 1.1 * rough[2]
    with torch.no_grad():  # the single-voxel network is as it was
        torch.testing.assert_close(network.cnn.connected(features), before)


@pytest.mark.parametrize("batch", BATCHES)
def test_edges_of_the_mri_are_kept(scene: tuple, batch: str) -> None:
    network, features, pairs = scene
    half = torch.arange(64) >= 32
    across = half[pairs[:, 0]] != half[pairs[:, 1]]
    kept, lost = (
        fine_tuned(network, features, pairs, weights, strength=30.0, batch=batch, **BATCHES[batch], generator=seeded())
        for weights in (torch.where(across, 0.0, 1.0), torch.ones(len(pairs)))
    )

    def contrast(values: torch.Tensor) -> float:
        return float((values[half].mean(0) - values[~half].mean(0)).abs().sum())

    assert contrast(kept) > contrast(lost)


def test_weights_of_equation_5() -> None:
    np.testing.assert_allclose(edge_weights(np.array([0.5, -0.25, 0.1, 0.0])), [4, 16, 60, 60])
    np.testing.assert_allclose(edge_weights(np.array([0.1, 0.0]), 9.0), [9, 9])


def test_the_priors_optimum_of_two_voxels_is_that_on_paper() -> None:
    """The smallest (a - 1)^2 + (b - 3)^2 + c (a - b)^2, with c = 2 (.09 / 3^2) 4 of the MRI's difference .5."""
    maps, mask = np.array([[1.0], [3.0]])[:, None], np.ones((2, 1), bool)
    found = PreciseDmiPrior(strength=0.09)(maps, np.ones_like(maps), np.array([[0.0], [0.5]]), mask)
    c = 2 * 0.09 / 9 * 4
    np.testing.assert_allclose(found[:, 0, 0], [2 - 1 / (1 + 2 * c), 2 + 1 / (1 + 2 * c)], rtol=1e-5)


@pytest.fixture(scope="module")
def estimated() -> dict[Hashable, Any]:
    """Single-voxel estimates of the paper's network, of a 5 x 5 grid at two time points."""
    values = simulated(np.tile([10.0, 2, 3, 1], (5, 5, 1, 2, 1)), 12.0).swapaxes(3, 4).copy()
    data = PreprocessFidsd(metabolites=METABOLITES)({"image": read_image(values)})
    network = PreciseDmiEstimator().eval()
    network.load_state_dict({k: v.float() for k, v in torch.load(WEIGHTS, weights_only=True).items()})
    with torch.no_grad():
        data["pred"] = network(data["image"].as_tensor()[None])[0]
    return data


def test_without_an_mri_or_strength_the_estimates_stay(estimated: dict[Hashable, Any]) -> None:
    assert FineTuneFidsd(weights=WEIGHTS)(estimated) == estimated
    with_mri = {**estimated, "mri": torch.ones(5, 5, 1)}
    assert FineTuneFidsd(weights=WEIGHTS, strength=0)(with_mri)["pred"] is estimated["pred"]


def test_fine_tuning_smooths_and_states_standard_deviation_and_bias(estimated: dict[Hashable, Any]) -> None:
    before = estimated["pred"].clone()
    out = FineTuneFidsd(weights=WEIGHTS, strength=0.04, repeats=2)({**estimated, "mri": torch.ones(5, 5, 1)})
    torch.testing.assert_close(estimated["pred"], before)
    single, tuned = Estimates.from_rows(before, 4), Estimates.from_rows(out["pred"], 4)
    assert (tuned.amplitude.std(1) < 0.8 * single.amplitude.std(1)).all()
    assert (tuned.amplitude_sd > 0).all()
    assert (tuned.noise_sd == 0).all()
    assert out["bias"].shape == (4, 50)
    # what smoothing takes from the noise of this data set, the repetitions show as their mean error
    taken = tuned.amplitude - single.amplitude
    assert torch.corrcoef(torch.stack([taken.flatten(), out["bias"].flatten()]))[0, 1] > 0.7
