"""Virtual patients as the first transform of a training pipeline."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from mrsikit.phantoms.subject import Grid, VirtualSubject


class VirtualSubjectd(MapTransform):
    """Replace a seed by the tissues of the virtual patient with this seed.

    The transform is deterministic, so its output may be cached. The seed also decides voxel size, slice thickness and
    slice positions.

    Args:
        keys: entries that hold an int seed.
        spatial_dims: 2: several axial slices; 3: one volume.
        matrix: number of voxels per side.
        field_of_view: (lowest, highest) field of view in mm; the voxel size is the drawn value divided by ``matrix``.
        slices: number of slices per patient (2D); half of them cut a tumour if there is one.
        thickness: (lowest, highest) slice thickness in mm (2D).
        subsamples: sample points per voxel along x, y, z, whose mean gives the partial volumes.
        allow_missing_keys: leave items without the key unchanged.

    Output:
        uint8 tensor (slices, 8, X, Y) or (1, 8, X, Y, Z): the fractions of :class:`Tissues` times 255.

    Example:
        >>> tissues = VirtualSubjectd("tissues", spatial_dims=2, matrix=64, slices=2)({"tissues": 7})["tissues"]
        >>> tuple(tissues.shape)
        (2, 8, 64, 64)
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        spatial_dims: int,
        matrix: int,
        field_of_view: tuple[float, float] = (205.0, 240.0),
        slices: int = 6,
        thickness: tuple[float, float] = (4.0, 10.0),
        subsamples: tuple[int, int, int] = (1, 1, 2),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.spatial_dims = spatial_dims
        self.matrix = matrix
        self.field_of_view = field_of_view
        self.slices = slices
        self.thickness = thickness
        self.subsamples = subsamples

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the seed of each key by the patient's tissues."""
        out = dict(data)
        for key in self.key_iterator(out):
            fractions = self._sample(int(out[key]))
            out[key] = (fractions.clamp(0, 1) * 255).round().to(torch.uint8)
        return out

    def _sample(self, seed: int) -> torch.Tensor:
        subject = VirtualSubject(seed)
        rng = np.random.default_rng([seed, 1])
        spacing = float(rng.uniform(*self.field_of_view)) / self.matrix
        if self.spatial_dims == 3:
            centre = tuple(float(c) for c in rng.uniform(-6, 6, 3))
            grid = Grid((self.matrix,) * 3, (spacing,) * 3, centre, subsamples=self.subsamples)  # type: ignore[arg-type]
            return subject.tissues(grid).stacked()[None]
        drawn = []
        for k in range(self.slices):
            height = float(rng.uniform(-35, 65))
            if subject.tumours.tumours and k % 2:
                tumour = subject.tumours.tumours[k // 2 % len(subject.tumours.tumours)]
                height = float(tumour.centre[2] + tumour.radius * rng.uniform(-0.9, 0.9))
            centre = (float(rng.uniform(-6, 6)), float(rng.uniform(-6, 6)), height)
            thickness = float(rng.uniform(*self.thickness))
            grid = Grid((self.matrix,) * 2, (spacing,) * 2, centre, thickness, self.subsamples)
            drawn.append(subject.tissues(grid).stacked())
        return torch.stack(drawn)
