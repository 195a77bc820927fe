import numpy as np
import pytest
import torch
from monai.metrics import SSIMMetric
from skimage.metrics import structural_similarity

from mrsikit.metrics.image_quality import mse, psnr, ssim, ssim_window


def images(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 1, *shape, generator=generator)
    return truth + 0.1 * torch.randn(truth.shape, generator=generator), truth


def test_mse_and_psnr_of_a_known_error():
    truth = torch.rand(2, 1, 16, 16)
    mask = torch.zeros_like(truth)
    mask[..., :8] = 1
    pred = truth + 0.1
    pred[..., 8:] += 0.2
    torch.testing.assert_close(mse(pred, truth), torch.full((2,), 0.05))
    torch.testing.assert_close(mse(pred, truth, mask), torch.full((2,), 0.01))
    torch.testing.assert_close(psnr(pred, truth, mask, data_range=1.0), torch.full((2,), 20.0))
    torch.testing.assert_close(psnr(pred * 7, truth * 7, mask, data_range=7.0), torch.full((2,), 20.0))
    torch.testing.assert_close(psnr(pred, truth, data_range=1.0), torch.full((2,), -10 * np.log10(0.05)).float())
    assert psnr(truth, truth, data_range=1.0).isinf().all()


def test_ssim_is_monai_s_with_the_stated_window():
    pred, truth = images(32, 32)
    expected = SSIMMetric(2, data_range=2.0, win_size=11, kernel_sigma=1.5)(pred, truth)[:, 0]
    torch.testing.assert_close(ssim(pred, truth, data_range=2.0), expected)
    pred, truth = images(12, 12, 12)
    expected = SSIMMetric(3, win_size=7, kernel_sigma=1.5)(pred, truth)[:, 0]
    torch.testing.assert_close(ssim(pred, truth, data_range=1.0), expected)


def test_masked_ssim_agrees_with_scikit_image_away_from_the_border():
    pred, truth = images(48, 48)
    _, local = structural_similarity(
        pred[0, 0].numpy(),
        truth[0, 0].numpy(),
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    mask = torch.zeros_like(truth)
    mask[..., 10:30, 12:20] = 1
    expected = local[10:30, 12:20].mean()
    assert ssim(pred, truth, mask, data_range=1.0)[0].item() == pytest.approx(expected, abs=1e-4)


def test_masked_ssim_sees_only_the_mask():
    _, truth = images(64, 64)
    pred = truth.clone()
    pred[..., 40:] = 0
    mask = torch.zeros_like(truth)
    mask[..., :30] = 1
    torch.testing.assert_close(ssim(pred, truth, mask, data_range=1.0), torch.ones(2))
    assert (ssim(pred, truth, 1 - mask, data_range=1.0) < 0.7).all()
    assert ssim(pred, truth, mask * 0, data_range=1.0).isnan().all()


@pytest.mark.parametrize(
    ("shape", "window"),
    [((64, 64), (11, 11)), ((16, 16), (11, 11)), ((15, 64), (7, 7)), ((8, 8, 8), (7, 7, 7)), ((32, 32, 4), (7, 7, 3))],
)
def test_window(shape, window):
    assert ssim_window(shape) == window
    image = torch.rand(1, 1, *shape)
    for mask in (None, torch.ones_like(image)):
        torch.testing.assert_close(ssim(image, image, mask, data_range=1.0), torch.ones(1))
