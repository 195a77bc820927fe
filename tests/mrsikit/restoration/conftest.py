"""Maps for the tests of the classical fills."""

import numpy as np
import pytest
from nilearn.datasets import load_mni152_gm_template, load_mni152_wm_template
from scipy import ndimage


@pytest.fixture(scope="session")
def mni_map() -> np.ndarray:
    """0.1 GM + 0.12 WM of an axial MNI slice through the ventricles, 64x64, unit maximum, 0 outside the brain."""
    gm, wm = (load(resolution=2).get_fdata() for load in (load_mni152_gm_template, load_mni152_wm_template))
    tissue = (0.1 * gm + 0.12 * wm)[:, :, 41:44].mean(2)
    square = np.pad(tissue, [((120 - size) // 2, (121 - size) // 2) for size in tissue.shape])
    fine = ndimage.zoom(square, 64 / 120, order=1)
    fine[fine < 0.01] = 0
    return (fine / fine.max()).astype(np.float32)


@pytest.fixture(scope="session")
def mni_draws(mni_map: np.ndarray) -> list[np.ndarray]:
    """Six draws of 20 % of the brain voxels of `mni_map`, in squares of 1 to 3 voxels."""
    rng = np.random.default_rng(7)
    brain = mni_map > 0
    draws = []
    for _ in range(6):
        holes = np.zeros_like(brain)
        while holes.sum() < 0.2 * brain.sum():
            size = rng.integers(1, 4)
            x, y = rng.integers(0, 62, 2)
            holes[x : x + size, y : y + size] = True
            holes &= brain
        draws.append(holes)
    return draws


@pytest.fixture(scope="session")
def mni_missing(mni_draws: list[np.ndarray]) -> np.ndarray:
    """The first of `mni_draws`."""
    return mni_draws[0]
