"""Read MINC 1 and 2 with the axes in NIfTI's order, found by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
from monai.utils import optional_import
from numpy.typing import NDArray
from scipy.io import netcdf_file

from mrsikit.io.errors import InputError

SPACE = ("xspace", "yspace", "zspace")
HDF5 = b"\x89HDF\r\n\x1a\n"

REGULAR = SimpleNamespace(spacing=b"regular__", attrs={})
"""An axis other than of space. Such an axis may lack a variable, or be irregular; nibabel would refuse both."""


def read_minc(path: str | Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Read a MINC file.

    Args:
        path: a MINC 1 (NetCDF) or MINC 2 (HDF5) file. Its axes may be in any order.

    Returns:
        The values (X, Y, Z, ...) with the header's scaling applied, ``xspace`` first and axes that are not of space
        (``time``, ``vector_dimension``) last, and the 4 x 4 affine from voxel to world (mm). Nothing is flipped.

    Raises:
        InputError: the file does not have the three axes of space.
        ImportError: the file is MINC 2 and h5py is not installed.
        Exception: any error of the decoders on broken bytes.
    """
    with open(path, "rb") as file:
        is_minc2 = file.read(len(HDF5)) == HDF5
    image: Any
    if is_minc2:
        h5py, _ = optional_import("h5py", descriptor="MINC 2 needs h5py: pip install h5py")
        with h5py.File(path, "r") as stored:
            part = stored["minc-2.0"]
            names = part["image"]["0"]["image"].attrs["dimorder"]
            names = (names.decode() if isinstance(names, bytes) else str(names)).split(",")
            dimensions = _with_all(part["dimensions"], names)
            image = nib.minc2.Minc2File({"minc-2.0": {"image": part["image"], "dimensions": dimensions}})
            return _in_order(image, names, path)
    with netcdf_file(path, "r", mmap=False) as stored:
        names = list(stored.variables["image"].dimensions)
        image = nib.minc1.Minc1File(SimpleNamespace(variables=_with_all(stored.variables, names)))
        return _in_order(image, names, path)


def _with_all(variables: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: variables[name] for name in variables} | {name: REGULAR for name in names if name not in SPACE}


def _in_order(image: Any, names: list[str], path: str | Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    values = np.asarray(image.get_scaled_data())
    names = names[: values.ndim]
    if not set(SPACE) <= set(names):
        raise InputError(f"{path}: has the axes {', '.join(names)}; give a MINC file with {', '.join(SPACE)}")
    in_space = [name for name in names if name in SPACE]  # the order of the affine's columns
    affine = np.array(image.get_affine(), dtype=np.float64)
    affine[:, :3] = affine[:, [in_space.index(name) for name in SPACE]]
    order = [*(names.index(name) for name in SPACE), *(n for n, name in enumerate(names) if name not in SPACE)]
    return np.ascontiguousarray(np.transpose(values, order)), affine
