import math

import pytest
import torch

from mrsi_super_resolution.reference_hfab import HfabNetwork, LogCoshLoss


def test_the_papers_network_has_the_size_it_states() -> None:
    paper = HfabNetwork()
    assert sum(p.numel() for p in paper.parameters()) == pytest.approx(650_000, rel=0.01)
    assert paper(torch.zeros(2, 2, 128, 128)).shape == (2, 1, 128, 128)


def test_log_cosh_is_that_and_does_not_overflow() -> None:
    error = torch.tensor([0.0, 0.3, -2.0, 5.0]).reshape(1, 1, 2, 2)
    expected = torch.log(torch.cosh(error.double())).mean()
    assert float(LogCoshLoss()(error, torch.zeros_like(error))) == pytest.approx(float(expected), abs=1e-6)
    huge = LogCoshLoss()(torch.full((1, 1, 2, 2), 1e4), torch.zeros(1, 1, 2, 2))
    assert float(huge) == pytest.approx(1e4 - math.log(2))
