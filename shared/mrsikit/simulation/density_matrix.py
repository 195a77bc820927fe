r"""Basis sets: simulate the FID of each metabolite after a pulse sequence from its spin systems.

The density matrix of each spin system evolves through the sequence,

.. math:: \rho \leftarrow U \rho U^\dagger, \quad U = e^{-i H t}, \quad
          H = 2 \pi \sum_k \nu_k I_{kz} + 2 \pi \sum_{k<l} J_{kl}\, \mathbf{I}_k \cdot \mathbf{I}_l ,

with full coupling. Excitation is ideal. Refocusing pulses are slice-selective, with the displacement of each chemical
shift. The editing pulse of MEGA-PRESS has its shape, and all spins evolve during it. Crusher gradients are ideal: a
refocusing pulse keeps only coherences whose order goes from p to -p, an editing pulse only those whose order stays p.
So a line within the band of the editing pulses has no signal, and a line whose coupling partner lies there looks
uncoupled.

The simulation has no relaxation and no linewidth: both belong to the tissue, not to the molecule.

This command writes a basis, one file per metabolite:

    python -m mrsikit.simulation.density_matrix FOLDER --sequence mega_press --te 0.068
"""

from __future__ import annotations

import argparse
import functools
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mrsikit.io.basis import Basis, write_basis
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.simulation.spin_systems import SPIN_SYSTEMS, SpinSystem

logger = logging.getLogger(__name__)

PROTON = NUCLEI["1H"]
LARMOR = 127.73
"""Proton Larmor frequency (MHz) at 3 T."""

EDIT_ON, EDIT_OFF = 1.9, 7.5
"""Chemical shifts of the editing pulse for GABA (ppm)."""

EDIT_DURATION = 0.014
"""Duration of the editing pulse (s), a Gaussian cut at 1 % of its height. Half is inverted 40 Hz off resonance."""

EDIT_STEPS = 70

PLAUSIBLE = {
    "te": (0.001, 1.0, "s", "in ms?"),
    "dwell": (1e-5, 0.005, "s", "in ms?"),
    "larmor": (20.0, 1300.0, "MHz", "in tesla? 3 T is 127.73 MHz"),
    "points": (8, 2**20, "samples", ""),
}
"""Smallest and largest plausible value of each parameter, its unit, and what a value beyond may mean."""

FIRST_ECHO, BANDWIDTH = 0.015, 1300.0
"""Time of the first echo (s) and bandwidth of the refocusing pulses (Hz), as on clinical 3 T scanners."""

Matrix = NDArray[Any]


class _Spins:
    """Operators of one spin system in its product basis."""

    def __init__(self, system: SpinSystem, larmor: float, reference: float) -> None:
        count = len(system.shifts)
        self.protons = [k for k in range(count) if k != system.phosphorus]
        self.x, self.y, self.z = ([_embedded(half, k, count) for k in range(count)] for half in _HALF_SPIN)
        self.count = system.count
        # the FID of a spin above the reference rotates backwards, as in mrsikit.physics.spectra
        hz = [(reference - system.shifts[k]) * larmor if k in self.protons else 0.0 for k in range(count)]
        self.hz = [hz[k] for k in self.protons]
        self.hamiltonian: Matrix = 2 * math.pi * np.tensordot(hz, self.z, 1)
        for (j, k), coupling in system.couplings.items():
            product = self.z[j] @ self.z[k]
            if system.phosphorus not in (j, k):
                product = product + self.x[j] @ self.x[k] + self.y[j] @ self.y[k]
            self.hamiltonian += 2 * math.pi * coupling * product
        total = np.real(np.diag(self.sum(self.z)))
        self.orders = np.rint(total[:, None] - total[None, :]).astype(int)

    def sum(self, operators: list[Matrix]) -> Matrix:
        return np.sum([operators[k] for k in self.protons], 0)


_HALF_SPIN = (
    np.array([[0, 0.5], [0.5, 0]], complex),
    np.array([[0, -0.5j], [0.5j, 0]], complex),
    np.array([[0.5, 0], [0, -0.5]], complex),
)


def _embedded(operator: Matrix, place: int, count: int) -> Matrix:
    return np.kron(np.kron(np.eye(2**place), operator), np.eye(2 ** (count - place - 1)))


def _evolution(hamiltonian: Matrix, time: float) -> Matrix:
    energies, states = np.linalg.eigh(hamiltonian)
    return (states * np.exp(-1j * energies * time)) @ states.conj().T


Step = Callable[[_Spins, Matrix], Matrix]
"""One element of a sequence: it maps the density matrix before it to that after it."""


def delay(time: float) -> Step:
    """Free evolution for a time (s)."""

    def run(spins: _Spins, rho: Matrix) -> Matrix:
        u = _evolution(spins.hamiltonian, time)
        return u @ rho @ u.conj().T

    return run


def refocusing(bandwidth: float | None = None) -> Step:
    """Rotate all spins by 180 degrees about y; coherences whose order does not change sign are lost.

    Args:
        bandwidth: bandwidth of the slice-selective pulse (Hz). The slice is displaced by chemical shift, so one of two
            coupled spins may be refocused without the other; the result is the mean over all positions. None: infinite.
    """

    def run(spins: _Spins, rho: Matrix) -> Matrix:
        if bandwidth is None:
            return _through(spins, _evolution(spins.sum(spins.y), math.pi), rho, -1)
        centres = [hz / bandwidth for hz in spins.hz]
        edges = sorted({centre + side for centre in centres for side in (-0.5, 0.5)})
        out = np.zeros_like(rho)
        for low, high in itertools.pairwise(edges):
            middle = (low + high) / 2
            inside = [k for k, c in zip(spins.protons, centres, strict=True) if abs(middle - c) < 0.5]
            turn = _evolution(np.sum([spins.y[k] for k in inside], 0), math.pi)
            out += (high - low) * _through(spins, turn, rho, -1)
        return out

    return run


def editing(ppm: float, larmor: float, reference: float, duration: float = EDIT_DURATION) -> Step:
    """Apply a Gaussian 180 degree pulse about y at a chemical shift; coherences whose order changes are lost.

    Args:
        ppm: chemical shift of the pulse (ppm).
        larmor: Larmor frequency (MHz).
        reference: chemical shift of zero frequency (ppm).
        duration: duration of the pulse (s).
    """
    at = (np.arange(EDIT_STEPS) + 0.5) / EDIT_STEPS * 2 - 1
    shape = np.exp(-math.log(100) * at**2)
    turns = math.pi * shape / shape.sum()
    hz = (reference - ppm) * larmor

    @functools.lru_cache(maxsize=1)  # a sequence applies the same pulse twice to each spin system
    def propagator(spins: _Spins) -> Matrix:
        # in the rotating frame of the pulse, then back
        total, y = spins.sum(spins.z), spins.sum(spins.y)
        rotating = spins.hamiltonian - 2 * math.pi * hz * total
        step = duration / EDIT_STEPS
        one: Matrix = np.eye(len(rotating), dtype=complex)
        u = functools.reduce(lambda done, turn: _evolution(rotating + turn / step * y, step) @ done, turns, one)
        return _evolution(2 * math.pi * hz * total, duration) @ u

    def run(spins: _Spins, rho: Matrix) -> Matrix:
        return _through(spins, propagator(spins), rho, 1)

    return run


def _through(spins: _Spins, u: Matrix, rho: Matrix, sign: int) -> Matrix:
    """Apply a pulse between crusher gradients: only coherences whose order goes from p to ``sign`` p survive."""
    out = np.zeros_like(rho)
    for order in np.unique(spins.orders):
        part = np.where(spins.orders == order, rho, 0)
        out += np.where(spins.orders == sign * order, u @ part @ u.conj().T, 0)
    return out


def press(te: float, *, te1: float = FIRST_ECHO, bandwidth: float | None = BANDWIDTH) -> list[Step]:
    """PRESS: 90 - te1 / 2 - 180 - te / 2 - 180 - te2 / 2, with te2 = te - te1.

    Args:
        te: echo time (s).
        te1: time of the first echo (s).
        bandwidth: bandwidth of the refocusing pulses (Hz), as of :func:`refocusing`.

    Raises:
        ValueError: ``te1`` is not between 0 and ``te``.
    """
    if not 0 < te1 < te:
        raise ValueError(f"a first echo of {1e3 * te1:g} ms is no part of an echo time of {1e3 * te:g} ms")
    turn = refocusing(bandwidth)
    return [delay(te1 / 2), turn, delay(te / 2), turn, delay((te - te1) / 2)]


def mega_press(
    te: float,
    *,
    ppm: float,
    te1: float = FIRST_ECHO,
    bandwidth: float | None = BANDWIDTH,
    larmor: float = LARMOR,
    reference: float = PROTON.reference,
    duration: float = EDIT_DURATION,
) -> list[Step]:
    """MEGA-PRESS: PRESS with an editing pulse midway between the refocusing pulses and one te / 2 later.

    Args:
        te: echo time (s).
        ppm: chemical shift of the editing pulse (ppm).
        te1: time of the first echo (s).
        bandwidth: bandwidth of the refocusing pulses (Hz), as of :func:`refocusing`.
        larmor: Larmor frequency (MHz).
        reference: chemical shift of zero frequency (ppm).
        duration: duration of the editing pulse (s).

    Raises:
        ValueError: the pulses do not fit into the delays.
    """
    between = te / 4 - duration / 2
    last = (te - te1) / 2 - te / 4 - duration / 2
    if min(between, last) < 0:
        raise ValueError(f"editing pulses of {1e3 * duration:g} ms do not fit into an echo time of {1e3 * te:g} ms")
    pulse, turn = editing(ppm, larmor, reference, duration), refocusing(bandwidth)
    return [
        delay(te1 / 2), turn, delay(between), pulse, delay(between), turn, delay(between), pulse, delay(last),
    ]  # fmt: skip


def simulated_fid(
    systems: Iterable[SpinSystem],
    sequence: Sequence[Step],
    *,
    points: int,
    dwell: float,
    larmor: float = LARMOR,
    reference: float = PROTON.reference,
) -> NDArray[np.complex128]:
    """Simulate the FID (T,) of a molecule, from the echo on; each fully refocused proton contributes 1 at the echo.

    Args:
        systems: spin systems of the molecule.
        sequence: elements of the sequence after an ideal excitation.
        points: samples T of the FID.
        dwell: time between two samples (s).
        larmor: Larmor frequency (MHz).
        reference: chemical shift of zero frequency (ppm).
    """
    at = np.arange(points) * dwell
    fid = np.zeros(points, complex)
    for system in systems:
        spins = _Spins(system, larmor, reference)
        rho = spins.sum(spins.x)
        rho = np.where(spins.orders == -1, rho, 0)  # the one of both orders that becomes signal
        for step in sequence:
            rho = step(spins, rho)
        energies, states = np.linalg.eigh(spins.hamiltonian)
        detection = np.sum([spins.x[k] + 1j * spins.y[k] for k in spins.protons if k != system.exchanging], 0)
        inner = (states.conj().T @ rho @ states) * (states.conj().T @ detection @ states).T
        # the trace of rho(t) times the detection operator is a sum of lines at differences of energies
        scale = system.count / (len(rho) / 4)
        used = np.abs(inner) > 1e-9 * max(1e-30, np.abs(inner).max())
        rates = (energies[None, :] - energies[:, None])[used]
        fid += scale * _lines(inner[used], rates, at)
    return fid


def _lines(amplitudes: NDArray, rates: NDArray, at: NDArray) -> NDArray[np.complex128]:
    """Sum of undamped lines at times ``at`` (T,) in s; lines of equal frequency are added first."""
    keys, owners = np.unique(np.rint(rates * 1e3).astype(np.int64), return_inverse=True)
    heights = np.bincount(owners, amplitudes.real) + 1j * np.bincount(owners, amplitudes.imag)
    return np.exp(1j * np.outer(at, keys / 1e3)) @ heights


SEQUENCES = ("press", "mega_press")
METABOLITES = tuple(SPIN_SYSTEMS)


def simulated_basis(
    sequence: str = "press",
    *,
    te: float = 0.035,
    metabolites: Sequence[str] = METABOLITES,
    points: int = 2048,
    dwell: float = 0.0005,
    larmor: float = LARMOR,
    reference: float = PROTON.reference,
    te1: float = FIRST_ECHO,
    bandwidth: float | None = BANDWIDTH,
) -> dict[str, Basis]:
    """Simulate a basis set.

    Args:
        sequence: one of :data:`SEQUENCES`.
        te: echo time (s).
        metabolites: names in :data:`mrsikit.simulation.spin_systems.SPIN_SYSTEMS`.
        points: samples of each FID.
        dwell: time between two samples (s).
        larmor: Larmor frequency (MHz).
        reference: chemical shift of zero frequency (ppm).
        te1: time of the first echo (s).
        bandwidth: bandwidth of the refocusing pulses (Hz), as of :func:`refocusing`.

    Returns:
        One :class:`Basis` for each edit: "ON" and "OFF", or "" for an unedited sequence.

    Raises:
        ValueError: the sequence or a metabolite is not known, a value is not plausible, a line lies beyond the
            bandwidth, or the sequence does not fit into the echo time.

    Example:
        >>> simulated_basis("press", te=0.035, metabolites=["sI"], points=512)[""].fids["sI"].shape
        (512,)
    """
    if sequence not in SEQUENCES:
        raise ValueError(f"sequence {sequence!r} is none of {', '.join(SEQUENCES)}")
    if unknown := sorted(set(metabolites) - set(SPIN_SYSTEMS)):
        raise ValueError(f"no spin system of {', '.join(unknown)}; there are {', '.join(SPIN_SYSTEMS)}")
    _check_plausible(te=te, dwell=dwell, larmor=larmor, points=points)
    farthest = max(_farthest(metabolite, reference) for metabolite in metabolites) * larmor
    if farthest > 0.5 / dwell:
        raise ValueError(
            f"a dwell time of {dwell:g} s reaches {0.5 / dwell:.0f} Hz from the centre, the lines {farthest:.0f} Hz; "
            f"give at most {0.5 / farthest:.2g} s"
        )
    if sequence == "press":
        edits = {"": press(te, te1=te1, bandwidth=bandwidth)}
    else:
        edits = {
            name: mega_press(te, ppm=ppm, te1=te1, bandwidth=bandwidth, larmor=larmor, reference=reference)
            for name, ppm in (("ON", EDIT_ON), ("OFF", EDIT_OFF))
        }
    out = {}
    for name, steps in edits.items():
        fids = {}
        for metabolite in tqdm(metabolites, desc=f"simulating {name or sequence}", delay=2, leave=False):
            fids[metabolite] = simulated_fid(
                SPIN_SYSTEMS[metabolite], steps, points=points, dwell=dwell, larmor=larmor, reference=reference
            ).astype(np.complex64)
        out[name] = Basis(fids=fids, dwell=dwell, larmor=larmor, reference=reference, echo=te, sequence=sequence)
    return out


def _check_plausible(**values: float) -> None:
    """Raise ValueError for a value beyond :data:`PLAUSIBLE`."""
    for name, value in values.items():
        low, high, unit, hint = PLAUSIBLE[name]
        if not low <= value <= high:
            why = f" ({hint})" if hint and (value > high or name == "larmor") else ""
            raise ValueError(f"{name} {value:g} {unit} is not plausible{why}; give {low:g} to {high:g} {unit}")


def _farthest(metabolite: str, reference: float) -> float:
    """Largest distance of the detected lines of a metabolite from the reference (ppm)."""
    return max(
        abs(shift - reference)
        for system in SPIN_SYSTEMS[metabolite]
        for k, shift in enumerate(system.shifts)
        if k not in (system.phosphorus, system.exchanging)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a basis as NIfTI-MRS."""
    parser = argparse.ArgumentParser(prog="python -m mrsikit.simulation.density_matrix", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sequence", choices=SEQUENCES, default="press")
    parser.add_argument("--te", type=float, help="echo time, s (default: 0.035, edited 0.068)")
    parser.add_argument("--te1", type=float, default=FIRST_ECHO, help="of the first echo, s")
    parser.add_argument("--points", type=int, default=2048)
    parser.add_argument("--dwell", type=float, default=0.0005, help="s")
    parser.add_argument("--larmor", type=float, default=LARMOR, help="MHz")
    parser.add_argument("--metabolites", default=",".join(METABOLITES), help="names, parted by commas")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.folder.exists() and not options.folder.is_dir():
        parser.error(f"{options.folder} is a file; give a folder")
    te = options.te if options.te is not None else 0.068 if options.sequence == "mega_press" else 0.035
    try:
        basis = simulated_basis(
            options.sequence, te=te, te1=options.te1, points=options.points, dwell=options.dwell,
            larmor=options.larmor, metabolites=options.metabolites.split(","),
        )  # fmt: skip
    except ValueError as error:
        parser.error(str(error))
    paths = write_basis(options.folder, basis)
    logger.info("%d files are in %s", len(paths), options.folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
