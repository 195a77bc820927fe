import numpy as np
import pytest

from mrsikit.restoration.anisotropic_diffusion import anisotropic_diffusion


@pytest.mark.parametrize("shape", [(24, 24), (12, 12, 12)])
def test_noise_falls_and_strong_edges_stay(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros(shape)
    truth[shape[0] // 2 :] = 10
    noisy = truth + 0.3 * rng.standard_normal(shape)
    smooth = anisotropic_diffusion(noisy, np.ones(shape, bool), threshold=0.2)
    assert np.std((smooth - truth)[2:-2]) < 0.5 * 0.3
    assert smooth.mean() == pytest.approx(noisy.mean())
    faint = anisotropic_diffusion(truth + 0, np.ones(shape, bool), threshold=2.0)
    assert np.abs(faint - truth).max() > 2  # an edge under the threshold is smoothed away


def test_nothing_flows_out_of_the_mask() -> None:
    values = np.zeros((8, 8))
    values[:4] = 5
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    np.testing.assert_array_equal(anisotropic_diffusion(values, mask, threshold=10), values)
    np.testing.assert_array_equal(anisotropic_diffusion(values, np.zeros_like(mask)), values)
