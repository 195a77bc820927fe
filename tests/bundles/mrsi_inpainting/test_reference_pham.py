import pytest
import torch

from mrsi_inpainting.reference_pham import PhamLoss, PhamUNet


@pytest.mark.parametrize("dims", [2, 3])
def test_paper_unet_has_the_papers_size_and_range(dims: int) -> None:
    network = PhamUNet(spatial_dims=dims).eval()
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    assert parameters == pytest.approx({2: 7.8, 3: 22.6}[dims], rel=0.05)
    with torch.no_grad():
        out = network(torch.rand(1, 1, *(16,) * dims, generator=torch.Generator().manual_seed(0)))
    assert out.shape == (1, 1, *(16,) * dims)
    assert ((out > 0) & (out < 1)).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_paper_loss_is_half_mse_half_one_minus_ssim(dims: int) -> None:
    clean = torch.rand(2, 1, *(16,) * dims, generator=torch.Generator().manual_seed(0))
    label = torch.cat([clean, torch.zeros_like(clean)], 1)
    loss = PhamLoss(spatial_dims=dims)
    assert float(loss(clean, label)) == pytest.approx(0, abs=1e-4)
    shifted = clean + 0.2
    only_mse = PhamLoss(spatial_dims=dims, alpha=1.0)(shifted, label)
    only_ssim = PhamLoss(spatial_dims=dims, alpha=0.0)(shifted, label)
    assert float(only_mse) == pytest.approx(0.04, rel=1e-3)
    assert float(loss(shifted, label)) == pytest.approx(float(only_mse + only_ssim) / 2, rel=1e-4)
