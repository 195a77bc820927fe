"""The bundle as one Python call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mrsi_gan_super_resolution.options import GanSuperResolutionOptions
from mrsikit.io import InputError
from mrsikit.runtime.bundles import bundle_root
from mrsikit.super_resolution.predict import SuperResolved, super_resolve

BUNDLE_ROOT = bundle_root("mrsi_gan_super_resolution")


def predict(values: np.ndarray, *, bundle_root: str | Path = BUNDLE_ROOT, **given: Any) -> SuperResolved:
    """Super-resolve a map: run the pipeline of ``configs/inference.json`` on arrays.

    Args:
        values: (X, Y), (X, Y, Z) or (X, Y, Z, M) map in any unit.
        bundle_root: folder of the bundle.
        given: arguments of :func:`mrsikit.super_resolution.predict.super_resolve` (``affine``, ``flair``,
            ``flair_affine``, ``t1``, ``t1_affine``, ``crlb``) and parameters of the config (``method`` (1, 2, 3),
            ``dims`` (2, 3), ``factor``, ``psf``, ``noise``, ``denoised``, ``consistency``, ``ratio``, ``ratios``,
            ``metabolites``, ``device``, ``weights``).

    Raises:
        InputError: an input is invalid, by the same rules as for the command, or an option is unknown.

    Example:
        >>> import numpy as np
        >>> naa = np.zeros((16, 16)); naa[4:12, 3:13] = 9.0
        >>> predict(naa, factor=2, noise=0.3).sr.shape
        (32, 32)
    """
    if given.get("method") in (2, 3) and given.get("flair") is None and given.get("t1") is None:
        raise InputError(f"method {given['method']} needs an MRI: give flair or t1, or use method 1")
    least = GanSuperResolutionOptions.model_construct(dims=given.get("dims")).least_slices
    if min((*np.shape(values), 1, 1)[:3]) < least:
        raise InputError(f"values has fewer than {least} slices: give a volume, or dims=2")
    return super_resolve(values, bundle_root=bundle_root, model=GanSuperResolutionOptions, **given)
