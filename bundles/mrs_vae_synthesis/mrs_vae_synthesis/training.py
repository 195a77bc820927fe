"""Training of the autoencoder of sessions: its data, its loss, and the bank of latent variables that it stores."""

from __future__ import annotations

import functools
import logging
from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.data import Dataset
from monai.transforms import RandomizableTransform
from torch import Tensor, nn

from mrs_vae_synthesis.alignment import Aligned, aligned, network_input
from mrs_vae_synthesis.edit_consistency import edit_problem
from mrs_vae_synthesis.linear_initialisation import initialise_linear_model
from mrs_vae_synthesis.metabolite_signal import mirrored_problem, reference_problem, unlike_the_others
from mrs_vae_synthesis.network import EXTRA, SessionVae
from mrs_vae_synthesis.nifti_sessions import measured_sessions, read_session
from mrs_vae_synthesis.options import EditOrder
from mrs_vae_synthesis.sessions import Sessions, simulated_sessions
from mrsikit.io import InputError
from mrsikit.runtime import InputFolder, as_flag
from mrsikit.runtime.training import SaveWeights, unwrapped

logger = logging.getLogger(__name__)

SOME = 32
"""Sessions processed at a time."""


HELD_OUT = 5
"""Every fifth of the user's own sessions is held out for validation."""


class TrainingSessions:
    """Training data: sessions of virtual subjects or the user's own, simulated or read on first access.

    Args:
        dataset_dir: folder of NIfTI-MRS files; None: simulate sessions.
        number: number of simulated sessions.
        seed: seed of the simulated sessions.
        validation: take the held-out ones of the user's sessions (every fifth, sorted by name) instead of the others.
        edit_order: order of ON and OFF in the user's files, as of :func:`mrs_vae_synthesis.nifti_sessions.laid_out`.
        sign: of the FIDs of the user's files: "standard", NIfTI-MRS's, or "conjugate", the other.
        simulation: further arguments of :func:`simulated_sessions`.

    Raises:
        InputError: on first access, if the folder holds fewer than five sessions, or files of several acquisitions.
    """

    def __init__(
        self,
        *,
        dataset_dir: str | None,
        number: int,
        seed: int,
        validation: bool = False,
        edit_order: EditOrder = "header",
        sign: str = "standard",
        **simulation: Any,
    ) -> None:
        self.dataset_dir, self.number, self.seed, self.validation = dataset_dir, number, seed, validation
        self.edit_order, self.sign, self.simulation = edit_order, sign, simulation

    def __len__(self) -> int:
        """Number of sessions."""
        return self.number if self.dataset_dir is None else len(self.sessions.fids)

    @functools.cached_property
    def sessions(self) -> Sessions:
        """Sessions of the data set."""
        if self.dataset_dir is None:
            return simulated_sessions(self.number, seed=self.seed, **self.simulation)
        own = own_sessions(self.dataset_dir, self.edit_order, self.sign)
        mine = (torch.arange(len(own.fids)) % HELD_OUT == HELD_OUT - 1) == self.validation
        return replace(own, fids=own.fids[mine], on=own.on[mine])


@functools.lru_cache(maxsize=1)
def own_sessions(dataset_dir: str, edit_order: EditOrder = "header", sign: str = "standard") -> Sessions:
    """Read all sessions of a folder, sorted by name, once for both training and validation.

    Water references, files of the other sign, and files that have no lines like the others are left out with a warning
    that names them.

    Args:
        dataset_dir: folder of NIfTI-MRS files.
        edit_order: as of :class:`TrainingSessions`.
        sign: as of :class:`TrainingSessions`.

    Raises:
        InputError: the folder holds fewer than five sessions, or files of several protocols, or a file
            whose transients do not have the edits that they are said to have.
    """
    given: dict[str, Any] = {"edit_order": edit_order, "conjugate": sign == "conjugate"}
    found = InputFolder(dataset_dir=dataset_dir, output_dir=None, holds="fids").files
    files = [path for path in found if _is_kept(path, read_session(path, **given))]
    own = _enough(measured_sessions(files, **given) if files else None, dataset_dir)
    unlike = unlike_the_others(own)
    for place, (path, left_out) in enumerate(zip(files, unlike.tolist(), strict=True)):
        if left_out:
            logger.warning("%s: has no metabolite lines like the other sessions; left out of the training", path)
        elif wrong := edit_problem(replace(own, fids=own.fids[place : place + 1], on=own.on[place : place + 1])):
            raise InputError(f"{path}: {wrong}")
    return _enough(replace(own, fids=own.fids[~unlike], on=own.on[~unlike]), dataset_dir)


def _is_kept(path: Path, one: Sessions) -> bool:
    """Whether a file, read as a session, has metabolite lines of its sign and no unsuppressed water; says why not."""
    about = (one.fids[0], one.dwell, one.larmor, one.reference)
    problem = reference_problem(*about) or mirrored_problem(*about)
    if problem is not None:
        logger.warning("%s: %s; left out of the training", path, problem.removesuffix("; leave it out"))
    return problem is None


def _enough(sessions: Sessions | None, dataset_dir: str) -> Sessions:
    count = 0 if sessions is None else len(sessions.fids)
    if sessions is None or count < HELD_OUT:
        raise InputError(
            f"{dataset_dir}: holds {count} sessions; give at least {HELD_OUT} with metabolites, every fifth is held out"
        )
    return sessions


def points_of(dataset_dir: str | None, edit_order: EditOrder = "header", sign: str = "standard") -> int:
    """Number of samples of the training FIDs: that of the folder's sessions, or 2,048 for simulated ones."""
    return 2048 if dataset_dir is None else own_sessions(dataset_dir, edit_order, sign).fids.shape[2]


class SessionScores(Dataset):
    """Data set of sessions as the network takes them, {"image": (N, K + 3)}, computed on first access.

    The network must have its templates and directions by then, either from
    :func:`mrs_vae_synthesis.linear_initialisation.initialise_linear_model` or from its weights.

    Args:
        network: network that aligns the sessions and gives their scores.
        sessions: sessions of the data set.
    """

    def __init__(self, network: nn.Module, sessions: TrainingSessions) -> None:
        self.network, self.sessions = network, sessions

    def __len__(self) -> int:
        """Number of sessions."""
        return len(self.sessions)

    def __getitem__(self, index: int) -> dict[str, Tensor]:  # type: ignore[override]
        """One session."""
        return {"image": self._inputs[index]}

    @functools.cached_property
    def _inputs(self) -> Tensor:
        module, sessions = cast(SessionVae, unwrapped(self.network)), self.sessions.sessions
        device = module.centres.device
        parts = zip(sessions.fids.split(SOME), sessions.on.split(SOME), strict=True)
        with torch.no_grad():
            found = [
                network_input(module, aligned(module, fids.to(device), on.to(device)), on.to(device)).cpu()
                for fids, on in parts
            ]
        return torch.cat(found)


class RandTransientsd(RandomizableTransform):
    """Hide some transients of a session with probability 0.5, and append normal deviates.

    So the network learns to work with any number of transients, also with ON or OFF alone.

    Args:
        deviates: normal deviates per transient that the training uses to draw from the posterior; 0: none.

    Output:
        "image" (N, K + 3 + deviates) and "label" (N, K + 3).
    """

    def __init__(self, deviates: int = 0) -> None:
        super().__init__(0.5)
        self.deviates = deviates

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Hide transients and draw the deviates."""
        self.randomize(None)
        image = torch.as_tensor(data["image"]).clone()
        if self._do_transform:
            kept = self.R.randint(1, len(image) + 1)
            hidden = self.R.permutation(len(image))[kept:]
            image[hidden, -1] = 0.0
        drawn = torch.from_numpy(self.R.standard_normal((len(image), self.deviates))).to(image)
        return {"image": torch.cat([image, drawn], 1), "label": image}


ODD = 1.5
"""Misfit, relative to its expectation, above which only its logarithm counts. A session that no latent variable
describes, such as one whose water is a thousand times above the noise, must not outweigh all others."""


class SessionLoss(nn.Module):
    """Negative evidence lower bound per transient for noise of known standard deviation, without constant terms."""

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Mean loss over the transients that are present, then over sessions.

        Args:
            pred: (B, N, K + 1), output of :meth:`SessionVae.forward`.
            label: (B, N, K + 3), its input.
        """
        scores, noise, there = label[..., :-EXTRA], label[..., -2], label[..., -1]
        misfit = (pred[..., :-1] - scores).square().sum(-1) / (2 * noise.square())
        limit = ODD * scores.shape[-1] / 2
        misfit = torch.where(misfit < limit, misfit, limit * (1 + torch.log(misfit.clamp(min=limit) / limit)))
        each = ((misfit + pred[..., -1]) * there).sum(1) / there.sum(1)
        return each.mean()


class InitialiseLinearModel:
    """Handler: initialise the network from the training sessions before the first epoch.

    It must stand before ResumableTraining, which replaces the initial weights by those of a checkpoint.

    Args:
        network: network in training.
        sessions: training sessions.
        water: as of :func:`mrs_vae_synthesis.linear_initialisation.initialise_linear_model`.
    """

    def __init__(self, *, network: nn.Module, sessions: TrainingSessions, water: bool | str = True) -> None:
        self.network, self.sessions, self.water = network, sessions, as_flag(water, "water")

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Initialise the network on the CPU, where the sessions are."""
        module = cast(SessionVae, unwrapped(self.network))
        device = module.centres.device
        initialise_linear_model(module.cpu(), self.sessions.sessions, water=self.water)
        module.to(device)


class SaveSessionVae(SaveWeights):
    """Handler: store the latent variables of the training sessions in the bank and write the weights after training.

    It must stand after ResumableTraining, which restores the best weights first.

    Args:
        path: file to write.
        network: network in training.
        sessions: training sessions.
    """

    def __init__(self, *, path: str, network: nn.Module, sessions: TrainingSessions) -> None:
        super().__init__(path=path, network=network)
        self.sessions = sessions

    def __call__(self, engine: Engine) -> None:
        """Fill the bank and save."""
        if not dist.is_initialized() or dist.get_rank() == 0:
            fill_bank(cast(SessionVae, unwrapped(self.network)), self.sessions.sessions)
        super().__call__(engine)


@torch.no_grad()
def fill_bank(network: SessionVae, sessions: Sessions) -> None:
    """Fill a network's bank with sessions; they are repeated if they are fewer than the bank holds."""
    network.eval()
    device = network.bank.device
    rows, transients = [], []
    for part, edits in zip(sessions.fids.split(SOME), sessions.on.split(SOME), strict=True):
        fids, on = part.to(device), edits.to(device)
        found = aligned(network, fids, on)
        z, _, t, _ = network.encode(network_input(network, found, on))
        vector, own = described(found, z, t, on)
        rows.append(vector)
        transients.append(own)
    vectors, each = torch.cat(rows), torch.cat(transients)
    chosen = torch.arange(len(network.bank)) % len(vectors)
    kept = torch.arange(network.bank_transients.shape[1]) % each.shape[1]
    network.bank.copy_(vectors[chosen])
    network.bank_transients.copy_(each[chosen][:, kept])


def described(found: Aligned, z: Tensor, t: Tensor, on: Tensor) -> tuple[Tensor, Tensor]:
    """Describe sessions as the bank stores them.

    Args:
        found: aligned transients of the sessions.
        z: (S, session) latent variables of the sessions.
        t: (S, N, transient) latent variables of the transients.
        on: (S, N) whether each transient is ON.

    Returns:
        Sessions (S, session + 2 transient + 6): z; mean and logarithm of the standard deviation of t, then of the phase
        (rad), then of the shift (Hz); logarithm of the noise over the scale; logarithm of the scale. Transients (S, N,
        1 + transient + 2): whether each is ON; t, phase and shift less their means, divided by their standard
        deviations.
    """
    turn = torch.polar(torch.ones_like(found.phase), found.phase)
    middle = turn.mean(1).angle()
    apart = torch.polar(torch.ones_like(found.phase), found.phase - middle[:, None]).angle()
    values = torch.cat([t, apart[..., None], found.shift[..., None].to(t)], -1)
    mean = values.mean(1)
    spread = (values - mean[:, None]).square().mean(1).sqrt().clamp(min=1e-4)
    own = torch.cat([on[..., None].to(t), (values - mean[:, None]) / spread[:, None]], -1)
    d = t.shape[-1]
    logs = torch.log(spread)
    noise = torch.log(found.noise.median(1).values)
    vector = torch.cat(
        [
            z, mean[:, :d], logs[:, :d], (middle + mean[:, d])[:, None], logs[:, d : d + 1], mean[:, d + 1 :],
            logs[:, d + 1 :], noise[:, None], torch.log(found.scale)[:, None],
        ],
        1,
    )  # fmt: skip
    return vector, own
