"""Postprocessing: turn synthetic transients into NIfTI-MRS, with a summary and warnings."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from torch import Tensor

import mrsikit
from mrs_vae_synthesis.conversion import dwell_at
from mrs_vae_synthesis.matched_filter import as_complex
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.nifti_sessions import EDITED, by_edit
from mrs_vae_synthesis.sessions import Acquisition
from mrsikit.io.nifti_mrs import EXTENSION, Fids, metadata_of
from mrsikit.physics.spectra import noise_sd

SIGNATURE = "mrsikit mrs_vae_synthesis"
"""Name of the program in the header of a synthetic session."""

SYNTHETIC = "synthetic"
"""Ending of the names of the output files."""


class PostprocessSessiond(Transform):
    """Arrange synthetic transients as NIfTI-MRS, (1, 1, 1, T, transients, edits); the header says they are synthetic.

    Args:
        network: network whose acquisition goes into the header; it is read when the transform runs, with the weights.
        sampling: sampling of the run.
        seed: seed of the run.

    Output:
        "synthetic" (1, 1, 1, 1, T, N[, 2]) complex; "names" of the outputs; "summary", a row of numbers; "flags", the
        warnings.
    """

    def __init__(self, *, network: SessionVae, sampling: str = "random", seed: int = 0) -> None:
        self.network, self.sampling, self.seed = network, sampling, seed

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Arrange the output of one session."""
        out = dict(data)
        pred = convert_to_tensor(out["pred"]).cpu()
        rows = pred[pred[:, -2] > 0.5]
        values, on = as_complex(rows[:, :-2]), rows[:, -1] > 0.5
        known = Acquisition.of(self.network.acquisition.cpu())
        image = out["image"]
        meta = dict(image.meta) if isinstance(image, MetaTensor) else {}
        both = bool(on.any() and (~on).any())
        fids = self._fids(by_edit(values, on) if both else values.T[:, :, None], on, both, known, meta)
        keep = {k: v for k, v in meta.items() if k not in metadata_of(fids)}
        out[SYNTHETIC] = MetaTensor(torch.from_numpy(fids.values)[None], meta={**keep, **metadata_of(fids)})
        out["names"] = [SYNTHETIC]
        out["summary"] = {
            "transients": int(np.prod(fids.values.shape[4:])),
            "ON": fids.values.shape[4] if both else int(on.sum()), "sampling": self.sampling, "seed": self.seed,
            "noise (SD of a channel)": float(f"{float(noise_sd(values).median()):.4g}"),
        }  # fmt: skip
        out["flags"] = list(json.loads(out.get("measured_warnings", "[]")))
        if EXTENSION in meta and np.isnan(float(meta.get("echo", np.nan))):
            out["flags"].append(f"the file does not state its echo time; it was taken for {1e3 * known.echo:g} ms")
        if any(SIGNATURE in str(step.get("Program")) for step in _header(meta).get("ProcessingApplied", [])):
            out["flags"].append("made of a session that is synthetic itself")
        if not known.water:
            out["flags"].append("without residual water: it was taken away from what the network was trained on")
        if self.sampling == "reconstruct":
            out["flags"].append("a reconstruction shows what the network has seen before: do not quantify it")
        return out

    def _fids(self, values: Tensor, on: Tensor, both: bool, known: Acquisition, meta: Mapping[str, Any]) -> Fids:
        """FIDs of values (T, N, 1 or 2) with their header.

        They have the Larmor frequency of the measured session, and the dwell time at which their chemical shifts are
        those that the network gave them.
        """
        given = _header(meta)
        extension = {k: v for k, v in given.items() if not k.startswith("dim_") and k != "SpectralWidth"}
        extension |= {
            "dim_5": "DIM_DYN",
            "ProcessingApplied": [
                *given.get("ProcessingApplied", []),
                {"Program": SIGNATURE, "Version": mrsikit.__version__, "Method": "Synthesis",
                 "Details": f"synthetic, not measured: sampling {self.sampling}, seed {self.seed}"},
            ],
            "SpecFreqChemShift": known.reference,
            "EchoTime": known.echo,
        }  # fmt: skip
        if both:
            extension |= EDITED
        elif known.edited:
            extension["EditCondition"] = ["ON" if bool(on.any()) else "OFF"]
        larmor = float(meta.get("larmor", known.larmor))
        shaped = values.numpy().astype(np.complex64)[None, None, None]
        return Fids(
            values=shaped if both else shaped[..., 0],
            affine=np.asarray(meta.get("affine", np.eye(4)), float),
            dwell=dwell_at(known, larmor), larmor=larmor, nucleus="1H", reference=known.reference, delay=None,
            extension=extension, echo=known.echo,
        )  # fmt: skip


def _header(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Header extension of a measured session; empty for a new one."""
    return json.loads(meta[EXTENSION]) if EXTENSION in meta else {}
