from dataclasses import replace

import pytest
import torch

from mrsikit.fitting.fourier_integration import fourier_integration

from .conftest import MODEL, TRUTH


def test_integration_is_unbiased_on_separate_lines() -> None:
    prompt = replace(MODEL, delay=0.0)
    fids = prompt.simulate(TRUTH.expand(2, -1), phase=torch.tensor([0.0, 1.3]))
    found = fourier_integration(fids, prompt, phase=torch.tensor([0.0, 1.3]))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], TRUTH, atol=0.4, rtol=0.0)  # tails of the others reach in
    alone = MODEL.simulate(torch.tensor([[0.0, 0.0, 0.0, 5.0]]))
    assert fourier_integration(alone, MODEL)[0, 3] == pytest.approx(5.0, rel=1e-4)
