import numpy as np
import pytest
from scipy.fft import dctn

from mrsikit.restoration.inpainting import dct


def test_the_penalty_is_the_biharmonic_energy_of_the_reflected_map():
    """The last iteration, started from the solution, must satisfy z = IDCT(Gamma DCT(W(y - z) + z)) at s = 1e-3."""
    rng = np.random.default_rng(0)
    y = rng.random((16, 12))
    missing = rng.random(y.shape) < 0.1
    filled = dct(y, missing, iterations=3000).astype(float)
    k, m = (np.arange(n) for n in y.shape)
    eigenvalues = (2 - 2 * np.cos(np.pi * k / 16))[:, None] + (2 - 2 * np.cos(np.pi * m / 12))[None, :]
    # at tiny s the smooth surface all but interpolates, and it bends least: its bi-Laplacian vanishes in the holes
    laplacian = np.pad(filled, 1, mode="symmetric")
    for _ in range(2):
        inner = laplacian[1:-1, 1:-1]
        laplacian = np.pad(
            4 * inner - laplacian[:-2, 1:-1] - laplacian[2:, 1:-1] - laplacian[1:-1, :-2] - laplacian[1:-1, 2:],
            1,
            mode="symmetric",
        )
    bilaplacian = laplacian[1:-1, 1:-1]
    np.testing.assert_allclose(dctn(bilaplacian), eigenvalues**2 * dctn(filled), atol=1e-6)
    assert np.abs(bilaplacian[missing]).max() < 0.05 * np.abs(bilaplacian[~missing]).max()


def test_more_iterations_change_little_at_the_default(mni_map, mni_missing):
    error = [((dct(mni_map, mni_missing, iterations=n) - mni_map)[mni_missing] ** 2).mean() for n in (2, 100, 200)]
    assert error[1] < 0.7 * error[0]
    assert error[1] == pytest.approx(error[2], rel=0.1)


def test_no_iteration_is_refused():
    with pytest.raises(ValueError, match="iteration"):
        dct(np.ones((8, 8)), np.ones((8, 8), bool), iterations=0)
