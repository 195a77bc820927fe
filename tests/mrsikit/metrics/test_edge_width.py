import numpy as np
import pytest
from scipy import ndimage

from mrsikit.metrics.edge_width import edge_width


def ball(size: int, radius: float, axes: int = 2) -> np.ndarray:
    at = np.indices((size,) * axes) - size / 2 + 0.3
    return np.sqrt((at**2).sum(0)) < radius


@pytest.mark.parametrize(("axes", "size", "radius"), [(2, 80, 22.0), (3, 40, 12.0)])
@pytest.mark.parametrize("sigma", [1.0, 1.7])
def test_a_blurred_step_is_as_wide_as_its_blur(axes: int, size: int, radius: float, sigma: float) -> None:
    region = ball(size, radius, axes)
    image = 3 + 4 * ndimage.gaussian_filter(region.astype(float), sigma)
    found = edge_width(image, region, reach=6)
    assert found == pytest.approx(2.563 * sigma, rel=0.15)
    assert edge_width(10 - image, region, reach=6) == pytest.approx(found)


def test_noise_changes_little() -> None:
    region = ball(80, 22)
    image = ndimage.gaussian_filter(region.astype(float), 1.5)
    noisy = image + 0.1 * np.random.default_rng(0).standard_normal(image.shape)
    assert edge_width(noisy, region) == pytest.approx(edge_width(image, region), rel=0.25)


def test_sharper_is_narrower_and_a_true_step_under_a_voxel() -> None:
    region = ball(80, 22)
    assert edge_width(region.astype(float), region) < 1
    soft, sharp = (edge_width(ndimage.gaussian_filter(region.astype(float), s), region) for s in (2.0, 1.0))
    assert soft > 1.5 * sharp


@pytest.mark.parametrize("region", [np.zeros((20, 20), bool), np.ones((20, 20), bool)])
def test_without_a_border_there_is_no_width(region: np.ndarray) -> None:
    assert np.isnan(edge_width(np.ones((20, 20)), region))


def test_without_a_step_there_is_no_width() -> None:
    for level in (1.0, 0.1, 1 / 3):
        assert np.isnan(edge_width(np.full((80, 80), level), ball(80, 22)))


def test_the_plateaus_are_far_from_the_edge() -> None:
    """A wide blur: means taken near the edge would make it seem sharper."""
    region = ball(80, 22)
    wide = ndimage.gaussian_filter(region.astype(float), 2.0)
    assert edge_width(wide, region, reach=6) == pytest.approx(2.563 * 2.0, rel=0.08)
