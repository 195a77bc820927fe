"""Writers of maps for MONAI: the layout of the input file, written atomically."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.config import KeysCollection
from monai.data import NibabelWriter
from monai.data.utils import is_no_channel, to_affine_nd
from monai.transforms import MapTransform, SaveImaged
from monai.utils import ImageMetaKey, MetaKeys, convert_data_type, get_equivalent_dtype

from mrsikit.io.atomic import whole_or_nothing
from mrsikit.io.readers import CODES, QFORM, stem_of

FOLDER = "folder"
"""Key of an input's folder below the folder of all inputs, which the folder of the outputs mirrors."""


def output_name(metadata: Mapping[str, Any], saver: object) -> dict[str, Any]:
    """Name outputs by the stem of the input, for ``SaveImaged(output_name_formatter=...)``.

    For an upper-case ``.NII.GZ``, MONAI's own formatter leaves a part of the ending in the name.

    Args:
        metadata: ``meta`` of the tensor that is saved.
        saver: the calling ``SaveImage``, unused.

    Returns:
        The keyword arguments of ``monai.data.FolderLayout.filename``.
    """
    # The folder layout removes one ending, so one is added.
    return {"subject": f"{stem_of(str(metadata[ImageMetaKey.FILENAME_OR_OBJ]))}.nii", "idx": None}


class AtomicNibabelWriter(NibabelWriter):
    """Write a channel-first map atomically as NIfTI, in the layout of the file it came from.

    Use it as ``SaveImaged(writer="mrsikit.io.AtomicNibabelWriter", resample=False, separate_folder=False, ...)``. The
    tensor is (C, X, Y[, Z]) with the ``meta`` of :class:`mrsikit.io.MapReader`. The file holds (X, Y), (X, Y, Z) (also
    with Z = 1) or (X, Y, Z, C), with as many axes as the input file; several channels are always on the fourth axis.
    The affine is ``meta["affine"]``, the type ``output_dtype``. An input whose sform and qform differ keeps both: the
    qform is changed as the affine was.

    The options ``channel_dim`` and ``squeeze_end_dims`` are not used: MONAI squeezes (X, Y, 1) to (X, Y), and its
    ``SaveImage`` sets ``channel_dim`` to ``None`` for the rest of the run after a (1, X, Y) map with three spatial axes
    in ``meta``.
    """

    def set_data_array(self, data_array: Any, *args: Any, **kwargs: Any) -> None:
        """Take the tensor or array, (C, X, Y[, Z]).

        Raises:
            ValueError: the array does not have three or four axes.
        """
        array = convert_data_type(data_array, np.ndarray)[0]
        if array.ndim not in (3, 4):
            raise ValueError(f"data must be (C, X, Y) or (C, X, Y, Z), not of shape {array.shape}")
        self.data_obj = array

    def set_metadata(self, meta_dict: Mapping | None, resample: bool = False, **options: Any) -> None:
        """Take the affine and the number of axes of the input file from the metadata.

        Raises:
            ValueError: ``resample`` is true; a map is always written on its own grid.
        """
        if resample:
            raise ValueError("resample must be false: a map is written on the grid it is on")
        meta = meta_dict or {}
        affine = meta.get(MetaKeys.AFFINE)
        self.affine = np.eye(4) if affine is None else convert_data_type(affine, np.ndarray)[0]
        self.affine = np.asarray(to_affine_nd(3, self.affine), dtype=np.float64)
        self.data_obj = _to_file_layout(np.asarray(self.data_obj), _file_ndim(meta))
        sform, qform = np.asarray(meta.get(CODES, (1, 1)), dtype=int)
        self.codes = (int(sform), int(qform))
        self.qform = self._own_qform(meta)
        if not any(self.codes) and not _is_base(self.affine, self.data_obj.shape):
            self.codes = (1, 1)  # without a code, readers derive another matrix from the voxel sizes

    def _own_qform(self, meta: Mapping) -> np.ndarray:
        """Return the qform (4, 4) on the grid of the output."""
        if QFORM not in meta:
            return self.affine
        before, qform = (
            np.asarray(convert_data_type(meta[key], np.ndarray)[0], float) for key in (MetaKeys.ORIGINAL_AFFINE, QFORM)
        )
        if before.shape != (4, 4) or np.array_equal(before, qform):
            return self.affine
        return np.asarray(qform @ np.linalg.solve(before, self.affine))

    def write(self, filename: str | Path, verbose: bool = False, **kwargs: Any) -> None:  # type: ignore[override]
        """Write to a temporary name in the same folder, then rename."""
        data = np.asarray(self.data_obj)
        if self.output_dtype is not None:
            data = data.astype(np.dtype(get_equivalent_dtype(self.output_dtype, np.ndarray)), copy=False)
        image = nib.nifti1.Nifti1Image(data, self.affine)
        image.header.set_xyzt_units("mm")
        image.set_sform(self.affine, code=self.codes[0])
        image.set_qform(self.qform, code=self.codes[1])
        with whole_or_nothing(filename) as partial:
            nib.save(image, partial)


class SaveImagesd(MapTransform):
    """MONAI's ``SaveImaged`` for a list of images that is known only at run time.

    The class name starts with SaveImage, as :class:`mrsikit.runtime.pipeline.BundlePipeline` leaves out transforms with
    such names. Complex images are written as NIfTI-MRS and others as NIfTI, each to ``<stem>_<name>.nii.gz`` in its own
    data type, in the folder that the data name under :data:`FOLDER`, if any.

    Args:
        keys: key of the list of image keys; each image key is also the suffix of the file.
        output_dir: folder of the files.
    """

    def __init__(self, keys: KeysCollection, *, output_dir: str | Path) -> None:
        super().__init__(keys)
        self.output_dir = output_dir

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write every image and return the data unchanged."""
        for key in self.key_iterator(data):
            for name in data[key]:
                image = data[name]
                self._saver(name, np.asarray(image).dtype, str(data.get(FOLDER, "")))({"image": image})
        return dict(data)

    def _saver(self, name: str, dtype: np.dtype, folder: str) -> SaveImaged:
        complex_ = dtype.kind == "c"
        return SaveImaged(
            keys="image",
            output_dir=Path(str(self.output_dir)) / folder,
            output_postfix=name,
            output_dtype=dtype.type,
            resample=False,
            separate_folder=False,
            print_log=False,
            writer="mrsikit.io.NiftiMRSWriter" if complex_ else "mrsikit.io.AtomicNibabelWriter",
            output_name_formatter=output_name,
        )


def _is_base(affine: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether the affine equals the one nibabel derives from voxel sizes and shape for a file without codes."""
    header = nib.nifti1.Nifti1Header()
    header.set_data_shape(shape)
    zooms = nib.affines.voxel_sizes(affine)
    header.set_zooms((*zooms, *[1.0] * len(shape))[: len(shape)])
    return bool(np.allclose(header.get_base_affine(), affine, atol=1e-4))


def _file_ndim(meta: Mapping[str, Any]) -> int:
    """Return the number of axes of the input file, 0 if the metadata does not state it."""
    shape = meta.get(MetaKeys.SPATIAL_SHAPE)
    if shape is None:
        return 0
    channel_dim = meta.get(MetaKeys.ORIGINAL_CHANNEL_DIM, float("nan"))
    return len(shape) + (0 if is_no_channel(channel_dim) else 1)


def _to_file_layout(array: np.ndarray, ndim: int) -> np.ndarray:
    """Move channels last, then add or drop axes of length one so that ``ndim`` axes remain if possible."""
    channels, *spatial = array.shape
    array = np.moveaxis(array, 0, -1)
    if len(spatial) == 2:
        array = array[:, :, None, :]
    if channels == 1 and ndim != 4:
        array = array[..., 0]
        if array.shape[2] == 1 and (ndim == 2 or (ndim == 0 and len(spatial) == 2)):
            array = array[:, :, 0]
    return array
