"""The bundle as one Python call."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import convert_to_tensor

from dmi_quantification.options import QuantificationOptions
from mrsikit.io import InputError
from mrsikit.io.nifti_mrs import Fids, metadata_of
from mrsikit.runtime.bundles import bundle_root
from mrsikit.runtime.fid_checks import acquisition_problems, largest_magnitude
from mrsikit.runtime.map_checks import companion_problems
from mrsikit.runtime.pipeline import BundlePipeline, check_affine, check_positive, refuse

BUNDLE_ROOT = bundle_root("dmi_quantification")


class Quantified(NamedTuple):
    """Result of :func:`predict`.

    Attributes:
        maps: arrays (X, Y, Z[, D]) by name: ``<metabolite>_amplitude``, ``_amplitude_sd``, ``<metabolite>``, ``_sd``,
            ``_bias`` (with an MRI), ``shift``, ``linewidth``, ``quality``.
        flags: what the user must know.
    """

    maps: dict[str, np.ndarray]
    flags: list[str]


def predict(
    fids: np.ndarray,
    *,
    dwell: float,
    larmor: float,
    nucleus: str = "2H",
    reference: float | None = None,
    affine: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    mri: np.ndarray | None = None,
    mri_affine: np.ndarray | None = None,
    bundle_root: str | Path = BUNDLE_ROOT,
    **options: Any,
) -> Quantified:
    """Quantify FIDs: the pipeline of ``configs/inference.json`` on arrays.

    Args:
        fids: complex (X, Y, Z, T) or (X, Y, Z, T, D), in NIfTI-MRS's convention of sign.
        dwell: time between two samples (s).
        larmor: Larmor frequency (MHz).
        nucleus: as NIfTI-MRS names it.
        reference: chemical shift (ppm) of zero frequency; None: the nucleus's usual one.
        affine: (4, 4) voxel to mm; None: 1 mm voxels, which will do without an MRI of its own grid.
        mask: (X, Y, Z) voxels to fit; None: all that hold a signal.
        mri: (X', Y', Z') image whose edges the metabolites are expected to share; None: no prior.
        mri_affine: of the image; None: it lies on the grid of the FIDs.
        bundle_root: folder of the bundle.
        options: parameters of the config: ``metabolites``, ``t2_star``, ``fit_t2_star``, ``delay``, ``max_shift``,
            ``water_mM``, ``factors``, ``prior_strength``, ``save_fit``, ``device``.

    Raises:
        InputError: for real or misshapen FIDs, an impossible dwell time or frequency, or an unknown option.

    Example:
        >>> from mrsikit.physics.fid_model import FidModel
        >>> model = FidModel(ppm=(4.7,), t2_star=(0.03,), larmor=45.7, reference=4.7, dwell=4e-4, points=256)
        >>> fid = model.simulate(torch.tensor([[10.0]])).numpy().reshape(1, 1, 1, -1)
        >>> round(float(predict(fid, dwell=4e-4, larmor=45.7).maps["water_amplitude"][0, 0, 0]))
        10
    """
    fids = np.asarray(fids)
    if not np.iscomplexobj(fids) or not 4 <= fids.ndim <= 7:
        raise InputError(f"fids must be complex (X, Y, Z, T[, D]), not {fids.dtype} of shape {fids.shape}")
    if not np.isfinite(fids).all():
        raise InputError("fids hold NaN or infinity; leave such voxels out by the mask and set them to zero")
    for name, value in {"dwell": dwell, "larmor": larmor}.items():
        check_positive(value, name)
    # checked here, for MONAI wraps what is raised within a transform
    options = QuantificationOptions.keywords(options, {"nucleus": nucleus})
    given, affine = affine, np.eye(4) if affine is None else np.asarray(affine, float)
    stored = Fids(
        values=fids.astype(np.complex64),
        affine=affine,
        dwell=dwell,
        larmor=larmor,
        nucleus=nucleus,
        reference=reference,
        delay=None,
        extension={},
    )
    refuse("these FIDs:", acquisition_problems(stored))
    data: dict[str, Any] = {"image": MetaTensor(torch.from_numpy(stored.values)[None], meta=metadata_of(stored))}
    if mask is not None:
        if np.shape(mask) != fids.shape[:3]:
            raise InputError(f"mask is of shape {np.shape(mask)}, the FIDs of {fids.shape[:3]}; give it on their grid")
        data["mask"] = MetaTensor(torch.as_tensor(np.asarray(mask, np.float32))[None], affine=torch.as_tensor(affine))
    if mri is not None:
        if mri_affine is not None and given is None:
            raise InputError(
                "mri_affine is given and affine is not: give the FIDs' affine too, or they cannot be overlaid"
            )
        if mri_affine is None and np.shape(mri) != fids.shape[:3]:
            raise InputError(f"mri is of shape {np.shape(mri)}, the FIDs of {fids.shape[:3]}; give its mri_affine")
        on = affine if mri_affine is None else np.asarray(mri_affine, float)
        for name, matrix in {"affine": affine, "mri_affine": on}.items():
            check_affine(matrix, name)
        image, signal = np.asarray(mri, np.float32), largest_magnitude(stored.values)
        refuse("mri", companion_problems(image, signal, "anatomy", affine=on, map_affine=affine))
        data["mri"] = MetaTensor(torch.as_tensor(image)[None], affine=torch.as_tensor(on))
    out = _pipeline(Path(bundle_root), json.dumps(options, sort_keys=True, default=str))(data)
    maps = {name: _as_given(out[name]) for name in out["maps"]}
    return Quantified(maps, out["flags"])


@functools.lru_cache(maxsize=4)
def _pipeline(bundle_root: Path, options: str) -> BundlePipeline:
    given: Mapping[str, Any] = json.loads(options)
    return BundlePipeline(bundle_root, **given)


def _as_given(tensor: torch.Tensor) -> np.ndarray:
    """(X, Y, Z[, D]) from channel first."""
    array = convert_to_tensor(tensor).numpy()
    return array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
