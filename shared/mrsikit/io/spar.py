"""The grid of a spectroscopic image in a Philips SPAR file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrsikit.io.errors import InputError

ORIENTED = {"phase_encoding_direction": "trans", "patient_position": "head_first", "patient_orientation": "supine"}
"""Values for which the order of the axes is known: transverse slices of a person who lies head first on the back."""

SLICES = ("dim4_pnts", "nr_of_slices_for_multislice")
"""Keys of the number of slices; the first is there in 3D and multi-slice scans only."""

CONVENTION = "the order and the signs of the axes are a convention that the file does not state"


def read_spar(path: str | Path) -> tuple[NDArray[np.float64], tuple[int, int, int], list[str]]:
    """Read the grid of a spectroscopic image from the text file ``.SPAR`` of a Philips scan.

    Convention. A SPAR file does not state how its axes run. This function takes what Oryx-MRSI takes (Cengiz et al.,
    IJIST 2022, doi:10.1002/ima.22748): columns run from right to left, rows from front to back, slices from foot to
    head, and the grid is centred on the off-centre, whose positive directions are left, back and head. Sides of a voxel
    are the field of view over the columns, and the distance of slices. The rotation is that of spec2nii: R = Rx(lr)
    Ry(ap) Rz(cc) in the patient's axes left, posterior, head. With D = diag(-1, -1, 1) from there to NIfTI's axes::

        affine = D R diag(sides),  centre of the grid at D (lr, ap, cc off-centre)

    Nobody can be sure of it for every scanner and software: lay a map over an MRI before you rely on left and right.

    Args:
        path: a ``.SPAR`` file. Sizes ``ap_size``, ``lr_size`` and ``cc_size`` are those of the excited box, not of the
            grid, and are not used. The ``si_`` values, those of the grid, come before those of the box.

    Returns:
        The affine, voxel (column, row, slice) to mm (4, 4); the matrix (columns, rows, slices); and warnings.

    Raises:
        InputError: the file cannot be read, lacks a value, or is of a scan whose axes are not known: slices that are
            not transverse, another position of the patient, or a matrix with more columns than rows, since the file
            states one field of view only.
    """
    found = _values(path)
    for key, value in ORIENTED.items():
        if key in found and found[key].strip('"').lower() != value:
            raise InputError(
                f"{path}: has {key} {found[key]}; only {value} is read, so give a NIfTI file as the reference"
            )
    matrix = tuple(int(_number(path, found, *keys)) for keys in (("dim2_pnts",), ("dim3_pnts",), SLICES))
    columns, rows, slices = matrix
    if columns != rows:
        raise InputError(
            f"{path}: has {columns} columns and {rows} rows but one field of view; give a NIfTI file as the reference"
        )
    fov = _number(path, found, "phase_encoding_fov")
    thickness = _number(path, found, *(("slice_distance", "slice_thickness") if slices > 1 else ("slice_thickness",)))
    if min(*matrix, fov, thickness) <= 0:
        raise InputError(f"{path}: states no matrix or voxel size above 0; give a NIfTI file as the reference")
    sides = np.array([fov / columns, fov / rows, thickness])
    axes = ("lr", "ap", "cc")
    centre = np.array([_number(path, found, f"si_{axis}_off_center", f"{axis}_off_center") for axis in axes])
    angles = np.radians([_number(path, found, f"si_{axis}_off_angulation", f"{axis}_angulation") for axis in axes])
    to_nifti = np.diag([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = to_nifti @ _rotation(angles) @ np.diag(sides)
    affine[:3, 3] = to_nifti @ centre - affine[:3, :3] @ ((np.array(matrix) - 1) / 2)
    turned = ", and so are those of its angulation" if angles.any() else ""
    warning = f"{Path(path).name}: {CONVENTION}{turned}; lay a map over an MRI before you rely on left and right"
    return affine, (columns, rows, slices), [warning]


def _values(path: str | Path) -> dict[str, str]:
    """Return the values of a SPAR file as text, by key."""
    try:
        text = Path(path).read_text(encoding="latin-1")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("!"))
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _number(path: str | Path, found: dict[str, str], *keys: str) -> float:
    """Return the value of the first of some keys that has a finite one."""
    for key in keys:
        try:
            value = float(found[key])
        except (KeyError, ValueError):
            continue
        if np.isfinite(value):
            return value
    raise InputError(f"{path}: states no {' or '.join(keys)}; give the SPAR file of a spectroscopic image, or a NIfTI")


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Rx Ry Rz for angles about x, y and z (radians)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z
