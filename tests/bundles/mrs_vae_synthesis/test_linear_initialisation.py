import torch

from mrs_vae_synthesis.alignment import EDGE, aligned, network_input, point_weights, scores_of, spectra_of
from mrs_vae_synthesis.linear_initialisation import initialise_linear_model
from mrs_vae_synthesis.matched_filter import WATER
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrs_vae_synthesis.training import fill_bank


def test_a_network_without_water_describes_lines_all_the_better(unseen: Sessions) -> None:
    kept = {}
    ppm = unseen.reference - torch.fft.fftfreq(unseen.fids.shape[-1], unseen.dwell) / unseen.larmor
    for water in (True, False):
        network = SessionVae(scores=24, session=4, transient=1, width=16, sessions=20, kept=8).eval()
        initialise_linear_model(network, unseen, water=water)
        known = Acquisition.of(network.acquisition)
        assert known.water is water
        beside = (ppm > EDGE).repeat(2)
        assert set(point_weights(known)[beside].tolist()) == {1.0 if water else float(torch.tensor(0.1))}
        assert set(point_weights(known)[~beside].tolist()) == {1.0}
        found = aligned(network, unseen.fids, unseen.on)
        with torch.no_grad():
            scores = network(network_input(network, found, unseen.on))[..., :-1]
        left = spectra_of(network, scores, unseen.on) - found.spectra
        lines = ((ppm > 0.2) & (ppm < EDGE)).repeat(2)
        kept[water] = float((left[..., lines].square().mean(-1).sqrt() / found.noise).median())
        middle = ((ppm > WATER[0] + 0.1) & (ppm < WATER[1] - 0.1)).repeat(2)
        at_water = found.spectra[..., middle].abs().amax() / found.spectra[..., lines].abs().amax()
        assert at_water > 0.5 if water else at_water < 0.1
        torch.testing.assert_close(
            scores_of(network, spectra_of(network, scores, unseen.on), unseen.on), scores, rtol=1e-3, atol=1e-2
        )
    assert kept[False] < kept[True]


def test_the_linear_start_is_fitted_to_its_sessions(unseen: Sessions) -> None:
    network = SessionVae(scores=24, session=8, transient=4, width=16, sessions=20, kept=8).eval()
    initialise_linear_model(network, unseen)
    directions = network.directions @ network.directions.T
    torch.testing.assert_close(directions, torch.eye(24), atol=1e-3, rtol=0)
    assert unseen.clean is not None
    found = aligned(network, unseen.fids, unseen.on)
    with torch.no_grad():
        scores = network(network_input(network, found, unseen.on))[..., :-1]
    left = spectra_of(network, scores, unseen.on) - found.spectra
    assert (left.square().mean(-1).sqrt() / found.noise).median() < 1.1
    fill_bank(network, unseen)
    assert torch.equal(network.bank[:8], network.bank[12:20])
    assert torch.isfinite(network.bank).all()
