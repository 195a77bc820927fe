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
