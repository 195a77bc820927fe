"""Sessions to learn from: simulated ones, or the user's NIfTI-MRS, and how the network sees them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from mrs_vae_synthesis.alignment import as_complex, as_real, in_band, matched, signal_space, turned
from mrs_vae_synthesis.network import SessionVae
from mrsikit.io import Fids, InputError, InputFolder, read_fids
from mrsikit.nuclei import NUCLEI
from mrsikit.spectra import noise_sd, shifted, times
from mrsikit.synthesis.basis import simulated_basis
from mrsikit.synthesis.transients import TransientModel

REPEATS = 3
"""Times that templates are made from what was aligned with the last ones."""

EXAMPLE, MOST = 8, 8000
"""Sessions that the first templates are of, and transients that the later ones are of."""

ASIDE = 24
"""Of the directions, those in which transients of one session differ."""


DYNAMICS = ("DIM_DYN", "DIM_MEAS", None)
SAME, SAME_FIELD = 1e-4, 0.02
"""Parts by which dwell times and fields may differ in one protocol."""

HELD_OUT = 5
"""Of the user's own sessions every fifth is for validation."""

UNITS = (1e-9, 1e-6, 1e-6, 1e-6)
"""Of the network's ``acquisition``: s, MHz, ppm, s."""


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """What a network was trained on.

    Attributes:
        dwell: time between two samples (s).
        larmor: MHz.
        reference: chemical shift of zero frequency (ppm).
        echo: echo time (s).
        points: samples of a FID.
        edited: whether there were ON and OFF.
    """

    dwell: float
    larmor: float
    reference: float
    echo: float
    points: int
    edited: bool

    @classmethod
    def of(cls, stored: Tensor) -> Acquisition:
        """From the network's buffer of this name."""
        dwell, larmor, reference, echo, points, edited = stored.tolist()
        values = (round(n * unit, 9) for n, unit in zip((dwell, larmor, reference, echo), UNITS, strict=True))
        return cls(
            **dict(zip(("dwell", "larmor", "reference", "echo"), values, strict=True)),
            points=points,
            edited=bool(edited),
        )

    def stored(self) -> Tensor:
        """(6,) whole numbers."""
        told = (self.dwell, self.larmor, self.reference, self.echo)
        whole = [round(value / unit) for value, unit in zip(told, UNITS, strict=True)]
        return torch.tensor([*whole, self.points, int(self.edited)])


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Transients of S sessions, N each, and their acquisition.

    Attributes:
        fids: (S, N, T) complex64.
        on: (S, N) whether the editing pulse reached GABA; False throughout where nothing is edited.
        dwell: time between two samples (s).
        larmor: MHz.
        reference: chemical shift of zero frequency (ppm).
        echo: echo time (s).
        clean: (S, N, T) without noise, where that is known.
        concentrations: mM by metabolite, a session each, where they are known.
    """

    fids: Tensor
    on: Tensor
    dwell: float
    larmor: float
    reference: float
    echo: float
    clean: Tensor | None = None
    concentrations: tuple[dict[str, float], ...] = ()


def simulated_sessions(
    number: int,
    *,
    seed: int,
    transients: int = 16,
    sequence: str = "mega_press",
    te: float = 0.068,
    points: int = 2048,
    dwell: float = 0.0005,
) -> Sessions:
    """Sessions of virtual subjects.

    Args:
        number: S.
        seed: session k is drawn from (seed, k).
        transients: N.
        sequence: as of :func:`mrsikit.synthesis.basis.simulated_basis`.
        te: echo time (s).
        points: T.
        dwell: time between two samples (s).
    """
    model = TransientModel(simulated_basis(sequence, te=te, points=points, dwell=dwell))
    drawn = [
        model.session(np.random.default_rng([seed, k]), transients=transients)
        for k in tqdm(range(number), desc="simulating sessions", delay=2, leave=False)
    ]
    return Sessions(
        fids=torch.stack([one.fids for one in drawn]),
        clean=torch.stack([one.clean for one in drawn]),
        on=torch.stack([one.on for one in drawn]),
        concentrations=tuple(dict(one.concentrations) for one in drawn),
        dwell=dwell, larmor=model.larmor, reference=model.reference, echo=te,
    )  # fmt: skip


class TrainingSessions:
    """What to learn from: sessions of virtual subjects, or the user's own, made or read when they are first asked for.

    Args:
        dataset_dir: folder of NIfTI-MRS; None: simulated sessions.
        number: of simulated sessions.
        seed: of these.
        validation: of the own sessions those that are held out (every fifth, sorted by name) instead of the others.
        simulation: as of :func:`simulated_sessions`.

    Raises:
        InputError: when asked for, if the folder holds fewer than five sessions, or files of several acquisitions.
    """

    def __init__(
        self, *, dataset_dir: str | None, number: int, seed: int, validation: bool = False, **simulation: Any
    ) -> None:
        self.dataset_dir, self.number, self.seed, self.validation = dataset_dir, number, seed, validation
        self.simulation = simulation

    def __len__(self) -> int:
        """Number of sessions."""
        return self.number if self.dataset_dir is None else len(self._files)

    @functools.cached_property
    def sessions(self) -> Sessions:
        """The sessions."""
        if self.dataset_dir is None:
            return simulated_sessions(self.number, seed=self.seed, **self.simulation)
        return measured_sessions(self._files)

    @functools.cached_property
    def _files(self) -> list[Path]:
        files = InputFolder(dataset_dir=self.dataset_dir, output_dir=None, holds="fids").files
        if len(files) < HELD_OUT:
            raise InputError(
                f"{self.dataset_dir}: holds {len(files)} sessions; give at least {HELD_OUT}, every fifth is held out"
            )
        return [f for k, f in enumerate(files) if (k % HELD_OUT == HELD_OUT - 1) == self.validation]


def measured_sessions(paths: Sequence[Path]) -> Sessions:
    """Sessions of NIfTI-MRS files, cut to the fewest transients that one of them has.

    Raises:
        InputError: a file cannot be read, or they are not of one acquisition.
    """
    read = [read_session(path) for path in tqdm(paths, desc="reading sessions", delay=2, leave=False)]
    first, rest = read[0], read[1:]
    for path, one in zip(paths[1:], rest, strict=True):
        same = one.fids.shape[2] == first.fids.shape[2] and abs(one.dwell / first.dwell - 1) < SAME
        if not same or abs(one.larmor / first.larmor - 1) > SAME_FIELD or bool(one.on.any()) != bool(first.on.any()):
            raise InputError(f"{path}: is not of the acquisition of {paths[0]}; give files of one protocol")
    fewest = min(one.fids.shape[1] for one in read)
    return Sessions(
        fids=torch.cat([one.fids[:, :fewest] for one in read]), on=torch.cat([one.on[:, :fewest] for one in read]),
        dwell=first.dwell, larmor=first.larmor, reference=first.reference, echo=first.echo,
    )  # fmt: skip


def read_session(path: str | Path) -> Sessions:
    """One session, S = 1, of a NIfTI-MRS file: transients on DIM_DYN, ON and OFF on DIM_EDIT, in turn.

    Raises:
        InputError: the file cannot be read, holds more than one voxel, or edits without names.
    """
    fids = read_fids(path)
    values, on = laid_out(fids, path)
    reference = NUCLEI["1H"].reference if fids.reference is None else fids.reference
    return Sessions(
        fids=values[None], on=on[None], dwell=fids.dwell, larmor=fids.larmor, reference=reference,
        echo=fids.echo or 0.0,
    )  # fmt: skip


def laid_out(fids: Fids, path: str | Path) -> tuple[Tensor, Tensor]:
    """Transients (N, T) and whether each is ON (N,), edits in turn.

    Raises:
        InputError: there is more than one voxel, an axis of another kind, or edits without names.
    """
    if np.prod(fids.values.shape[:3]) != 1:
        raise InputError(f"{path}: holds {np.prod(fids.values.shape[:3])} voxels; give one voxel a file")
    values: NDArray[Any] = fids.values.reshape(fids.values.shape[3:])
    tags = [tag for tag, size in zip(fids.tags, values.shape[1:], strict=True) if size > 1]
    values = values.reshape(values.shape[0], *[size for size in values.shape[1:] if size > 1])
    spare = [str(tag) for tag in tags if tag not in (*DYNAMICS, "DIM_EDIT")]
    if spare or len(set(tags)) < len(tags):
        raise InputError(f"{path}: has axes {', '.join(map(str, tags))}; give DIM_DYN and DIM_EDIT, coils combined")
    if "DIM_EDIT" not in tags:
        rows = torch.from_numpy(values.reshape(len(values), -1).T.copy())
        if "DIM_EDIT" in (fids.extension.get(f"dim_{axis}") for axis in range(5, 8)):
            edited = edit_order(fids, path, alone=True)[0]
        else:
            edited = [str(name).upper() for name in fids.extension.get("EditCondition") or []] == ["ON"]
        return rows, torch.full((len(rows),), edited)
    order = edit_order(fids, path)
    values = np.moveaxis(values, 1 + tags.index("DIM_EDIT"), -1).reshape(len(values), -1, len(order))
    on = torch.tensor(order).repeat(values.shape[1])
    return torch.from_numpy(values.reshape(len(values), -1).T.copy()), on


def referenced(values: Tensor, fids: Fids, known: Acquisition) -> Tensor:
    """Transients (N, T) of a file with their frequencies as the network counts them."""
    if fids.reference is None or abs(fids.reference - known.reference) < 1e-6:
        return values
    hz = torch.tensor((known.reference - fids.reference) * fids.larmor, dtype=torch.float64)
    return shifted(values, hz.expand(len(values)), times(values.shape[-1], fids.dwell))


def edit_order(fids: Fids, path: str | Path, *, alone: bool = False) -> list[bool]:
    """Whether each place on DIM_EDIT is ON, as the header's EditCondition names it; ``alone``: there is but one.

    Raises:
        InputError: the header does not say, or names other than ON and OFF.
    """
    for axis in range(5, 8):
        if fids.extension.get(f"dim_{axis}") == "DIM_EDIT":
            names = (fids.extension.get(f"dim_{axis}_header") or {}).get("EditCondition")
            listed = names if isinstance(names, list) else []
            known = {str(name).upper() for name in listed}
            if known == {"ON", "OFF"} or (alone and len(known) == 1 and known <= {"ON", "OFF"}):
                return [str(name).upper() == "ON" for name in listed]
    raise InputError(
        f'{path}: does not say which edit is ON; set dim_6_header to {{"EditCondition": ["ON", "OFF"]}} in its header'
    )


def likeness(network_templates: Tensor, known: Acquisition, fids: Tensor, on: Tensor) -> tuple[float, float]:
    """How much transients (N, T) are like the templates (2, 2 T) of their own edit, and of the other; 1: no difference.

    In band, whatever their phase and shift, the median over transients.
    """
    templates = as_complex(network_templates.float())
    moved = in_band(fids, known.dwell, known.larmor, known.reference)
    size = moved.abs().square().sum(-1)
    out = []
    for rows in (templates[on.long()], templates[(~on).long()]):
        height = matched(moved, rows, known.dwell)[2]
        out.append(float((height * (rows.abs().square().sum(-1) / size.clamp(min=1e-300)).sqrt()).median()))
    return out[0], out[1]


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Transients in the network's frame, and what brings them back.

    Attributes:
        spectra: (S, N, 2 T) real and imaginary spectra, without phase and shift, of height about 1.
        noise: (S, N) standard deviation of each value of these.
        phase: (S, N) rad.
        shift: (S, N) Hz.
        scale: (S,) height of a session.
    """

    spectra: Tensor
    noise: Tensor
    phase: Tensor
    shift: Tensor
    scale: Tensor


def aligned(network: SessionVae, fids: Tensor, on: Tensor) -> Aligned:
    """Bring transients (S, N, T) into the network's frame."""
    known = Acquisition.of(network.acquisition)
    templates = as_complex(network.templates)
    phase, shift, height = _matched(fids, on, templates, known.dwell, known.larmor, known.reference)
    scale = height.median(1).values
    values = turned(fids, -phase, -shift, known.dwell) / scale[:, None, None]
    spectra = as_real(torch.fft.fft(values, norm="ortho"))
    return Aligned(
        spectra=spectra, noise=noise_sd(fids) / scale[:, None], phase=phase, shift=shift, scale=scale
    )  # fmt: skip


def back(network: SessionVae, spectra: Tensor, phase: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """FIDs (S, N, T) of spectra (S, N, 2 T) in the network's frame."""
    fids = torch.fft.ifft(as_complex(spectra), norm="ortho")
    return turned(fids * scale[:, None, None], phase, shift, Acquisition.of(network.acquisition).dwell)


def scores_of(network: SessionVae, spectra: Tensor, on: Tensor) -> Tensor:
    """Scores (S, N, K) of spectra (S, N, 2 T)."""
    return (spectra - network.centres[on.long()]) @ network.directions.T


def spectra_of(network: SessionVae, scores: Tensor, on: Tensor) -> Tensor:
    """Spectra (S, N, 2 T) of scores (S, N, K)."""
    return network.centres[on.long()] + scores @ network.directions


def network_input(network: SessionVae, found: Aligned, on: Tensor) -> Tensor:
    """(S, N, K + 3), what :meth:`SessionVae.forward` takes."""
    noise = found.noise.median(1, keepdim=True).values.expand_as(found.noise)
    extra = torch.stack([on.float(), noise.float(), torch.ones_like(noise)], -1)
    return torch.cat([scores_of(network, found.spectra, on), extra], -1)


def _matched(
    fids: Tensor, on: Tensor, templates: Tensor, dwell: float, larmor: float, reference: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(S, N) each, some sessions at a time."""
    found = [
        torch.stack(
            matched(in_band(part, dwell, larmor, reference).flatten(0, 1), templates[edit.long()].flatten(0, 1), dwell)
        ).unflatten(1, edit.shape)
        for part, edit in zip(fids.split(16), on.split(16), strict=True)
    ]
    phase, shift, height = torch.cat(found, 1)
    return phase, shift, height


@torch.no_grad()
def begin(network: SessionVae, sessions: Sessions) -> None:
    """Give a network the frame and the linear model of its training sessions.

    Templates are means of aligned transients. The directions are of the space that signals can be in: those in which
    transients of a session differ most, and those in which sessions do. U and V follow from the covariance of the
    scores between and within sessions, less what noise adds.

    Args:
        network: to write into.
        sessions: at least three, of two transients or more, or unedited ones of one.
    """
    fids, on = sessions.fids, sessions.on
    dwell, larmor, reference = sessions.dwell, sessions.larmor, sessions.reference
    edits = [edit for edit in (False, True) if bool((on == edit).any())]
    known = Acquisition(
        dwell=dwell, larmor=larmor, reference=reference, echo=sessions.echo, points=fids.shape[-1],
        edited=len(edits) == 2,
    )  # fmt: skip
    network.acquisition.copy_(known.stored())

    def means(values: Tensor, which: Tensor) -> Tensor:
        out = [
            values[which == edit].mean(0) if edit in edits else values.new_zeros(values.shape[-1]) for edit in (0, 1)
        ]
        return torch.stack(out)

    templates = means(in_band(fids[0], dwell, larmor, reference), on[0])
    few = max(1, min(len(fids), MOST // fids.shape[1]))
    for _ in range(REPEATS):
        phase, shift, height = _matched(fids[:few], on[:few], templates, dwell, larmor, reference)
        scaled = turned(fids[:few], -phase, -shift, dwell) / height.median(1).values[:, None, None]
        templates = means(in_band(scaled, dwell, larmor, reference), on[:few])
    # of all units only those in which the noise is about 1 survive half precision; a power of two changes no digit
    noise = noise_sd(fids[:few]) / height.median(1).values[:, None]
    templates = templates * 2.0 ** -float(torch.log2(noise.median()).round())
    network.templates.copy_(as_real(templates))

    space = signal_space(fids.shape[-1], dwell, larmor, reference).to(fids.device)
    kept = []
    levels = []
    total = torch.zeros(2, 2 * fids.shape[-1])
    counts = torch.zeros(2)
    for part, edit in zip(fids.split(64), on.split(64), strict=True):
        found = aligned(network, part, edit)
        levels.append(found.noise)
        values = torch.fft.ifft(as_complex(found.spectra), norm="ortho") @ space.conj()
        kept.append(as_real(values))
        for which in edits:
            total[int(which)] += found.spectra[edit == which].sum(0)
            counts[int(which)] += (edit == which).sum()
    network.centres.copy_(total / counts.clamp(min=1)[:, None])
    small, sd = torch.cat(kept), torch.cat(levels).median(1).values
    centre = torch.fft.ifft(as_complex(network.centres), norm="ortho") @ space.conj()
    small = small - as_real(centre)[on.long()]
    session_means = _session_means(small, on)
    own = small - torch.where(on[..., None], session_means[:, 1:], session_means[:, :1])
    aside = _leading(own.flatten(0, 1), min(ASIDE, network.scores // 2)) if small.shape[1] > len(edits) else None
    between = _leading(session_means[:, [int(edit) for edit in edits]].flatten(0, 1), network.scores)
    both = between if aside is None else torch.cat([aside, between], 1)
    directions = torch.linalg.qr(both)[0][:, : network.scores]
    missing = network.scores - directions.shape[1]
    wide = as_complex(directions.T) @ space.T
    network.directions[: network.scores - missing].copy_(as_real(torch.fft.fft(wide, norm="ortho")))
    _linear_model(network, torch.nn.functional.pad(small @ directions, (0, missing)), on, sd)


def _session_means(values: Tensor, on: Tensor) -> Tensor:
    """(S, 2, D), OFF and ON; 0 where there is none."""
    out = []
    for edit in (False, True):
        weight = (on == edit).to(values)[..., None]
        out.append((values * weight).sum(1) / weight.sum(1).clamp(min=1))
    return torch.stack(out, 1)


def _leading(rows: Tensor, count: int) -> Tensor:
    """Leading eigenvectors (D, count or fewer) of the covariance of rows (N, D)."""
    covariance = (rows.T @ rows).double() / len(rows)
    vectors = torch.linalg.eigh(covariance)[1].flip(1)
    return vectors[:, : min(count, len(rows))].to(rows)


def _linear_model(network: SessionVae, scores: Tensor, on: Tensor, sd: Tensor) -> None:
    """Means, U and V from scores (S, N, K) and the noise (S,)."""
    count, size = scores.shape[1], scores.shape[2]
    edits = [edit for edit in (0, 1) if bool((on == bool(edit)).any())]
    variance = float(sd.square().mean())
    eye = torch.eye(size, dtype=torch.float64)
    means = _session_means(scores, on).double()
    own = (scores.double() - torch.where(on[..., None], means[:, 1:], means[:, :1])).flatten(0, 1)
    freedom = len(scores) * (count - len(edits))
    within = own.T @ own / max(1, freedom) - (variance * eye if freedom else 0.0)
    values, vectors = torch.linalg.eigh(within)
    v = (vectors * values.clamp(min=1e-9).sqrt()).flip(1)[:, : network.transient]
    network.within.copy_(v.to(scores).expand(2, -1, -1))
    network.means.copy_(means.mean(0).to(scores))
    joined = (means - means.mean(0))[:, edits].flatten(1)
    covariance = joined.T @ joined / max(1, len(joined) - 1)
    share = count / len(edits)
    noise = torch.block_diag(*[(within + variance * eye) / share] * len(edits))
    values, vectors = torch.linalg.eigh(covariance - noise)
    u = (vectors * values.clamp(min=1e-9).sqrt()).flip(1)[:, : network.session].unflatten(0, (len(edits), size))
    network.between.zero_()
    for place, edit in enumerate(edits):
        network.between[edit, :, : u.shape[2]].copy_(u[place].to(scores))
    network.scale.copy_(scores.flatten(0, 1).std(0).clamp(min=1e-6))
