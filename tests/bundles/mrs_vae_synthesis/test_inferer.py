import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrs_vae_synthesis.inferer import SynthesisInferer
from mrs_vae_synthesis.matched_filter import as_complex
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.preprocessing import PreprocessSessiond
from mrs_vae_synthesis.sampling import Draws, clean_fids, more_of
from mrs_vae_synthesis.sessions import Sessions
from mrsikit.io.nifti_mrs import metadata_of

from .conftest import as_fids

POINTS = 2048


def item(network: SessionVae, session: Sessions | None = None, **options: object) -> torch.Tensor:
    """(1, R, W + 4 + 2 T)."""
    given: dict = {"image": "session", "place": 0}
    if session is not None:
        fids = as_fids(session, 0)
        given["fids"] = MetaTensor(torch.from_numpy(fids.values)[None], meta=metadata_of(fids))
    return PreprocessSessiond(network=network, **options)(given)["image"].as_tensor()[None]  # type: ignore[arg-type]


def made(found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """FIDs (R, T), which rows are one, and which are ON."""
    return as_complex(found[0, :, :-2]), found[0, :, -2], found[0, :, -1]


def test_each_wanted_row_is_a_transient_of_its_edit(network: SessionVae) -> None:
    fids, there, on = made(SynthesisInferer()(item(network, transients=6), network))
    assert fids.shape == (6, POINTS)
    assert there.tolist() == [1] * 6
    assert on.tolist() == [1, 0] * 3
    assert (fids.abs().amax(1) > 0).all()


def test_rows_that_are_only_measured_are_none(network: SessionVae, unseen: Sessions) -> None:
    fids, there, _ = made(
        SynthesisInferer(sampling="hybrid")(item(network, unseen, sampling="hybrid", number=4), network)
    )
    assert there.tolist() == [1] * 4 + [0] * 12
    assert not fids[4:].any()


@pytest.mark.parametrize("sampling", ["random", "hybrid"])
def test_noise_is_the_rows_own_deviates_times_one_number(network: SessionVae, unseen: Sessions, sampling: str) -> None:
    given = item(network, None if sampling == "random" else unseen, sampling=sampling)
    noisy, silent = (
        made(SynthesisInferer(sampling=sampling, noise=noise)(given, network))[0] for noise in (True, "false")
    )
    width = network.deviates
    deviates = as_complex(given[0, :, width - 2 * POINTS : width])
    ratio = (noisy - silent) / deviates
    sd = ratio.real.median(1).values
    assert (sd > 0).all()
    error = (noisy - silent - sd[:, None] * deviates).abs().amax(1)
    assert (error < 1e-3 * silent.abs().amax(1)).all()


def test_a_reconstruction_is_that_of_the_sampling(network: SessionVae, unseen: Sessions) -> None:
    given = item(network, unseen, sampling="reconstruct")
    found, _, on = made(SynthesisInferer(sampling="reconstruct", noise=False)(given, network))
    fids = torch.from_numpy(np.ascontiguousarray(as_fids(unseen, 0).values[0, 0, 0])).flatten(1).T
    edits = torch.tensor([True, False] * 8)
    draws = Draws.of(given[:, :, : network.deviates], network)
    expected = clean_fids(network, more_of(network, fids, edits, "reconstruct", edits, draws))[0]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    assert torch.equal(on > 0.5, edits)


def test_sessions_of_a_batch_are_made_each_alone(network: SessionVae) -> None:
    given = torch.cat([item(network, transients=4, seed=seed) for seed in (1, 2)])
    both = SynthesisInferer()(given, network)
    for k in range(2):
        torch.testing.assert_close(both[k : k + 1], SynthesisInferer()(given[k : k + 1], network))
