import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mrsikit.io.basis import read_basis, read_lcmodel
from mrsikit.simulation.density_matrix import LARMOR, Basis, main, mega_press, press, simulated_basis, simulated_fid
from mrsikit.simulation.spin_systems import SPIN_SYSTEMS, SpinSystem

POINTS, DWELL = 2048, 0.0005
DATA = Path(__file__).parents[4] / "shared" / "data"


def shown(fid: NDArray, basis: Basis, low: float, high: float, width: float = 4.0) -> NDArray:
    """Real spectrum between two shifts, lines so many Hz wide."""
    at = np.arange(len(fid)) * basis.dwell
    values = np.fft.fftshift(np.fft.fft(fid * np.exp(-math.pi * width * at))).real
    ppm = basis.reference - np.fft.fftshift(np.fft.fftfreq(len(fid), basis.dwell)) / basis.larmor
    return values[(ppm > low) & (ppm < high)]


@pytest.fixture(scope="module")
def edited() -> dict[str, Basis]:
    return simulated_basis("mega_press", te=0.068, metabolites=["GABA", "Cr", "NAA", "Lac"])


def test_a_singlet_is_a_line_at_its_shift_of_as_many_as_its_protons() -> None:
    fid = simulated_fid([SpinSystem(shifts=(3.34,), count=6)], press(0.03), points=POINTS, dwell=DWELL)
    nu = (4.68 - 3.34) * LARMOR
    np.testing.assert_allclose(fid, 6 * np.exp(2j * math.pi * nu * np.arange(POINTS) * DWELL), atol=0.005)


def test_a_weakly_coupled_pair_follows_the_textbook() -> None:
    pair = SpinSystem(shifts=(1.0, 4.0), couplings={(0, 1): 7.0})
    te = 1 / (2 * 7.0)
    for te1 in (0.01, 0.03):
        fid = simulated_fid([pair], press(2 * te, te1=te1, bandwidth=None), points=POINTS, dwell=DWELL)
        assert fid[0].real == pytest.approx(-2.0, abs=0.05)  # both doublets inverted at te = 1 / J
        fid = simulated_fid([pair], press(te, te1=te1, bandwidth=None), points=POINTS, dwell=DWELL)
        assert abs(fid[0]) < 0.1  # antiphase at 1 / 2 J


def test_strong_coupling_makes_lines_that_weak_coupling_has_not() -> None:
    strong = SpinSystem(shifts=(2.0, 2.05), couplings={(0, 1): 15.0})
    fid = simulated_fid([strong], press(0.035, bandwidth=None), points=4 * POINTS, dwell=DWELL)
    heights = np.abs(np.fft.fft(fid * np.exp(-3 * np.arange(4 * POINTS) * DWELL)))
    hz = np.fft.fftfreq(4 * POINTS, DWELL)
    apart = math.hypot(15.0, 0.05 * LARMOR)
    middle = (4.68 - 2.025) * LARMOR
    expected = sorted(middle + s * (apart / 2) + d * 7.5 for s in (-1, 1) for d in (-1, 1))
    tops = [hz[k] for k in range(1, len(hz) - 1) if heights[k] == heights[max(0, k - 4) : k + 5].max() > 50]
    assert len(tops) >= 3
    assert all(min(abs(top - e) for e in expected) < 1.0 for top in tops)


def test_lines_far_from_the_centre_of_the_slices_lose_only_what_the_partner_misses() -> None:
    singlet = SPIN_SYSTEMS["sI"]
    for bandwidth in (None, 1000.0):
        fid = simulated_fid(singlet, press(0.035, bandwidth=bandwidth), points=64, dwell=DWELL)
        assert fid[0].real == pytest.approx(6.0)
    lactate = SPIN_SYSTEMS["Lac"]
    ideal, real = (
        simulated_fid(lactate, press(0.144, bandwidth=b), points=64, dwell=DWELL)[0].real for b in (None, 1000.0)
    )
    assert ideal == pytest.approx(-4, abs=0.2)
    assert real > ideal + 0.5


def test_editing_leaves_gaba_inverts_naa_and_cancels_creatine(edited: dict[str, Basis]) -> None:
    on, off = edited["ON"], edited["OFF"]

    def pair(name: str, low: float, high: float) -> tuple[NDArray, NDArray]:
        a, b = (shown(basis.fids[name], basis, low, high) for basis in (on, off))
        return a - b, b

    difference, plain = pair("Cr", 2.8, 3.3)
    assert np.abs(difference).max() < 0.01 * np.abs(plain).max()
    difference, plain = pair("NAA", 1.8, 2.2)
    assert difference.min() < -0.95 * plain.max()
    difference, _ = pair("GABA", 2.8, 3.2)
    one_proton = shown(
        simulated_fid([SpinSystem(shifts=(3.0,))], press(0.03), points=POINTS, dwell=DWELL), on, 2.8, 3.2
    )
    assert 0.8 < difference.sum() / one_proton.sum() < 2.2  # the outer lines of two protons, and what else is edited
    assert difference.min() > -0.05 * difference.max()
    difference, plain = pair("Lac", 1.0, 1.6)
    assert np.abs(difference).max() > 0.1 * np.abs(plain).max()


def test_an_editing_pulse_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        mega_press(0.04, ppm=1.9)
    with pytest.raises(ValueError, match="no part"):
        press(0.01, te1=0.02)
    with pytest.raises(ValueError, match="no spin system of XYZ"):
        simulated_basis("press", metabolites=["XYZ"])
    with pytest.raises(ValueError, match="none of press"):
        simulated_basis("steam")


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not there")
def test_press_against_an_established_basis() -> None:
    names = {"NAA": "NAA", "Cr": "Cr", "Glu": "Glu", "Gln": "Gln", "GABA": "GABA", "Ins": "mI"}
    known = read_lcmodel(DATA / "press_basis_3t" / "3T_PRESS_Philips_35ms_noMM.BASIS")
    ours = simulated_basis(
        "press", te=known.echo, metabolites=list(names.values()), points=8192, dwell=known.dwell, larmor=known.larmor
    )[""]
    for theirs, name in names.items():
        best = 0.0
        for width in (1.0, 1.5, 2.0):
            a = shown(known.fids[theirs], known, 0.17, 4.17, 1.0)  # its spectra lie .03 ppm lower
            b = shown(ours.fids[name], ours, 0.2, 4.2, width)[: len(a)]
            crossed = np.fft.ifft(np.fft.fft(a) * np.fft.fft(b, len(a)).conj()).real
            best = max(best, crossed.max() / np.linalg.norm(a) / np.linalg.norm(b))
        assert best >= 0.98, name


def test_the_command_writes_a_file_a_metabolite_and_edit(tmp_path: Path) -> None:
    folder = tmp_path / "basis"
    assert main([str(folder), "--sequence", "mega_press", "--metabolites", "GABA,Cr", "--points", "256"]) == 0
    assert {p.name for p in folder.iterdir()} == {f"{m}_{e}.nii.gz" for m in ("GABA", "Cr") for e in ("ON", "OFF")}
    read = read_basis(folder)
    made = simulated_basis("mega_press", te=0.068, metabolites=["GABA", "Cr"], points=256)
    assert read["ON"].echo == pytest.approx(0.068)
    assert (read["ON"].reference, read["ON"].sequence) == (4.68, "mega_press")
    for edit in ("ON", "OFF"):
        for name in ("GABA", "Cr"):
            np.testing.assert_allclose(read[edit].fids[name], made[edit].fids[name], atol=1e-5)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--te", "35", "te 35 s is not plausible (in ms?); give 0.001 to 1 s"),
        ("--te", "nan", "te nan s is not plausible"),
        ("--te", "-0.03", "is not plausible"),
        ("--dwell", "0.5", "dwell 0.5 s is not plausible (in ms?); give 1e-05 to 0.005 s"),
        ("--dwell", "0", "dwell 0 s is not plausible"),
        ("--dwell", "0.0016", "give at most 0.0"),
        ("--larmor", "3", "in tesla? 3 T is 127.73 MHz"),
        ("--larmor", "-127", "larmor -127 MHz is not plausible"),
        ("--points", "0", "points 0 samples is not plausible"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(
    option: str, value: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "basis"), option, value, "--metabolites", "NAA"])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "basis").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "basis").write_text("")
    with pytest.raises(SystemExit):
        main([str(tmp_path / "basis"), "--metabolites", "NAA"])
    assert "basis is a file; give a folder" in capsys.readouterr().err
