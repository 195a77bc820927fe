import importlib

import pytest
import torch

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.guided_non_local_means import guided_non_local_means
from mrsikit.restoration.non_local_means import mri_features

module = importlib.import_module("mrsikit.restoration.guided_non_local_means")


def disc(centre: tuple[float, ...], radius: float, size: int = 48) -> torch.Tensor:
    axes = torch.meshgrid(*(torch.arange(float(size)) - c for c in centre), indexing="ij")
    return (sum(a**2 for a in axes) < radius**2).float()


HEAD = disc((23.3, 22.6), 19.2) - 0.7 * disc((23, 25), 6.4)
FEATURES = mri_features([HEAD[None]], (HEAD > 0)[None])


def error(fine: torch.Tensor, truth: torch.Tensor) -> float:
    return float((fine - truth).square().mean())


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_sharper_than_interpolation_and_measured_alike(psf: str) -> None:
    encoding = SpatialEncoding(psf, 4)
    coarse = encoding.A(HEAD[None])
    fine = guided_non_local_means(coarse, encoding, FEATURES)
    assert error(fine, HEAD) < 0.7 * error(encoding.interpolate(coarse), HEAD)
    torch.testing.assert_close(encoding.A(fine), coarse, atol=1e-5, rtol=0)


def test_a_lesion_of_the_mri_alone_stays_out_and_one_of_the_map_alone_stays() -> None:
    encoding = SpatialEncoding("kspace", 4)
    spot = disc((14, 12), 3.2)
    coarse = encoding.A(HEAD[None])
    shown = mri_features([(HEAD + spot)[None]], (HEAD > 0)[None])
    without, with_it = (guided_non_local_means(coarse, encoding, f)[0] for f in (FEATURES, shown))
    assert abs(float((with_it - without)[spot > 0].mean())) < 0.02
    changed = encoding.A((HEAD + spot)[None])
    kept = guided_non_local_means(changed, encoding, FEATURES)[0]
    assert float((kept - HEAD)[spot > 0].mean()) > float((encoding.interpolate(changed)[0] - HEAD)[spot > 0].mean())


def test_the_noisier_the_less_the_measurement_is_believed() -> None:
    encoding = SpatialEncoding("kspace", 4)
    coarse = encoding.A(HEAD[None])
    noisy = coarse + 0.08 * torch.randn(coarse.shape, generator=torch.Generator().manual_seed(0))
    exact, wise = (guided_non_local_means(noisy, encoding, FEATURES, noise=level) for level in (0.0, 0.08))
    assert error(wise, HEAD) < 0.8 * error(exact, HEAD)


def test_in_three_dimensions_and_from_another_start() -> None:
    encoding = SpatialEncoding("block", 4, 3)
    ball = disc((11.3, 12.6, 12), 9.2, 24)
    coarse = encoding.A(ball[None])
    features = mri_features([ball[None]], ball[None])
    start = encoding.interpolate(coarse)
    fine = guided_non_local_means(coarse, encoding, features, window=5)
    assert error(fine, ball) < 0.7 * error(start, ball)
    again = guided_non_local_means(coarse, encoding, features, start=fine, window=5)
    assert error(again, ball) < error(fine, ball)
    by_slabs = guided_non_local_means(coarse, encoding, features, window=5, slab=7)
    torch.testing.assert_close(by_slabs, fine, atol=1e-6, rtol=0)


def test_a_noise_may_be_one_number_or_a_map() -> None:
    encoding = SpatialEncoding("kspace", 4)
    coarse = encoding.A(HEAD[None])
    torch.testing.assert_close(
        guided_non_local_means(coarse, encoding, FEATURES, noise=torch.full_like(coarse, 0.05)),
        guided_non_local_means(coarse, encoding, FEATURES, noise=0.05),
    )


def test_differences_of_noise_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The map's own term is never narrower than the noise."""
    encoding = SpatialEncoding("kspace", 4)
    widths = []

    def spy(image: torch.Tensor, *_: object, h_image: torch.Tensor, **__: object) -> torch.Tensor:
        widths.append(float(h_image.min()))
        return image

    monkeypatch.setattr(module, "feature_non_local_means", spy)
    guided_non_local_means(encoding.A(HEAD[None]), encoding, FEATURES, noise=0.08)
    assert min(widths) >= 3 * 0.08 - 1e-6
