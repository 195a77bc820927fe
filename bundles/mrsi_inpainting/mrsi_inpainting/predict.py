"""The bundle as one Python call."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor

from mrsikit.io import InputError, as_flag
from mrsikit.pipeline import BundlePipeline

BUNDLE_ROOT = Path(__file__).parents[1]
OPTIONS = ("max_crlb", "threshold", "wrong_threshold", "volumetric", "device", "weights")


class Inpainted(NamedTuple):
    """Result of :func:`predict`; arrays of the map's shape.

    Attributes:
        inpainted: the map with its holes filled, float32; measured voxels as they came.
        holes: bool, what was filled.
        uncertainty: standard deviation of the fill in the map's unit, 0 where measured.
        flags: what the user must know.
    """

    inpainted: np.ndarray
    holes: np.ndarray
    uncertainty: np.ndarray
    flags: list[str]


def predict(
    values: np.ndarray,
    *,
    missing: np.ndarray | None = None,
    crlb: np.ndarray | None = None,
    brain: np.ndarray | None = None,
    affine: np.ndarray | None = None,
    bundle_root: str | Path = BUNDLE_ROOT,
    **options: Any,
) -> Inpainted:
    """Fill the failed voxels of a map: the pipeline of ``configs/inference.json`` on arrays.

    Args:
        values: (X, Y), (X, Y, Z) or (X, Y, Z, M) map in any unit; NaN and infinity are missing.
        missing: mask, non-zero = missing; shape of the map, or without its last axis M. None: found by the network.
        crlb: Cramér-Rao bounds in percent, same shape; above ``max_crlb`` (option, default 20) a voxel is missing.
        brain: mask of everything inside the skull, (X, Y[, Z]).
        affine: (4, 4) voxel to mm; decides whether a volume is nearly isotropic. None: 1 mm voxels.
        bundle_root: folder of the bundle.
        options: parameters of the config: ``max_crlb``, ``threshold``, ``wrong_threshold``, ``volumetric``, ``device``,
            ``weights``.

    Raises:
        InputError: for complex values, wrong axes or shapes, a map without signal, an unknown option, or a folder
            without the bundle.

    Example:
        >>> import numpy as np
        >>> naa = np.zeros((32, 32)); naa[8:24, 6:26] = 9.0; naa[12, 14] = 0
        >>> predict(naa).inpainted.shape
        (32, 32)
    """
    unknown = set(options) - set(OPTIONS)
    if unknown:
        raise InputError(f"unknown option {', '.join(sorted(unknown))}; the options are {', '.join(OPTIONS)}")
    if options.get("volumetric") is not None:  # judged here: MONAI wraps what is raised while a config is built
        options["volumetric"] = as_flag(options["volumetric"], "volumetric")
    values = np.asarray(values)
    if np.iscomplexobj(values) or values.ndim not in (2, 3, 4):
        raise InputError(f"values must be real and of 2, 3 or 4 axes, not {values.dtype} of shape {values.shape}")
    if min(values.shape[:2]) < 8:
        raise InputError(f"values are {values.shape[0]}x{values.shape[1]}; the smallest matrix is 8x8")
    maps = values.reshape(-1, values.shape[3]) if values.ndim == 4 else values.reshape(-1, 1)
    if not (np.isfinite(maps) & (maps != 0)).any(0).all():
        raise InputError("values hold a map without signal: every voxel is zero, NaN or infinite; give measured maps")
    data = {"image": _channel_first(values, affine, values.ndim)}
    for name, companion in {"missing": missing, "crlb": crlb, "brain": brain}.items():
        if companion is not None:
            companion = np.asarray(companion)
            if companion.shape not in (values.shape, values.shape[:3]):
                raise InputError(
                    f"{name} is of shape {companion.shape}, the map of {values.shape}; give it on the map's grid"
                )
            data[name] = _channel_first(companion, affine, companion.ndim)
    out = _pipeline(Path(bundle_root), tuple(sorted(options.items())))(data)
    results = [_as_given(out[name], values.ndim) for name in ("inpainted", "holes", "uncertainty")]
    return Inpainted(results[0], results[1].astype(bool), results[2], out["flags"])


@functools.lru_cache(maxsize=4)
def _pipeline(bundle_root: Path, options: tuple[tuple[str, Any], ...]) -> BundlePipeline:
    return BundlePipeline(bundle_root, **dict(options))


def _channel_first(array: np.ndarray, affine: np.ndarray | None, ndim: int) -> MetaTensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    tensor = tensor.movedim(-1, 0) if ndim == 4 else tensor[None]
    return MetaTensor(tensor, affine=torch.eye(4) if affine is None else torch.as_tensor(affine))


def _as_given(tensor: torch.Tensor, ndim: int) -> np.ndarray:
    array = torch.as_tensor(tensor).as_subclass(torch.Tensor)
    return (array.movedim(0, -1) if ndim == 4 else array[0]).numpy()
