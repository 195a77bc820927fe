from functools import partial

import pytest
import torch

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution import inferer
from mrsikit.super_resolution.inferer import SLICES, SliceStackInferer, parts, super_resolved
from mrsikit.super_resolution.network import CHANNELS, FACTOR, FLAIR, INTERPOLATED, NOISE, NOISE_KNOWN, PSF_CHANNEL
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd
from mrsikit.super_resolution.scale_check import NOT_ASKED, Coarse

from .conftest import flair, volume


def test_without_the_mris_none_of_them_is_seen() -> None:
    item = PreprocessCoarseMapd()({"image": volume(), "flair": flair(), "t1": flair()})

    def mris(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 1:5].abs().sum(1)] * 2, 1)

    found = SliceStackInferer()(item["image"].as_tensor()[None], mris)["maps"][0]
    assert found[0].max() > 0
    assert (found[2] == 0).all()


def test_what_an_item_holds_by_name() -> None:
    """Two maps, their noise, no FLAIR and a T1."""
    item = torch.arange(6.0)[:, None, None, None].expand(6, 4, 5, 2).clone()
    item[4] = 0
    starts, noises, mris = parts(item)
    assert torch.equal(starts, item[:2])
    assert torch.equal(noises, item[2:4])
    assert list(mris) == ["t1"]
    assert torch.equal(mris["t1"], item[5])


def test_slices_and_maps_come_back_in_their_order() -> None:
    """More slices than are computed at a time; a network that gives back its input, and its noise as deviation."""
    starts = torch.rand(2, 2, 8, 12, SLICES + 3, generator=torch.Generator().manual_seed(0)) + 1
    noises = torch.full_like(starts, 0.25)
    item = torch.cat([starts, noises, torch.zeros(2, 2, *starts.shape[2:])], 1)
    found = SliceStackInferer(factor=2)(item, lambda x: x[:, [INTERPOLATED, NOISE]])["maps"]
    assert found.shape == (2, 6, *starts.shape[2:])
    for m in range(2):
        torch.testing.assert_close(found[:, 3 * m], starts[:, m])
        torch.testing.assert_close(found[:, 3 * m + 1], noises[:, m])
        torch.testing.assert_close(found[:, 3 * m + 2], starts[:, m])  # without an MRI the same


def test_a_network_is_told_factor_spread_and_whether_the_noise_is_known() -> None:
    seen = []

    def network(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x[:, :2]

    start = torch.ones(8, 12, 2)
    known, unknown = torch.full_like(start, 0.1), torch.full_like(start, torch.nan)
    for noise, is_known, count in ((known, 1, 4), (unknown, 0, 2), (torch.zeros_like(start), 1, 2)):
        super_resolved(network, Coarse(start, noise, {}, SpatialEncoding("kspace", 4)))
        for x in seen:
            assert x.shape == (count, CHANNELS, 8, 12)  # twice as many show how the result follows the noise
            assert torch.isfinite(x).all()
            assert (x[:, NOISE_KNOWN] == is_known).all()
            assert (x[:, FACTOR] == 4).all()
            assert (x[:, PSF_CHANNEL] == SpatialEncoding("kspace", 4).code).all()
        seen.clear()


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_a_network_that_errs_more_than_it_thinks_is_corrected_and_one_that_does_not_is_left(psf: str) -> None:
    encoding = SpatialEncoding(psf, 4)
    generator, sigma = torch.Generator().manual_seed(0), 0.02
    truth = 0.5 + 0.3 * torch.rand(1, 32, 32, generator=generator)
    truth = encoding.interpolate(encoding.A(truth))
    clean = encoding.A(truth)
    coarse = clean + sigma * torch.randn(clean.shape, generator=generator)
    start = encoding.interpolate(coarse)[0, ..., None]
    wrong = encoding.interpolate(0.1 * torch.randn(clean.shape, generator=generator))

    def error(fine: torch.Tensor) -> float:
        return float((encoding.A(fine[None, ..., 0]) - clean).square().mean().sqrt())

    for made, expected in ((truth, 0.35 * sigma), (truth + wrong, 1.3 * sigma)):
        found = super_resolved(
            partial(_gives, made),
            Coarse(start, torch.full_like(start, sigma), {}, encoding),
            check=False,
        )[0]
        assert error(found[0]) < expected


def test_a_slice_alone_is_as_in_its_stack() -> None:
    encoding = SpatialEncoding("kspace", 2)
    start = torch.rand(16, 16, SLICES + 2, generator=torch.Generator().manual_seed(0))
    noise = torch.full_like(start, 0.05)

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([0.8 * x[:, INTERPOLATED], x[:, NOISE]], 1)

    whole = super_resolved(network, Coarse(start, noise, {}, encoding))[0]
    for k in (0, SLICES + 1):
        one = super_resolved(network, Coarse(start[..., k : k + 1], noise[..., k : k + 1], {}, encoding))[0]
        torch.testing.assert_close(one, whole[..., k : k + 1])


def test_a_network_that_takes_few_slices_at_a_time_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    encoding = SpatialEncoding("kspace", 2)
    start, mri = (torch.rand(48, 48, 3, generator=torch.Generator().manual_seed(k)) for k in range(2))
    given = Coarse(start, torch.full_like(start, 0.05), {"flair": mri}, encoding)

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, INTERPOLATED] + 0.1 * x[:, FLAIR], x[:, NOISE]], 1)

    whole = super_resolved(network, given)
    monkeypatch.setattr(inferer, "PIXELS", 1)
    for one, other in zip(super_resolved(network, given), whole, strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)
    assert not torch.allclose(whole[0][0, ..., 0], whole[0][0, ..., 1], atol=0.1)


def test_without_consistency_the_network_alone_decides() -> None:
    encoding = SpatialEncoding("kspace", 2)
    start = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(0))
    noise = torch.full_like(start, 0.02)

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([0.8 * x[:, INTERPOLATED], x[:, NOISE]], 1)

    found = super_resolved(network, Coarse(start, noise, {}, encoding), consistency=False)[0]
    torch.testing.assert_close(found[0], 0.8 * start)
    assert not torch.allclose(super_resolved(network, Coarse(start, noise, {}, encoding))[0][0], 0.8 * start, atol=0.01)
    noise[..., 1] = 0  # a slice without noise keeps the measurement
    found = super_resolved(network, Coarse(start, noise, {}, encoding))[0][0]
    kept, given = (encoding.A(image[None, ..., 1]) for image in (found, start))
    torch.testing.assert_close(kept, given, atol=1e-5, rtol=0)


@pytest.mark.parametrize("psf", ["block", "kspace", "hamming"])
def test_a_result_far_below_zero_is_lifted_and_what_was_measured_stays(psf: str) -> None:
    encoding, sigma = SpatialEncoding(psf, 2), 0.01
    x, y = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    truth = (torch.hypot(x - 24, y - 24) < 14).float()[None]
    coarse = encoding.A(truth)
    start = encoding.interpolate(coarse).movedim(0, -1)
    ringing = 0.1 * torch.sin(3.0 * x)[None]
    ringing = truth + ringing - encoding.A_dagger(encoding.A(ringing))
    network = partial(_gives, ringing)
    noise = torch.full_like(start, sigma)
    lifted, left = (
        super_resolved(network, Coarse(image, noise, {}, encoding), check=False)[0][0] for image in (start, -start)
    )
    assert ringing.min() < -8 * sigma
    below, before = ((-2 * sigma - image).clamp(min=0).square().mean() for image in (lifted, ringing))
    assert below < 0.2 * before
    torch.testing.assert_close(encoding.A(lifted[None, ..., 0]), encoding.A(ringing), atol=0.1 * sigma, rtol=0)
    made = super_resolved(network, Coarse(start, noise, {}, encoding), consistency=False)[0][0]
    torch.testing.assert_close(made, ringing[0, ..., None])
    assert left.min() < -0.5  # a map that is truly negative


def _gives(image: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([image, 0.1 + 0 * image], 1).expand(len(x), -1, -1, -1)


def test_the_inferer_leaves_consistency_out_where_asked() -> None:
    start = torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    item = torch.cat([start, torch.full_like(start, 0.02), torch.zeros(2, 16, 16, 3)])[None]
    found = SliceStackInferer(factor=2, consistency="false")(item, lambda x: 0.8 * x[:, [INTERPOLATED, NOISE]])
    torch.testing.assert_close(found["maps"][0, 0], 0.8 * start[0])
    assert float(found["check"][0, 0, 0, -1]) == NOT_ASKED
