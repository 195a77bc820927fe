"""Anatomies for the tests of the virtual patients."""

from pathlib import Path

import numpy as np
import pytest

from mrsikit.phantoms.anatomy import Anatomy, from_tissue_maps, mni152
from mrsikit.phantoms.subject import VirtualSubject

DATA = Path(__file__).parents[3] / "../shared/data"


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
