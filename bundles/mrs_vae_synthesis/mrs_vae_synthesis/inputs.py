"""Inputs of a run: random numbers for new sessions, or the measured sessions of a folder."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mrs_vae_synthesis.alignment import likeness
from mrs_vae_synthesis.metabolite_signal import reference_problem
from mrs_vae_synthesis.nifti_sessions import SAME, SAME_ECHO, SAME_FIELD, laid_out, referenced
from mrs_vae_synthesis.sessions import Acquisition
from mrsikit.io import Fids, InputError, read_fids
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.runtime import InputFolder
from mrsikit.runtime.cases import Case

USUAL = 32
"""Default number of transients of a new session."""

USUAL_NUMBER = 320
"""Default total number of new transients."""

FEWEST = 2
"""Fewest transients of each edit that a measured session must hold."""

UNLIKE = 0.65
"""Similarity to the templates below which a session is refused; simulated sessions reach at least .77, most .97."""


class SynthesisInputs(InputFolder):
    """Sessions of a run: new ones, which need no file, or those of a folder (:class:`mrsikit.runtime.InputFolder`).

    Args:
        sampling: one of :data:`mrs_vae_synthesis.sampling.SAMPLINGS`.
        number: total number of transients with random sampling; None: :data:`USUAL_NUMBER`.
        transients: number of transients of a new session; None: :data:`USUAL`.
        weights: file of the network's weights, which also store the acquisition it was trained on.
        folder: arguments of InputFolder.
    """

    def __init__(
        self,
        *,
        sampling: str = "random",
        number: int | None = None,
        transients: int | None = None,
        weights: str | Path | None = None,
        **folder: Any,
    ) -> None:
        super().__init__(holds="fids", **folder)
        self.sampling = sampling
        self.number = USUAL_NUMBER if number is None else number
        self.transients = USUAL if transients is None else transients
        self.weights = weights

    @property
    def reads_files(self) -> bool:
        """Whether the run reads measured sessions."""
        return self.sampling != "random"

    def items(self) -> list[dict[str, Any]]:
        """New sessions with their number in the run ("place"), or measured sessions with the file of their FIDs."""
        if self.reads_files:
            return [item | {"fids": item["image"], "place": k} for k, item in enumerate(super().items())]
        count = -(-self.number // self.transients)
        digits = max(4, len(str(count)))
        folder = Path(str(self.output_dir)).expanduser().absolute()
        return [{"image": str(folder / f"session_{k + 1:0{digits}}"), "place": k} for k in range(count)]

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
        return session_problems(item["image"], Acquisition.of(self.state["acquisition"]), self.state["templates"])

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


def session_problems(path: str | Path, known: Acquisition, templates: Tensor) -> list[str]:
    """List what keeps a file from being a session of the acquisition that a network was trained on.

    Args:
        path: NIfTI-MRS file.
        known: acquisition that the network was trained on.
        templates: (2, 2 T) templates of the network.
    """
    try:
        return acquisition_problems(read_fids(path), known, templates, path)
    except InputError as error:
        return [str(error)]


def acquisition_problems(fids: Fids, known: Acquisition, templates: Tensor, name: str | Path) -> list[str]:
    """List what keeps FIDs from being a session of the acquisition that a network was trained on.

    Args:
        fids: FIDs as read from a file or given from Python.
        known: acquisition that the network was trained on.
        templates: (2, 2 T) templates of the network.
        name: name of the file, for the messages.
    """
    if fids.nucleus != "1H":
        return [f"{name}: is of nucleus {fids.nucleus}; give 1H"]
    if not np.isfinite(fids.values).all():
        return [f"{name}: holds NaN or infinity; leave such transients out"]
    train = "; train a network on files like it"
    problems = []
    if abs(fids.larmor / known.larmor - 1) > SAME_FIELD:
        fields = [NUCLEI["1H"].field_of(mhz) for mhz in (fids.larmor, known.larmor)]
        problems.append(f"{name}: is of {fields[0]:.3g} T, the network of {fields[1]:.3g} T{train}")
    if abs(fids.dwell / known.dwell - 1) > SAME:
        problems.append(f"{name}: has a bandwidth of {1 / fids.dwell:g} Hz, the network {1 / known.dwell:g}{train}")
    if fids.values.shape[3] != known.points:
        problems.append(f"{name}: has FIDs of {fids.values.shape[3]} points, the network {known.points}{train}")
    if fids.echo is not None and abs(fids.echo - known.echo) > SAME_ECHO:
        problems.append(f"{name}: has an echo time of {1e3 * fids.echo:g} ms, the network {1e3 * known.echo:g}{train}")
    if problems:
        return problems
    try:
        values, on = laid_out(fids, name)
    except InputError as error:
        return [str(error)]
    if known.edited and not (on.any() and (~on).any()):
        return [f"{name}: has no axis DIM_EDIT with ON and OFF, which the network was trained on"]
    if len(values) < FEWEST * (1 + known.edited):
        return [
            f"{name}: holds {len(values)} transients; give at least {FEWEST} of each edit, before they are averaged"
        ]
    if not (values.abs().amax(-1) > 0).all():
        return [f"{name}: holds transients that are zero throughout; leave them out"]
    reference = NUCLEI["1H"].reference if fids.reference is None else fids.reference
    if problem := reference_problem(values, fids.dwell, fids.larmor, reference):
        return [f"{name}: {problem}"]
    own, other = likeness(templates, known, referenced(values, fids, known), on)
    if max(own, other) < UNLIKE:
        return [
            f"{name}: has no lines where the network knows them ({own:.0%} alike): is the FID conjugated, of another "
            "region or sequence, or SpecFreqChemShift wrong?"
        ]
    if known.edited and other > own:
        return [f"{name}: its ON looks like OFF and its OFF like ON; is EditCondition in the right order?"]
    return []
