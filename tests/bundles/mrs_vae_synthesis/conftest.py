import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_lines import infer

from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Sessions, simulated_sessions
from mrsikit.io import Fids, write_fids

REPOSITORY = Path(__file__).resolve().parents[3]
BUNDLE = REPOSITORY / "bundles" / "mrs_vae_synthesis"


def as_fids(session: Sessions, place: int, **options: object) -> Fids:
    """One session as a scanner's converter would give it: (1, 1, 1, T, transients, 2)."""
    fids, on = session.fids[place], session.on[place]
    values = torch.stack([fids[on], fids[~on]], -1).movedim(1, 0)[None, None, None]
    header = {"dim_5": "DIM_DYN", "dim_6": "DIM_EDIT", "dim_6_header": {"EditCondition": ["ON", "OFF"]}}
    given = {
        "values": values.numpy().astype(np.complex64), "affine": np.diag([30.0, 30, 30, 1]), "dwell": session.dwell,
        "larmor": session.larmor, "nucleus": "1H", "reference": session.reference, "delay": None, "echo": session.echo,
        "extension": {**header, "EchoTime": session.echo, "PatientName": "nobody"},
    }  # fmt: skip
    return Fids(**{**given, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def unseen() -> Sessions:
    """Twelve subjects that no training saw."""
    return simulated_sessions(12, seed=99, transients=16)


@pytest.fixture(scope="session")
def network() -> SessionVae:
    """The shipped one."""
    network = SessionVae()
    state = torch.load(BUNDLE / "models" / "model.pt", map_location="cpu", weights_only=True)
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return network.eval()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, unseen: Sessions) -> Path:
    """Two measured sessions."""
    folder = tmp_path_factory.mktemp("sessions")
    for place, name in enumerate(("one", "two")):
        write_fids(folder / f"{name}.nii.gz", as_fids(unseen, place))
    return folder


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess]:
    return lambda **options: infer(BUNDLE, **options)


def spoilt(session: Sessions, kind: str) -> Fids:
    """A session with one thing wrong."""
    fids = as_fids(session, 0)
    plain = {k: v for k, v in fids.extension.items() if not k.startswith("dim_6")}
    return {
        "nucleus": as_fids(session, 0, nucleus="31P"),
        "field": as_fids(session, 0, larmor=297.2),
        "bandwidth": as_fids(session, 0, dwell=0.00025),
        "echo": as_fids(session, 0, echo=0.08, extension={**fids.extension, "EchoTime": 0.08}),
        "points": as_fids(session, 0, values=fids.values[:, :, :, :1024]),
        "tags": as_fids(session, 0, extension={**plain, "dim_6": "DIM_EDIT"}),
        "unedited": as_fids(session, 0, values=fids.values[..., 0], extension=plain),
        "single": as_fids(session, 0, values=fids.values[..., :1, :]),
        "nan": as_fids(session, 0, values=np.where(np.arange(2048)[:, None, None] == 3, np.nan, fids.values)),
        "zero": as_fids(session, 0, values=np.where(np.arange(8)[:, None] == 3, 0, fids.values)),
        "conjugated": as_fids(session, 0, values=fids.values.conj()),
        "elsewhere": as_fids(session, 0, reference=3.0),
        "swapped": as_fids(session, 0, values=fids.values[..., ::-1]),
        "on alone": as_fids(
            session,
            0,
            values=fids.values[..., :1],
            extension={**plain, "dim_6": "DIM_EDIT", "dim_6_header": {"EditCondition": ["ON"]}},
        ),
    }[kind]
