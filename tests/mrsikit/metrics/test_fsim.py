"""FSIM against the values of the piq package."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mrsikit.metrics.fsim import fsim, phase_congruency

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "metric_references" / "metric_references.npz"


def squares(rows: int = 60, columns: int = 71) -> torch.Tensor:
    image = torch.zeros(1, 1, rows, columns)
    image[..., 15:40, 20:50] = 1
    image[..., 25:30, 30:40] = 0.3
    return image


@pytest.mark.skipif(not DATA.exists(), reason="needs the reference values")
def test_equals_the_piq_package() -> None:
    found = np.load(DATA)
    pred, truth = (torch.from_numpy(found[name])[:, None] for name in ("distorted", "reference"))
    np.testing.assert_allclose(fsim(pred, truth), found["fsim_piq_0_8_0"], atol=1e-5)


def test_neither_unit_nor_batch_matters() -> None:
    truth = squares()
    pred = truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    one = fsim(pred, truth)
    assert 0.3 < float(one) < 0.95
    torch.testing.assert_close(fsim(40 * pred, 40 * truth), one, atol=1e-5, rtol=0)
    both = fsim(torch.cat([pred, 3 * truth]), torch.cat([truth, 3 * truth]))
    torch.testing.assert_close(both, torch.tensor([float(one), 1.0]))


def test_large_images_are_averaged_down_first() -> None:
    large = squares(260, 260).repeat_interleave(2, 2).repeat_interleave(2, 3)
    worse = large.clone()
    worse[..., ::2, :] += 0.2
    worse[..., 1::2, :] -= 0.2
    assert fsim(worse.clamp(0, 1), large) > 0.8


def test_an_empty_truth_has_no_score() -> None:
    assert fsim(squares(), torch.zeros(1, 1, 60, 71)).isnan().all()
    flat = torch.ones(1, 1, 60, 71)
    assert fsim(flat, flat).isnan().all()
    lost = squares()
    lost[..., 30, 30] = float("nan")
    assert fsim(torch.cat([lost, squares()]), torch.cat([squares(), squares()])).isnan().tolist() == [True, False]


def test_phase_is_congruent_at_edges() -> None:
    found = phase_congruency(squares()[:, 0] * 255)[0]
    assert found[15, 20:50].min() > 2 * found.median()
    assert float(found.max()) <= 1
