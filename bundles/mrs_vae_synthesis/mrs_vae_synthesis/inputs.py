"""Inputs of a run: random numbers for new sessions, or the measured sessions of a folder."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from mrs_vae_synthesis.measured_session import FEWEST, measured_session, session_problems
from mrs_vae_synthesis.options import EditOrder
from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrsikit.io import read_fids
from mrsikit.runtime import InputFolder
from mrsikit.runtime.cases import Case
from mrsikit.runtime.options import Sign
from mrsikit.runtime.shards import read_shard

USUAL = 32
"""Default number of transients of a new session."""

USUAL_NUMBER = 320
"""Default total number of new transients."""


class SynthesisInputs(InputFolder):
    """Sessions of a run: new ones, which need no file, or those of a folder (:class:`mrsikit.runtime.InputFolder`).

    Args:
        sampling: one of :data:`mrs_vae_synthesis.options.SAMPLINGS`.
        number: total number of transients with random sampling; None: :data:`USUAL_NUMBER`.
        transients: number of transients of a new session; None: :data:`USUAL`.
        edit_order: order of ON and OFF of measured transients, as of
            :func:`mrs_vae_synthesis.nifti_sessions.laid_out`.
        sign: of measured FIDs, as of :func:`mrs_vae_synthesis.measured_session.measured_session`.
        measured: whether new transients are of measured sessions; None: with all samplings but random.
        fewest: fewest measured transients of each edit.
        weights: file of the network's weights, which also store the acquisition it was trained on.
        folder: arguments of InputFolder.
    """

    def __init__(
        self,
        *,
        sampling: str = "random",
        number: int | None = None,
        transients: int | None = None,
        edit_order: EditOrder = "header",
        sign: Sign = "auto",
        measured: bool | None = None,
        fewest: int = FEWEST,
        weights: str | Path | None = None,
        **folder: Any,
    ) -> None:
        super().__init__(holds="fids", **folder)
        self.sampling = sampling
        self.number = USUAL_NUMBER if number is None else number
        self.transients = USUAL if transients is None else transients
        self.edit_order, self.sign = edit_order, sign
        self.of_measured = sampling != "random" if measured is None else measured
        self.fewest, self.weights = fewest, weights

    @property
    def reads_files(self) -> bool:
        """Whether the run reads measured sessions."""
        return self.of_measured

    def items(self) -> list[dict[str, Any]]:
        """New sessions, or measured sessions with the file of their FIDs; with their number in the run ("place").

        The number is that in all shards, so that shards make the sessions of one run. Of new sessions, a shard makes
        every n-th.
        """
        if self.reads_files:
            places = {item["image"]: k for k, item in enumerate(InputFolder.items(self.whole()))}
            return [item | {"fids": item["image"], "place": places[item["image"]]} for item in super().items()]
        count = -(-self.number // self.transients)
        digits = max(4, len(str(count)))
        folder = Path(str(self.output_dir)).expanduser().absolute()
        sessions = [{"image": str(folder / f"session_{k + 1:0{digits}}"), "place": k} for k in range(count)]
        shard = read_shard(self.shard)
        return sessions if shard is None else list(shard.of(sessions))

    def sources(self, item: Mapping[str, Any]) -> dict[str, str]:
        """Files that one session is made from."""
        return {"image": item["image"]} if self.reads_files else {}

    def check(self) -> dict[str, list[str]]:
        """Collect the problems of the measured sessions, by file."""
        if self.reads_files:
            return super().check()
        self.invalid = {}
        return self.invalid

    def problems_of(self, item: Mapping[str, str]) -> list[str]:
        """Problems that keep the network from using one file."""
        given: dict[str, Any] = {"edit_order": self.edit_order, "sign": self.sign, "fewest": self.fewest}
        return session_problems(item["image"], *self._known, **given)

    def measured(self, path: str | Path) -> Sessions:
        """Read a measured session (S = 1) as the network takes it.

        Raises:
            InputError: the file cannot be read, or its edits cannot be known.
        """
        known, templates = self._known
        one = measured_session(read_fids(path), known, templates, path, edit_order=self.edit_order, sign=self.sign)
        return Sessions(
            fids=one.fids[None], on=one.on[None], dwell=known.dwell, larmor=known.larmor, reference=known.reference,
            echo=known.echo,
        )  # fmt: skip

    @property
    def _known(self) -> tuple[Acquisition, Tensor]:
        """Acquisition and templates of the network."""
        return Acquisition.of(self.state["acquisition"]), self.state["templates"]

    @functools.cached_property
    def state(self) -> dict[str, Tensor]:
        """State dict of the network."""
        return torch.load(str(self.weights), map_location="cpu", weights_only=True)

    @property
    def edited(self) -> bool:
        """Whether the network was trained on ON and OFF; True if its weights cannot be read (reported elsewhere)."""
        try:
            return Acquisition.of(self.state["acquisition"]).edited
        except (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, UnpicklingError):
            return True

    def unknown_keys(self) -> list[str]:
        """As of InputFolder; none for a run of new sessions."""
        return super().unknown_keys() if self.reads_files else []

    def unused(self) -> dict[Path, str]:
        """As of InputFolder; none for a run of new sessions."""
        return super().unused() if self.reads_files else {}

    def cases(self) -> list[Case]:
        """As of InputFolder; none for a run of new sessions."""
        return super().cases() if self.reads_files else []

    def table(self) -> list[str]:
        """As of InputFolder; empty for a run of new sessions."""
        return super().table() if self.reads_files else []

    def name_of(self, path: str | Path) -> str:
        """As of InputFolder; the number of a new session."""
        return super().name_of(path) if self.reads_files else Path(path).name

    def datalist(self) -> list[dict[str, Any]]:
        """Sessions that are still to be made."""
        if self.reads_files:
            return super().datalist()
        return [item for item in self.items() if self.is_to_do(item["image"])]
