import pytest
import torch
from torch import nn

from mrsikit.super_resolution.network import CHANNELS, HAS_FLAIR, HAS_T1, INTERPOLATED, MRI_SETS, mri_set
from mrsikit.super_resolution.sd_calibration import calibrate


class Stated(nn.Module):
    """Gives the interpolated map, and 0.1 for its standard deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.log_sd_shift = nn.Buffer(torch.zeros(MRI_SETS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        factor = self.log_sd_shift[mri_set(x)].exp()[:, None, None]
        return torch.stack([x[:, INTERPOLATED], torch.full_like(x[:, 0], 0.1) * factor], 1)


def test_calibrated_intervals_hold_their_share_for_every_set_of_mris() -> None:
    """Errors three times the stated deviation without an MRI, half of it with FLAIR, a tenth with T1."""
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(3):
        label = torch.rand(3, 1, 40, 40, generator=generator)
        label[:, :, :10] = 0
        image = torch.zeros(3, CHANNELS, 40, 40)
        image[1, HAS_FLAIR], image[2, HAS_T1] = 1, 1
        spread = 0.1 * torch.tensor([3.0, 0.5, 0.1])[:, None, None]
        image[:, INTERPOLATED] = label[:, 0] + spread * torch.randn(3, 40, 40, generator=generator) * (label[:, 0] > 0)
        batches.append({"image": image, "label": label})
    network = Stated()
    found = calibrate(network, batches)
    assert found[:3] == pytest.approx([3, 0.5, 0.1], rel=0.06)
    assert found[3] == 1
    assert network.log_sd_shift.exp().tolist() == pytest.approx(found)


def test_without_tissue_nothing_is_calibrated() -> None:
    batch = {"image": torch.zeros(1, CHANNELS, 20, 20), "label": torch.zeros(1, 1, 20, 20)}
    assert calibrate(Stated(), [batch]) == [1, 1, 1, 1]
