from pathlib import Path

import numpy as np
import pytest

from mrsikit.io import InputError
from mrsikit.io.basis import Basis, read_basis, read_lcmodel, write_basis

TEXT = """ $SEQPAR
 FWHMBA = 0.007829,
 HZPPPM = 127.731000,
 ECHOT = 35.00,
 SEQ = 'press'
 $END
 $BASIS1
 BADELT = 0.000250,
 NDATAB = 4
 $END
 $BASIS
 ID = 'one',
 METABO = 'one',
 CONC = 1.,
 ISHIFT = 0
 $END
  1.0e+00  0.0e+00
  1.0e+00  0.0e+00  1.0e+00  0.0e+00
  1.0e+00  0.0e+00
 $BASIS
 METABO = 'two'
 $END
  0.0e+00  0.0e+00  4.0e+00  0.0e+00  0.0e+00  0.0e+00  0.0e+00  0.0e+00
"""


def test_lcmodel_spectra_become_fids(tmp_path: Path) -> None:
    path = tmp_path / "a.BASIS"
    path.write_text(TEXT)
    basis = read_lcmodel(path)
    assert (basis.dwell, basis.larmor, basis.echo, basis.sequence) == (0.00025, 127.731, 0.035, "press")
    np.testing.assert_allclose(basis.fids["one"], [1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(basis.fids["two"], [1, 1j, -1, -1j], atol=1e-6)  # a line above zero frequency


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "says nothing of NDATAB"),
        (TEXT.replace("NDATAB = 4", "NDATAB = 5"), "8 numbers instead of 10"),
        (TEXT.split("$BASIS\n")[0], "holds no metabolite"),
        (TEXT.replace("4.0e+00", "4.0x+00"), "4.0x"),
        (TEXT.replace("NDATAB = 4", "NDATAB = four"), "four"),
        (TEXT.replace("HZPPPM", "HERTZ"), "says nothing of HZPPPM"),
    ],
)
def test_what_is_no_basis_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.BASIS"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_lcmodel(path)


def test_a_missing_file_or_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_lcmodel(tmp_path / "none.BASIS")
    with pytest.raises(InputError, match="holds no basis"):
        read_basis(tmp_path)


def test_files_of_two_acquisitions_are_no_basis(tmp_path: Path) -> None:
    for name, points in (("A", 32), ("B", 64)):
        fids = {name: np.ones(points, np.complex64)}
        basis = Basis(fids=fids, dwell=0.001, larmor=100.0, reference=4.7, echo=0.03, sequence="press")
        write_basis(tmp_path, {"": basis})
    with pytest.raises(InputError, match="not of one acquisition"):
        read_basis(tmp_path)
