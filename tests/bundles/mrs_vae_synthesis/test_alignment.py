from dataclasses import replace

import pytest
import torch

from mrs_vae_synthesis.alignment import (
    aligned,
    network_input,
    point_weights,
    scores_of,
    similarities,
    spectra_of,
    unaligned,
)
from mrs_vae_synthesis.matched_filter import turned
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Acquisition, Sessions

from .conftest import SMALL


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


def test_scores_and_spectra_are_inverse_in_the_networks_directions(network: SessionVae, unseen: Sessions) -> None:
    on = torch.tensor([[True, False, True]])
    scores = torch.randn(1, 3, network.scores, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        scores_of(network, spectra_of(network, scores, on), on), scores, rtol=1e-2, atol=1e-2
    )  # the shipped weights are in half precision
    centres = spectra_of(network, torch.zeros(1, 3, network.scores), on)
    assert torch.equal(centres[0], network.centres[on[0].long()])


def test_points_beside_water_count_less_only_where_it_was_taken_away() -> None:
    """Of 64 points 31 Hz apart, those above 4.2 ppm."""
    hz = torch.fft.fftfreq(64, 0.0005)
    above = 4.68 - hz / 127.73 > 4.2
    dry = point_weights(replace(SMALL, water=False))
    assert torch.equal(dry, torch.where(above, 0.1, 1.0).repeat(2))
    assert torch.equal(point_weights(SMALL), torch.ones(128))


def test_the_networks_input_by_its_columns(network: SessionVae, unseen: Sessions) -> None:
    found = aligned(network, unseen.fids[:2], unseen.on[:2])
    columns = network_input(network, found, unseen.on[:2])
    assert columns.shape == (2, 16, network.scores + 3)
    torch.testing.assert_close(columns[..., :-3], scores_of(network, found.spectra, unseen.on[:2]))
    assert columns[0, :, -3].tolist() == [1.0, 0.0] * 8
    noise = found.noise.median(1).values.float()
    torch.testing.assert_close(columns[..., -2], noise[:, None].expand(2, 16))  # one for all of a session
    assert (columns[..., -1] == 1).all()


def test_transients_are_like_the_template_of_their_own_edit(unseen: Sessions, network: SessionVae) -> None:
    known = Acquisition.of(network.acquisition)
    fids, on = unseen.fids[0], unseen.on[0]
    found = similarities(network.templates, known, fids)
    assert found.shape == (16, 2)
    assert (found <= 1).all()
    assert torch.equal(found[:, 1] > found[:, 0], on)
    assert found.amax(1).min() > 0.9
    assert similarities(torch.zeros_like(network.templates), known, fids).abs().max() == 0
