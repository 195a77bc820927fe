import math
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from torch import Tensor, nn

from mrsi_inpainting.network import Inpainter
from mrsi_inpainting.training import SaveCalibratedWeights, calibrate

from .conftest import decided_network


class Stated(nn.Module):
    """Gives its first channel, and 0.1 for its standard deviation until it is calibrated."""

    def __init__(self) -> None:
        super().__init__()
        self.log_sd_shift = nn.Buffer(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :1], torch.full_like(x[:, :1], 0.1) * self.log_sd_shift.exp(), torch.zeros_like(x)], 1)


def batches(spread: float, missing: int = 900) -> list[dict[str, Tensor]]:
    """Three maps whose errors in the missing voxels are normal, and huge elsewhere."""
    generator = torch.Generator().manual_seed(0)
    out = []
    for _ in range(3):
        label = torch.zeros(1, 4, 40, 40)
        label[:, 1].flatten()[:missing] = 1
        errors = spread * torch.randn(1, 1, 40, 40, generator=generator)
        image = torch.where(label[:, 1:2] > 0, errors, 100.0).expand(-1, 3, -1, -1)
        out.append({"image": image, "label": label})
    return out


@pytest.mark.parametrize("spread", [0.03, 0.1, 0.5])
def test_the_stated_deviation_becomes_that_of_the_errors(spread: float) -> None:
    part = Stated().train()
    part.log_sd_shift.fill_(1.0)  # of a calibration before
    factor = calibrate(part, batches(spread))  # type: ignore[arg-type]
    assert factor == pytest.approx(spread / 0.1, rel=0.05)
    assert float(part.log_sd_shift) == pytest.approx(math.log(factor), rel=1e-5)
    assert not part.training


def test_a_larger_share_asks_for_a_wider_deviation() -> None:
    """98 % of normal errors lie within 2.326 deviations, 90 % within 1.645."""
    factors = [calibrate(Stated(), batches(0.1), coverage) for coverage in (0.9, 0.98)]  # type: ignore[arg-type]
    assert factors[1] / factors[0] == pytest.approx(2.326 / 1.645, rel=0.06)


def test_maps_with_few_missing_voxels_say_nothing() -> None:
    part = Stated()
    assert calibrate(part, batches(0.5, missing=19)) == 1.0  # type: ignore[arg-type]
    assert part.log_sd_shift == 0
    assert calibrate(part, batches(0.5, missing=20)) > 2  # type: ignore[arg-type]


def finish(path: Path, network: Inpainter, part: str) -> dict[str, Tensor]:
    """What the file holds after a training of one part has ended."""
    trainer = Engine(lambda *_: None)
    SaveCalibratedWeights(path=str(path), network=network, part=part, batches=None).attach(trainer)
    trainer.run([0], max_epochs=1)
    return torch.load(path, weights_only=True)


def test_the_part_that_was_not_trained_stays_as_the_file_has_it(tmp_path: Path) -> None:
    first, second = decided_network(), decided_network()
    with torch.no_grad():
        for weights in second.parameters():
            weights.add_(1)
    path = tmp_path / "folder" / "model.pt"
    begun = finish(path, first, "planar")  # there is no file yet: both parts are written
    for name, value in first.state_dict().items():
        assert torch.equal(begun[name], value)
    both = finish(path, second, "volumetric")
    for name in first.state_dict():
        expected = (second if name.startswith("volumetric.") else first).state_dict()[name]
        assert torch.equal(both[name], expected), name


def test_the_trained_part_is_calibrated_before_it_is_written(tmp_path: Path) -> None:
    network = nn.Module()
    network.planar, network.volumetric = Stated(), Stated()
    handler = SaveCalibratedWeights(
        path=str(tmp_path / "model.pt"), network=network, part="planar", batches=batches(0.3)
    )
    handler(Engine(lambda *_: None))
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert float(saved["planar.log_sd_shift"]) == pytest.approx(math.log(3), abs=0.05)
    assert float(saved["volumetric.log_sd_shift"]) == 0
