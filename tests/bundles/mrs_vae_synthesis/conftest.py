import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from command_lines import infer
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sessions import Acquisition, Sessions, simulated_sessions
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
        "bandwidth": as_fids(session, 0, dwell=0.0008),
        "echo": as_fids(session, 0, echo=0.08, extension={**fids.extension, "EchoTime": 0.08}),
        "points": as_fids(session, 0, values=fids.values[:, :, :, :512]),
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


SMALL = Acquisition(dwell=0.0005, larmor=127.73, reference=4.68, echo=0.068, points=64, edited=True, water=True)


def small_network(**acquisition: object) -> SessionVae:
    """One of few weights that knows :data:`SMALL`, or something else."""
    network = SessionVae(points=64, scores=4, session=3, transient=2, width=8, sessions=5, kept=2)
    network.acquisition.copy_(replace(SMALL, **acquisition).stored())  # type: ignore[arg-type]
    return network.eval()


def numbered(edits: tuple[str, ...] = ("ON", "OFF"), *, edits_first: bool = False, transients: int = 3) -> Fids:
    """FIDs of 64 points whose real part is 10, 20, ... by transient, plus 1 for ON and 2 for OFF."""
    code = {"ON": 1, "OFF": 2}
    rows = [[10 * (k + 1) + code[edit.upper()] for edit in edits] for k in range(transients)]
    values = np.broadcast_to(np.array(rows, np.complex64), (1, 1, 1, 64, transients, len(edits)))
    axes = [("DIM_DYN", None), ("DIM_EDIT", {"EditCondition": list(edits)})]
    if edits_first:
        values, axes = values.swapaxes(-1, -2), axes[::-1]
    extension = {}
    for place, (tag, header) in zip(("dim_5", "dim_6"), axes, strict=True):
        extension |= {place: tag} | ({f"{place}_header": header} if header else {})
    return Fids(
        values=values.copy(), affine=np.eye(4), dwell=0.0005, larmor=127.73, nucleus="1H", reference=4.68, delay=None,
        echo=0.068, extension={**extension, "EchoTime": 0.068},
    )  # fmt: skip
