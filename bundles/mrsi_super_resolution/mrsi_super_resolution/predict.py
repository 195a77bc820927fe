"""The bundle as one Python call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mrsi_super_resolution.options import SuperResolutionOptions
from mrsikit.runtime.bundles import bundle_root
from mrsikit.super_resolution.predict import SuperResolved, super_resolve

BUNDLE_ROOT = bundle_root("mrsi_super_resolution")


def predict(values: np.ndarray, *, bundle_root: str | Path = BUNDLE_ROOT, **given: Any) -> SuperResolved:
    """Super-resolve a map: run the pipeline of ``configs/inference.json`` on arrays.

    Args:
        values: (X, Y), (X, Y, Z) or (X, Y, Z, M) map in any unit.
        bundle_root: folder of the bundle.
        given: arguments of :func:`mrsikit.super_resolution.predict.super_resolve` (``affine``, ``flair``,
            ``flair_affine``, ``t1``, ``t1_affine``, ``crlb``) and parameters of the config (``factor``, ``psf``,
            ``noise``, ``ratio``, ``ratios``, ``metabolites``, ``device``, ``weights``).

    Raises:
        InputError: an input is invalid, by the same rules as for the command, or an option is unknown.

    Example:
        >>> import numpy as np
        >>> naa = np.zeros((16, 16)); naa[4:12, 3:13] = 9.0
        >>> predict(naa, factor=2, noise=0.3).sr.shape
        (32, 32)
    """
    return super_resolve(values, bundle_root=bundle_root, model=SuperResolutionOptions, **given)
