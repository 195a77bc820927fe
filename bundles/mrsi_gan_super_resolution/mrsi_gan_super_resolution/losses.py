"""MONAI's adversarial losses, with the signatures that its AdversarialTrainer expects."""

from __future__ import annotations

from monai.losses import PatchAdversarialLoss
from torch import Tensor, nn


class GeneratorLoss(nn.Module):
    """Adversarial loss of the generator, - lambda log D(G(x)): large if the discriminator recognises generated maps.

    The sign is that of SRGAN, the source of the paper's Eq. 3. With the sign as printed, the equation would reward maps
    that the discriminator recognises as generated.

    Args:
        weight: lambda, relative to the mean squared error.
    """

    def __init__(self, weight: float = 1e-3) -> None:
        super().__init__()
        self.weight = weight
        self.loss = PatchAdversarialLoss(criterion="bce")

    def forward(self, fake: Tensor) -> Tensor:
        """Compute the loss from the log odds (B, 1) that generated maps are true."""
        return self.weight * self.loss(fake, target_is_real=True, for_discriminator=False)


class DiscriminatorLoss(nn.Module):
    """Loss of the discriminator: binary cross entropy, averaged over true and generated maps."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = PatchAdversarialLoss(criterion="bce")

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Compute the loss from the log odds (B, 1) that true maps and generated maps are true."""
        true = self.loss(real, target_is_real=True, for_discriminator=True)
        return 0.5 * (true + self.loss(fake, target_is_real=False, for_discriminator=True))
