"""Loss of the default network."""

from __future__ import annotations

import torch
from monai.losses import SSIMLoss
from torch import Tensor, nn

SMALLEST_LESION = 3.0
"""A lesion counts if its area exceeds 3 fine voxels."""


class SuperResolutionLoss(nn.Module):
    r"""Loss of a super-resolved map and its standard deviation.

    .. math:: L = \lambda_m \langle \log(\langle e^2 \rangle_m + \epsilon) \rangle + \langle |e| \rangle
              + \lambda_s (1 - \mathrm{SSIM})
              + \lambda_l \langle |\langle e \rangle_l| + \langle |e| \rangle_l \rangle
              + \lambda_d \langle |\langle e \rangle_d| + \langle |e| \rangle_d \rangle
              + \lambda_\sigma \langle \tfrac{5}{2} \log(1 + e^2 / 4 \sigma^2) + \log \sigma \rangle

    with e the error, :math:`\sigma` the standard deviation and :math:`\langle \cdot \rangle_m` the mean over one map.
    Up to sign and scale, the first term is the mean PSNR of the maps; it gives easy maps as much weight as hard ones.
    The fourth term covers the lesions l of the map: the error of the lesion's mean, which a reader measures, and the
    error of each voxel. The fifth term does the same for the decoys d, lesions that only the MRIs show. The last term
    is the negative log likelihood of a Student distribution with 4 degrees of freedom; its gradient does not reach the
    map.

    Args:
        quality: weight of the first term.
        similarity: weight of the SSIM term.
        lesions: weight of the fourth term.
        decoys: weight of the fifth term.
        uncertainty: weight of the last term.
    """

    def __init__(
        self,
        quality: float = 0.02,
        similarity: float = 0.1,
        lesions: float = 0.25,
        decoys: float = 0.6,
        uncertainty: float = 0.02,
    ) -> None:
        super().__init__()
        self.quality = quality
        self.similarity = similarity
        self.lesions = lesions
        self.decoys = decoys
        self.uncertainty = uncertainty
        self.ssim = SSIMLoss(spatial_dims=2, data_range=1.0)

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Compute the loss of one batch.

        Args:
            pred: (B, 2, X, Y): map and standard deviation.
            label: (B, 1 + 2 n, X, Y): the true map, then the share of each voxel that belongs to each of up to n
                lesions of the map and up to n decoys. Unused channels are 0.
        """
        image, sd = pred.split(1, 1)
        lesions, decoys = label[:, 1:].tensor_split(2, 1)
        label = label[:, :1]
        error = image - label
        quality = torch.log(error.square().flatten(1).mean(1) + 1e-6).mean()
        squared = error.detach().square() / sd.square()
        spread = (2.5 * torch.log1p(squared / 4) + sd.log()).mean()
        return (
            self.quality * quality
            + error.abs().mean()
            + self.similarity * self.ssim(image, label)
            + self.lesions * self._in_lesions(error, lesions)
            + self.decoys * self._in_lesions(error, decoys)
            + self.uncertainty * spread
        )

    @staticmethod
    def _in_lesions(error: Tensor, lesions: Tensor) -> Tensor:
        area = lesions.sum((2, 3))
        there = (area > SMALLEST_LESION).to(error)
        weights = lesions / area.clamp(min=SMALLEST_LESION)[..., None, None]
        found = (error * weights).sum((2, 3)).abs() + (error.abs() * weights).sum((2, 3))
        return (found * there).sum() / there.sum().clamp(min=1)
