"""pyAMARES as a spectroscopist runs it: prior knowledge in a table, each voxel alone. An extra: ``.[amares]``."""

from __future__ import annotations

import csv
import logging
import tempfile
from pathlib import Path

import numpy as np
import pyAMARES
from numpy.typing import NDArray

from mrsikit.synthesis.fid import FidModel

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
    for name in logging.root.manager.loggerDict:
        if name.startswith("pyAMARES"):  # each of its modules has a logger of its own, at INFO
            logging.getLogger(name).setLevel(logging.ERROR)
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
    start = pyAMARES.initialize_FID(
        fid, priorknowledgefile=str(table), MHz=model.larmor, sw=1 / model.dwell, deadtime=model.delay, preview=False,
        lb=0.0,
    )  # fmt: skip
    done = pyAMARES.fitAMARES(start, start.initialParams, ifplot=False)
    found = done.result_multiplets if hasattr(done, "result_multiplets") else done.result_sum
    amplitude = found.filter(regex="(?i)^amplitude$|^amp").iloc[:, 0]
    return np.array([float(amplitude.loc[name]) for name in PEAKS])
