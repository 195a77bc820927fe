"""The virtual cohort of the 32 to 128 super-resolution paper: slices of 450 patients, each five maps and a FLAIR."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import Dataset
from monai.transforms import MapTransform
from torch import Tensor

from mrsikit.phantoms.metabolites import (
    NORMAL_RANGE,
    RATIOS,
    Concentrations,
    concentration_map,
    draw_concentrations,
    ratio_map,
)
from mrsikit.phantoms.mri import mri, scaled_to_brain
from mrsikit.phantoms.subject import Grid, Tissues, VirtualSubject

NAMES = (*NORMAL_RANGE, *RATIOS)
"""Names of the five maps of each slice."""

TRAINING_PATIENTS, TEST_PATIENTS = 350, 100
TRAINING_MAPS, TEST_MAPS = 15000, 500

FINE, FIELD_OF_VIEW, THICKNESS = 128, 220.0, 10.0
"""Voxels per side of the true map; field of view and slice thickness (mm)."""

MOST_TRIES = 20
"""Slices are drawn again up to this often, until the lesion is brighter in the FLAIR than the slice."""


def cohort(patients: int, maps: int, *, seed: int) -> list[dict[Hashable, int]]:
    """List the patients of a cohort, with as many slices each as the number of maps needs.

    Args:
        patients: number of patients.
        maps: number of maps of all patients together, five a slice.
        seed: seed of the first patient; the others take the following integers.

    Returns:
        For each patient its seed, "patient", and its number of "slices".

    Example:
        >>> [patient["slices"] for patient in cohort(3, 40, seed=0)]
        [2, 3, 3]
    """
    slices = maps // len(NAMES)
    return [
        {"patient": seed + k, "slices": slices * (k + 1) // patients - slices * k // patients} for k in range(patients)
    ]


class HfabCohortd(MapTransform):
    """Replace a seed by the maps of the virtual patient with this seed, by the rules of the paper.

    Physics: every patient has one glioma, of low or high grade, and one concentration of NAA, tCr and tCho in each
    tissue, by the grade. Axial slices cut the tumour where it is brighter in the FLAIR than the mean of the slice. Each
    slice gives five maps, those of the metabolites, of tCho/NAA and of tCho/tCr, each divided by its maximum, and one
    FLAIR that agrees with them. The transform is deterministic, so its output may be cached.

    Args:
        keys: entries that hold an int seed.
        slices: key of the number of slices S.
        thickness: slice thickness (mm).
        allow_missing_keys: leave items without the key unchanged.

    Output:
        In place of each key and "slices", in half precision: "maps" (S, 5, 128, 128), maximum 1, and "flair"
        (S, 128, 128), brain about 0 to 1.
    """

    def __init__(
        self,
        keys: KeysCollection = "patient",
        *,
        slices: str = "slices",
        thickness: float = THICKNESS,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.slices, self.thickness = slices, thickness

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the maps."""
        out = dict(data)
        for key in self.key_iterator(out):
            seed = int(out.pop(key))
            subject, rng = VirtualSubject(seed, tumours=1), np.random.default_rng([seed, 3])
            drawn = draw_concentrations(rng, subject.tumours.tumours[0].grade)
            made = [self._slice(subject, drawn, rng) for _ in range(int(out.pop(self.slices)))]
            out["maps"], out["flair"] = (torch.stack(images).half() for images in zip(*made, strict=True))
        return out

    def _slice(
        self, subject: VirtualSubject, drawn: Mapping[str, Concentrations], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the five maps (5, X, Y) and the FLAIR (X, Y) of one slice through the tumour."""
        tumour = subject.tumours.tumours[0]
        for _ in range(MOST_TRIES):
            height = float(tumour.centre[2]) + tumour.radius * float(rng.uniform(-0.9, 0.9))
            grid = Grid((FINE, FINE), (FIELD_OF_VIEW / FINE,) * 2, (0.0, 0.0, height), self.thickness, (1, 1, 3))
            tissues = subject.tissues(grid)
            flair, lesion = mri(tissues, grid, "flair", rng), tissues.tumour > 0.5
            if lesion.any() and flair[lesion].mean() > flair.mean():
                break
        return torch.stack(five_maps(tissues, drawn)), scaled_to_brain(flair, tissues.brain > 0.5)


def five_maps(tissues: Tissues, drawn: Mapping[str, Concentrations]) -> list[Tensor]:
    """Make the maps of :data:`NAMES` (X, Y), each divided by its maximum.

    Args:
        tissues: tissue fractions (X, Y).
        drawn: concentrations of each metabolite.
    """
    found = {name: concentration_map(tissues, one) for name, one in drawn.items()}
    found |= {name: ratio_map(found[over], found[under]) for name, (over, under) in RATIOS.items()}
    return [found[name] / found[name].max().clamp(min=1e-6) for name in NAMES]


class CohortMaps(Dataset):
    """Dataset with one item for each map of a cohort, patient by patient.

    Args:
        patients: of :func:`cohort`.
        made: dataset of the same patients after :class:`HfabCohortd`.
        start: number of the first map.
        stop: number of the map after the last; None: all.

    Output:
        "map" and "flair", each (1, 128, 128) float32.
    """

    def __init__(
        self,
        patients: Sequence[Mapping[Hashable, int]],
        made: Sequence[Any],
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        every = [(p, s, m) for p, item in enumerate(patients) for s in range(item["slices"]) for m in range(len(NAMES))]
        super().__init__(every[start:stop])
        self.made = made

    def __getitem__(self, index: int) -> dict[Hashable, Tensor]:  # type: ignore[override]
        """Return one map and its FLAIR."""
        patient, slice_, name = self.data[index]
        found = self.made[patient]
        return {"map": found["maps"][slice_, name][None].float(), "flair": found["flair"][slice_][None].float()}
