"""Sources of a virtual patient's anatomy: a template, the user's tissue maps, a T1-weighted image, or BrainWeb.

Every source becomes an :class:`Anatomy`: tissue fractions on their grid, and the maps that deformation, tumour growth
and image synthesis need. World coordinates are RAS+ millimetres from the brain's centre.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.io
import torch
import torch.nn.functional as F
from monai.utils import optional_import
from nibabel.spatialimages import SpatialImage
from scipy import ndimage
from torch import Tensor

TISSUES = ("gm", "wm", "csf")

MISSING = "{} is not installed: {} need it; pip install 'mrsikit[train]'"
"""What to say when a package of an extra is missing."""


@dataclass(frozen=True)
class Anatomy:
    """Tissue fractions of one head, which can be interpolated at any point.

    Attributes:
        maps: (6, X, Y, Z) float32: fractions of GM, WM and CSF (0-1), depth below the brain surface (mm, negative
            outside), a soft mask of the ventricles (0-1), and the distance to them (mm, negative inside).
        world_to_voxel: (3, 4) affine from mm relative to the brain's centre to voxel indices.
        averaged: True for a population average, whose blurred cortex must be made crisp to resemble that of one
            subject.
        tumour: optional (X, Y, Z) tumour fractions (0-1) on the same grid, given by the user.
    """

    maps: Tensor
    world_to_voxel: Tensor
    averaged: bool = False
    tumour: Tensor | None = None

    def look_up(self, points: Tensor) -> Tensor:
        """Interpolate the maps at ``points`` (..., 3) in mm.

        Args:
            points: (..., 3) mm from the brain's centre.

        Returns:
            (6, ...) values, or (7, ...) with a tumour; points outside the grid take the value at its border.
        """
        maps = self.maps if self.tumour is None else torch.cat([self.maps, self.tumour[None]])
        voxels = points @ self.world_to_voxel[:, :3].T + self.world_to_voxel[:, 3]
        size = torch.tensor(maps.shape[1:], dtype=points.dtype)
        grid = (voxels / (size - 1) * 2 - 1).flip(-1).reshape(1, -1, 1, 1, 3)
        values = F.grid_sample(maps[None], grid, mode="bilinear", padding_mode="border", align_corners=True)
        return values.reshape(maps.shape[0], *points.shape[:-1])


def from_tissue_maps(
    gm: np.ndarray,
    wm: np.ndarray,
    csf: np.ndarray | None,
    affine: np.ndarray,
    *,
    tumour: np.ndarray | None = None,
    brain: np.ndarray | None = None,
    averaged: bool = False,
) -> Anatomy:
    """Make an anatomy from tissue fractions.

    Args:
        gm: (X, Y, Z) grey-matter fraction, 0-1.
        wm: (X, Y, Z) white-matter fraction, 0-1.
        csf: (X, Y, Z) CSF fraction, 0-1; None: the rest of the brain mask after GM, WM and tumour.
        affine: (4, 4) voxel to RAS+ mm.
        tumour: optional (X, Y, Z) tumour fraction or mask, 0-1.
        brain: optional (X, Y, Z) mask of everything inside the skull; default: the tissue after binary closing and
            filling of its holes.
        averaged: whether the maps are a population average.

    Raises:
        ValueError: the maps differ in shape, are not fractions, or have no voxel with more than 50 % tissue.
    """
    given = [m for m in (gm, wm, csf, tumour, brain) if m is not None]
    if any(m.shape != gm.shape or m.ndim != 3 for m in given):
        raise ValueError(f"tissue maps must be 3D and of one shape, not {[m.shape for m in given]}")
    # Resampled probability maps overshoot a little; percentages and labels lie far outside these limits.
    if not all(
        np.isfinite(m).all() and m.min() > -0.5 and m.max() < 1.5 for m in (gm, wm, csf, tumour) if m is not None
    ):
        raise ValueError("tissue maps must be finite fractions of 0-1")
    spacing = np.sqrt((np.asarray(affine)[:3, :3] ** 2).sum(0))
    tissue = np.clip(gm, 0, 1) + np.clip(wm, 0, 1) + (0 if csf is None else np.clip(csf, 0, 1))
    if tumour is not None:
        tissue = tissue + np.clip(tumour, 0, 1)
    if not (tissue > 0.5).any():
        raise ValueError("tissue maps hold no voxel of more than 50 % tissue; fractions of 0-1 are expected")
    if brain is None:
        brain = _closed(tissue > 0.3, radius_voxels=max(1, round(6 / float(spacing.min()))))
    brain = np.asarray(brain) > 0
    if csf is None:
        csf = np.clip(brain - gm - wm - (0 if tumour is None else tumour), 0, 1) * brain
    depth = _depth(brain, spacing, outside=12, inside=80)
    fluid = (csf > 0.5) & (depth > 22)
    ventricles = ndimage.gaussian_filter(fluid.astype(np.float32), 1.0 / spacing)
    to_ventricle = -_depth(fluid, spacing, outside=15, inside=15)
    centre = np.asarray(affine) @ [*np.mean(np.nonzero(brain), axis=1), 1.0]
    to_world = np.array(affine, dtype=np.float64)
    to_world[:3, 3] -= centre[:3]
    maps = np.stack([gm, wm, csf, depth, ventricles, to_ventricle]).astype(np.float32)
    return Anatomy(
        maps=torch.from_numpy(maps),
        world_to_voxel=torch.from_numpy(np.linalg.inv(to_world)[:3].astype(np.float32)),
        averaged=averaged,
        tumour=None if tumour is None else torch.from_numpy(np.asarray(tumour, dtype=np.float32)),
    )


def _depth(mask: np.ndarray, spacing: np.ndarray, *, outside: float, inside: float) -> np.ndarray:
    """Distance (mm) from the mask's surface, positive inside, clipped to -``outside`` and ``inside``."""
    depth = np.full(mask.shape, -outside, np.float32)
    if mask.any():
        reach = np.ceil(outside / spacing).astype(int) + 1
        box = tuple(
            slice(max(0, b.start - n), b.stop + n)
            for b, n in zip(ndimage.find_objects(mask.astype(np.uint8))[0], reach, strict=True)
        )
        near = mask[box]
        within = ndimage.distance_transform_edt(near, sampling=spacing)
        depth[box] = np.clip(within - ndimage.distance_transform_edt(~near, sampling=spacing), -outside, inside)
    return depth


def _closed(mask: np.ndarray, radius_voxels: int) -> np.ndarray:
    """Binary closing by a ball (computed from distance maps), then filling of enclosed holes."""
    padded = np.pad(mask, radius_voxels + 1)
    grown = ndimage.distance_transform_edt(~padded) <= radius_voxels
    closed = ndimage.distance_transform_edt(grown) > radius_voxels
    core = (slice(radius_voxels + 1, -radius_voxels - 1),) * mask.ndim
    return ndimage.binary_fill_holes(closed[core] | mask)


@functools.cache
def mni152() -> Anatomy:
    """Average anatomy: the MNI ICBM 152 2009a nonlinear symmetric tissue maps (1 mm) supplied with nilearn.

    Raises:
        OptionalImportError: nilearn is not installed.
    """
    datasets, _ = optional_import("nilearn.datasets", descriptor=MISSING.format("nilearn", "virtual subjects"))
    gm = datasets.load_mni152_gm_template(resolution=1)
    wm = datasets.load_mni152_wm_template(resolution=1)
    brain = datasets.load_mni152_brain_mask(resolution=1).get_fdata() > 0
    return from_tissue_maps(
        gm.get_fdata(dtype=np.float32) * brain,
        wm.get_fdata(dtype=np.float32) * brain,
        None,
        gm.affine,
        brain=brain,
        averaged=True,
    )


def _image(path: str | Path) -> SpatialImage:
    image = nib.load(path)
    if not isinstance(image, SpatialImage):
        raise ValueError(f"{path}: not an image")
    return image


def from_nifti(
    gm: str | Path, wm: str | Path, csf: str | Path | None = None, *, tumour: str | Path | None = None
) -> Anatomy:
    """Read an anatomy from NIfTI tissue probability maps (0-1) and an optional tumour mask, all on one grid.

    Raises:
        ValueError: the maps are not on one grid, are not fractions, or hold no tissue.
    """
    images = {k: _image(p) for k, p in {"gm": gm, "wm": wm, "csf": csf, "tumour": tumour}.items() if p is not None}
    for name, image in images.items():
        if image.shape != images["gm"].shape or not np.allclose(image.affine, images["gm"].affine, atol=1e-3):
            raise ValueError(f"the {name} map is not on the grey matter's grid (shape and affine)")
    data = {k: np.asarray(i.dataobj, dtype=np.float32) for k, i in images.items()}
    if "tumour" in data:
        data["tumour"] = (data["tumour"] > 0).astype(np.float32)
        for k in TISSUES:
            if k in data:
                data[k] = data[k] * (1 - data["tumour"])
    return from_tissue_maps(data["gm"], data["wm"], data.get("csf"), images["gm"].affine, tumour=data.get("tumour"))


def from_t1(t1: str | Path, *, tumour: str | Path | None = None, max_iterations: int = 50) -> Anatomy:
    """Make an anatomy from a skull-stripped T1-weighted image by dipy's hidden Markov random field classifier.

    Args:
        t1: NIfTI file, zero outside the brain.
        tumour: optional NIfTI mask (> 0) on the same grid; its voxels are left out of the tissue classes.
        max_iterations: largest number of iterations of the classifier.

    Raises:
        OptionalImportError: dipy is not installed.

    Source: Zhang 2001, doi:10.1109/42.906424 (the method); Avants 2011, doi:10.1007/s12021-011-9109-y (dipy's variant).
    """
    message = MISSING.format("dipy", "subjects from a T1")
    classifier_of_dipy, _ = optional_import("dipy.segment.tissue", name="TissueClassifierHMRF", descriptor=message)
    classifier = classifier_of_dipy(verbose=False)
    image = _image(t1)
    data = np.asarray(image.dataobj, dtype=np.float64)
    brain = ndimage.binary_fill_holes(data > 0)
    mask = np.zeros_like(brain) if tumour is None else np.asarray(_image(tumour).dataobj) > 0
    box = ndimage.find_objects(brain.astype(int))[0]
    # Remove the tumour and the coil's shading first, or the classifier takes them for a tissue and for a contrast.
    smooth = ndimage.gaussian_filter(np.where(brain & ~mask, data, 0), 25)
    weight = ndimage.gaussian_filter((brain & ~mask).astype(float), 25)
    shading = smooth / np.maximum(weight, 1e-6)
    flat = np.where(brain & ~mask, data / np.maximum(shading, 1e-6) * shading[brain].mean(), 0)[box]
    *_, fractions = classifier.classify(flat, 3, 0.1, max_iter=max_iterations)
    fractions = np.asarray(fractions)
    # The classes are sorted by intensity: CSF, GM, WM. In some versions a class "background" precedes them.
    csf, gm, wm = (np.zeros(data.shape, np.float32) for _ in range(3))
    for target, k in ((csf, -3), (gm, -2), (wm, -1)):
        target[box] = fractions[..., k]
    outside = ~brain | mask
    for fraction in (csf, gm, wm):
        fraction[outside] = 0
    return from_tissue_maps(
        gm, wm, csf, image.affine, tumour=mask.astype(np.float32) if mask.any() else None, brain=brain
    )


def from_brainweb(path: str | Path) -> Anatomy:
    """Read an anatomy from a BrainWeb fuzzy model at 0.5 mm.

    The MATLAB file holds ``im_mask`` (A>P, R>L, S>I, 3): vessels, GM and WM as 0 or 1. Each stored map is 1 wherever
    the fraction exceeds zero, so GM and WM overlap in half of the tissue. There, the fractions are estimated from how
    close the voxel lies to pure GM and to pure WM. CSF is the rest inside the closed outline. The result has 1 mm
    voxels.

    Source: Aubert-Broche 2006, doi:10.1016/j.neuroimage.2006.03.052.
    """
    stored = scipy.io.loadmat(path)["im_mask"][..., 1:] > 0
    # (A>P, R>L, S>I) -> (L>R, P>A, I>S); the 0.5 mm grid is averaged to 1 mm
    gm, wm = (np.ascontiguousarray(stored[..., k].transpose(1, 0, 2)[:, ::-1, ::-1]) for k in (0, 1))
    pure_gm = ndimage.gaussian_filter((gm & ~wm).astype(np.float32), 2.0, truncate=2.5)
    pure_wm = ndimage.gaussian_filter((wm & ~gm).astype(np.float32), 2.0, truncate=2.5)
    share = pure_gm / np.maximum(pure_gm + pure_wm, 1e-6)
    share[(pure_gm + pure_wm) < 1e-4] = 0.5
    both = gm & wm
    gm_fraction = _halved(np.where(both, share, gm))
    wm_fraction = _halved(np.where(both, 1 - share, wm))
    return from_tissue_maps(gm_fraction, wm_fraction, None, np.eye(4))


def _halved(volume: np.ndarray) -> np.ndarray:
    """Mean of 2 x 2 x 2 blocks, (X, Y, Z) -> (X/2, Y/2, Z/2)."""
    return F.avg_pool3d(torch.from_numpy(volume.astype(np.float32))[None], 2)[0].numpy()
