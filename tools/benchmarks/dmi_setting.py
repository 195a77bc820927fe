"""The setting of the simulations of deuterium FIDs: the acquisition, noisy FIDs, both estimators, rows of results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from benchmark import REPOSITORY, Context
from dmi_quantification.network import FidLeastSquares
from dmi_quantification.preprocessing import acquisition_rows, real_and_imaginary
from dmi_quantification.reference_precise_dmi import PreciseDmiCnn, PreciseDmiEstimator
from mrsikit.phantoms.dmi import FINER, PEAKS, DmiPhantom
from mrsikit.physics.fid_model import FidModel, noise_of_snr
from mrsikit.physics.nuclei import DEUTERIUM

MODELS = REPOSITORY / "bundles" / "dmi_quantification" / "models"
T2_STAR = (0.03, 0.03, 0.035, 0.06)
MODEL = FidModel(
    ppm=(4.7, 3.7, 2.4, 1.3), t2_star=T2_STAR, larmor=76.7, reference=4.7, dwell=4e-4, points=512, delay=6e-4
)
LINES = [DEUTERIUM.resonances[name] for name in PEAKS]
TRUTH = torch.tensor([10.0, 2.0, 3.0, 1.0])
SNRS = (5.0, 6.0, 7.7, 9.0, 10.5, 12.1, 14.0, 16.0, 18.6, 21.0, 24.0, 27.0, 31.0, 35.0)
LARGEST_SHIFT = 0.4
OURS, CNN, SCIPY, AMARES = "ours", "paper's CNN", "scipy, voxel by voxel", "pyAMARES"


def estimator_rows(model: FidModel, fids: Tensor) -> Tensor:
    """The estimator's input (2, 1 + K + V, T)."""
    head = acquisition_rows(model, LARGEST_SHIFT * model.larmor)
    return real_and_imaginary(torch.cat([head, fids]))


def fit(fids: Tensor, model: FidModel = MODEL) -> Tensor:
    """The bundle's estimator on FIDs (V, T): (3 K + 7, V), frequencies in Hz."""
    unit = LARGEST_SHIFT * model.larmor
    network = FidLeastSquares(peaks=len(model.ppm)).eval()
    with torch.no_grad():
        out = torch.cat([network(estimator_rows(model, chunk)[None])[0] for chunk in fids.split(512)], 1)
    k = 3 * len(model.ppm)
    out[[k, k + 1, k + 3, k + 4]] *= unit
    return out


@dataclass(frozen=True)
class Draw:
    """Noisy FIDs and what was drawn for them."""

    fids: Tensor
    state: dict[str, Tensor]
    noise: float


def draw(count: int, snr: float, generator: torch.Generator, *, model: FidModel = MODEL, broadest: float = 5.0) -> Draw:
    """FIDs of :data:`TRUTH` with random shift (+-20 Hz), phase and broadening."""
    state = {
        "shift": 40 * torch.rand(count, generator=generator) - 20,
        "phase": 2 * math.pi * torch.rand(count, generator=generator),
        "broadening": broadest * torch.rand(count, generator=generator),
    }
    noise = noise_of_snr(model, snr, amplitude=float(TRUTH[0]))
    fids = model.simulate(TRUTH.expand(count, -1), **state, noise=noise, generator=generator)
    return Draw(fids, state, noise)


def precise_dmi_cnn(weights: str = "model_cnn.pt") -> PreciseDmiCnn | None:
    """The paper's network, where its weights are."""
    path = MODELS / weights
    if not path.is_file():
        return None
    network = PreciseDmiEstimator()
    network.load_state_dict({k: v.float() for k, v in torch.load(path, weights_only=True).items()})
    return network.cnn.eval()


def add_peaks(
    context: Context,
    condition: str,
    method: str,
    metric: str,
    values: Sequence[float],
    n: int,
    *,
    names: Sequence[str] = PEAKS,
) -> None:
    """One row for each of these peaks, without an interval."""
    for name, value in zip(names, values, strict=True):
        context.rows.append(
            {"set": name, "condition": condition, "method": method, "metric": metric,
             "mean": float(f"{value:.4g}"), "ci95": [None, None], "n": n}
        )  # fmt: skip


def record_errors(
    context: Context, condition: str, method: str, errors: Tensor, bounds: Tensor, *, truth: Tensor = TRUTH
) -> None:
    """Rows of errors (N, K) of amplitudes, in units of their bounds and in % of the truth (K,) or (N, K)."""
    relative = errors / bounds
    count = len(errors)
    bias = 100 * (errors / truth).mean(0)
    add_peaks(context, condition, method, "SD / CRLB", relative.std(0).tolist(), count)
    add_peaks(context, condition, method, "bias, %", bias.tolist(), count)
    standard_error = errors.std(0) / math.sqrt(count)
    add_peaks(context, condition, method, "bias, standard errors", (errors.mean(0) / standard_error).tolist(), count)
    add_peaks(context, condition, method, "largest error, SD", relative.abs().amax(0).tolist(), count)


def on_grid(phantom: DmiPhantom, shift: float = 0.0) -> np.ndarray:
    """The phantom's MRI on the grid of the DMI, 0 to 1, moved by ``shift`` voxels along the first axis."""
    fine = ndimage.shift(phantom.mri, [shift * FINER] + [0] * (phantom.mri.ndim - 1), order=1)
    shape = [n for size in phantom.mask.shape for n in (size, FINER)]
    coarse = fine.reshape(shape).mean(tuple(range(1, len(shape), 2))) * phantom.mask
    return coarse / coarse.max()
