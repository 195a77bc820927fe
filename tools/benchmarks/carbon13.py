"""Really measured maps: hyperpolarised 13C of two prostates and a primate brain, a slice each, summed over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io


def carbon13_maps(data: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the maps of ``hp13c`` and mark the voxels that are well measured.

    Time is the last axis of the prostates (x, y, z, metabolite, time) and the first axis of the primate (time, x, y).
    A voxel of a prostate is well measured if it exceeds 5 standard deviations of the noise. The primate's noise was not
    stored, and its magnitudes have a floor of noise that exceeds a quarter of the largest lactate. So a voxel of either
    map is well measured if its pyruvate exceeds a quarter of the 95th percentile, which outlines the brain.

    Args:
        data: folder of the real data sets.

    Returns:
        By name: map (X, Y) and bool (X, Y).
    """
    out = {}
    for patient in ("pc6071", "pc6088"):
        stored = scipy.io.loadmat(data / "hp13c" / f"{patient}_extracted_data.mat")
        bias, sd = float(stored["mean_bias_peaks"].item()), float(stored["std_noise_data"].item())
        peaks = stored["peaks"][:, :, 0] - bias
        for k, metabolite in enumerate(("pyruvate", "lactate")):
            values = peaks[:, :, k].sum(-1).astype(np.float32)
            out[f"prostate {patient}, {metabolite}"] = (values, values > 5 * sd * np.sqrt(peaks.shape[-1]))
    stored = scipy.io.loadmat(data / "hp13c" / "primate_brain_csi_variableflip_dynamic.mat")
    pyruvate, lactate = (stored[key].sum(0).astype(np.float32) for key in ("pyr", "lac"))
    brain = pyruvate > 0.25 * np.percentile(pyruvate, 95)
    out["primate brain, pyruvate"], out["primate brain, lactate"] = (pyruvate, brain), (lactate, brain)
    return out
