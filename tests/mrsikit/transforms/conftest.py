"""Tissues for the tests of the transforms."""

import pytest
import torch

from mrsikit.transforms.virtual_subject import VirtualSubjectd


@pytest.fixture(scope="session")
def planes() -> torch.Tensor:
    """Four slices of a patient, (4, 8, 64, 64) uint8."""
    return VirtualSubjectd("tissues", spatial_dims=2, matrix=64, slices=4)({"tissues": 7})["tissues"]


@pytest.fixture(scope="session")
def volume() -> torch.Tensor:
    """One volume, (1, 8, 32, 32, 32) uint8."""
    return VirtualSubjectd("tissues", spatial_dims=3, matrix=32, subsamples=(1, 1, 1))({"tissues": 7})["tissues"]
