"""The matrices of a NIfTI header in millimetres, and warnings about headers that contradict themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

MILLIMETRES = {"micron": 1e-3, "meter": 1e3}
"""Millimetres of one unit of ``xyzt_units``; without a unit, lengths are taken for millimetres."""

ROUNDING = 0.1
"""Sform and qform are one if they differ by less than 0.1 voxels everywhere in the volume."""

SMALLEST_VOXEL = 0.02
"""Smallest plausible side of a voxel (mm); 20 mm in metres is as small."""


def read_affine(image: Any) -> NDArray[np.float64]:
    """Return the affine (4, 4) of a nibabel image, voxel to mm, in whatever unit of length its header has.

    The sform is taken if it has a code, else the qform.
    """
    return _in_millimetres(np.array(image.affine, dtype=np.float64), image)


def read_qform(image: Any) -> NDArray[np.float64]:
    """Return the qform (4, 4) of a nibabel image, voxel to mm, if it is another matrix than the sform; else the affine.

    A qform cannot hold shears, so it is compared with the qform that the sform would give.
    """
    affine = read_affine(image)
    if (
        not isinstance(image, nib.nifti1.Nifti1Image)
        or not image.header["sform_code"]
        or not image.header["qform_code"]
    ):
        return affine
    try:
        qform = _in_millimetres(image.get_qform(), image)
    except ValueError:  # no rotation at all
        return affine
    header = nib.nifti1.Nifti1Header()
    header.set_qform(affine)
    return affine if _voxels_apart(header.get_qform(), qform, image.shape) < ROUNDING else qform


def header_warnings(path: str | Path) -> list[str]:
    """Return what the header of a file leaves in doubt, one line each; none for what is no NIfTI file."""
    if Path(path).is_dir() or Path(path).suffix.lower() == ".mnc":
        return []
    image: Any = nib.load(path)
    if not isinstance(image, nib.nifti1.Nifti1Image):
        return []
    affine, qform = read_affine(image), read_qform(image)
    warnings = []
    if not np.array_equal(affine, qform):
        warnings.append(
            f"its sform (code {int(image.header['sform_code'])}) and qform (code {int(image.header['qform_code'])}) "
            f"{_difference(affine, qform, image.shape)}: the sform was used, both were kept; which is right?"
        )
    side = float(nib.affines.voxel_sizes(affine).min())
    if side < SMALLEST_VOXEL:
        unit = image.header.get_xyzt_units()[0]
        warnings.append(f"its voxels have a side of {side:.2g} mm (unit in the header: {unit}); is the unit right?")
    return warnings


def _in_millimetres(matrix: NDArray[np.float64], image: Any) -> NDArray[np.float64]:
    if isinstance(image, nib.nifti1.Nifti1Image):
        matrix[:3] *= MILLIMETRES.get(_unit(image), 1.0)
    return matrix


def _unit(image: Any) -> str:
    try:
        return str(image.header.get_xyzt_units()[0])
    except KeyError:  # a number that stands for no unit
        return "unknown"


def _corners(shape: tuple[int, ...]) -> NDArray[np.float64]:
    ends = np.meshgrid(*[(-0.5, n - 0.5) for n in (*shape, 1, 1, 1)[:3]], indexing="ij")
    return np.stack([*(axis.ravel() for axis in ends), np.ones(8)])


def _voxels_apart(one: NDArray[np.float64], other: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """Largest distance of two matrices' places of a corner of the volume, in sides of a voxel."""
    corners = _corners(shape)
    return float(np.linalg.norm(((one - other) @ corners)[:3] / nib.affines.voxel_sizes(one).min(), axis=0).max())


def _difference(sform: NDArray[np.float64], qform: NDArray[np.float64], shape: tuple[int, ...]) -> str:
    """Say by how much two matrices differ, in degrees and mm."""
    rotations = [np.linalg.svd(m[:3, :3] / nib.affines.voxel_sizes(m)) for m in (sform, qform)]
    turn = (rotations[0][0] @ rotations[0][2]).T @ (rotations[1][0] @ rotations[1][2])
    apart = np.linalg.norm(((sform - qform) @ _corners(shape))[:3], axis=0).max()
    if np.linalg.det(turn) < 0:
        return f"are mirror images, up to {apart:.3g} mm apart"
    angle = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    return f"differ by {angle:.3g} degrees and up to {apart:.3g} mm"
