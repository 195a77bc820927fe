from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.network import (
    CHANNELS,
    HAS_FLAIR,
    HAS_T1,
    INTERPOLATED,
    MRI_SETS,
    SuperResolution,
    mri_set,
    network_input,
)
from mrsikit.super_resolution.sd_calibration import SaveCalibratedWeights, calibrate


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


def test_the_finished_training_writes_calibrated_collapsed_weights(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(1, 32, 32, generator=generator) + 0.5
    image = network_input(start, SpatialEncoding("block", 4))
    torch.manual_seed(0)
    network = SuperResolution(widths=(4, 8))
    with torch.no_grad():
        pred = network.eval()(image)
    label = pred[:, :1] + 2 * pred[:, 1:] * torch.randn(1, 1, 32, 32, generator=generator)
    handler = SaveCalibratedWeights(
        path=str(tmp_path / "model.pt"), network=network, batches=[{"image": image, "label": label}]
    )
    trainer = Engine(lambda *_: None)
    handler.attach(trainer)
    trainer.run([0], max_epochs=1)
    saved = SuperResolution(widths=(4, 8), collapsed=True)
    saved.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    with torch.no_grad():
        found = saved.eval()(image)
    torch.testing.assert_close(found[:, 0], pred[:, 0], atol=5e-3, rtol=0)  # in half precision
    assert float((found[:, 1] / pred[:, 1]).median()) == pytest.approx(2, rel=0.1)  # errors twice as large as stated
