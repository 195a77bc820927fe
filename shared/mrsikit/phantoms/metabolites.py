"""Metabolite maps of a virtual patient according to the published virtual cohorts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mrsikit.phantoms.subject import Tissues

SMALLEST_TISSUE = 0.05
"""Smallest tissue fraction of a voxel that can be fitted; voxels with less are zero in the map."""

TUMOUR_WEIGHTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def weighted_map(tissues: Tissues, tau: float, *, mask: str = "viable") -> Tensor:
    """Make a map by tissue weights, 0.1 GM + 0.12 WM + 0 CSF + tau TM, divided by its maximum (Pham 2025, Eq. 1).

    Args:
        tissues: fractions of any shape.
        tau: weight of the tumour, one of :data:`TUMOUR_WEIGHTS` in the papers.
        mask: what the tumour mask TM holds. "viable": living tumour, so that necrosis has no signal; "whole": necrosis
            too; "flair": necrosis and oedema too, as FLAIR shows them.

    Returns:
        Map of the same shape, 0-1; exactly zero where less than 5 % of the voxel is tissue.

    Raises:
        ValueError: the mask is unknown.
    """
    masks = {"viable": tissues.viable, "whole": tissues.tumour}
    masks["flair"] = (tissues.tumour + tissues.oedema * tissues.wm).clamp(max=1)
    if mask not in masks:
        raise ValueError(f"mask must be one of {', '.join(masks)}, not {mask!r}")
    tissue = tissues.gm + tissues.wm + (tissues.viable if mask == "viable" else tissues.tumour)
    values = 0.1 * tissues.gm + 0.12 * tissues.wm + tau * masks[mask]
    values = values * (tissue >= SMALLEST_TISSUE)
    return values / values.max().clamp(min=1e-6)


@dataclass(frozen=True)
class Concentrations:
    """Concentrations (mM) of one metabolite by tissue; for necrosis, the share of the tumour's concentration (0-1)."""

    gm: float
    wm: float
    tumour: float
    oedema: float
    necrosis_share: float


# Ranges in mM. GM and WM: Pouwels & Frahm 1998 (doi:10.1002/mrm.1910390110) and the GM/WM ratios of Schuff 2001
# (doi:10.1002/mrm.1063). Tumour ratios by grade: Stadlbauer 2006 (doi:10.1148/radiol.2382050048); their low ends
# include the gliomas without elevated choline that Vossough 2019 describes.
NORMAL_RANGE = {
    "NAA": {"gm": (8.0, 12.0), "wm": (8.5, 12.5)},
    "tCr": {"gm": (6.0, 10.0), "wm": (5.0, 7.5)},
    "tCho": {"gm": (0.9, 1.9), "wm": (1.3, 2.4)},
}
TUMOUR_RANGE = {
    "low": {"tCho/NAA": (0.3, 0.8), "tCho/tCr": (0.35, 0.65), "tCr": (0.7, 1.0)},
    "high": {"tCho/NAA": (0.8, 3.0), "tCho/tCr": (0.65, 1.8), "tCr": (0.4, 0.8)},
}
RATIOS = {"tCho/NAA": ("tCho", "NAA"), "tCho/tCr": ("tCho", "tCr")}


def draw_concentrations(rng: np.random.Generator, grade: str) -> dict[str, Concentrations]:
    """Draw one patient's concentrations of NAA, tCr and tCho (mM) for a tumour of ``grade`` ("low" or "high")."""
    normal = {m: {t: rng.uniform(*span) for t, span in tissues.items()} for m, tissues in NORMAL_RANGE.items()}
    ratio = {k: rng.uniform(*span) for k, span in TUMOUR_RANGE[grade].items()}
    tumour = {"tCr": ratio["tCr"] * (normal["tCr"]["gm"] + normal["tCr"]["wm"]) / 2}
    tumour["tCho"] = ratio["tCho/tCr"] * tumour["tCr"]
    tumour["NAA"] = tumour["tCho"] / ratio["tCho/NAA"]
    oedema = {m: normal[m]["wm"] for m in normal}
    oedema["tCho"] = rng.uniform(0.25, 0.4) * normal["NAA"]["wm"]
    share = rng.uniform(0, 0.2)
    return {m: Concentrations(normal[m]["gm"], normal[m]["wm"], tumour[m], oedema[m], share) for m in normal}


def concentration_map(tissues: Tissues, concentrations: Concentrations) -> Tensor:
    """Map of one metabolite (mM per voxel volume); exactly zero where less than 5 % of the voxel is tissue."""
    c = concentrations
    white = c.wm + (c.oedema - c.wm) * tissues.oedema
    values = c.gm * tissues.gm + white * tissues.wm + c.tumour * (tissues.viable + c.necrosis_share * tissues.necrosis)
    return values * (tissues.gm + tissues.wm + tissues.tumour >= SMALLEST_TISSUE)


def ratio_map(numerator: Tensor, denominator: Tensor, smallest: float = 1e-3) -> Tensor:
    """Quotient of two maps; zero where the denominator is not above ``smallest`` (in the denominator's unit)."""
    return torch.where(denominator > smallest, numerator / denominator.clamp(min=smallest), 0.0)
