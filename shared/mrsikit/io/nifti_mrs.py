"""Read and write NIfTI-MRS, including its header extension, in numpy and in MONAI's ``LoadImaged``/``SaveImaged``."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import ImageReader, ImageWriter
from monai.utils import MetaKeys, SpaceKeys, convert_data_type, ensure_tuple
from numpy.typing import NDArray

from mrsikit.io.atomic import whole_or_nothing
from mrsikit.io.errors import InputError
from mrsikit.io.geometry import read_affine, read_qform
from mrsikit.io.readers import CODES, ENDINGS, QFORM, split_name
from mrsikit.physics.nuclei import NUCLEI

EXTENSION = "header_extension"
"""Metadata key of the header extension, held as JSON text because collation would change a dict."""

ACQUISITION = ("dwell", "larmor", "nucleus", "reference", "delay", "echo")
"""Metadata keys of the acquisition parameters; the last three are NaN if the file does not state them."""

MRS_CODE = 44
"""Code of the header extension of NIfTI-MRS."""

LONGEST_FID_ECHO = 0.005
"""Longest EchoTime (s) of a FID acquisition, where it means the delay from excitation to the first sample; a longer
EchoTime is the time to the centre of an echo."""


@dataclass(frozen=True, kw_only=True)
class Fids:
    """The FIDs of one NIfTI-MRS file.

    Attributes:
        values: complex64, (X, Y, Z, T), or with up to three further axes (coils, averages, time points).
        affine: voxel to mm, (4, 4).
        dwell: dwell time (s).
        larmor: Larmor frequency (MHz).
        nucleus: name of the nucleus, for example ``2H``.
        reference: chemical shift at zero frequency (ppm), None if the file does not state it.
        delay: time from excitation, or from the centre of an echo, to the first sample (s), None if the file does not
            state it.
        extension: the whole header extension.
        echo: time from excitation to the centre of an echo (s), None if there is no echo or the file does not state it.
        codes: sform and qform codes, 0 if the file does not state the patient's orientation.
        qform: voxel to mm (4, 4) by the qform, None if it is no other matrix than the affine.
    """

    values: NDArray[np.complex64]
    affine: NDArray[np.float64]
    dwell: float
    larmor: float
    nucleus: str
    reference: float | None
    delay: float | None
    extension: dict[str, Any]
    echo: float | None = None
    codes: tuple[int, int] = (1, 1)
    qform: NDArray[np.float64] | None = None

    @property
    def tags(self) -> tuple[str | None, ...]:
        """Tags of the axes after the fourth, for example ``DIM_DYN``; None for an axis without a tag."""
        return tuple(self.extension.get(f"dim_{axis}") for axis in range(5, self.values.ndim + 1))


def read_fids(path: str | Path) -> Fids:
    """Read a NIfTI-MRS file as it is stored, without conjugation.

    :mod:`mrsikit.physics.spectra` states the sign convention.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file.

    Raises:
        InputError: the file cannot be decoded, is not NIfTI-MRS, has fewer than four axes, holds real numbers, or lacks
            the dwell time or the Larmor frequency.
    """
    from nifti_mrs.nifti_mrs import NIFTI_MRS  # here, because maps need none of it and it takes long to import

    try:
        stored = NIFTI_MRS(_without_nulls(path))
        values = np.asarray(stored.image.data)
        extension = dict(stored.hdr_ext.to_dict())
        image: Any = nib.load(path)
        affine, qform = read_affine(image), read_qform(image)  # as for maps; the NIfTI-MRS library differs
        codes = (int(image.header["sform_code"]), int(image.header["qform_code"]))
        dwell, larmor = float(stored.dwelltime), float(ensure_tuple(stored.spectrometer_frequency)[0])
        nucleus = str(ensure_tuple(stored.nucleus)[0])
    except Exception as error:  # the decoders can raise any error on broken bytes
        raise InputError(f"{path}: cannot be read as NIfTI-MRS ({_why(path, error)})") from error
    if values.ndim < 4 or 0 in values.shape:
        shape = " x ".join(map(str, image.shape))  # the library adds axes of length one
        raise InputError(
            f"{path}: holds an array of {shape}; NIfTI-MRS has the axes (X, Y, Z, T), for a voxel 1, 1, 1, T"
        )
    if not np.iscomplexobj(values):
        raise InputError(f"{path}: holds real numbers; give complex FIDs")
    if not (np.isfinite(larmor) and larmor > 0):
        raise InputError(f"{path}: has a SpectrometerFrequency of {larmor:g} MHz; give that of the nucleus")
    return Fids(
        values=values.astype(np.complex64),
        affine=affine,
        dwell=dwell,
        larmor=larmor,
        nucleus=nucleus,
        reference=_reference(extension, nucleus),
        delay=_delay(extension),
        extension=extension,
        echo=_echo(extension),
        codes=codes,
        qform=None if np.array_equal(qform, affine) else qform,
    )


def _without_nulls(path: str | Path) -> Any:
    """Return the path, or the image without the header keys that are ``null``, at which the library fails.

    A key that is null says as much as one that is not there.
    """
    image: Any = nib.load(path)
    stored = image.header.extensions
    codes = stored.get_codes()
    extension = stored[codes.index(MRS_CODE)].json() if MRS_CODE in codes else {}
    if all(value is not None for value in extension.values()):
        return str(path)
    given = json.dumps({key: value for key, value in extension.items() if value is not None})
    stored[codes.index(MRS_CODE)] = nib.nifti1.Nifti1Extension(MRS_CODE, given.encode())
    return image


def misspelt_keys(extension: Mapping[str, Any]) -> dict[str, str]:
    """Find keys of a header extension that look like misspelt ones of delay or reference: what is right, by them."""
    right = {key.lower(): key for key in ("AcquisitionStartTime", "EchoTime", "SpecFreqChemShift", "RxOffset")}
    found = {}
    for key in extension:
        word = key.lower()
        near = difflib.get_close_matches(word, right, 1, 0.9)
        # what only adds to a key, such as EchoTime2, is another
        if near and key != right[near[0]] and not (word != near[0] and word.startswith(near[0])):
            found[key] = right[near[0]]
    return found


def without_single_axes(extension: Mapping[str, Any], sizes: Sequence[int]) -> dict[str, Any]:
    """Leave the axes of length one out of a header extension and number the others again.

    Args:
        extension: a header extension.
        sizes: of the axes after the fourth.
    """
    endings = ("", "_info", "_header")
    out = {key: value for key, value in extension.items() if key[:5] not in ("dim_5", "dim_6", "dim_7")}
    long = [axis for axis, size in enumerate(sizes, start=5) if size > 1]
    for new, old in enumerate(long, start=5):
        out |= {f"dim_{new}{end}": extension[f"dim_{old}{end}"] for end in endings if f"dim_{old}{end}" in extension}
    return out


def _reference(extension: Mapping[str, Any], nucleus: str) -> float | None:
    """Chemical shift at zero frequency (ppm): that of the spectrometer frequency plus the receiver offset."""
    shift, offset = _number(extension.get("SpecFreqChemShift")), _number(extension.get("RxOffset"))
    if not offset:
        return shift
    if shift is None and nucleus in NUCLEI:
        shift = NUCLEI[nucleus].reference
    return None if shift is None else shift + offset


def _echo(extension: Mapping[str, Any]) -> float | None:
    echo = _number(extension.get("EchoTime"))
    return echo if echo is not None and echo > LONGEST_FID_ECHO else None


def _delay(extension: Mapping[str, Any]) -> float | None:
    """Acquisition delay (s): AcquisitionStartTime, plus EchoTime for a FID acquisition.

    For a FID acquisition, EchoTime is the time from excitation to the start of the FID.
    """
    start, echo = _number(extension.get("AcquisitionStartTime")), _number(extension.get("EchoTime"))
    if echo is None or echo > LONGEST_FID_ECHO:
        return start
    return echo + (start or 0.0)


def _why(path: str | Path, error: Exception) -> str:
    try:
        image: Any = nib.load(path)
    except Exception:  # not even NIfTI
        return "no NIfTI; give a whole .nii or .nii.gz"
    if not str(image.header.get_intent()[2]).startswith("mrs_v"):
        return "a NIfTI without the intent mrs_v...; convert it with spec2nii, or as the bundle's README shows"
    if image.ndim >= 4 and not image.header["pixdim"][4] > 0:
        return "no dwell time; set pixdim[4] to the time between two samples"
    lines = str(error).strip().splitlines()
    return f"{lines[0][:150] if lines else type(error).__name__}; see the NIfTI-MRS standard"


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def write_fids(path: str | Path, fids: Fids) -> None:
    """Write a NIfTI-MRS file atomically.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file to create or replace.
        fids: FIDs to write. The header extension is kept, with the Larmor frequency and nucleus (and, if they differ,
            the delay and reference) of ``fids``. A fifth axis without a tag is tagged as time points (``DIM_DYN``).
    """
    from nifti_mrs import create_nmrs
    from nifti_mrs.hdr_ext import Hdr_Ext

    standard: dict[str, Any] = {"SpectrometerFrequency": [fids.larmor], "ResonantNucleus": [fids.nucleus]}
    if fids.delay is not None and fids.delay != _delay(fids.extension):
        standard |= {"EchoTime": 0.0, "AcquisitionStartTime": fids.delay}
    if fids.reference is not None and fids.reference != _reference(fids.extension, fids.nucleus):
        standard |= {"SpecFreqChemShift": fids.reference, "RxOffset": 0.0}
    if fids.values.ndim == 5 and "dim_5" not in fids.extension:
        standard["dim_5"] = "DIM_DYN"
    extension = Hdr_Ext.from_header_ext({**fids.extension, **standard})
    image = create_nmrs.gen_nifti_mrs_hdr_ext(
        np.asarray(fids.values, np.complex64), fids.dwell, extension, affine=fids.affine, no_conj=True
    )
    sform, qform = fids.codes
    if sform or qform:
        # Both matrices get the one affine of the FIDs, so the code of a qform that is not known does not apply.
        known = qform == sform or not sform or fids.qform is not None
        image.header["sform_code"], image.header["qform_code"] = sform, qform if known else 0
        if fids.qform is not None:
            image.header.set_qform(fids.qform, code=qform)
    with whole_or_nothing(path) as partial:
        image.save(str(partial))
        if not (sform or qform):  # the library cannot write an unknown orientation
            stored = nib.Nifti2Image.from_filename(partial)
            stored.header["sform_code"] = stored.header["qform_code"] = 0
            values = np.asarray(stored.dataobj)
            nib.save(nib.Nifti2Image(values, None, stored.header), partial)
        partial.chmod(0o644)  # the library makes it readable by the owner only


class NiftiMRSReader(ImageReader):
    """:func:`read_fids` as a reader of MONAI's ``LoadImaged``.

    Use it as ``LoadImaged(keys=..., reader="mrsikit.io.NiftiMRSReader", dtype=None, ensure_channel_first=True)``:
    (X, Y, Z, T, ...) becomes (1, X, Y, Z, T, ...). MONAI's default type, float32, would drop the imaginary part.
    """

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:  # type: ignore[override]
        """Tell whether every file name ends in ``.nii`` or ``.nii.gz``."""
        return all(split_name(Path(name).name)[1].lower() in ENDINGS[:2] for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | Path] | str | Path, **kwargs: Any) -> Fids:  # type: ignore[override]
        """Read one file.

        Raises:
            InputError: :func:`read_fids` fails, or more than one file name is given.
        """
        names = ensure_tuple(data)
        if len(names) != 1:
            raise InputError(f"{names}: one file a key is read")
        return read_fids(names[0])

    def get_data(self, img: Fids) -> tuple[NDArray[np.complex64], dict[str, Any]]:
        """Return the array and the metadata that MONAI and :class:`NiftiMRSWriter` need."""
        return img.values, metadata_of(img)


def metadata_of(fids: Fids) -> dict[str, Any]:
    """Return the metadata of a MetaTensor that holds FIDs."""
    acquisition = {key: getattr(fids, key) for key in ACQUISITION}
    return {
        MetaKeys.AFFINE: fids.affine,
        MetaKeys.ORIGINAL_AFFINE: fids.affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.asarray(fids.values.shape[:3]),
        MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan"),
        MetaKeys.SPACE: SpaceKeys.RAS,
        EXTENSION: json.dumps(fids.extension),
        CODES: np.asarray(fids.codes),
        QFORM: (fids.affine if fids.qform is None else fids.qform).copy(),
        **{key: float("nan") if value is None else value for key, value in acquisition.items()},
    }


def fids_of(values: NDArray[Any], meta: Mapping[str, Any]) -> Fids:
    """Combine FIDs (X, Y, Z, T, ...) with the acquisition parameters that :func:`metadata_of` stored as metadata."""
    acquisition = {key: meta[key] for key in ACQUISITION}
    for key in ("reference", "delay", "echo"):
        acquisition[key] = None if np.isnan(float(acquisition[key])) else float(acquisition[key])
    affine, qform = (
        np.asarray(convert_data_type(matrix, np.ndarray)[0], float)
        for matrix in (meta[MetaKeys.AFFINE], meta.get(QFORM, meta[MetaKeys.AFFINE]))
    )
    return Fids(
        values=values,
        affine=affine,
        extension=json.loads(meta[EXTENSION]),
        codes=(int(meta[CODES][0]), int(meta[CODES][1])),
        qform=None if np.array_equal(affine, qform) else qform,
        **{**acquisition, "dwell": float(acquisition["dwell"]), "larmor": float(acquisition["larmor"])},
    )


class NiftiMRSWriter(ImageWriter):
    """Write FIDs (1, X, Y, Z, T, ...) as NIfTI-MRS with the header extension of the file they came from.

    Use it as ``SaveImaged(writer="mrsikit.io.NiftiMRSWriter", output_dtype="$numpy.complex64", resample=False,
    separate_folder=False, ...)`` on tensors with the ``meta`` of :class:`NiftiMRSReader`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fids: Fids | None = None

    def set_data_array(self, data_array: Any, channel_dim: int | None = 0, **kwargs: Any) -> None:
        """Take the tensor or array, (1, X, Y, Z, T, ...).

        Raises:
            ValueError: the array is not complex or does not have these axes.
        """
        array = convert_data_type(data_array, np.ndarray)[0]
        if not np.iscomplexobj(array) or array.ndim < 5 or array.shape[0] != 1:
            raise ValueError(f"FIDs must be complex (1, X, Y, Z, T, ...), not {array.dtype} of shape {array.shape}")
        self.data_obj = array[0]

    def set_metadata(self, meta_dict: Mapping | None, resample: bool = False, **options: Any) -> None:
        """Take the acquisition parameters from the metadata.

        Raises:
            ValueError: ``resample`` is true, or the metadata is not from :class:`NiftiMRSReader`.
        """
        meta = meta_dict or {}
        if resample or EXTENSION not in meta:
            raise ValueError("FIDs are written as they are, with the metadata of NiftiMRSReader")
        self.fids = fids_of(np.asarray(self.data_obj), meta)

    def write(self, filename: str | PathLike, verbose: bool = False, **kwargs: Any) -> None:
        """Write to a temporary name in the same folder, then rename."""
        assert self.fids is not None
        write_fids(Path(filename), self.fids)
