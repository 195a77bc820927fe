import pytest
import torch

from mrsi_gan_super_resolution.reference_li import Discriminator, Generator, LiSuperResolution
from mrsikit.physics.spatial_encoding import SpatialEncoding, cubic
from mrsikit.super_resolution.network import network_input


def changed(network: Generator) -> Generator:
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    return network.eval()


@pytest.mark.parametrize("two_inputs", [False, True])
def test_generator_adds_nothing_at_first_and_takes_any_size(two_inputs: bool) -> None:
    x = torch.rand(2, 1 + two_inputs, 46, 37, generator=torch.Generator().manual_seed(0))
    network = Generator(two_inputs=two_inputs)
    torch.testing.assert_close(network(x), x[:, :1])
    assert changed(network)(x).shape == (2, 1, 46, 37)
    assert (network(x) - x[:, :1]).abs().max() > 0


def test_generator_sees_its_mri() -> None:
    torch.manual_seed(0)
    network = changed(Generator(two_inputs=True))
    x = torch.rand(1, 2, 32, 32, generator=torch.Generator().manual_seed(1))
    other = torch.cat([x[:, :1], 1 - x[:, 1:]], 1)
    assert (network(x) - network(other)).abs().max() > 1e-4


def test_generator_has_no_pooling_and_parametric_rectifiers_alone() -> None:
    parts = {type(part).__name__ for part in Generator().modules()}
    assert parts & {"PReLU", "Conv2d", "ConvTranspose2d"} == {"PReLU", "Conv2d", "ConvTranspose2d"}
    assert not {name for name in parts if "Pool" in name or "Norm" in name or name == "ReLU"}


def test_discriminator_is_eight_convolutions_and_two_dense_layers() -> None:
    network = Discriminator(levels=(4, 4, 8, 8, 8, 8, 16, 16)).eval()
    assert network(torch.zeros(3, 1, 96, 96)).shape == (3, 1)
    parts = [type(part).__name__ for part in Discriminator().modules()]
    assert (parts.count("Conv2d"), parts.count("Linear")) == (8, 2)
    widths = [part.out_channels for part in Discriminator().modules() if isinstance(part, torch.nn.Conv2d)]
    assert widths == [64, 64, 128, 128, 256, 256, 512, 512]


def test_a_published_network_is_applied_to_the_cubic_interpolation() -> None:
    encoding = SpatialEncoding("kspace", 4)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    coarse = encoding.A(torch.rand(1, 48, 48, generator=generator))
    flair = torch.rand(1, 48, 48, generator=generator)
    level = torch.full_like(flair, 0.01)
    x = network_input(encoding.interpolate(coarse), encoding, noise=level, mris={"t1": flair})
    network = LiSuperResolution(two_inputs=True)
    changed(network).error.fill_(0.07)
    fine, sd = network(x)[0]
    bare = changed(Generator(two_inputs=True))
    bare.load_state_dict(network.state_dict())
    again = encoding.A(encoding.interpolate(coarse))  # without the encode that has no counterpart
    torch.testing.assert_close(fine, bare(torch.stack([cubic(again, 4), flair], 1))[0, 0], atol=1e-5, rtol=0)
    assert sd.isnan().all()
