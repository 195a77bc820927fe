"""Where maps lie that come without a position: on the grid of a file that the user names, or nowhere known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mrsikit.io.errors import InputError
from mrsikit.io.geometry import header_warnings, read_affine, read_qform
from mrsikit.io.spar import read_spar

POSITION_UNKNOWN = "position unknown"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A grid of voxels.

    Attributes:
        voxel_size: sides of a voxel (mm).
        affine: voxel to mm (4, 4), None if only the voxel size is known.
        qform: the qform (4, 4), None if it is no other matrix than the affine.
        codes: sform and qform codes of NIfTI; (0, 0) means that the position is unknown.
        shape: matrix (X, Y, Z), None if any matrix has this grid.
        position: where the position comes from, for the record.
        warnings: what is doubtful about it, one line each.
    """

    voxel_size: tuple[float, ...]
    affine: NDArray[np.float64] | None = None
    qform: NDArray[np.float64] | None = None
    codes: tuple[int, int] = (0, 0)
    shape: tuple[int, ...] | None = None
    position: str = f"{POSITION_UNKNOWN}: only the voxel size was given"
    warnings: Sequence[str] = field(default=())

    def image(self, values: NDArray[np.float32]) -> nib.nifti1.Nifti1Image:
        """Return maps (X, Y, Z) as a NIfTI image on this grid.

        If the position is unknown, both codes of the header are 0 and the voxel sizes are all that it says. Readers
        then put the volume's centre at the origin; left and right stay unknown.
        """
        image = nib.nifti1.Nifti1Image(values, self.affine)
        image.header.set_xyzt_units("mm")
        if self.affine is None:
            image.header.set_zooms(self.voxel_size)
            return image
        image.set_sform(self.affine, code=self.codes[0])
        image.set_qform(self.affine if self.qform is None else self.qform, code=self.codes[1])
        return image


def grid_of_sizes(text: str) -> Grid:
    """Return the grid of a voxel size that was typed, such as ``10,10,12`` (mm).

    Raises:
        InputError: these are not three positive numbers.
    """
    try:
        sizes = tuple(float(word) for word in text.split(","))
    except ValueError:
        sizes = ()
    if len(sizes) != 3 or not all(0 < size < np.inf for size in sizes):
        raise InputError(f"--voxel_size {text}: give the three sides of a voxel in mm, such as 10,10,12")
    return Grid(voxel_size=sizes)


def grid_of_file(path: str | Path) -> Grid:
    """Read the grid of a NIfTI or NIfTI-MRS file, or of the SPAR file of a Philips scan.

    Voxel (column, row, slice) of the maps is voxel (i, j, k) of a NIfTI file, as converters such as spec2nii order the
    axes of spectroscopic images. :func:`mrsikit.io.spar.read_spar` states the order of a SPAR file.

    Args:
        path: a ``.nii``, ``.nii.gz`` or ``.SPAR`` file. Axes after the third, such as that of time, do not matter.

    Raises:
        InputError: the file cannot be read, or does not state a grid.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: is no file; give a .nii, .nii.gz or .SPAR file")
    if path.suffix.lower() == ".spar":
        affine, shape, warnings = read_spar(path)
        by = f"{path.name}, a SPAR file, by convention: columns run to the left, rows to the back, slices to the head"
        return Grid(voxel_size=_sides(affine), affine=affine, codes=(1, 1), shape=shape, position=by, warnings=warnings)
    try:
        image: Any = nib.load(path)
        affine, qform = read_affine(image), read_qform(image)
        codes = (int(image.header["sform_code"]), int(image.header["qform_code"]))
        known = any(codes)
        warnings = [f"{path.name}: {line}" for line in header_warnings(path)]
        sides = _sides(affine)
    except Exception as error:  # the decoders can raise any error on broken bytes
        raise InputError(f"{path}: cannot be read; give a whole .nii, .nii.gz or .SPAR file") from error
    if not (np.isfinite(affine).all() and all(sides)):
        raise InputError(f"{path}: its voxel-to-world matrix cannot be inverted; give another file")
    return Grid(
        voxel_size=sides,
        affine=affine if known else None,
        qform=None if np.array_equal(qform, affine) else qform,
        codes=codes,
        shape=(*image.shape, 1, 1)[:3],
        position=path.name if known else f"{POSITION_UNKNOWN}: the header of {path.name} does not state it",
        warnings=warnings,
    )


def _sides(affine: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(side) for side in nib.affines.voxel_sizes(affine))
