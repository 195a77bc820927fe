import torch

from mrs_vae_synthesis.training import SessionLoss


def test_the_loss_is_least_at_the_truth_and_holds_outliers() -> None:
    loss = SessionLoss()
    label = torch.zeros(1, 2, 13)
    label[..., :10] = torch.randn(1, 2, 10, generator=torch.Generator().manual_seed(0))
    label[..., -2:] = 1
    pred = torch.cat([label[..., :10], torch.zeros(1, 2, 1)], -1)
    assert loss(pred, label) == 0
    assert loss(pred + 0.1, label) > 0
    far = label.clone()
    far[..., :10] += 1e4
    assert loss(pred, far) < 1000
    hidden = far.clone()
    hidden[:, 0], hidden[:, 1] = label[:, 0], far[:, 1]
    hidden[:, 1, -1] = 0
    assert loss(pred, hidden) == 0
