"""pyAMARES as a spectroscopist runs it: prior knowledge in a table, each voxel alone. An extra: ``.[amares]``."""

from __future__ import annotations

import csv
import logging
import tempfile
from pathlib import Path

import numpy as np
import pyAMARES
from numpy.typing import NDArray

from mrsikit.physics.fid_model import FidModel

PEAKS = ("water", "Glc", "Glx", "Lac")


def amares(fids: NDArray[np.complexfloating], model: FidModel) -> NDArray[np.float64]:
    """Fit amplitudes (B, K) of FIDs (B, T).

    The starts are the nominal shifts, the true ratio of the linewidths, and the phase of the first sample; shifts may
    move by 0.3 ppm and lines widen to 100 Hz. Phases are tied to water's. It fits each line's own frequency and width,
    for its table cannot tie them to a common shift and broadening.

    Args:
        fids: complex, NIfTI-MRS's sign.
        model: of the FIDs.
    """
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "prior.csv"
        return np.array([_fit(np.conj(np.asarray(fid, complex)), model, table) for fid in fids])


def _fit(fid: NDArray[np.complex128], model: FidModel, table: Path) -> NDArray[np.float64]:
    phase = float(np.degrees(np.angle(fid[0])))
    size = float(np.abs(fid[0]))
    widths = [1 / (np.pi * life) + 2.0 for life in model.t2_star]
    offsets = [ppm - model.reference for ppm in model.ppm]
    rows = [
        ["Index", *PEAKS],
        ["Initial Values", *[""] * 4],
        ["amplitude", *[f"{share * size:g}" for share in (0.6, 0.13, 0.2, 0.07)]],
        ["chemicalshift", *[f"{offset:g}" for offset in offsets]],
        ["linewidth", *[f"{width:g}" for width in widths]],
        ["phase", f"{phase:g}", *["water"] * 3],
        ["g", *["0"] * 4],
        ["Bounds", *[""] * 4],
        ["amplitude", *["(0,"] * 4],
        ["chemicalshift", *[f"({offset - 0.3:g},{offset + 0.3:g})" for offset in offsets]],
        ["linewidth", *["(1,100)"] * 4],
        ["phase", *["(-360,360)"] * 4],
        ["g", *["(0,1)"] * 4],
    ]
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return fit_table(fid, table, model)[:, 0]


def fit_table(fid: NDArray[np.complexfloating], table: Path, model: FidModel) -> NDArray[np.float64]:
    """Amplitudes and their standard deviations (K, 2) of one FID by a table of prior knowledge, in the table's order.

    Args:
        fid: (T,), complex, of the sign opposite to NIfTI-MRS's.
        table: CSV as pyAMARES takes it, chemical shifts from the reference.
        model: of the acquisition.
    """
    for name in logging.root.manager.loggerDict:
        if name.startswith("pyAMARES"):  # each of its modules has a logger of its own, at INFO
            logging.getLogger(name).setLevel(logging.ERROR)
    start = pyAMARES.initialize_FID(
        fid, priorknowledgefile=str(table), MHz=model.larmor, sw=1 / model.dwell, deadtime=model.delay, preview=False,
        lb=0.0, ppm_offset=-model.reference if _is_absolute(table) else 0.0,
    )  # fmt: skip
    found = pyAMARES.fitAMARES(start, start.initialParams, ifplot=False).result_multiplets
    return found[["amplitude", "sd"]].to_numpy(float)[:, :2]


def _is_absolute(table: Path) -> bool:
    """Whether a table gives the first line's chemical shift itself, not its distance from the reference."""
    shifts = next(
        line for line in table.read_text(encoding="utf-8-sig").splitlines() if line.startswith("chemicalshift")
    )
    return float(shifts.split(",")[1]) > 1
