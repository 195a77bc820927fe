"""Anatomies for the tests of the virtual patients."""

from pathlib import Path

import numpy as np
import pytest

from mrsikit.phantoms.anatomy import Anatomy, from_tissue_maps, mni152
from mrsikit.phantoms.subject import VirtualSubject

DATA = Path(__file__).parents[3] / "../shared/data"


def head(*shape: int) -> np.ndarray:
    """Ellipse or ellipsoid with two ventricles."""
    position = (np.indices(shape) - (np.array(shape) / 2 - 0.5).reshape(-1, *[1] * len(shape))).astype(float)
    radii = np.array([0.36, 0.45, 0.4][: len(shape)]) * shape
    brain = ((position / radii.reshape(-1, *[1] * len(shape))) ** 2).sum(0) < 1
    for side in (-1, 1):
        away = position.copy()
        away[0] -= side * 0.09 * shape[0]
        brain &= ((away / (0.05 * np.array(shape)).reshape(-1, *[1] * len(shape))) ** 2).sum(0) > 1
    return brain


PLANE, VOLUME = head(64, 64), head(24, 26, 22)


def phantom_maps(size: int = 48, spacing: float = 4.0) -> dict[str, np.ndarray]:
    """Head of 80 mm radius: white matter left of x = 0, grey matter right, a ventricle of 14 mm in the middle."""
    x, y, z = (np.indices((size,) * 3) - (size - 1) / 2) * spacing
    distance = np.sqrt(x**2 + y**2 + z**2)
    tissue = (distance < 80) & (distance > 14)
    maps = {"gm": tissue & (x > 0), "wm": tissue & (x <= 0), "csf": distance <= 14}
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -(size - 1) / 2 * spacing
    return {**{name: mask.astype(np.float32) for name, mask in maps.items()}, "affine": affine}


@pytest.fixture
def maps() -> dict[str, np.ndarray]:
    return phantom_maps()


@pytest.fixture(scope="session")
def phantom() -> Anatomy:
    """`phantom_maps` as an anatomy."""
    return from_tissue_maps(**phantom_maps())


@pytest.fixture(scope="session")
def template() -> Anatomy:
    return mni152()


@pytest.fixture(scope="session")
def patient(template: Anatomy) -> VirtualSubject:
    """One patient with a high-grade tumour of 20 mm radius."""
    return VirtualSubject(3, anatomy=template, tumours=1, grade="high", tumour_radius=20)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    if not DATA.is_dir():
        pytest.skip("the project's data folder is not beside the checkout")
    return DATA
