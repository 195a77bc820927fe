import pytest
import torch
from torch import Tensor

from mrsi_inpainting.losses import InpaintingLoss


@pytest.fixture
def label() -> Tensor:
    """(1, 4, 16, 16): a map of ones, a hole of 16 voxels, every voxel to be judged, maximum 1."""
    label = torch.ones(1, 4, 16, 16)
    label[:, 1] = 0
    label[:, 1, 4:8, 4:8] = 1
    return label


def prediction(label: Tensor, *, fill: float = 1.0, sd: float = 0.1, missing: float = 0.999) -> Tensor:
    pred = torch.ones(1, 3, 16, 16)
    hole = label[:, 1] > 0
    pred[:, 0][hole] = fill
    pred[:, 1] = sd
    pred[:, 2] = torch.where(hole, missing, 1 - missing)
    return pred


def test_a_better_fill_costs_less(label: Tensor) -> None:
    loss = InpaintingLoss(relative=0, uncertainty=0, detection=0)
    assert loss(prediction(label, fill=1.0), label) == 0
    assert loss(prediction(label, fill=1.2), label) == pytest.approx(10 * 0.04 + 0.1, rel=1e-4)


def test_halving_the_error_of_a_clean_map_gains_as_much_as_that_of_a_noisy_one(label: Tensor) -> None:
    loss = InpaintingLoss(relative=1, uncertainty=0, detection=0)
    pooled = InpaintingLoss(relative=0, uncertainty=0, detection=0)
    costs = {
        e: float(loss(p, label) - pooled(p, label)) for e in (0.1, 0.2, 0.4) for p in [prediction(label, fill=1 + e)]
    }
    assert costs[0.2] - costs[0.1] == pytest.approx(costs[0.4] - costs[0.2], rel=0.01)
    assert loss(prediction(label), label) == 0


def test_errors_outside_the_holes_cost_nothing_unless_judged_missing(label: Tensor) -> None:
    loss = InpaintingLoss(uncertainty=0, detection=0)
    pred = prediction(label)
    pred[:, 0, 0, 0] = 50
    assert loss(pred, label) == 0
    pred[:, 2, 0, 0] = 0.9
    assert loss(pred, label) > 1


def test_the_standard_deviation_that_costs_least_is_the_error(label: Tensor) -> None:
    loss = InpaintingLoss(uncertainty=1, detection=0)
    spread = torch.linspace(0.02, 1.0, 200)
    costs = torch.stack([loss(prediction(label, fill=1.2, sd=float(s)), label) for s in spread])
    # maximum of Student's likelihood with 4 degrees of freedom for errors of one size
    assert float(spread[costs.argmin()]) == pytest.approx(0.2, abs=0.01)


def test_uncertainty_term_leaves_the_fill_alone(label: Tensor) -> None:
    pred = prediction(label, fill=1.2).requires_grad_()
    full = torch.autograd.grad(InpaintingLoss(uncertainty=1, detection=0)(pred, label), pred)[0][:, 0]
    pred = prediction(label, fill=1.2).requires_grad_()
    without = torch.autograd.grad(InpaintingLoss(uncertainty=0, detection=0)(pred, label), pred)[0][:, 0]
    torch.testing.assert_close(full, without)


def test_judgement_counts_only_where_it_is_open(label: Tensor) -> None:
    loss = InpaintingLoss(uncertainty=0, detection=1)
    wrong = prediction(label, missing=0.01)
    assert loss(wrong, label) > 1
    label[:, 2] = 0
    assert loss(wrong, label) == 0


def test_a_batch_without_holes_has_a_finite_gradient(label: Tensor) -> None:
    label[:, 1] = 0
    pred = prediction(label).requires_grad_()
    InpaintingLoss()(pred, label).backward()
    assert pred.grad is not None
    assert torch.isfinite(pred.grad).all()
