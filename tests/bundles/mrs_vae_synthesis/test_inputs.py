from pathlib import Path

import pytest

from mrs_vae_synthesis.inputs import session_problems
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrsikit.io import write_fids

from .conftest import spoilt


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nucleus", "of nucleus 31P"),
        ("field", "6.98 T"),
        ("bandwidth", "bandwidth of 4000 Hz"),
        ("echo", "echo time of 80 ms"),
        ("points", "1024 points"),
        ("tags", "which edit is ON"),
        ("unedited", "no axis DIM_EDIT"),
        ("single", "holds 2 transients"),
        ("nan", "NaN or infinity"),
        ("zero", "zero throughout"),
        ("conjugated", "no lines where the network knows them"),
        ("elsewhere", "no lines where the network knows them"),
        ("swapped", "EditCondition in the right order"),
        ("on alone", "no axis DIM_EDIT"),
    ],
)
def test_what_is_no_such_session_is_refused(
    unseen: Sessions, network: SessionVae, tmp_path: Path, kind: str, words: str
) -> None:
    known = Acquisition(dwell=0.0005, larmor=127.73, reference=4.68, echo=0.068, points=2048, edited=True, water=True)
    path = tmp_path / "bad.nii.gz"
    write_fids(path, spoilt(unseen, kind))  # type: ignore[arg-type]
    assert words in " ".join(session_problems(path, known, network.templates))
