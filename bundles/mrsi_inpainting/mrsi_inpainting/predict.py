"""The bundle as a Python function."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mrsi_inpainting.options import InpaintingOptions
from mrsikit.io import InputError
from mrsikit.runtime.bundles import bundle_root
from mrsikit.runtime.map_checks import checked_image, companion_problems, map_problems
from mrsikit.runtime.pipeline import cached_pipeline, channel_first, channel_last, check_affine, refuse

BUNDLE_ROOT = bundle_root("mrsi_inpainting")
COMPANIONS = {
    "missing": "missing",
    "crlb": "percent",
    "fwhm": "width",
    "brain": "mask",
    "flair": "anatomy",
    "t1": "anatomy",
    "csf": "fraction",
}
OUTPUTS = ("inpainted", "holes", "uncertainty", "calibrated")


class Inpainted(NamedTuple):
    """Result of :func:`predict`; the arrays have the map's shape.

    Attributes:
        inpainted: filled map, float32, in the map's unit; measured voxels are unchanged.
        holes: bool mask of the voxels that were filled.
        uncertainty: standard deviation of the filled voxels in the map's unit, 0 where measured.
        calibrated: bool, the filled voxels that are like those of the check; elsewhere the uncertainty is doubled.
        flags: warnings for the user.
    """

    inpainted: np.ndarray
    holes: np.ndarray
    uncertainty: np.ndarray
    calibrated: np.ndarray
    flags: list[str]


def predict(
    values: np.ndarray,
    *,
    missing: np.ndarray | None = None,
    crlb: np.ndarray | None = None,
    fwhm: np.ndarray | None = None,
    brain: np.ndarray | None = None,
    others: np.ndarray | None = None,
    flair: np.ndarray | None = None,
    flair_affine: np.ndarray | None = None,
    t1: np.ndarray | None = None,
    t1_affine: np.ndarray | None = None,
    csf: np.ndarray | None = None,
    csf_affine: np.ndarray | None = None,
    affine: np.ndarray | None = None,
    bundle_root: str | Path = BUNDLE_ROOT,
    **options: Any,
) -> Inpainted:
    """Fill the failed voxels of a map: the pipeline of ``configs/inference.json`` on arrays.

    Args:
        values: (X, Y), (X, Y, Z) or (X, Y, Z, M) map in any unit; voxels with NaN or infinity count as missing.
        missing: mask of the missing voxels, 1 = missing, with the shape of the map or without its last axis M. None:
            the network detects the missing voxels.
        crlb: Cramér-Rao bounds in percent, same shape; a voxel is missing if its bound exceeds ``max_crlb`` (option,
            default 20) percent of its value and of the map's median (option ``rule``).
        fwhm: linewidths, same shape; a voxel is missing if its line is broader than ``max_fwhm`` (option, default 0.1).
        brain: mask of everything inside the skull, (X, Y[, Z]).
        others: other maps of the session, (X, Y, K), or (X, Y, Z, K) for a map with Z; NaN where they are not known.
            The maps of the axis M help each other without it.
        flair: (X', Y'[, Z']) FLAIR of the same head, on its own grid; it helps only beside another map.
        flair_affine: (4, 4) of the FLAIR, voxel to mm.
        t1: (X', Y'[, Z']) T1-weighted image of the same head, on its own grid; it helps only beside another map.
        t1_affine: (4, 4) of the T1-weighted image, voxel to mm.
        csf: (X', Y'[, Z']) fraction of fluid, 0 to 1, on its own grid; where it is at least .5, a zero or
            NaN is filled only if ``missing`` marks it.
        csf_affine: (4, 4) of that map.
        affine: (4, 4) voxel to mm; decides whether a volume is nearly isotropic; required with an image on its own
            grid. None: 1 mm voxels.
        bundle_root: folder of the bundle.
        options: parameters of the config: ``max_crlb``, ``rule``, ``max_fwhm``, ``check``, ``threshold``,
            ``wrong_threshold``, ``volumetric``, ``device``, ``weights``.

    Returns:
        The filled map, the mask of the filled voxels, the uncertainty and the warnings.

    Raises:
        InputError: the command line would refuse the input too (complex values, wrong axes or shapes, a map without
            signal, an invalid mask, bounds that look like fractions), an option is unknown, or the folder does not hold
            the bundle.

    Example:
        >>> import numpy as np
        >>> naa = np.zeros((32, 32)); naa[8:24, 6:26] = 9.0; naa[12, 14] = 0
        >>> predict(naa).inpainted.shape
        (32, 32)
    """
    # Check the options here, because MONAI wraps errors that are raised while it builds a config.
    options = InpaintingOptions.keywords(options)
    values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise InputError(f"values must be real numbers, not {values.dtype}")
    refuse("values", map_problems(values))
    given, affine = affine, np.eye(4) if affine is None else np.asarray(affine, float)
    check_affine(affine, "affine")
    data: dict[str, torch.Tensor] = {"image": channel_first(values, affine)}
    for name, companion in {"missing": missing, "crlb": crlb, "fwhm": fwhm, "brain": brain}.items():
        if companion is not None:
            companion = np.asarray(companion)
            refuse(name, companion_problems(companion, values, COMPANIONS[name]))
            data[name] = channel_first(companion, affine)
    if others is not None:
        others = np.asarray(others, float)
        if others.shape[:-1] != values.shape[:3]:
            raise InputError(f"others is of shape {others.shape}; give {(*values.shape[:3], 'K')}")
        data["others"] = torch.from_numpy(np.ascontiguousarray(np.moveaxis(others, -1, 0)))
    data |= checked_image("flair", flair, flair_affine, values, given)
    data |= checked_image("t1", t1, t1_affine, values, given)
    data |= checked_image("csf", csf, csf_affine, values, given, "fraction")
    out = cached_pipeline(Path(bundle_root), tuple(sorted(options.items())))(data)
    results = [channel_last(out[name], values.ndim) for name in OUTPUTS]
    inpainted, holes, uncertainty, calibrated = results
    return Inpainted(inpainted, holes.astype(bool), uncertainty, calibrated.astype(bool), out["flags"])
