"""Smooth fields evaluated at points."""

import numpy as np
import torch

from mrsikit.phantoms.fields import FIELD_OF_VIEW_MM, SmoothField, sample_trilinear


def points(number: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(((rng.random((number, 3)) - 0.5) * FIELD_OF_VIEW_MM).astype(np.float32))


def test_a_linear_volume_is_interpolated_exactly_at_millimetres():
    size = (8, 10, 12)
    spacing = torch.tensor([extent / n for extent, n in zip((160, 200, 240), size, strict=True)])
    cells = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in size), indexing="ij"), -1)
    millimetres = (cells - (torch.tensor(size) - 1) / 2) * spacing
    volume = (millimetres @ torch.tensor([1.0, -2.0, 0.5]))[None]
    where = torch.tensor([[0.0, 0, 0], [31, -57, 80], [-60, 70, -99]])
    values = sample_trilinear(volume, where, (160.0, 200.0, 240.0))
    torch.testing.assert_close(values[0], where @ torch.tensor([1.0, -2.0, 0.5]), atol=1e-3, rtol=0)


def test_a_field_is_made_of_its_generator_alone():
    where = points(50)
    one, again, other = (SmoothField(np.random.default_rng(seed), 2, 20.0)(where) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)


def test_a_field_has_zero_mean_unit_variance_and_its_correlation_length():
    field = SmoothField(np.random.default_rng(4), 1, 20.0)
    where = points(20_000) * 0.8
    here = field(where)[0]
    assert abs(float(here.mean())) < 0.2
    assert 0.7 < float(here.std()) < 1.1
    near, far = (float(torch.corrcoef(torch.stack([here, field(where + shift)[0]]))[0, 1]) for shift in (2.0, 40.0))
    assert near > 0.9
    assert abs(far) < 0.2
