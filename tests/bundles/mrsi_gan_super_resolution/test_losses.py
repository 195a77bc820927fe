import torch

from mrsi_gan_super_resolution.losses import DiscriminatorLoss, GeneratorLoss


def test_the_generator_is_rewarded_for_what_is_taken_for_true() -> None:
    loss = GeneratorLoss(weight=0.5)
    told, taken = torch.full((2, 1), -3.0), torch.full((2, 1), 3.0)
    assert loss(taken) < loss(told)
    expected = -0.5 * torch.log(torch.sigmoid(told)).mean()  # - lambda log D
    torch.testing.assert_close(loss(told), expected)


def test_the_discriminator_is_rewarded_for_telling() -> None:
    loss = DiscriminatorLoss()
    yes, no = torch.full((2, 1), 3.0), torch.full((2, 1), -3.0)
    assert loss(yes, no) < loss(no, no) < loss(no, yes)
