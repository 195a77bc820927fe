import math

import pytest
import torch

from mrsikit.metrics.lesion_fidelity import lesion_bias, lesion_change, lesion_leak


def test_bias_is_the_share_of_the_contrast_lost_or_added() -> None:
    lesion = torch.zeros(3, 8, 8)
    lesion[:, 2:5, 3:6] = 1
    background = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    contrast = 2.0 * lesion
    truth = background + contrast
    kept = torch.tensor([1.0, 0.7, 1.2])[:, None, None]
    bias = lesion_bias(background + kept * contrast, truth, lesion, contrast)
    torch.testing.assert_close(bias, torch.tensor([0.0, -0.3, 0.2]))
    dark = lesion_bias(background - kept * 0.5 * lesion, background - 0.5 * lesion, lesion, -0.5 * lesion)
    torch.testing.assert_close(dark, torch.tensor([0.0, -0.3, 0.2]))
    assert math.isnan(float(lesion_bias(truth, truth, 0 * lesion, contrast)[0]))


def test_leak_is_of_the_mean_and_change_of_each_voxel() -> None:
    lesion = torch.zeros(8, 8)
    lesion[2:6, 2:6] = 1
    change = torch.zeros(8, 8)
    change[2:6, 2:4], change[2:6, 4:6] = 0.1, -0.1
    plain = torch.ones(8, 8)
    assert float(lesion_change(plain + change, plain, lesion, 2.0)) == pytest.approx(0.05)
    assert float(lesion_leak(plain + change, plain, lesion, 2.0)) == pytest.approx(0, abs=1e-7)
    assert float(lesion_leak(plain - 0.3 * lesion, plain, lesion, -2.0)) == pytest.approx(0.15)
