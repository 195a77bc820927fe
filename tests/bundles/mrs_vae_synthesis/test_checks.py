import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mrs_vae_synthesis.alignment import aligned
from mrs_vae_synthesis.checks import (
    FEWEST,
    SHOWN,
    _bank_sessions,
    concentrations,
    distinct,
    mean_rows,
    rows_of,
    set_checks,
    steps_of,
)
from mrs_vae_synthesis.conversion import acquisition_of, converted
from mrs_vae_synthesis.inputs import SynthesisInputs
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sampling import edits_of
from mrs_vae_synthesis.sessions import Acquisition, Sessions, simulated_sessions
from mrsikit.io import write_fids

from .conftest import BUNDLE, as_fids

WEIGHTS = BUNDLE / "models" / "model.pt"


def test_sessions_kept_over_and_over_count_once(network: SessionVae) -> None:
    few = copy.deepcopy(network)
    few.bank.copy_(network.bank[torch.arange(len(network.bank)) % 3])
    assert distinct(few).tolist() == [0, 1, 2]
    real, ((bank, _), (again, _)) = _bank_sessions(few, 7, edits_of(4, "both", True))
    assert [len(real), len(bank), len(again)] == [7, 3, 7]
    # copies are near one of the three, and the three are apart
    rows = mean_rows(bank, torch.zeros(3, bank.shape[1], dtype=torch.bool), few)
    assert np.linalg.norm(rows[0] - rows[1]) > 1


def session(fids: torch.Tensor, like: Sessions) -> Sessions:
    return replace(like, fids=fids, on=torch.zeros(fids.shape[:2], dtype=torch.bool), clean=None)


def test_rows_are_the_range_that_is_shown_real_and_imaginary(unseen: Sessions) -> None:
    """Against numpy's transform, of lines within and without."""
    at = np.arange(2048) * unseen.dwell
    lines = [np.exp(2j * np.pi * (4.68 - ppm) * unseen.larmor * at - 30 * at) for ppm in (2.0, 3.0, 8.0)]
    given = session(torch.from_numpy(np.stack(lines)[None]).to(torch.complex64), unseen)
    rows = rows_of(given, 2)
    ppm = 4.68 - np.fft.fftshift(np.fft.fftfreq(2048, unseen.dwell)) / unseen.larmor
    inside = (ppm > SHOWN[0]) & (ppm < SHOWN[1])
    assert rows.shape == (2, 2 * inside.sum())
    for row, line in zip(rows, lines, strict=False):
        expected = np.fft.fftshift(np.fft.fft(np.where(at == 0, 0.5, 1) * line))[inside]
        np.testing.assert_allclose(row, np.concatenate([expected.real, expected.imag]), atol=1e-2)
    assert len(rows_of(given)) == 3  # as many as there are


def test_steps_are_the_logarithm_of_the_way_from_point_to_point(unseen: Sessions) -> None:
    generator = torch.Generator().manual_seed(0)
    given = session(torch.randn(1, 1, 2048, dtype=torch.complex64, generator=generator), unseen)
    row = rows_of(given)[0]
    values = row[: len(row) // 2] + 1j * row[len(row) // 2 :]
    np.testing.assert_allclose(steps_of(given)[0], np.log(np.abs(np.diff(values))), rtol=1e-4, atol=1e-4)
    # ten times the noise: each step is larger by log 10
    louder = steps_of(replace(given, fids=10 * given.fids)) - steps_of(given)
    np.testing.assert_allclose(louder, np.log(10), rtol=1e-3)


def test_a_mean_is_that_of_the_first_edit(network: SessionVae, unseen: Sessions) -> None:
    found = aligned(network, unseen.fids[:2], unseen.on[:2])
    ppm = unseen.reference - torch.fft.fftfreq(2048, unseen.dwell) / unseen.larmor
    inside = ((ppm > SHOWN[0]) & (ppm < SHOWN[1])).repeat(2)
    expected = found.spectra[:, ::2][..., inside].mean(1)  # ON, OFF, ON, ...
    np.testing.assert_allclose(mean_rows(unseen.fids[:2], unseen.on[:2], network), expected, atol=1e-4)


def test_concentrations_without_noise_are_those_of_the_subjects(network: SessionVae, unseen: Sessions) -> None:
    assert unseen.clean is not None
    found = concentrations(replace(unseen, fids=unseen.clean), network)
    sums = {"NAA": ("NAA",), "tCr": ("Cr", "PCr"), "tCho": ("GPC", "PCh"), "Glx": ("Glu", "Gln"), "mI": ("mI",)}
    for name, members in sums.items():
        truth = [sum(one[member] for member in members) for one in unseen.concentrations]
        np.testing.assert_allclose(found[name], truth, rtol=0.03)
    gaba = np.array([one["GABA"] for one in unseen.concentrations])
    assert np.median(found["GABA+"] / gaba) == pytest.approx(1.2, abs=0.2)  # and the macromolecules beside it


def test_too_few_new_sessions_are_not_judged(network: SessionVae, unseen: Sessions, tmp_path: Path) -> None:
    inputs = SynthesisInputs(dataset_dir=None, output_dir=tmp_path, outputs=["synthetic"], number=64, transients=32)
    assert set_checks(inputs, network) == []  # there is none yet
    for k in (1, 2):
        write_fids(tmp_path / f"session_000{k}_synthetic.nii.gz", as_fids(unseen, k))
        (tmp_path / f"session_000{k}.json").write_text('{"mrsikit": "0"}')
    assert set_checks(inputs, network) == [f"2 sessions are too few to judge as a set; from {FEWEST} on they are"]


@pytest.mark.parametrize(("louder", "words", "lines"), [(1, "1.00 to 1.00", 2), (2, "2.00 to 2.00", 3)])
def test_transients_of_measured_sessions_have_the_noise_of_these(
    network: SessionVae, unseen: Sessions, tmp_path: Path, louder: int, words: str, lines: int
) -> None:
    fids = as_fids(unseen, 0)
    write_fids(tmp_path / "a.nii.gz", fids)
    write_fids(tmp_path / "a_synthetic.nii.gz", replace(fids, values=louder * fids.values))
    (tmp_path / "a.json").write_text('{"mrsikit": "0"}')
    inputs = SynthesisInputs(
        dataset_dir=tmp_path, output_dir=tmp_path, outputs=["synthetic"], sampling="hybrid", weights=WEIGHTS
    )
    found = set_checks(inputs, network)
    assert words in found[0]
    assert len(found) == lines
    assert ("use none of this where noise matters" in " ".join(found)) == (louder == 2)
    assert "no more than the measured ones" in found[-1]


def test_the_noise_of_a_file_of_a_larger_bandwidth_is_that_at_the_networks(
    network: SessionVae, unseen: Sessions, tmp_path: Path
) -> None:
    wide = simulated_sessions(1, seed=99, transients=16, points=4096, dwell=0.00025)
    write_fids(tmp_path / "a.nii.gz", as_fids(wide, 0))
    own = Acquisition.of(network.acquisition)
    known = acquisition_of(as_fids(wide, 0), own)
    made = replace(wide, fids=converted(wide.fids, known, own), dwell=own.dwell)
    write_fids(tmp_path / "a_synthetic.nii.gz", as_fids(made, 0))
    (tmp_path / "a.json").write_text('{"mrsikit": "0"}')
    inputs = SynthesisInputs(
        dataset_dir=tmp_path, output_dir=tmp_path, outputs=["synthetic"], sampling="hybrid", weights=WEIGHTS
    )
    assert "1.00 to 1.00" in set_checks(inputs, network)[0]
