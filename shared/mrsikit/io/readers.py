"""Read NIfTI and MINC maps in the axis order of the file, for numpy and for MONAI's ``LoadImaged``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple
from numpy.typing import NDArray

from mrsikit.io.dicom import read_series
from mrsikit.io.errors import InputError
from mrsikit.io.geometry import read_affine, read_qform
from mrsikit.io.minc import read_minc

ENDINGS = (".nii.gz", ".nii", ".mnc")
CODES = "sform_qform_codes"
"""Metadata key of the sform and qform codes: the space the matrices lead to (0 unknown, 1 scanner, 4 MNI)."""

QFORM = "qform"
"""Metadata key of the qform (4, 4), voxel to mm; the affine where it is no other matrix."""


def split_name(name: str) -> tuple[str, str]:
    """Split a file name into stem and ending.

    Args:
        name: file name without folder, for example ``NAA.nii.gz``.

    Returns:
        The stem and the ending as written. The ending is empty unless it is ``.nii``, ``.nii.gz`` or ``.mnc`` in lower
        or upper case.
    """
    for ending in ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)], name[-len(ending) :]
    return name, ""


def stem_of(path: str | Path) -> str:
    """Return the file name of ``path`` without folder and without ``.nii``, ``.nii.gz`` or ``.mnc``."""
    return split_name(Path(path).name)[0]


def read_map(path: str | Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read one real-valued map.

    NIfTI arrays keep the axis order and the number of axes of the file, (X, Y), (X, Y, Z) or (X, Y, Z, M). Only axes of
    length one are left out where more than four would remain: (X, Y, Z, 1, M), as ITK writes, becomes (X, Y, Z, M).
    MINC files may store their axes in any order, often (M, Z, Y, X). They and the affine are put into the order of
    NIfTI by the names of the axes, without flips, so that every caller finds the slices on the third axis.

    Args:
        path: a ``.nii``, ``.nii.gz`` or ``.mnc`` file, or a folder that holds one DICOM series,
            also in a folder of its own.

    Returns:
        The values with the header's scaling applied, float32, and the 4 x 4 affine from voxel to world (mm),
        whatever unit of length the header has.

    Raises:
        InputError: the file cannot be decoded, holds complex or structured values, or has no invertible affine; or the
            folder does not hold exactly one series.
    """
    if Path(path).is_dir():
        return read_series(path)
    data, affine = _read_minc(path) if _is_minc(path) else _read_nifti(path)
    if not is_affine(affine):
        raise InputError(f"{path}: its voxel-to-world matrix cannot be inverted; set a valid sform or qform")
    return _without_ones(data), affine


def _is_minc(path: str | Path) -> bool:
    return split_name(Path(path).name)[1].lower() == ".mnc"


def _read_minc(path: str | Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    try:
        with np.errstate(all="ignore"):
            data, affine = read_minc(path)
    except InputError:
        raise
    except Exception as error:  # the decoders can raise any error on broken bytes
        raise InputError(f"{path}: cannot be read ({_one_line(error)}); give a whole .mnc") from error
    return data.astype(np.float32), affine


def _read_nifti(path: str | Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    try:
        image = nib.load(path)
        dtype = np.dtype(image.get_data_dtype())  # type: ignore[attr-defined]
        affine = read_affine(image)
    except Exception as error:  # the decoders can raise any error on broken bytes
        raise InputError(f"{path}: cannot be read ({_one_line(error)}); give a whole .nii, .nii.gz or .mnc") from error
    if dtype.kind == "c":
        raise InputError(f"{path}: holds complex numbers; a map must be real, so save its magnitude or its real part")
    if dtype.fields is not None or dtype.kind not in "biuf":
        raise InputError(f"{path}: holds colours or records ({dtype}); a map must hold one number a voxel")
    try:
        with np.errstate(all="ignore"):
            data = np.asarray(image.dataobj).astype(np.float32)  # type: ignore[attr-defined]
    except Exception as error:  # truncated or corrupt data after a valid header
        raise InputError(f"{path}: its data cannot be read ({_one_line(error)}); copy the file again") from error
    return data, affine


def _without_ones(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Drop axes of length one that follow the third, so that at most one axis follows it: (X, Y, Z[, M])."""
    if data.ndim <= 4:
        return data
    return data.reshape(*data.shape[:3], *([n for n in data.shape[3:] if n > 1] or [1]))


def is_affine(matrix: np.ndarray) -> bool:
    """Tell whether a matrix can be an affine from voxel to mm: 4 x 4, finite and invertible."""
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        return False
    sides = np.linalg.norm(matrix[:3, :3], axis=0)
    return bool(sides.all()) and abs(np.linalg.det(matrix[:3, :3] / sides)) >= 1e-6  # whatever the unit of length


def read_codes(path: str | Path) -> tuple[int, int] | None:
    """Return the sform and qform codes of a NIfTI file, None for other formats.

    Both codes are 0 if the writer did not know the patient's orientation. Left and right are then unknown.
    """
    if Path(path).is_dir() or _is_minc(path):
        return None
    image: Any = nib.load(path)
    if not isinstance(image, nib.nifti1.Nifti1Image):
        return None
    return int(image.header["sform_code"]), int(image.header["qform_code"])


def _other_qform(path: str | Path, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the qform of a NIfTI file in mm, the affine for other formats."""
    if read_codes(path) is None:
        return affine.copy()
    return read_qform(nib.load(path))


def _one_line(error: Exception) -> str:
    """Return the kind and the first line of an error, short enough for a log line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__


class MapReader(ImageReader):
    """:func:`read_map` as a reader of MONAI's ``LoadImaged``.

    MONAI's ``NibabelReader`` fails on MINC, and a caller cannot choose the order in which MONAI tries its other
    readers. Use this reader as
    ``LoadImaged(keys=..., reader="mrsikit.io.MapReader", ensure_channel_first=True, allow_missing_keys=True)``:
    (X, Y) becomes (1, X, Y), (X, Y, Z) becomes (1, X, Y, Z) also if Z = 1, and (X, Y, Z, M) becomes (M, X, Y, Z).
    """

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:  # type: ignore[override]
        """Tell whether every name is a folder or ends in ``.nii``, ``.nii.gz`` or ``.mnc``."""
        return all(Path(name).is_dir() or split_name(Path(name).name)[1] for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | Path] | str | Path, **kwargs: Any) -> tuple[Any, ...]:  # type: ignore[override]
        """Read one file.

        Raises:
            InputError: :func:`read_map` fails, or more than one file name is given.
        """
        names = ensure_tuple(data)
        if len(names) != 1:
            raise InputError(f"{names}: one file a key is read; put metabolites on the last axis of one file")
        values, affine = read_map(names[0])
        return values, affine, read_codes(names[0]), _other_qform(names[0], affine)

    def get_data(self, img: tuple[Any, ...]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the array and the metadata that MONAI and :class:`mrsikit.io.AtomicNibabelWriter` need."""
        data, affine, codes, qform = img
        metabolites_last = data.ndim == 4
        return data, {
            MetaKeys.AFFINE: affine,
            MetaKeys.ORIGINAL_AFFINE: affine.copy(),
            MetaKeys.SPATIAL_SHAPE: np.asarray(data.shape[:3]),
            MetaKeys.ORIGINAL_CHANNEL_DIM: -1 if metabolites_last else float("nan"),
            MetaKeys.SPACE: SpaceKeys.RAS,
            CODES: np.asarray((1, 1) if codes is None else codes),
            QFORM: qform,
        }
