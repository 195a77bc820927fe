from pathlib import Path

import numpy as np
import pytest
import torch

from mrs_vae_synthesis.alignment import EDGE, aligned, back, network_input, point_weights, scores_of, spectra_of
from mrs_vae_synthesis.linear_initialisation import initialise_linear_model
from mrs_vae_synthesis.matched_filter import (
    WATER,
    as_complex,
    as_real,
    matched,
    signal_space,
    turned,
    without_water,
)
from mrs_vae_synthesis.network import SessionVae, divergence, network_like
from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrs_vae_synthesis.training import SessionLoss, fill_bank

DWELL = 0.0005


def linear(scores: int = 12, session: int = 5, transient: int = 2) -> SessionVae:
    """A network that is its linear model, with that drawn at random."""
    network = SessionVae(points=64, scores=scores, session=session, transient=transient, width=16, sessions=4, kept=4)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in (network.means, network.between, network.within):
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network.eval()


def test_the_posterior_of_the_linear_model_is_that_of_the_textbook() -> None:
    network = linear()
    generator = torch.Generator().manual_seed(1)
    on = torch.tensor([1.0, 0, 1, 0, 1])
    sd = 0.7
    z, t = torch.randn(5, generator=generator), torch.randn(5, 2, generator=generator)
    noise = sd * torch.randn(5, 12, generator=generator)
    edit = on.long()
    x = network.means[edit] + network.between[edit] @ z + (network.within[edit] @ t[..., None])[..., 0] + noise
    there = torch.tensor([1.0, 1, 1, 1, 0])
    image = torch.cat([x, on[:, None], torch.full((5, 1), sd), there[:, None]], 1)[None]
    with torch.no_grad():
        found, log_variance, found_t, _ = network.encode(image)
    # one Gaussian of everything that is there: x = A (z, t) + noise
    kept = 4
    a = torch.zeros(kept * 12, 5 + 2 * kept, dtype=torch.float64)
    for k in range(kept):
        a[12 * k : 12 * k + 12, :5] = network.between[edit[k]].double()
        a[12 * k : 12 * k + 12, 5 + 2 * k : 7 + 2 * k] = network.within[edit[k]].double()
    y = (x[:kept] - network.means[edit[:kept]]).double().flatten()
    covariance = torch.linalg.inv(torch.eye(a.shape[1]) + a.T @ a / sd**2)
    mean = covariance @ a.T @ y / sd**2
    torch.testing.assert_close(found[0].double(), mean[:5], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(log_variance[0].exp().double(), covariance.diagonal()[:5], rtol=1e-3, atol=1e-4)
    # of a transient given the session, as the model has it
    for k in range(kept):
        torch.testing.assert_close(found_t[0, k].double(), mean[5 + 2 * k : 7 + 2 * k], rtol=2e-3, atol=2e-3)


def test_what_is_hidden_does_not_count() -> None:
    network = linear()
    image = torch.randn(2, 6, 15, generator=torch.Generator().manual_seed(2))
    image[..., -3] = torch.tensor([0.0, 1, 0, 1, 0, 1])
    image[..., -2:] = 1
    image[:, 4:, -1] = 0
    other = image.clone()
    other[:, 4:, :12] = 100
    with torch.no_grad():
        torch.testing.assert_close(network(image)[:, :4], network(other)[:, :4])
        torch.testing.assert_close(network(image)[:, :4], network(image[:, :4]), rtol=1e-4, atol=1e-4)


def test_a_matched_filter_finds_phase_shift_and_height() -> None:
    at = torch.arange(1024) * DWELL
    template = torch.exp((2j * torch.pi * 200 - 20) * at) + 0.5 * torch.exp((2j * torch.pi * 330 - 20) * at)
    phase, shift = torch.tensor([0.5, -2.0, 3.0]), torch.tensor([4.3, -12.0, 0.01])
    fids = 3 * turned(template.expand(3, -1), phase, shift, DWELL)
    found = matched(fids, template.expand(3, -1), DWELL)
    torch.testing.assert_close(found[1].float(), shift, atol=0.05, rtol=0)
    turn = torch.polar(torch.ones(3), found[0].float() - phase)
    assert (turn.angle().abs() < 0.03).all()
    torch.testing.assert_close(found[2].float(), torch.full((3,), 3.0), rtol=0.01, atol=0)


def test_the_signal_space_holds_signals_and_little_noise() -> None:
    space = signal_space(1024, DWELL, 127.7, 4.68)
    torch.testing.assert_close(space.conj().T @ space, torch.eye(space.shape[1]) + 0j, atol=1e-4, rtol=0)
    at = torch.arange(1024) * DWELL
    for ppm, width in ((2.0, 5.0), (4.7, 12.0), (0.9, 30.0)):
        line = torch.exp((2j * torch.pi * (4.68 - ppm) * 127.7 - torch.pi * width) * at)
        assert torch.linalg.vector_norm(line - space @ (space.conj().T @ line)) < 0.01 * torch.linalg.vector_norm(line)
    assert space.shape[1] < 600
    outside = torch.exp((2j * torch.pi * (4.68 - 10.0) * 127.7 - torch.pi * 5) * at)
    assert torch.linalg.vector_norm(space.conj().T @ outside) < 0.3 * torch.linalg.vector_norm(outside)


def test_a_session_is_reconstructed_better_than_one_transient(network: SessionVae, unseen: Sessions) -> None:
    assert unseen.clean is not None
    found = aligned(network, unseen.fids, unseen.on)
    moved = turned(unseen.clean, -found.phase, -found.shift, unseen.dwell) / found.scale[:, None, None]
    truth = as_real(torch.fft.fft(moved, norm="ortho"))
    inputs = network_input(network, found, unseen.on)

    def error(given: torch.Tensor) -> float:
        with torch.no_grad():
            scores = network(given)[..., :-1].reshape(*inputs.shape[:2], -1)
        estimate = spectra_of(network, scores, unseen.on)
        return float(((estimate - truth).square().mean(-1).sqrt() / found.noise).median())

    together, alone = error(inputs), error(inputs.flatten(0, 1)[:, None])
    assert together < 0.1
    assert alone < 0.14
    assert together < alone


def test_the_way_into_the_frame_and_back(network: SessionVae, unseen: Sessions) -> None:
    found = aligned(network, unseen.fids, unseen.on)
    again = back(network, found.spectra, found.phase, found.shift, found.scale)
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


def test_water_is_taken_away_and_little_else() -> None:
    at = torch.arange(2048) * DWELL
    size = torch.linalg.vector_norm
    for ppm, low, high in ((4.7, 0, 0.02), (4.5, 0, 0.02), (3.9, 0.93, 1), (2.0, 0.99, 1)):
        line = torch.exp((2j * torch.pi * (4.68 - ppm) * 127.7 - torch.pi * 6) * at)
        assert low <= size(without_water(line, DWELL, 127.7, 4.68)) / size(line) <= high


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


def test_a_network_is_made_as_large_as_its_weights(tmp_path: Path) -> None:
    sizes = {"points": 64, "scores": 12, "session": 5, "transient": 3, "width": 16, "sessions": 7, "kept": 4}
    torch.save(SessionVae(**sizes).state_dict(), tmp_path / "own.pt")
    own = network_like(tmp_path / "own.pt")
    own.load_state_dict(torch.load(tmp_path / "own.pt", weights_only=True))
    (tmp_path / "no.pt").write_bytes(b"no weights")
    for path in ("no.pt", "missing.pt"):
        assert network_like(tmp_path / path).points == SessionVae().points


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


def test_the_loss_is_least_at_the_truth_and_holds_outliers() -> None:
    loss = SessionLoss()
    label = torch.zeros(1, 2, 13)
    label[..., :10] = torch.randn(1, 2, 10, generator=torch.Generator().manual_seed(0))
    label[..., -2:] = 1
    pred = torch.cat([label[..., :10], torch.zeros(1, 2, 1)], -1)
    assert loss(pred, label) == 0
    assert loss(pred + 0.1, label) > 0
    far = label.clone()
    far[..., :10] += 1e4
    assert loss(pred, far) < 1000
    hidden = far.clone()
    hidden[:, 0], hidden[:, 1] = label[:, 0], far[:, 1]
    hidden[:, 1, -1] = 0
    assert loss(pred, hidden) == 0


def test_a_divergence_of_nothing_is_nothing() -> None:
    assert divergence(torch.zeros(3, 4), torch.zeros(3, 4)).abs().max() == 0
    assert np.isclose(float(divergence(torch.ones(1, 1), torch.zeros(1, 1))), 0.5)


def test_real_and_imaginary_parts_come_back() -> None:
    values = torch.randn(3, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(as_complex(as_real(values)), values)
