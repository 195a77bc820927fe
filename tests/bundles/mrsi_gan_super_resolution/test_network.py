import pytest
import torch
from monai.bundle import ConfigParser

from mrsi_gan_super_resolution.network import SuperResolution
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.network import network_input

from .conftest import BUNDLE, SHIPPED


@pytest.fixture(scope="module")
def network() -> SuperResolution:
    """As the config makes it, with the shipped weights."""
    parser = ConfigParser()
    parser.read_config(BUNDLE / "configs" / "inference.json")
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(SHIPPED, map_location="cpu", weights_only=True))
    return network.eval()


def test_the_config_names_this_network(network: SuperResolution) -> None:
    assert type(network) is SuperResolution


@pytest.mark.parametrize("factor", [2, 4])
def test_shipped_weights_keep_the_measured_part_of_k_space_without_noise(network: SuperResolution, factor: int) -> None:
    encoding = SpatialEncoding("kspace", factor)
    coarse = torch.rand(1, 20, 24, generator=torch.Generator().manual_seed(0))
    start = encoding.interpolate(coarse)
    with torch.no_grad():
        fine, sd = network(network_input(start, encoding, noise=torch.zeros_like(start)))[0]
    measured = encoding.A(start[0])  # without the encode that has no counterpart
    torch.testing.assert_close(encoding.A(fine), measured, atol=1e-4, rtol=0)
    assert (fine - start[0]).abs().max() > 0.01
    assert sd.min() > 0
    assert sd.max() < 0.302  # that of values from 0 to the maximum
