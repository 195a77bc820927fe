import pytest
import torch

from mrsi_super_resolution.reference_unet import PlainUNet
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.network import SuperResolution, network_input


def test_plain_unet_takes_the_same_input_and_any_size() -> None:
    encoding = SpatialEncoding("block", 4)
    net = PlainUNet(features=(4, 4, 8, 8, 8, 4))
    start = encoding.interpolate(torch.rand(1, 12, 15, generator=torch.Generator().manual_seed(0)))
    assert net(network_input(start, encoding, noise=torch.full_like(start, 0.1))).shape == (1, 2, 48, 60)
    sizes = [sum(p.numel() for p in other.parameters()) for other in (PlainUNet(), SuperResolution())]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_plain_unets_deviation_is_bounded_as_ours() -> None:
    encoding = SpatialEncoding("block", 4)
    net = PlainUNet(features=(4, 4, 8, 8, 8, 4))
    net.log_sd_shift.fill_(9)
    start = encoding.interpolate(torch.rand(1, 12, 15, generator=torch.Generator().manual_seed(0)))
    assert float(net(network_input(start, encoding))[:, 1].max()) <= 0.302
