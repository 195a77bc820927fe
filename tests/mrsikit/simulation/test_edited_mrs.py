import math

import numpy as np
import pytest
import torch

from mrsikit.io.basis import Basis
from mrsikit.physics.spectra import noise_sd, ppm_axis, spectrum
from mrsikit.simulation.density_matrix import simulated_basis
from mrsikit.simulation.edited_mrs import Session, TransientModel


@pytest.fixture(scope="module")
def edited() -> dict[str, Basis]:
    return simulated_basis("mega_press", te=0.068, metabolites=["NAA", "Cr", "PCr", "GABA"], points=1024)


@pytest.fixture(scope="module")
def session(edited: dict[str, Basis]) -> Session:
    return TransientModel(edited).session(np.random.default_rng(3), transients=64)


def test_what_is_said_of_a_session_is_so(session: Session) -> None:
    assert session.fids.shape == (64, 1024)
    assert session.on.tolist() == [True, False] * 32
    left = session.fids - session.clean
    assert left.real.std().item() == pytest.approx(session.sigma, rel=0.02)
    assert left.imag.std().item() == pytest.approx(session.sigma, rel=0.02)
    assert noise_sd(session.fids).median().item() == pytest.approx(session.sigma, rel=0.1)
    assert set(session.concentrations) >= {"NAA", "Cr", "GABA"}


def test_phase_and_shift_take_a_transient_back(edited: dict[str, Basis], session: Session) -> None:
    model = TransientModel(edited)
    back = session.clean * torch.exp(-1j * session.phase[:, None] - 2j * math.pi * session.shift[:, None] * model.at)
    ppm = ppm_axis(1024, model.dwell, larmor=model.larmor, reference=model.reference)
    values = spectrum(back[~session.on])
    near = (ppm > 1.9) & (ppm < 2.15)
    peaks = ppm[near][values.real[:, near].argmax(1)]
    assert (peaks - 2.008).abs().max() < 0.02
    assert (values.real[:, near].amax(1) > 5 * values.imag[:, near].abs().amin(1)).all()


def test_editing_and_macromolecules_stand_at_three_ppm(edited: dict[str, Basis], session: Session) -> None:
    model = TransientModel(edited)
    back = session.clean * torch.exp(-1j * session.phase[:, None] - 2j * math.pi * session.shift[:, None] * model.at)
    ppm = ppm_axis(1024, model.dwell, larmor=model.larmor, reference=model.reference)
    difference = spectrum(back[session.on].mean(0) - back[~session.on].mean(0)).real
    assert difference[(ppm > 1.95) & (ppm < 2.06)].min() < 0  # NAA
    assert difference[(ppm > 2.9) & (ppm < 3.12)].mean() > 0  # GABA+
    assert model.broad["ON"].abs()[7, 0] > 3 * model.broad["OFF"].abs()[7, 0]


def test_a_seed_is_a_session_and_sessions_differ(edited: dict[str, Basis]) -> None:
    model = TransientModel(edited)
    one, again, other = (model.session(np.random.default_rng(seed), transients=2) for seed in (1, 1, 2))
    torch.testing.assert_close(one.fids, again.fids, rtol=0, atol=0)
    assert (one.fids - other.fids).abs().max() > 1
    assert one.concentrations["NAA"] != other.concentrations["NAA"]


def test_unedited_bases_do_too() -> None:
    model = TransientModel(simulated_basis("press", te=0.035, metabolites=["NAA", "Cr"], points=512))
    session = model.session(np.random.default_rng(0), transients=3)
    assert not session.on.any()
    assert torch.isfinite(session.fids.abs()).all()
