from pathlib import Path

import numpy as np
import torch

from mrs_vae_synthesis.alignment import aligned, network_input, spectra_of
from mrs_vae_synthesis.matched_filter import as_real, turned
from mrs_vae_synthesis.network import SessionVae, divergence, network_like
from mrs_vae_synthesis.sessions import Sessions


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


def test_a_network_is_made_as_large_as_its_weights(tmp_path: Path) -> None:
    sizes = {"points": 64, "scores": 12, "session": 5, "transient": 3, "width": 16, "sessions": 7, "kept": 4}
    torch.save(SessionVae(**sizes).state_dict(), tmp_path / "own.pt")
    own = network_like(tmp_path / "own.pt")
    own.load_state_dict(torch.load(tmp_path / "own.pt", weights_only=True))
    (tmp_path / "no.pt").write_bytes(b"no weights")
    for path in ("no.pt", "missing.pt"):
        assert network_like(tmp_path / path).points == SessionVae().points


def test_a_divergence_of_nothing_is_nothing() -> None:
    assert divergence(torch.zeros(3, 4), torch.zeros(3, 4)).abs().max() == 0
    assert np.isclose(float(divergence(torch.ones(1, 1), torch.zeros(1, 1))), 0.5)
