import numpy as np
import pytest
import torch

from mrs_vae_synthesis.alignment import aligned
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sampling import Draws, clean_fids, edits_of, more_of, random_sessions, with_noise
from mrs_vae_synthesis.sessions import Sessions, simulated_sessions
from mrsikit.metrics.two_samples import classifier_accuracy, nearest_ratio
from mrsikit.physics.spectra import noise_sd, ppm_axis, spectrum


def draws(network: SessionVae, sets: int, transients: int, seed: int = 0) -> Draws:
    width = network.deviates
    rng = np.random.default_rng(seed)
    return Draws.of(torch.from_numpy(rng.standard_normal((sets, transients, width), dtype=np.float32)), network)


def rows(fids: torch.Tensor, like: Sessions) -> np.ndarray:
    ppm = ppm_axis(fids.shape[-1], like.dwell, larmor=like.larmor, reference=like.reference)
    values = spectrum(fids[:, :4])[..., (ppm > 0.2) & (ppm < 4.2)]
    return torch.cat([values.real, values.imag], -1).flatten(0, 1).numpy()


def steps(fids: torch.Tensor, like: Sessions) -> np.ndarray:
    """How far each point lies from the next: where noise shows."""
    values = torch.from_numpy(rows(fids, like)).unflatten(1, (2, -1))
    return torch.log(values.diff(dim=-1).square().sum(1) + 1e-6).numpy()


def random_fids(network: SessionVae, sets: int, seed: int = 0) -> torch.Tensor:
    given = draws(network, sets, 4, seed)
    drawn = random_sessions(network, edits_of(4, "both", True), given)
    return with_noise(clean_fids(network, drawn), drawn, given)


def test_edits_are_in_turn_or_of_one_kind() -> None:
    assert edits_of(4, "both", True).tolist() == [True, False, True, False]
    assert edits_of(2, "on", True).tolist() == [True, True]
    assert edits_of(2, "off", True).tolist() == [False, False]
    assert edits_of(2, "both", False).tolist() == [False, False]


def test_without_width_the_bank_itself_comes(network: SessionVae) -> None:
    drawn = random_sessions(network, edits_of(4, "both", True), draws(network, 5, 4), width=0.0)
    distances = (drawn.z[:, None] - network.bank[None, :, : network.session]).abs().amax(-1).amin(1)
    assert distances.max() < 0.05


def test_new_sessions_are_spread_as_the_bank_is(network: SessionVae) -> None:
    drawn = random_sessions(network, edits_of(4, "both", True), draws(network, 800, 4))
    pairs = ((drawn.z, network.bank[:, : network.session]), (drawn.scale.log()[:, None], network.bank[:, -1:]))
    for new, known in pairs:
        ratio = new.std(0) / known.std(0)
        assert (ratio.log().abs() < 0.25).float().mean() > 0.95
        assert ((new.mean(0) - known.mean(0)).abs() < 0.2 * known.std(0)).all()


def test_they_are_taken_for_unseen_subjects(network: SessionVae) -> None:
    real = simulated_sessions(60, seed=1234, transients=4)
    made = random_fids(network, 60)
    owners = np.repeat(np.arange(60), 4)
    for seen in (rows, steps):
        assert classifier_accuracy(seen(real.fids, real), seen(made, real), owners, owners) < 0.65
    without = clean_fids(network, random_sessions(network, edits_of(4, "both", True), draws(network, 60, 4)))
    # on the spectra as they are a classifier does not even see that noise is missing
    assert classifier_accuracy(steps(real.fids, real), steps(without, real), owners, owners) > 0.95


def test_copies_are_found_and_samples_are_none(network: SessionVae) -> None:
    bank = random_sessions(network, edits_of(4, "both", True), draws(network, 150, 4, 3), width=0.0)
    training = clean_fids(network, bank)
    held_out, made = (random_fids(network, 60, seed) for seed in (1, 2))

    def one(fids: torch.Tensor) -> np.ndarray:
        values = spectrum(fids[:, 0])[:, 1000:1700]
        return torch.cat([values.real, values.imag], -1).numpy()

    assert nearest_ratio(one(training), one(held_out), one(made)) > 0.8
    assert nearest_ratio(one(training), one(held_out), one(training[:60])) < 0.1


@pytest.mark.parametrize("sampling", ["hybrid", "interpolate", "reconstruct"])
def test_more_of_a_session_is_of_that_session(network: SessionVae, unseen: Sessions, sampling: str) -> None:
    fids, on = unseen.fids[0], unseen.on[0]
    given = draws(network, 1, 16)
    drawn = more_of(network, fids, on, sampling, on, given)
    made = with_noise(clean_fids(network, drawn), drawn, given)[0]
    assert made.shape == fids.shape
    assert drawn.on[0].tolist() == on.tolist()
    assert noise_sd(made).mean() == pytest.approx(float(noise_sd(fids).mean()), rel=0.07)
    own, other = (
        (spectrum(made[~on]).abs().mean(0) - spectrum(unseen.fids[k][~unseen.on[k]]).abs().mean(0)).abs().mean()
        for k in (0, 1)
    )
    assert own < other
    if sampling == "reconstruct":
        assert unseen.clean is not None
        clean = clean_fids(network, drawn)[0]
        error = (clean - unseen.clean[0]).abs().square().mean().sqrt() / (noise_sd(fids).mean() * 2**0.5)
        assert error < 0.12
    else:
        assert (made - fids).abs().mean() > 0.5 * noise_sd(fids).mean()


def test_the_noise_of_each_transient_is_its_own(network: SessionVae, unseen: Sessions) -> None:
    fids = unseen.fids[0] * torch.linspace(0.5, 1.5, 16)[:, None]
    given = draws(network, 1, 16)
    drawn = more_of(network, fids, unseen.on[0], "reconstruct", unseen.on[0], given)
    made = with_noise(clean_fids(network, drawn), drawn, given)[0]
    assert np.corrcoef(noise_sd(made), noise_sd(fids))[0, 1] > 0.95


def test_one_edit_alone_gives_both(network: SessionVae, unseen: Sessions) -> None:
    on = unseen.on[0]
    wanted = edits_of(8, "both", True)
    drawn = more_of(network, unseen.fids[0][on], on[on], "hybrid", wanted, draws(network, 1, 8))
    assert torch.isfinite(clean_fids(network, drawn).abs()).all()
    assert drawn.on[0].tolist() == wanted.tolist()


def course(shift: torch.Tensor, phase: torch.Tensor) -> tuple[float, float, float]:
    """Spread of the drift, of the jitter about it, and correlation of the phase of an ON and its OFF."""
    at = (torch.arange(shift.shape[1]) + 0.5) / shift.shape[1] - 0.5
    middle = shift - shift.mean(1, keepdim=True)
    slope = (middle * at).sum(1) / at.square().sum()
    jitter = middle - slope[:, None] * at
    apart = torch.polar(torch.ones_like(phase), phase - phase[:, :1]).angle()
    apart = apart - apart.mean(1, keepdim=True)
    pair = np.corrcoef(apart[:, 0::2].flatten(), apart[:, 1::2].flatten())[0, 1]
    return float(slope.std()), float(jitter.std()), float(pair)


@pytest.mark.parametrize("transients", [16, 48])
def test_frequency_drifts_and_phase_jitters_as_in_sessions_of_any_length(network: SessionVae, transients: int) -> None:
    real = simulated_sessions(80, seed=77, transients=transients)
    found = aligned(network, real.fids, real.on)
    known = course(found.shift.float(), found.phase.float())
    drawn = random_sessions(network, edits_of(transients, "both", True), draws(network, 80, transients))
    new = course(drawn.shift, drawn.phase)
    assert new[0] == pytest.approx(known[0], rel=0.35)
    assert new[1] == pytest.approx(known[1], rel=0.25)
    assert abs(new[2]) < 0.25
    more = [
        more_of(network, real.fids[k], real.on[k], "hybrid", real.on[k], draws(network, 1, transients, k))
        for k in range(40)
    ]
    again = course(torch.cat([m.shift for m in more]).float(), torch.cat([m.phase for m in more]).float())
    assert again[0] == pytest.approx(known[0], rel=0.35)
    assert abs(again[2]) < 0.25
