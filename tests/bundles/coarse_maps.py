"""Coarse maps and FLAIRs of a simple head, on any grid."""

from pathlib import Path

import nibabel as nib
import numpy as np

FLAIR_VOXEL = np.array([1.0, 1.0, 4.0])


def grid(spacing: tuple[float, float, float] = (6.9, 6.9, 10.0), turn: float = 0.0) -> np.ndarray:
    """Voxel to mm of a slice about the scanner's centre, turned in plane by some degrees."""
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    out = np.eye(4)
    out[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(spacing)
    out[:3, 3] = -out[:3, :3] @ [11.5, 11.5, 0]
    return out


def head(affine: np.ndarray, shape: tuple[int, ...], *, level: float = 9.0, lesion: float = 0.0) -> np.ndarray:
    """A disc with a dark middle, and a lesion, seen on any grid."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in (*shape, 1)[:3]), indexing="ij"), -1)
    x, y, _ = np.moveaxis(index @ affine[:3, :3].T + affine[:3, 3], -1, 0)
    values = level * ((x / 60) ** 2 + (y / 72) ** 2 < 1) * (1 - 0.8 * (np.hypot(x, y) < 14))
    values = values * (1 + lesion * (np.hypot(x - 30, y - 10) < 15))
    return values.reshape(shape).astype(np.float32)


def save(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.nifti1.Nifti1Image(values, affine), path)
    return path


def flair_grid(shift: float = 0.0) -> np.ndarray:
    """Of a FLAIR of 160 x 160 x 12 around the map."""
    out = np.diag([*FLAIR_VOXEL, 1.0])
    out[:3, 3] = -80 + shift, -80, -22
    return out


def save_flair(path: Path, shift: float = 0.0) -> Path:
    return save(path, 100 * head(flair_grid(), (160, 160, 12), level=1, lesion=0.5), flair_grid(shift))
