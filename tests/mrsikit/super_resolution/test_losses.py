import pytest
import torch

from mrsikit.super_resolution.losses import SuperResolutionLoss


def test_a_better_map_and_an_honest_deviation_cost_less() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.rand(2, 1, 24, 24, generator=generator)
    noise = torch.randn(2, 1, 24, 24, generator=generator)
    loss = SuperResolutionLoss()

    def of(error: float, sd: float) -> float:
        return float(loss(torch.cat([label + error * noise, torch.full_like(label, sd)], 1), label))

    assert of(0.02, 0.02) < of(0.1, 0.1)
    assert of(0.05, 0.05) < of(0.05, 0.5)
    assert of(0.05, 0.05) < of(0.05, 0.005)


def test_the_deviation_does_not_move_the_map() -> None:
    label = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    image = (label + 0.1).requires_grad_()
    gradients = []
    for sd in (0.01, 1.0):
        pred = torch.cat([image, torch.full_like(label, sd)], 1)
        gradients.append(torch.autograd.grad(SuperResolutionLoss()(pred, label), image)[0])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_lesion_counts_by_its_mean_and_its_voxels_those_that_are_not_there_not_at_all() -> None:
    truth = torch.full((1, 1, 24, 24), 0.5)
    lesions = torch.zeros(1, 4, 24, 24)
    lesions[0, 0, 4:10, 4:10] = 1
    lesions[0, 3, 14:20, 4:10] = 1
    label = torch.cat([truth, lesions], 1)

    def of(error: torch.Tensor, weight: float = 1.0) -> float:
        loss = SuperResolutionLoss(quality=0, similarity=0, lesions=weight, decoys=3 * weight, uncertainty=0)
        return float(loss(torch.cat([truth + error, torch.ones_like(truth)], 1), label)) - float(error.abs().mean())

    inside, outside, mixed = (torch.zeros_like(truth) for _ in range(3))
    inside[..., 4:10, 4:10] = 0.1
    outside[..., 12:18, 12:18] = 0.1
    mixed[..., 4:10, 4:10] = 0.1
    mixed[..., 4:10, 4:7] = -0.1
    assert of(outside) == pytest.approx(0, abs=1e-6)
    assert of(inside) == pytest.approx(0.2, rel=1e-4)
    assert of(mixed) == pytest.approx(0.1, rel=1e-4)
    assert of(inside, 0.5) == pytest.approx(0.1, rel=1e-4)
    assert of(inside.roll(10, 2)) == pytest.approx(0.6, rel=1e-4)
