import math

import pytest
import torch

from mrsi_super_resolution.reference_hfab import LogCoshLoss


def test_log_cosh_is_that_and_does_not_overflow() -> None:
    error = torch.tensor([0.0, 0.3, -2.0, 5.0]).reshape(1, 1, 2, 2)
    expected = torch.log(torch.cosh(error.double())).mean()
    assert float(LogCoshLoss()(error, torch.zeros_like(error))) == pytest.approx(float(expected), abs=1e-6)
    huge = LogCoshLoss()(torch.full((1, 1, 2, 2), 1e4), torch.zeros(1, 1, 2, 2))
    assert float(huge) == pytest.approx(1e4 - math.log(2))
