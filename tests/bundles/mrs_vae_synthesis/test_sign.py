import numpy as np
import pytest
import torch

from mrs_vae_synthesis.conversion import rereferenced
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrs_vae_synthesis.sign import find_sign
from mrsikit.fitting.sign_test import Finding


def finding(fids: torch.Tensor, network: SessionVae, reference: float = 4.68) -> Finding:
    known = Acquisition.of(network.acquisition)
    return find_sign(fids, Acquisition(**{**vars(known), "reference": reference}), known, network.templates).finding


def conjugate(fids: torch.Tensor) -> torch.Tensor:
    return fids.conj().resolve_conj()


def noisy(fids: torch.Tensor, sd: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return fids + sd * torch.view_as_complex(torch.randn(*fids.shape, 2, generator=generator))


@pytest.mark.parametrize("sd", [0.0, 5.0, 15.0])
def test_both_signs_are_told(unseen: Sessions, network: SessionVae, sd: float) -> None:
    for fids in unseen.fids[:4]:
        given = noisy(fids, sd)
        assert finding(given, network) == "standard"
        assert finding(conjugate(given), network) == "conjugate"


def test_where_no_line_tells_the_signs_apart_none_is_told(unseen: Sessions, network: SessionVae) -> None:
    noise = noisy(torch.zeros(16, 2048, dtype=torch.complex64), 1.0)
    at = torch.arange(2048) * 0.0005
    water = noise + 1000 * torch.exp(-20 * at)
    for given in (noise, water):
        assert finding(given, network) == finding(conjugate(given), network) == "unclear"
    assert finding(unseen.fids[0].real.to(torch.complex64), network) == "real"


def test_a_transmitter_elsewhere_is_no_other_sign(unseen: Sessions, network: SessionVae) -> None:
    """About 3.0 ppm the lines of NAA and creatine are almost each other's images, and water and lipids are."""
    for transmitter in np.arange(2.0, 4.7, 0.3):
        moved = rereferenced(unseen.fids[1], 0.0005, (transmitter - 4.68) * 127.73)
        assert finding(moved, network, transmitter) == "standard"
        assert finding(conjugate(moved), network, transmitter) == "conjugate"
        assert finding(moved, network) in ("standard", "reference", "unclear")  # where the header does not say it


def test_tall_lipids_and_much_water_do_not_flip_the_sign(unseen: Sessions, network: SessionVae) -> None:
    at = torch.arange(2048) * 0.0005
    for ppm, height in ((1.3, 400.0), (4.68, 2000.0), (8.05, 200.0)):
        line = height * torch.exp((2j * torch.pi * (4.68 - ppm) * 127.73 - 60) * at)
        assert finding(unseen.fids[2] + line, network) != "conjugate"
