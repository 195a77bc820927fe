"""What a fitting program found in every voxel of a session: concentrations, bounds and the quality of the spectra."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrsikit.io.errors import InputError
from mrsikit.io.grid import Grid

NOTHING_MEASURED = 100.0
"""Percent; a row without any bound below it was measured nowhere, and the bundles would refuse its map."""


@dataclass(frozen=True, kw_only=True)
class FittedMaps:
    """Maps of one session, all float32 (X, Y, Z), NaN where nothing was fitted or measured.

    Attributes:
        program: name of the fitting program.
        version: what its files say of its version, or that they do not.
        unit: unit of the concentrations.
        concentrations: map of each row, by the program's own name of it, such as ``NAA+NAAG``.
        bounds: Cramér-Rao lower bounds (percent of the concentration), by the same names; a row may have none.
        quality: further maps by the end of their file name, such as ``snr``, ``fwhm`` or ``NAA_snr``.
        quality_units: unit of the maps of each kind in ``quality``: ``{"snr": ..., "fwhm": "ppm"}``.
        files: the files that were read.
        grid: where the maps lie, None if the files do not say it.
        larger: whether the files leave open that the matrix is larger than these maps.
        warnings: what was doubtful in the files, one line each.
    """

    program: str
    version: str
    unit: str
    concentrations: Mapping[str, NDArray[np.float32]]
    bounds: Mapping[str, NDArray[np.float32]]
    quality: Mapping[str, NDArray[np.float32]]
    quality_units: Mapping[str, str]
    files: Sequence[Path]
    grid: Grid | None = None
    larger: bool = False
    warnings: Sequence[str] = field(default=())

    @property
    def shape(self) -> tuple[int, ...]:
        """Matrix of the maps (X, Y, Z)."""
        return next(iter(self.concentrations.values())).shape

    def chosen(self, metabolites: Sequence[str] | None) -> list[str]:
        """Return the rows that were asked for, by the program's name or by that in the file name; None: all rows.

        Raises:
            InputError: there is no such row.
        """
        if metabolites is None:
            return list(self.concentrations)
        rows = {key: row for row in self.concentrations for key in (file_word(row).lower(), row.lower())}
        unknown = [name for name in metabolites if name.lower() not in rows]
        if unknown:
            have = ", ".join(self.concentrations)
            raise InputError(f"--metabolites {unknown[0]}: is no row of these results; they have {have}")
        return list(dict.fromkeys(rows[name.lower()] for name in metabolites))

    def why_left_out(self, row: str) -> str:
        """Return why the map of a row would be of no use; empty if it is of use."""
        values = self.concentrations[row]
        measured = values[np.isfinite(values)]
        if not measured.size or measured.min() == measured.max():
            return "has the same value in every voxel" if measured.size else "was measured in no voxel"
        bounds = self.bounds.get(row)
        if bounds is not None and not (bounds[np.isfinite(bounds)] < NOTHING_MEASURED).any():
            return f"has no bound under {NOTHING_MEASURED:g} %"
        return ""


def file_word(row: str) -> str:
    """Return the word that stands for a row in file names.

    Example:
        >>> file_word("NAA+NAAG"), file_word("-CrCH2")
        ('NAA_NAAG', 'CrCH2')
    """
    return re.sub(r"[^A-Za-z0-9]+", "_", row).strip("_")


def some(names: Sequence[str], most: int = 3) -> str:
    """Join names for a line of text, the first few of many.

    Example:
        >>> some(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
