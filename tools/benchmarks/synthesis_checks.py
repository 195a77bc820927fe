"""Checks of measured sessions: sign, order of edits, metabolite signal, and what another acquisition costs."""

from __future__ import annotations

import functools
import logging.handlers
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from tqdm import tqdm

from benchmark import REPOSITORY, Context
from benchmarks.synthesis_instances import ACQUISITIONS, Instance, Kind, as_fids, instance
from mrs_vae_synthesis.alignment import aligned, network_input, spectra_of
from mrs_vae_synthesis.conversion import conversion_problems, converted
from mrs_vae_synthesis.matched_filter import as_real, turned
from mrs_vae_synthesis.measured_session import acquisition_problems
from mrs_vae_synthesis.metabolite_signal import reference_problem
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.nifti_sessions import ordered_edits, read_session
from mrs_vae_synthesis.options import EditOrder
from mrs_vae_synthesis.sessions import Acquisition, simulated_sessions, transient_model
from mrs_vae_synthesis.sign import find_sign
from mrs_vae_synthesis.training import own_sessions
from mrsikit.io import write_fids
from result_tables import Table, Target, find

SIGNS, ORDERS, SIGNAL, ACQUIRED = "sign", "order of edits", "metabolite signal", "other acquisitions"
RUN, TRAINING, REAL = "a run", "a training", "Big GABA"
ORDER_NAMES = get_args(EditOrder)[1:]
EDITED_PROBLEMS = ("look like the other edit", "looks like OFF")


@functools.cache
def shipped() -> SessionVae:
    """The shipped network."""
    state = torch.load(
        REPOSITORY / "bundles" / "mrs_vae_synthesis" / "models" / "model.pt", map_location="cpu", weights_only=True
    )
    network = SessionVae()
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return network.eval()


def problems(drawn: Instance, **options: Any) -> list[str]:
    """What a run says of the file of an instance."""
    network = shipped()
    return acquisition_problems(
        as_fids(drawn), Acquisition.of(network.acquisition), network.templates, "file", **options
    )


def signs(context: Context) -> None:
    """Signs of simulated files: wrong flips, and files a run takes that are not flipped when mirrored."""
    network, known = shipped(), Acquisition.of(shipped().acquisition)
    wrong: list[float] = []
    unclear: list[float] = []
    missed: list[float] = []
    for number in tqdm(range(50 if context.quick else 500), desc="signs", delay=2, leave=False):
        drawn = instance(context.seed + number)
        found = find_sign(drawn.values, drawn.acquisition, known, network.templates).finding
        wrong.append(float(found == "conjugate"))
        if not drawn.sound or problems(drawn, sign="standard"):
            continue
        unclear.append(float(found != "standard"))
        if len(missed) < 100:
            mirrored = drawn.values.conj().resolve_conj()
            again = find_sign(mirrored, drawn.acquisition, known, network.templates).finding
            missed.append(float(again != "conjugate"))
    context.add("any", SIGNS, RUN, "wrong flips, share", wrong)
    context.add("any", SIGNS, RUN, "standard sign, cannot be told, share", unclear)
    context.add("any", SIGNS, RUN, "mirrored, not flipped, share", missed)


def orders(context: Context) -> None:
    """Files with ON and OFF on one axis: each of four true orders, as each of four that a user may give."""
    wrong: list[float] = []
    right: list[float] = []
    number = 0
    while len(right) < (20 if context.quick else 100):
        number += 1
        drawn = instance(context.seed + 5000 + number)
        if not drawn.sound or len(drawn.on) < 8 or problems(drawn, sign="standard"):
            continue
        true = ORDER_NAMES[len(right) % len(ORDER_NAMES)]
        on = ordered_edits(len(drawn.on), true)
        values = torch.empty_like(drawn.values)
        values[on], values[~on] = drawn.values[drawn.on], drawn.values[~drawn.on]
        fids = replace(as_fids(drawn), values=values.T[None, None, None].numpy(), extension={"dim_5": "DIM_DYN"})
        for given in ("header", *ORDER_NAMES):
            found = acquisition_problems(
                fids, Acquisition.of(shipped().acquisition), shipped().templates, "file", edit_order=given,
                sign="standard",
            )  # fmt: skip
            (right if given == true else wrong).append(float(bool(found) if given == true else not found))
    context.add("any", ORDERS, RUN, "wrong order taken, share", wrong)
    context.add("any", ORDERS, RUN, "right order refused, share", right)


def metabolite_signal(context: Context) -> None:
    """Files with and without metabolite signal, 50 each: those without that are taken, those with that are refused."""
    known = Acquisition.of(shipped().acquisition)
    missed: dict[str, list[float]] = {RUN: [], TRAINING: []}
    refused: dict[str, list[float]] = {RUN: [], TRAINING: []}
    kinds: list[Kind] = [*["session"] * 10, *["water reference"] * 8, *["noise"] * 2]
    for group in range(1 if context.quick else 5):
        acquisition = ACQUISITIONS[group]
        seeds = [context.seed + 20000 + 100 * group + k for k in range(len(kinds))]
        drawn = [
            instance(seed, kind, acquisition=acquisition, noisier=5, misread=0)
            for seed, kind in zip(seeds, kinds, strict=True)
        ]
        with tempfile.TemporaryDirectory() as folder:
            for place, one in enumerate(drawn):
                write_fids(Path(folder) / f"{place}.nii.gz", as_fids(one))
            left_out = _left_out(folder)
        for place, one in enumerate(drawn):
            fids = converted(one.values, one.acquisition, known)
            water = reference_problem(fids, known.dwell, known.larmor, known.reference) is not None
            if one.kind == "session":
                refused[RUN].append(float(water))
                refused[TRAINING].append(float(f"{place}.nii.gz" in left_out))
            else:
                missed[RUN].append(float(not problems(one)))
                missed[TRAINING].append(float(f"{place}.nii.gz" not in left_out))
    for name in (RUN, TRAINING):
        context.add("any", SIGNAL, name, "without signal, taken, share", missed[name])
        context.add("any", SIGNAL, name, "with signal, refused, share", refused[name])
    files = sorted((context.data / "press_biggaba").glob("*.nii.gz"))
    is_water = {
        path: reference_problem(one.fids[0], one.dwell, one.larmor, one.reference) is not None
        for path in files
        for one in [read_session(path)]
    }
    references = [path for path in files if path.name.endswith("_ref.nii.gz")]
    context.add(REAL, SIGNAL, RUN, "without signal, taken, share", [float(not is_water[path]) for path in references])
    context.add(
        REAL, SIGNAL, RUN, "with signal, refused, share", [float(is_water[p]) for p in files if p not in references]
    )


def _left_out(folder: str) -> set[str]:
    """Names of the files that a training on a folder leaves out."""
    said = logging.handlers.BufferingHandler(1000)
    log = logging.getLogger(own_sessions.__module__)
    log.addHandler(said)
    try:
        own_sessions(folder)
    finally:
        log.removeHandler(said)
    return {Path(record.args[0]).name for record in said.buffer if isinstance(record.args, tuple)}  # type: ignore[arg-type]


def other_acquisitions(context: Context) -> None:
    """Error of the clean signal of sessions of other acquisitions, once converted, in units of their noise."""
    known, number = Acquisition.of(shipped().acquisition), 20 if context.quick else 60
    for larmor, points, dwell in (*ACQUISITIONS, (127.73, 2048, 0.0002)):
        model = transient_model("mega_press", 0.068, points, dwell, larmor)
        own = replace(known, dwell=dwell, larmor=larmor, points=points, reference=model.reference)
        assert not conversion_problems(own, known)
        given = simulated_sessions(number, seed=context.seed, points=points, dwell=dwell, larmor=larmor)
        errors = []
        for fids, clean, on in zip(given.fids, given.clean, given.on, strict=True):  # type: ignore[arg-type]
            errors.append(_error(converted(fids, own, known), converted(clean, own, known), on))
        name = f"{larmor:g} MHz, {points} points at {1 / dwell:.0f} Hz"
        context.add("any", ACQUIRED, name, "error / noise", errors)


@torch.no_grad()
def _error(fids: torch.Tensor, clean: torch.Tensor, on: torch.Tensor) -> float:
    """Error of the clean signal over the noise, of one session (N, T)."""
    network, known = shipped(), Acquisition.of(shipped().acquisition)
    found = aligned(network, fids[None], on[None])
    scores = network(network_input(network, found, on[None]))[..., :-1]
    moved = turned(clean[None], -found.phase, -found.shift, known.dwell) / found.scale[:, None, None]
    truth = as_real(torch.fft.fft(moved, norm="ortho"))
    return float(((spectra_of(network, scores, on[None]) - truth).square().mean(-1).sqrt() / found.noise).mean())


PARTS: dict[str, Callable[[Context], Any]] = {
    "sign": signs, "order": orders, "signal": metabolite_signal, "acquisitions": other_acquisitions,
}  # fmt: skip


def _row(condition: str, method: str, metric: str, set_: str = "any") -> Callable[..., float]:
    shown = "simulated" if set_ == "any" else set_
    return lambda rows, s: find(rows, set_, condition, method, metric) if s == shown else float("nan")


def _either(condition: str, metric: str) -> Callable[[Sequence[dict[str, Any]], str], float]:
    def figure(rows: Sequence[dict[str, Any]], set_: str) -> float:
        if set_ == REAL:
            return find(rows, REAL, condition, RUN, metric)
        return max(find(rows, "any", condition, name, metric) for name in (RUN, TRAINING))

    return figure


TARGETS = [
    Target("sign: wrong flips of 500 files, share", 0, True, _row(SIGNS, RUN, "wrong flips, share"), "%.3f"),
    Target("sign: of 100 mirrored files not flipped, share", 0.1, True,
           _row(SIGNS, RUN, "mirrored, not flipped, share")),
    Target("order of edits: wrong order taken, share", 0, True, _row(ORDERS, RUN, "wrong order taken, share"), "%.3f"),
    Target("files without metabolite signal, taken, share", 0.1, True, _either(SIGNAL, "without signal, taken, share")),
    Target("files with metabolite signal, refused, share", 0.02, True, _either(SIGNAL, "with signal, refused, share")),
]  # fmt: skip

TABLES = [
    Table("The sign of 500 simulated files", SIGNS, {
        "wrong flips, share": "%.3f", "standard sign, cannot be told, share": "%.3f",
        "mirrored, not flipped, share": "%.3f"},
          "Of 123.25 or 127.73 MHz, 2,000 to 5,000 Hz, 4 to 64 transients; noise up to twenty times that of the "
          "training, tumours, badly suppressed water, tall lipids, ghosts, offsets, transmitters between 1.9 ppm and "
          "water; 15 % do not say where it was. The last two columns: files that a run takes."),
    Table("Order of ON and OFF on one axis, 100 simulated files", ORDERS, {
        "wrong order taken, share": "%.3f", "right order refused, share": "%.3f"},
          "Each file in its order is given as each of the four that `--edit_order` knows, and without."),
    Table("Metabolite signal, 50 files with and 50 without", SIGNAL, {
        "without signal, taken, share": "%.2f", "with signal, refused, share": "%.2f"},
          "Without: 40 water references and 10 files of noise. With: noise up to five times that of the training, up "
          "to 4 % of the water left, lipids, tumours. The threshold was set on 600 files of other seeds; on Big GABA "
          "nothing was."),
    Table("Sessions of other acquisitions, converted to the network's", ACQUIRED, {"error / noise": "%.3f"},
          "Error of the clean signal over the noise after conversion, which a larger bandwidth lowers. At 123.25 MHz "
          "the network takes J couplings for 3.6 % larger."),
]  # fmt: skip
