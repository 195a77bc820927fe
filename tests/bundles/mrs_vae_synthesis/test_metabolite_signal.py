import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mrs_vae_synthesis.conversion import rereferenced
from mrs_vae_synthesis.measured_session import session_problems
from mrs_vae_synthesis.metabolite_signal import (
    mirrored_problem,
    reference_problem,
    unlike_the_others,
    water_over_metabolites,
)
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrs_vae_synthesis.training import own_sessions
from mrsikit.io import InputError, write_fids

from .conftest import as_fids


def water(sessions: Sessions, *, height: float = 40000.0, width: float = 7.0) -> torch.Tensor:
    """Unsuppressed water (T,) at 4.7 ppm."""
    at = np.arange(sessions.fids.shape[-1]) * sessions.dwell
    hz = (sessions.reference - 4.7) * sessions.larmor
    return torch.from_numpy(height * np.exp((2j * np.pi * hz - np.pi * width) * at)).to(torch.complex64)


def test_the_height_of_the_water_over_that_of_the_lines(unseen: Sessions) -> None:
    about = (unseen.dwell, unseen.larmor, unseen.reference)
    for fids in unseen.fids:
        assert reference_problem(fids, *about) is None
        assert "is a water reference" in str(reference_problem(fids + water(unseen), *about))
    at = torch.arange(2048) * unseen.dwell
    lines = [torch.exp((2j * torch.pi * (4.68 - p) * unseen.larmor - 20) * at) for p in (2.01, 4.68)]
    assert water_over_metabolites((lines[0] + 30 * lines[1])[None], *about) == pytest.approx(30, rel=0.1)


def test_noise_and_other_lines_are_not_like_the_others(unseen: Sessions) -> None:
    assert not unlike_the_others(unseen).any()
    given = unseen.fids.clone()
    given[2] = torch.randn(given[2].shape, dtype=given.dtype, generator=torch.Generator().manual_seed(0))
    given[5] = 0
    assert unlike_the_others(replace(unseen, fids=given)).nonzero()[:, 0].tolist() == [2, 5]


def test_training_leaves_water_references_out_by_name(
    unseen: Sessions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    on, off = (water(unseen, height=h)[:, None].numpy() for h in (40000.0, 39000.0))
    for place in range(6):
        plain = as_fids(unseen, place)
        write_fids(tmp_path / f"S0{place}_act.nii.gz", plain)
        extra = np.stack([on, off], -1)
        write_fids(tmp_path / f"S0{place}_ref.nii.gz", replace(plain, values=plain.values + extra))
    with caplog.at_level(logging.WARNING):
        found = own_sessions(str(tmp_path))
    assert len(found.fids) == 6
    torch.testing.assert_close(found.fids[:, :16], unseen.fids[:6])
    for place in range(6):
        assert f"S0{place}_ref.nii.gz: is a water reference" in caplog.text
        assert f"S0{place}_act" not in caplog.text
    for place in (0, 1):
        (tmp_path / f"S0{place}_act.nii.gz").unlink()
    own_sessions.cache_clear()
    with pytest.raises(InputError, match="holds 4 sessions; give at least 5 with metabolites"):
        own_sessions(str(tmp_path))


def test_a_run_names_a_water_reference(unseen: Sessions, network: SessionVae, tmp_path: Path) -> None:
    plain = as_fids(unseen, 0)
    write_fids(tmp_path / "ref.nii.gz", replace(plain, values=plain.values + water(unseen)[:, None, None].numpy()))
    problems = session_problems(tmp_path / "ref.nii.gz", Acquisition.of(network.acquisition), network.templates)
    assert len(problems) == 1
    assert "ref.nii.gz: is a water reference: its water is" in problems[0]


def test_training_leaves_mirrored_files_out_by_name_unless_all_are(
    unseen: Sessions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for place in range(6):
        plain = as_fids(unseen, place)
        write_fids(tmp_path / f"S{place}.nii.gz", replace(plain, values=plain.values.conj() if place else plain.values))
    with caplog.at_level(logging.WARNING), pytest.raises(InputError, match="holds 1 sessions"):
        own_sessions(str(tmp_path))
    assert "S3.nii.gz: has its lines above the water" in caplog.text
    assert "S0.nii.gz" not in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        found = own_sessions(str(tmp_path), sign="conjugate")
    assert "S0.nii.gz: has its lines above the water" in caplog.text
    torch.testing.assert_close(found.fids, unseen.fids[1:6])
    about = (unseen.dwell, unseen.larmor, unseen.reference)
    for fids in unseen.fids:
        assert mirrored_problem(fids, *about) is None
        assert mirrored_problem(fids.conj().resolve_conj(), *about) is not None
        assert mirrored_problem(fids + water(unseen, height=1000), *about) is None


def test_training_refuses_files_whose_edits_nobody_names(unseen: Sessions, tmp_path: Path) -> None:
    for place in range(5):
        plain = as_fids(unseen, place)
        values = plain.values.reshape(1, 1, 1, 2048, 16)
        write_fids(tmp_path / f"S{place}.nii.gz", replace(plain, values=values, extension={"dim_5": "DIM_DYN"}))
    with pytest.raises(InputError, match=r"S0.nii.gz: has two edits in turn, not the ON and OFF"):
        own_sessions(str(tmp_path))
    found = own_sessions(str(tmp_path), edit_order="on_off_interleaved")
    assert torch.equal(found.on, unseen.on[:5])


def test_a_transmitter_on_choline_is_no_other_sign(unseen: Sessions) -> None:
    """The mirror image of the water about 3.2 ppm lies at 1.7 ppm."""
    for fids in unseen.fids[:4]:
        moved = rereferenced(fids + water(unseen, height=500), unseen.dwell, (3.2 - 4.68) * unseen.larmor)
        assert mirrored_problem(moved, unseen.dwell, unseen.larmor, 3.2) is None
