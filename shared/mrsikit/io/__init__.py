"""Readers and writers, input checks, provenance, whole-or-nothing output."""

from mrsikit.io.checks import check_inputs
from mrsikit.io.errors import InputError
from mrsikit.io.inputs import InputFolder
from mrsikit.io.nifti_mrs import Fids, NiftiMRSReader, NiftiMRSWriter, read_fids, write_fids
from mrsikit.io.options import as_flag
from mrsikit.io.readers import MapReader, read_map, stem_of
from mrsikit.io.writers import AtomicNibabelWriter, SaveImagesd, output_name, write_text_atomically

__all__ = [
    "AtomicNibabelWriter",
    "Fids",
    "InputError",
    "InputFolder",
    "MapReader",
    "NiftiMRSReader",
    "NiftiMRSWriter",
    "SaveImagesd",
    "as_flag",
    "check_inputs",
    "output_name",
    "read_fids",
    "read_map",
    "stem_of",
    "write_fids",
    "write_text_atomically",
]
