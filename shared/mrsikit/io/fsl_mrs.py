"""Read the folder of results that ``fsl_mrsi``, the program for spectroscopic images of FSL-MRS, writes.

Layout, as the file ``mrsi.tree`` in such a folder and FSL-MRS's documentation state it
(https://open.win.ox.ac.uk/pages/fsl/fsl_mrs; Clarke et al., MRM 2021, doi:10.1002/mrm.28630)::

    concs/<scaling>/<metabolite>.nii.gz      concentrations; scaling: raw, internal, molarity, molality
    uncertainties/<metabolite>_sd.nii.gz     standard deviations (percent)
    qc/<metabolite>_snr.nii.gz               signal-to-noise ratio
    qc/<metabolite>_fwhm.nii.gz              linewidth (Hz)
    qc/fit_failed.nii.gz                     not 0 where the fit failed
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mrsikit.io.errors import InputError
from mrsikit.io.fitted_maps import FittedMaps, file_word, some
from mrsikit.io.grid import Grid, grid_of_file

SCALINGS: Mapping[str, str] = {
    "internal": "ratio to the internal reference of the fit (Cr + PCr unless another was chosen)",
    "raw": "arbitrary units of the fit",
    "molarity": "mM",
    "molality": "mmol/kg",
}
"""Unit of the concentrations by the name of their scaling, in the order of preference."""

ENDING = ".nii.gz"
SAME_PLACE = 1e-3
"""Affines (mm) that differ by less are one."""


def is_fsl_mrs(folder: str | Path) -> bool:
    """Whether a folder looks like one of results of ``fsl_mrsi``."""
    return bool(_scalings(Path(folder)))


def read_fsl_mrs(folder: str | Path, *, scaling: str | None = None) -> FittedMaps:
    """Read the results of ``fsl_mrsi``.

    FSL-MRS writes 0 where it fitted nothing, and where a value is not finite. So a bound of 0 is NaN, and its
    concentration too; both are NaN where the fit failed. A linewidth or a signal-to-noise ratio of 0 is NaN. Sums that
    the fit was asked for (``--combine``) are rows of their own, ``NAA+NAAG``.

    Args:
        folder: the folder with ``concs``, ``uncertainties`` and ``qc``.
        scaling: which concentrations, one of :data:`SCALINGS`; None: ``internal``. The others are not read.

    Returns:
        Maps on the grid of the files, with ``<metabolite>_snr`` and ``<metabolite>_fwhm`` (Hz) where there are such.

    Raises:
        InputError: the folder has no such concentrations; or files cannot be read or lie on another grid than the
            first, which gives a line for each.
    """
    folder = Path(folder)
    have = _scalings(folder)
    wanted = scaling or next(iter(SCALINGS))
    if not have:
        raise InputError(f"{folder}: holds no concs/internal/*{ENDING} of fsl_mrsi; give the folder that holds concs")
    if wanted not in have:
        raise InputError(f"--scaling {wanted}: {folder} has no such concentrations; it has {', '.join(have)}")
    files = sorted((folder / "concs" / wanted).glob(f"*{ENDING}"))
    names = [path.name.removesuffix(ENDING) for path in files]
    sd = {name: folder / "uncertainties" / f"{name}_sd{ENDING}" for name in names}
    qc = {f"{name}_{kind}": folder / "qc" / f"{name}_{kind}{ENDING}" for name in names for kind in ("snr", "fwhm")}
    failed = folder / "qc" / f"fit_failed{ENDING}"
    paths = [path for path in (*files, *sd.values(), *qc.values(), failed) if path.is_file()]
    grid, values = _read(paths)
    bad = values[failed] != 0 if failed in values else np.zeros(grid.shape or (), bool)
    bounds = {
        name: np.where(bad, np.float32(np.nan), _known(values[path])) for name, path in sd.items() if path in values
    }
    concentrations = {}
    for name, path in zip(names, files, strict=True):
        missing = np.isnan(bounds[name]) if name in bounds else bad
        concentrations[name] = np.where(missing, np.nan, values[path]).astype(np.float32)
    return FittedMaps(
        program="FSL-MRS",
        version="not stated",
        unit=SCALINGS[wanted],
        concentrations=concentrations,
        bounds=bounds,
        quality={_file_words(name): _known(values[path]) for name, path in qc.items() if path in values},
        quality_units={"snr": "1, as FSL-MRS defines it", "fwhm": "Hz"},
        files=paths,
        grid=grid,
        warnings=[*grid.warnings, *_warnings(wanted, have, [name for name in names if name not in bounds], bad)],
    )


def _scalings(folder: Path) -> list[str]:
    return [name for name in SCALINGS if any((folder / "concs" / name).glob(f"*{ENDING}"))]


def _file_words(name: str) -> str:
    metabolite, _, kind = name.rpartition("_")
    return f"{file_word(metabolite)}_{kind}"


def _known(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return positive values; NaN for the others."""
    return np.where((values > 0) & np.isfinite(values), values, np.float32(np.nan))


def _read(paths: list[Path]) -> tuple[Grid, dict[Path, NDArray[np.float32]]]:
    """Read images that must lie on one grid, (X, Y, Z)."""
    grids: dict[Path, Grid] = {}
    values: dict[Path, NDArray[np.float32]] = {}
    problems = []
    for path in paths:
        try:
            grid, image = grid_of_file(path), nib.load(path)
            values[path] = np.asarray(image.dataobj, np.float32).reshape(grid.shape or ())  # type: ignore[attr-defined]
            grids[path] = grid
        except Exception as error:  # the decoders can raise any error on broken bytes
            lines: Any = str(error).splitlines() or [type(error).__name__]
            problems.append(f"{path}: cannot be read as a map ({lines[0][:120]}); copy the file again")
    first = next(iter(grids.items()), None)
    for path, grid in grids.items():
        if first and not _is_same(grid, first[1]):
            problems.append(f"{path}: lies on another grid than {first[0].name}; give the folder of one fit")
    if problems or first is None:
        raise InputError("\n".join(problems))
    return first[1], values


def _is_same(one: Grid, other: Grid) -> bool:
    if one.shape != other.shape or (one.affine is None) != (other.affine is None):
        return False
    if one.affine is None or other.affine is None:
        return np.allclose(one.voxel_size, other.voxel_size, atol=SAME_PLACE)
    return np.allclose(one.affine, other.affine, atol=SAME_PLACE)


def _warnings(wanted: str, have: list[str], unbounded: list[str], bad: NDArray[np.bool_]) -> list[str]:
    found = []
    if unbounded:
        found.append(f"no uncertainty of {some(unbounded)}: nothing tells failed fits from good ones there")
    if bad.any():
        found.append(f"the fit failed in {int(bad.sum())} voxels, which are missing")
    others = [name for name in have if name not in (wanted, "raw")]
    if others:
        found.append(f"the concentrations are those of concs/{wanted}; --scaling {others[0]} takes others")
    return found
