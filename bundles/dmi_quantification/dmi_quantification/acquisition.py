"""The model of a file's FIDs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mrsikit.io import InputError
from mrsikit.physics.fid_model import FidModel
from mrsikit.physics.nuclei import NUCLEI


def fid_model(
    meta: Mapping[str, Any],
    points: int,
    *,
    metabolites: Sequence[str],
    t2_star: Mapping[str, float],
    delay: float | None,
) -> FidModel:
    """Make the model of a file's FIDs.

    Args:
        meta: of a MetaTensor that :class:`mrsikit.io.NiftiMRSReader` has read.
        points: number of samples of a FID.
        metabolites: names in the nucleus's table.
        t2_star: relaxation times (s) by metabolite that replace those of the table.
        delay: time (s) from excitation to the first sample; None: the file's, or 0 if it gives none.

    Raises:
        InputError: the nucleus or a metabolite is unknown.
    """
    nucleus = NUCLEI.get(str(meta["nucleus"]))
    if nucleus is None or not nucleus.resonances:
        raise InputError(f"nucleus {meta['nucleus']} has no metabolites here; give 2H data")
    unknown = [name for name in metabolites if name not in nucleus.resonances]
    if unknown:
        raise InputError(f"{', '.join(unknown)}: not in the table of {nucleus.name}: {', '.join(nucleus.resonances)}")
    larmor, dwell = float(meta["larmor"]), float(meta["dwell"])
    reference, stored = float(meta["reference"]), float(meta["delay"])
    known = [nucleus.resonances[name] for name in metabolites]
    tesla = nucleus.field_of(larmor)
    return FidModel(
        ppm=[line.ppm for line in known],
        t2_star=[t2_star.get(line.name) or line.t2_star_at(tesla) for line in known],
        larmor=larmor,
        reference=nucleus.reference if math.isnan(reference) else reference,
        dwell=dwell,
        points=points,
        delay=delay if delay is not None else 0.0 if math.isnan(stored) else stored,
    )


def acquisition_rows(model: FidModel, unit: float) -> Tensor:
    """Make the first rows of the estimator's input, which describe the acquisition.

    Args:
        model: of the FIDs.
        unit: largest shift (Hz), the estimator's unit of frequency.

    Returns:
        (1 + K, T), complex64. Row 0 holds times in units of one over the largest shift: real, from the first sample;
        imaginary, from excitation. The other rows hold the lines at amplitude one.
    """
    at = torch.complex(model.times * unit, (model.times + model.delay) * unit)[None]
    return torch.cat([at, model.basis()]).to(torch.complex64)


def real_and_imaginary(values: Tensor) -> Tensor:
    """Stack the real and the imaginary part: (2, ...) of a complex (...)."""
    return torch.stack([values.real, values.imag])
