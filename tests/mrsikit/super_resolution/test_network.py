import pytest
import torch

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.total_variation import total_variation
from mrsikit.super_resolution.blocks import collapse
from mrsikit.super_resolution.network import INTERPOLATED, NOISE, TV, Context, SuperResolution, network_input


def network(seed: int = 0) -> SuperResolution:
    """A small network that changes its input."""
    torch.manual_seed(seed)
    out = SuperResolution(widths=(4, 8, 8))
    torch.nn.init.normal_(out.tail.weight, std=0.05)
    torch.nn.init.normal_(out.context.up.weight, std=0.05)
    return out.eval()


def layered(coarse: torch.Tensor, factor: int, psf: str, noise: float | None) -> torch.Tensor:
    encoding = SpatialEncoding(psf, factor)
    start = encoding.interpolate(coarse[None])
    flair = torch.rand(start.shape, generator=torch.Generator().manual_seed(1))
    level = None if noise is None else torch.full_like(start, noise)
    return network_input(start, encoding, noise=level, mris={"flair": flair})


def coarse_map(rows: int = 12, columns: int = 15) -> torch.Tensor:
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(0))


def test_context_adds_nothing_at_first_and_then_what_is_seen_a_lesion_away() -> None:
    torch.manual_seed(0)
    context = Context(4, (6, 8))
    x = torch.randn(1, 4, 43, 50, generator=torch.Generator().manual_seed(1))
    assert torch.equal(context(x), x)
    torch.nn.init.normal_(context.up.weight)
    moved = x.clone()
    moved[..., 20, 12] += 100
    change = (context(moved) - context(x)).abs().sum(1)[0]
    assert change.shape == (43, 50)
    assert change[20, 24] > 1e-3


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_without_noise_what_was_measured_stays(factor: int, psf: str) -> None:
    encoding = SpatialEncoding(psf, factor)
    coarse = coarse_map()
    if psf == "kspace":  # what a real image can give: not the encode that has no counterpart
        coarse = encoding.A(encoding.interpolate(coarse))
    with torch.no_grad():
        fine = network()(layered(coarse, factor, psf, 0.0))[0, 0]
    assert (fine - encoding.interpolate(coarse)).abs().max() > 0.01
    torch.testing.assert_close(encoding.A(fine), coarse, atol=2e-5, rtol=0)


def test_the_more_noise_the_more_freedom() -> None:
    coarse = coarse_map()
    moved = []
    with torch.no_grad():
        for noise in (0.0, 0.01, 0.1, None):
            fine = network()(layered(coarse, 4, "block", noise))[0, 0]
            moved.append(float((SpatialEncoding("block", 4).A(fine) - coarse).abs().mean()))
    assert moved[0] < 1e-5 < moved[1] < min(moved[2:])


def test_noise_that_varies_frees_where_it_is() -> None:
    coarse = coarse_map(12, 12)
    x = layered(coarse, 4, "block", 0.0)
    x[0, NOISE, :24] = 0.2
    with torch.no_grad():
        moved = (SpatialEncoding("block", 4).A(network()(x)[0, 0]) - coarse).abs()
    assert moved[6:].max() < 2e-5
    assert moved[:6].mean() > 1e-3


@pytest.mark.parametrize("psf", ["block", "kspace", "hamming"])
def test_scripted_and_batched_alike(psf: str) -> None:
    x = torch.cat([layered(coarse_map(), 4, psf, 0.02), layered(coarse_map(), 4, psf, None)])
    eager = network()
    near, relative = (5e-5, 1e-4) if psf == "hamming" else (1e-5, 1e-5)  # the filter's inverse makes the map larger
    with torch.no_grad():
        both = eager(x)
        torch.testing.assert_close(torch.jit.script(eager)(x), both, atol=near, rtol=relative)
        torch.testing.assert_close(eager(x[1:]), both[1:], atol=near, rtol=relative)
    assert (both[:, 1] > 0).all()


def test_collapsed_network_is_the_same_function_with_a_third_of_the_parameters() -> None:
    trained = network()
    x = layered(coarse_map(), 4, "block", 0.02)
    collapsed = SuperResolution(widths=(4, 8, 8), collapsed=True)
    with torch.no_grad():
        expected = trained(x)
        collapse(trained)
        collapsed.load_state_dict(trained.state_dict())
        torch.testing.assert_close(collapsed.eval()(x), expected, atol=1e-5, rtol=1e-5)
    sizes = [sum(p.numel() for p in net.parameters()) for net in (collapsed, network())]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("psf", ["block", "kspace", "hamming"])
@pytest.mark.parametrize("factor", [2, 4])
def test_classes_that_explain_a_map_give_it_back_whatever_its_contrast(factor: int, psf: str) -> None:
    encoding = SpatialEncoding(psf, factor)
    generator = torch.Generator().manual_seed(0)
    classes = torch.softmax(8 * torch.rand(5, 48, 40, generator=generator), 0)
    # k-space has no encode beside the highest: what it cannot hold is no part of a real map
    for levels in ((1.0, 0.2, 0.5, 0.0, 0.8), (0.1, 0.9, 0.0, 0.4, 0.3)):
        truth = (torch.tensor(levels)[:, None, None] * classes).sum(0)
        start = encoding.interpolate(encoding.A(truth))
        found = start + network()._regression(start, classes, torch.zeros(48, 40), psf, factor)[0]
        before, after = ((image - truth).square().mean().sqrt() for image in (start, found))
        assert after < (0.2 if psf == "hamming" else 0.1) * before


def test_what_the_classes_do_not_explain_stays_as_interpolated() -> None:
    classes = torch.ones(3, 32, 32) / 3
    start = SpatialEncoding("block", 4).interpolate(coarse_map(8, 8))
    added = network()._regression(start, classes, torch.zeros(32, 32), "block", 4)[0]
    torch.testing.assert_close(added, torch.zeros(32, 32), atol=1e-5, rtol=0)


@pytest.mark.parametrize("psf", ["block", "kspace", "hamming"])
def test_a_lesion_that_no_class_has_is_what_stays_unexplained(psf: str) -> None:
    encoding = SpatialEncoding(psf, 4)
    classes = torch.zeros(2, 64, 64)
    classes[0, 8:30, 8:56], classes[1, 30:56, 8:56] = 1, 1
    plain = 0.5 * classes[0] + 1.0 * classes[1]
    lesion = torch.zeros(64, 64)
    lesion[36:48, 20:32] = 0.6
    for truth, least, most in ((plain, -0.05, 0.05), (plain + lesion, 0.3, 0.7)):
        start = encoding.interpolate(encoding.A(truth))
        unexplained = network()._regression(start, classes, torch.zeros(64, 64), psf, 4)[1]
        assert least < float(unexplained[40:44, 24:28].mean()) < most
        assert float(unexplained[12:26, 12:52].abs().mean()) < 0.03


def test_a_small_class_keeps_its_level() -> None:
    encoding = SpatialEncoding("block", 4)
    x, y = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    lesion = (torch.hypot(x - 30, y - 34) < 2).float()
    head = (torch.hypot(x - 32, y - 32) < 26).float() - lesion
    classes = torch.stack([1 - head - lesion, head, lesion])
    truth = head + 2 * lesion
    start = encoding.interpolate(encoding.A(truth))
    found = start + network()._regression(start, classes, torch.zeros(64, 64), "block", 4)[0]
    assert float(found[lesion > 0].mean()) == pytest.approx(2, rel=0.02)


def test_voxels_without_trust_do_not_say_what_a_class_holds() -> None:
    encoding = SpatialEncoding("block", 4)
    classes = torch.stack([torch.zeros(64, 64), torch.ones(64, 64)])
    classes[0, :, :30], classes[1, :, :30] = 1, 0
    truth = 0.3 * classes[0] + classes[1]
    coarse, noise = encoding.A(truth), torch.zeros(64, 64)
    coarse[2:6, 2:5], noise[8:24, 8:20] = 3.0, 0.2
    start = encoding.interpolate(coarse)
    net = network()
    trusting = net._regression(start, classes, torch.zeros(64, 64), "block", 4)[0]
    wary = net._regression(start, classes, noise, "block", 4)[0]
    edge = slice(28, 32)
    ideal = truth - encoding.interpolate(encoding.A(truth))
    errors = [(found - ideal)[:, edge].square().mean() for found in (trusting, wary)]
    assert errors[1] < 0.1 * errors[0]


@pytest.mark.parametrize("psf", ["block", "kspace", "hamming"])
def test_total_variation_comes_by_the_noise_and_can_be_taken_as_it_is(psf: str) -> None:
    coarse = coarse_map()
    exact, smooth = layered(coarse, 4, psf, None), layered(coarse, 4, psf, 0.1)
    start = exact[0, INTERPOLATED]
    sampled = SpatialEncoding("block" if psf == "block" else "kspace", 4)
    given, noise = sampled.A(start), 0.1 / (0.397 if psf == "hamming" else 1)
    for layers, strength in ((exact, 0.0), (smooth, 2 * noise)):
        expected = total_variation(given, sampled, strength=strength, iterations=50)
        torch.testing.assert_close(layers[0, TV], expected, atol=1e-4, rtol=1e-4)
    taking = network()
    torch.nn.init.zeros_(taking.tail.weight)
    with torch.no_grad():
        taking.tail.bias.copy_(torch.tensor([0.0, -3.0, -1.0, 0.0, 1.0]))
        torch.testing.assert_close(taking(exact)[0, 0], exact[0, TV], atol=1e-5, rtol=0)


def test_an_empty_map_has_a_finite_gradient() -> None:
    net = network()
    out = net(network_input(torch.zeros(1, 48, 48), SpatialEncoding("block", 4), noise=torch.full((1, 48, 48), 0.01)))
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_the_spread_knows_how_much_stays_unexplained() -> None:
    net = network()
    torch.nn.init.zeros_(net.tail.weight)
    with torch.no_grad():
        net.spread.weight[0, -2] = 1.0
        plain = layered(SpatialEncoding("block", 4).A(coarse_map(48, 60)), 4, "block", None)
        spreads = [float(net(x)[0, 1].mean()) for x in (plain, layered(coarse_map(), 4, "block", None))]
    assert spreads[1] > 1.3 * spreads[0]


def test_no_deviation_is_wider_than_a_map_of_any_values() -> None:
    net = network()
    torch.nn.init.constant_(net.tail.bias[1:2], 5.0)
    assert float(net(layered(coarse_map(), 4, "block", 0.1))[:, 1].max()) <= 0.302


def test_a_noise_that_is_not_known_is_not_read() -> None:
    x = layered(coarse_map(), 4, "block", None)
    loud = x.clone()
    loud[:, NOISE] = 0.2
    torch.testing.assert_close(network()(loud), network()(x))
