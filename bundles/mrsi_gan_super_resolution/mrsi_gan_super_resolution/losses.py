"""The adversarial losses, MONAI's, as its AdversarialTrainer calls them."""

from __future__ import annotations

from monai.losses import PatchAdversarialLoss
from torch import Tensor, nn


class GeneratorLoss(nn.Module):
    """What a generator pays for maps that are told from true ones: - lambda log D(G(x)).

    The sign is that of SRGAN, from which the paper's Eq. 3 is taken; as printed, it rewards being told.

    Args:
        weight: lambda, beside the mean of the squared error.
    """

    def __init__(self, weight: float = 1e-3) -> None:
        super().__init__()
        self.weight = weight
        self.loss = PatchAdversarialLoss(criterion="bce")

    def forward(self, fake: Tensor) -> Tensor:
        """Loss of the log odds (B, 1) that generated maps are true."""
        return self.weight * self.loss(fake, target_is_real=True, for_discriminator=False)


class DiscriminatorLoss(nn.Module):
    """Minus the mean log likelihood of what true and generated maps are."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = PatchAdversarialLoss(criterion="bce")

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Loss of the log odds (B, 1) that maps are true, of true ones and of generated ones."""
        true = self.loss(real, target_is_real=True, for_discriminator=True)
        return 0.5 * (true + self.loss(fake, target_is_real=False, for_discriminator=True))
