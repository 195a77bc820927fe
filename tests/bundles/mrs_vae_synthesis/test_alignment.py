import pytest
import torch

from mrs_vae_synthesis.alignment import aligned, unaligned
from mrs_vae_synthesis.matched_filter import turned
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Sessions


def test_the_way_into_the_frame_and_back(network: SessionVae, unseen: Sessions) -> None:
    found = aligned(network, unseen.fids, unseen.on)
    again = unaligned(network, found.spectra, found.phase, found.shift, found.scale)
    torch.testing.assert_close(again, unseen.fids, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("moved", [0.2, 0.5, 0.9])
def test_a_shift_of_less_than_a_point_of_the_spectrum_is_found(
    network: SessionVae, unseen: Sessions, moved: float
) -> None:
    assert unseen.clean is not None
    again = turned(unseen.clean, torch.zeros(unseen.on.shape), torch.full(unseen.on.shape, moved), unseen.dwell)
    found = aligned(network, again, unseen.on).shift - aligned(network, unseen.clean, unseen.on).shift
    torch.testing.assert_close(found, torch.full(unseen.on.shape, moved).to(found), atol=0.08, rtol=0)


def test_much_water_moves_no_line(network: SessionVae, unseen: Sessions) -> None:
    at = torch.arange(unseen.fids.shape[-1]) * unseen.dwell
    water = 5 * unseen.fids.abs().amax() * torch.exp((2j * torch.pi * 1.5 - 12) * at)
    found, again = (aligned(network, fids, unseen.on) for fids in (unseen.fids, unseen.fids + water))
    torch.testing.assert_close(again.shift, found.shift, atol=0.5, rtol=0)
    torch.testing.assert_close(again.scale, found.scale, rtol=0.06, atol=0)
