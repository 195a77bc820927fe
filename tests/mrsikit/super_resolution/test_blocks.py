import torch

from mrsikit.super_resolution.blocks import InstanceNorm, RepeatedConvolution


def test_the_merged_convolution_is_the_three_it_stands_for() -> None:
    torch.manual_seed(0)
    part = RepeatedConvolution(6)
    x = torch.randn(2, 6, 9, 7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(part(x), part.expanded(x), atol=1e-5, rtol=1e-5)
    part(x).square().sum().backward()
    merged = part.look.weight.grad.clone()
    part.zero_grad()
    part.expanded(x).square().sum().backward()
    torch.testing.assert_close(merged, part.look.weight.grad, atol=1e-3, rtol=1e-3)


def test_normalisation_is_pytorchs_whatever_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 1000 + torch.randn(2, 6, 31, 17, generator=generator).contiguous(memory_format=torch.channels_last)
    ours, theirs = InstanceNorm(6), torch.nn.InstanceNorm2d(6, affine=True)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs.double()(x.double()).float(), atol=1e-3, rtol=1e-3)


def test_a_part_collapsed_is_the_same_function() -> None:
    part = RepeatedConvolution(6)
    x = torch.rand(1, 6, 9, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(part.collapsed()(x), part(x), atol=1e-6, rtol=0)
