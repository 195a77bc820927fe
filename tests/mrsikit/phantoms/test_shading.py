import numpy as np
import pytest
import torch

from mrsikit.phantoms.shading import as_measured

SPACING = 1.7


def head(size: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """A disc of grey matter around white matter, with a fluid hole."""
    x, y = np.indices((size, size)) - size / 2
    radius = np.hypot(x, y)
    brain = radius < 0.45 * size
    image = np.where(radius < 0.3 * size, 1.0, 0.8) * brain * (radius > 0.08 * size)
    return torch.from_numpy(image.astype(np.float32)), torch.from_numpy(brain)


def variogram(image: np.ndarray, inside: np.ndarray, lag: int) -> float:
    """Half the mean squared difference at a lag over the variance."""
    both = inside[lag:] & inside[:-lag]
    return float(((image[lag:] - image[:-lag])[both] ** 2).mean() / 2 / image[inside].var())


def test_maps_vary_as_measured_ones_do() -> None:
    """Figures of measured human maps: variation .49-.64, variogram at 5 mm .17-.46; here medians over 60 draws."""
    image, brain = head()
    spreads, near, far = [], [], []
    for seed in range(60):
        values = as_measured(image, brain, SPACING, np.random.default_rng(seed)).numpy()
        inside = values > 0.02 * values.max()
        spreads.append(values[inside].std() / values[inside].mean())
        near.append(variogram(values, inside, 3))
        far.append(variogram(values, inside, 12))
    assert 0.35 < np.median(spreads) < 0.65
    assert 0.1 < np.median(near) < 0.46
    assert np.median(far) > 1.5 * np.median(near)


def test_same_generator_same_map_and_nothing_outside() -> None:
    image, brain = head()
    first, second = (as_measured(image, brain, SPACING, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.dtype == torch.float32
    assert first.min() >= 0
    assert first[0, 0] < 1e-3


def test_some_maps_end_at_a_box() -> None:
    image, brain = head()
    shares = []
    for seed in range(60):
        values = as_measured(image, brain, SPACING, np.random.default_rng(seed))
        shares.append(float((values[brain] > 0.01 * values.max()).float().mean()))
    assert 3 <= sum(share < 0.75 for share in shares) <= 20


def test_a_map_without_a_brain_stays() -> None:
    image, brain = head()
    assert torch.equal(as_measured(image, torch.zeros_like(brain), SPACING, np.random.default_rng(0)), image)


@pytest.mark.parametrize("factor", [0.5, 7.0])
def test_the_unit_does_not_matter(factor: float) -> None:
    image, brain = head()
    one, other = (as_measured(v, brain, SPACING, np.random.default_rng(5)) for v in (image, factor * image))
    torch.testing.assert_close(other, factor * one)
