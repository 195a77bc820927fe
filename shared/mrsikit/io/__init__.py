"""Readers and writers of metabolite maps, NIfTI-MRS files and basis sets; all files are written atomically.

MONAI and torch take seconds to import, so a name is imported from its module when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mrsikit.io.errors import InputError

if TYPE_CHECKING:
    from mrsikit.io.atomic import write_text_atomically
    from mrsikit.io.imported import import_case
    from mrsikit.io.nifti_mrs import Fids, NiftiMRSReader, NiftiMRSWriter, read_fids, write_fids
    from mrsikit.io.readers import MapReader, read_map, stem_of
    from mrsikit.io.writers import AtomicNibabelWriter, SaveImagesd, output_name

__all__ = [
    "AtomicNibabelWriter",
    "Fids",
    "InputError",
    "MapReader",
    "NiftiMRSReader",
    "NiftiMRSWriter",
    "SaveImagesd",
    "import_case",
    "output_name",
    "read_fids",
    "read_map",
    "stem_of",
    "write_fids",
    "write_text_atomically",
]

_MODULES = {
    "atomic": ("write_text_atomically",),
    "imported": ("import_case",),
    "nifti_mrs": ("Fids", "NiftiMRSReader", "NiftiMRSWriter", "read_fids", "write_fids"),
    "readers": ("MapReader", "read_map", "stem_of"),
    "writers": ("AtomicNibabelWriter", "SaveImagesd", "output_name"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
