"""Readers and writers of metabolite maps, NIfTI-MRS files and basis sets; all files are written atomically."""

from mrsikit.io.errors import InputError
from mrsikit.io.nifti_mrs import Fids, NiftiMRSReader, NiftiMRSWriter, read_fids, write_fids
from mrsikit.io.readers import MapReader, read_map, stem_of
from mrsikit.io.writers import AtomicNibabelWriter, SaveImagesd, output_name, write_text_atomically

__all__ = [
    "AtomicNibabelWriter",
    "Fids",
    "InputError",
    "MapReader",
    "NiftiMRSReader",
    "NiftiMRSWriter",
    "SaveImagesd",
    "output_name",
    "read_fids",
    "read_map",
    "stem_of",
    "write_fids",
    "write_text_atomically",
]
