"""LPIPS against the values of the lpips package, where its weights are."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mrsikit.metrics.perceptual import LPIPS

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
WEIGHTS = (
    DATA / "lpips_alexnet" / "alexnet_features_torchvision_format.pth",
    DATA / "lpips_alexnet" / "lpips_alex_linear_heads_v0.1.pth",
)


@pytest.mark.skipif(not WEIGHTS[0].exists(), reason="needs AlexNet's weights")
def test_equals_the_lpips_package():
    found = np.load(DATA / "metric_references" / "metric_references.npz")
    pred, truth = (torch.from_numpy(found[name])[:, None] for name in ("distorted", "reference"))
    with torch.no_grad():
        values = LPIPS(*WEIGHTS)(pred, truth)
    np.testing.assert_allclose(values, found["lpips_alex_v0_1"], atol=1e-3)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="alexnet"):
        LPIPS(tmp_path / "alexnet.pth", tmp_path / "heads.pth")
