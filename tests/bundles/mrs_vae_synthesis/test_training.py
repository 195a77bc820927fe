import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mrs_vae_synthesis.alignment import Aligned, aligned, network_input
from mrs_vae_synthesis.linear_initialisation import initialise_linear_model
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Sessions
from mrs_vae_synthesis.training import (
    RandTransientsd,
    SessionLoss,
    SessionScores,
    TrainingSessions,
    described,
    fill_bank,
    points_of,
)
from mrsikit.io import InputError, write_fids

from .conftest import numbered


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


def test_the_loss_by_hand() -> None:
    """Two scores, noise of a half: a misfit of .5, and one so far beyond that its logarithm counts."""
    label = torch.zeros(1, 2, 5)
    label[..., -2], label[..., -1] = 0.5, 1
    pred = torch.tensor([[[0.3, 0.4, 0.2], [0.0, 0.0, 0.6]]])
    assert float(SessionLoss()(pred, label)) == pytest.approx((0.5 + 0.2 + 0 + 0.6) / 2)
    label[0, 1, -1] = 0  # hidden
    assert float(SessionLoss()(pred, label)) == pytest.approx(0.7)
    far = torch.tensor([[[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]])  # 25 / .5 = 50 of an expected 1
    assert float(SessionLoss()(far, label)) == pytest.approx(1.5 * (1 + math.log(50 / 1.5)), rel=1e-5)


def test_half_of_the_sessions_lose_some_transients_and_never_all() -> None:
    image = torch.zeros(8, 7)
    image[:, 0], image[:, -2:] = torch.arange(8.0), 1
    draw = RandTransientsd(deviates=5)
    draw.set_random_state(0)
    kept = []
    for _ in range(400):
        out = draw({"image": image})
        assert out["image"].shape == (8, 12)
        assert torch.equal(out["image"][:, :7], out["label"])
        assert torch.equal(out["label"][:, :-1], image[:, :-1])
        kept.append(int(out["label"][:, -1].sum()))
    assert image[:, -1].sum() == 8  # the data stay as they were
    assert min(kept) == 1
    whole = kept.count(8) / len(kept)  # half, and one in eight of the others
    assert whole == pytest.approx(0.5 + 0.5 / 8, abs=0.08)
    again = RandTransientsd(deviates=5)
    again.set_random_state(0)
    first = [again({"image": image})["label"][:, -1] for _ in range(400)]
    assert [int(there.sum()) for there in first] == kept
    assert {int(k) for there in first for k in (there == 0).nonzero()} == set(range(8))


def test_own_sessions_are_split_by_name_every_fifth_held_out(tmp_path: Path) -> None:
    for k in range(7):
        fids = numbered()
        write_fids(tmp_path / f"{k}.nii.gz", replace(fids, values=(k + 1) * fids.values))
    learnt, held_out = (
        TrainingSessions(dataset_dir=str(tmp_path), number=99, seed=0, validation=validation)
        for validation in (False, True)
    )
    assert [round(float(one.real)) for one in learnt.sessions.fids[:, 0, 0]] == [11, 22, 33, 44, 66, 77]
    assert [round(float(one.real)) for one in held_out.sessions.fids[:, 0, 0]] == [55]
    assert (len(learnt), len(held_out)) == (6, 1)
    assert learnt.sessions.on.shape == (6, 6)
    assert points_of(str(tmp_path)) == 64
    assert points_of(None) == 2048


def test_fewer_than_five_sessions_are_too_few(tmp_path: Path) -> None:
    for k in range(4):
        write_fids(tmp_path / f"{k}.nii.gz", numbered())
    with pytest.raises(InputError, match="holds 4 sessions; give at least 5 with"):
        _ = TrainingSessions(dataset_dir=str(tmp_path), number=1, seed=0).sessions


def test_simulated_sessions_are_as_many_as_asked_for_before_they_are_made() -> None:
    sessions = TrainingSessions(dataset_dir=None, number=10**6, seed=0)
    assert len(sessions) == 10**6
    assert "sessions" not in vars(sessions)


def test_a_session_is_described_by_means_and_spreads() -> None:
    """One of two transients by hand: t of 1 and 3, phases about pi, shifts of 4 and 10 Hz."""
    on = torch.tensor([[True, False]])
    z, t = torch.tensor([[7.0]]), torch.tensor([[[1.0], [3.0]]])
    found = Aligned(
        spectra=torch.zeros(1, 2, 8), noise=torch.tensor([[0.1, 0.1]]),
        phase=torch.tensor([[math.pi - 0.2, 0.2 - math.pi]]), shift=torch.tensor([[4.0, 10.0]]),
        scale=torch.tensor([50.0]),
    )  # fmt: skip
    vector, own = described(found, z, t, on)
    around = math.copysign(math.pi, float(vector[0, 3]))  # pi and -pi are one
    expected = [7, 2, math.log(1), around, math.log(0.2), 7, math.log(3), math.log(0.1), math.log(50)]
    torch.testing.assert_close(vector, torch.tensor([expected]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own, torch.tensor([[[1.0, -1, -1, -1], [0, 1, 1, 1]]]), atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def begun(unseen: Sessions) -> SessionVae:
    """A network with the frame of twelve sessions, and room for thirty."""
    network = SessionVae(scores=24, session=4, transient=2, width=16, sessions=30, kept=20).eval()
    initialise_linear_model(network, unseen)
    return network


def test_a_bank_larger_than_the_training_repeats_it(begun: SessionVae, unseen: Sessions) -> None:
    network = copy.deepcopy(begun)
    fill_bank(network, unseen)
    for k in range(30):
        assert torch.equal(network.bank[k], network.bank[k % 12])
    assert len(network.bank.unique(dim=0)) == 12
    assert network.bank_transients.shape == (30, 20, 5)
    assert torch.equal(network.bank_transients[:, 16:], network.bank_transients[:, :4])  # sixteen transients
    assert network.bank_transients[0, :16, 0].tolist() == [1.0, 0.0] * 8
    found = aligned(network, unseen.fids, unseen.on)
    torch.testing.assert_close(network.bank[:12, -1], found.scale.log().float(), atol=1e-4, rtol=1e-4)


def test_sessions_are_seen_as_the_network_sees_them(begun: SessionVae, unseen: Sessions) -> None:
    sessions = TrainingSessions(dataset_dir=None, number=12, seed=0)
    vars(sessions)["sessions"] = unseen
    scores = SessionScores(begun, sessions)
    assert len(scores) == 12
    expected = network_input(begun, aligned(begun, unseen.fids, unseen.on), unseen.on)
    torch.testing.assert_close(scores[3]["image"], expected[3], rtol=1e-4, atol=1e-4)
