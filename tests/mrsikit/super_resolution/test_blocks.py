import math

import torch
from torch import nn

from mrsikit.super_resolution.blocks import (
    EnhancedResidualBlock,
    GatedFeedForward,
    HighFrequencyAttention,
    InstanceNorm,
    RepeatedConvolution,
    collapse,
)


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


def test_collapse_reaches_every_part_and_changes_nothing_else() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(EnhancedResidualBlock(4, normalised=True), nn.Sequential(nn.Conv2d(4, 4, 1)))
    x = torch.rand(1, 4, 9, 8, generator=torch.Generator().manual_seed(1))
    before = network(x)
    collapse(network)
    assert not any(isinstance(part, RepeatedConvolution) for part in network.modules())
    assert sum(isinstance(part, nn.Conv2d) for part in network.modules()) == 3
    torch.testing.assert_close(network(x), before, atol=1e-5, rtol=1e-5)


def test_attention_weighs_between_0_and_1_as_published_and_begins_with_1_without_normalisation() -> None:
    torch.manual_seed(0)
    x = 1 + torch.rand(2, 6, 12, 12, generator=torch.Generator().manual_seed(1))
    published = HighFrequencyAttention(6, 4).eval()(x) / x
    assert published.min() > 0
    assert published.max() < 1
    ours = HighFrequencyAttention(6, 4, normalised=False)
    torch.testing.assert_close(ours(x), x)
    nn.init.normal_(ours.branch[-3].weight, std=10.0)
    weights = ours(x) / x
    assert weights.min() > 0.5 - 1e-6
    assert weights.max() < 1.5 + 1e-6
    assert weights.std() > 0.1


def test_one_half_gates_the_other() -> None:
    """Two channels by hand: each half is one channel of the normalised input, seen through the middle of its kernel."""
    block = GatedFeedForward(2, expansion=0.5)
    with torch.no_grad():
        for part in (block.widen, block.look, block.narrow):
            part.weight.zero_()
        block.widen.weight[0, 0] = block.widen.weight[1, 1] = 1
        block.look.weight[:, :, 1, 1] = 1
        block.narrow.weight[1] = 3
    x = torch.tensor([8.0, 4.0]).reshape(1, 2, 1, 1).expand(1, 2, 5, 5)
    gelu = 4 * 0.5 * (1 + math.erf(4 / math.sqrt(2)))  # of the gate: 8 and 4 over their spread, 2
    added = block(x) - x
    torch.testing.assert_close(added[:, 0], torch.zeros(1, 5, 5))
    torch.testing.assert_close(added[:, 1], torch.full((1, 5, 5), 3 * gelu * 2), atol=1e-4, rtol=0)


def test_what_a_gate_adds_does_not_depend_on_the_unit_of_its_input() -> None:
    torch.manual_seed(0)
    block = GatedFeedForward(6)
    x = torch.randn(1, 6, 9, 9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(block(7 * x) - 7 * x, block(x) - x, atol=1e-4, rtol=1e-3)
