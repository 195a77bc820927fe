import pytest
import torch

from mrsi_gan_super_resolution.inferer import MethodInferer
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.network import FLAIR, HAS_FLAIR, INTERPOLATED


def disc(size: tuple[int, ...], radius: float) -> torch.Tensor:
    axes = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in size), indexing="ij")
    return (sum(a**2 for a in axes) < radius**2).float()


def network(x: torch.Tensor) -> torch.Tensor:
    """The interpolation, with .1 more where there is a FLAIR; deviation .05."""
    return torch.stack([x[:, INTERPOLATED] + 0.1 * x[:, HAS_FLAIR], torch.full_like(x[:, 0], 0.05)], 1)


def item(
    *, noise: float = 0.0, flair: bool = True, dims: int = 2, maps: int = 1, size: int = 48
) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, 2 M + 2, X, Y, Z) of a disc, or a ball, and the coarse map (M, X, Y, Z) behind it."""
    truth = disc((size, size), 0.36 * size)[..., None] if dims == 2 else disc((32, 32, 32), 11)
    planes = truth.movedim(-1, 0) if dims == 2 else truth[None]
    encoding = SpatialEncoding("kspace", 4, dims)
    coarse = encoding.A(planes)
    start = encoding.interpolate(coarse)
    start = start.movedim(0, -1) if dims == 2 else start[0]
    mri = truth if flair else torch.zeros_like(truth)
    layers = [start] * maps + [torch.full_like(start, noise)] * maps + [mri, torch.zeros_like(truth)]
    return torch.stack(layers)[None], coarse


def error(fine: torch.Tensor, truth: torch.Tensor) -> float:
    return float((fine - truth).square().mean())


@pytest.mark.parametrize("dims", [2, 3])
def test_method_2_sharpens_along_the_mri_and_says_what_it_was_before(dims: int) -> None:
    x, _ = item(dims=dims, noise=float("nan"))
    fine, sd, alone = MethodInferer(dims=dims, method=2, guided_spread=0.8)(x, network)["maps"][0]
    truth = x[0, 2]
    assert error(fine, truth) < 0.75 * error(x[0, 0], truth)
    torch.testing.assert_close(alone, x[0, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(sd, torch.full_like(sd, 0.04))


def test_method_1_does_not_see_the_mri_and_method_3_does() -> None:
    x, _ = item(noise=float("nan"))
    for method, more in ((1, 0.0), (3, 0.1)):
        fine, _, alone = MethodInferer(method=method)(x, network)["maps"][0]
        torch.testing.assert_close(fine, x[0, 0] + more, atol=1e-5, rtol=0)
        torch.testing.assert_close(alone, x[0, 0], atol=1e-5, rtol=0)


def test_without_a_method_it_is_2_where_there_is_an_mri_and_1_where_not() -> None:
    for flair, same in ((True, 2), (False, 1)):
        x, _ = item(flair=flair)
        torch.testing.assert_close(MethodInferer()(x, network)["maps"], MethodInferer(method=same)(x, network)["maps"])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("method", [1, 2, 3])
def test_without_noise_the_result_is_measured_as_the_map_was(method: int, dims: int) -> None:
    x, coarse = item(dims=dims)

    def wrong(seen: torch.Tensor) -> torch.Tensor:
        return network(seen) + 0.2

    for consistency, least, most in ((True, 0.0, 1e-4), ("false", 0.1, 1.0)):
        fine = MethodInferer(dims=dims, method=method, consistency=consistency)(x, wrong)["maps"][0, 0]
        again = SpatialEncoding("kspace", 4, dims).A(fine.movedim(-1, 0) if dims == 2 else fine[None])
        assert least <= float((again - coarse).abs().mean()) <= most


def test_unknown_noise_leaves_the_network_alone() -> None:
    x, _ = item(noise=float("nan"), flair=False)

    def wrong(seen: torch.Tensor) -> torch.Tensor:
        return network(seen) + 0.2

    torch.testing.assert_close(MethodInferer()(x, wrong)["maps"][0, 0], x[0, 0] + 0.2)


def test_denoising_takes_noise_out_before_the_network() -> None:
    encoding = SpatialEncoding("kspace", 4)
    generator = torch.Generator().manual_seed(0)
    x, coarse = item(noise=0.05, flair=False, size=160)
    noisy = coarse + 0.05 * torch.randn(coarse.shape, generator=generator)
    x[0, 0] = encoding.interpolate(noisy).movedim(0, -1)
    truth = encoding.interpolate(coarse).movedim(0, -1)
    plain, smooth = (MethodInferer(denoised=d, consistency=False)(x, network)["maps"][0, 0] for d in (False, "true"))
    assert error(smooth, truth) < 0.7 * error(plain, truth)


def test_every_map_has_its_three_layers() -> None:
    x, _ = item(maps=3)
    assert MethodInferer()(x.expand(2, -1, -1, -1, -1), network)["maps"].shape == (2, 9, 48, 48, 1)


def test_of_what_is_measured_the_mri_changes_nothing_however_noisy() -> None:
    """So a lesion that the network has kept is not averaged away."""
    encoding = SpatialEncoding("kspace", 4)
    for noise in (0.1, float("nan")):
        x, _ = item(noise=noise)
        lesion = torch.zeros(48, 48, 1)
        lesion[20:26, 20:26] = 0.5
        x[0, 0] += lesion
        fine, _, alone = MethodInferer(method=2)(x, network)["maps"][0].movedim(-1, 1)
        torch.testing.assert_close(encoding.A(fine), encoding.A(alone), atol=1e-4, rtol=0)


def test_a_volume_is_seen_across_each_axis_with_its_mri() -> None:
    """A network that gives back its MRI: merged, that is the MRI."""
    x, _ = item(dims=3, noise=float("nan"))
    generator = torch.Generator().manual_seed(0)
    x = x[..., :24, :20]
    x[0, 2] = torch.rand(x.shape[2:], generator=generator)

    def mri(seen: torch.Tensor) -> torch.Tensor:
        return torch.stack([seen[:, FLAIR], torch.full_like(seen[:, 0], 0.05)], 1)

    fine = MethodInferer(dims=3, method=3)(x, mri)["maps"][0, 0]
    torch.testing.assert_close(fine, x[0, 2], atol=1e-4, rtol=0)
