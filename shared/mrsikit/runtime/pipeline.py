"""Run a bundle on arrays in memory: only the preprocessing, network and postprocessing of its inference config."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Compose
from monai.utils import MetaKeys, convert_to_tensor

from mrsikit.io.errors import InputError
from mrsikit.io.readers import is_affine

MOST_METABOLITES = 40
"""Largest number of metabolites of an array that does not say that its first axis is that of the metabolites."""


class BundlePipeline:
    """A bundle's inference on arrays, in an application or from Python.

    The pipeline leaves out the transforms that load or save files and applies the others to a dictionary of
    MetaTensors. A result is therefore the same from the command line, from Python and in an application that calls this
    class. MONAI Deploy's own bundle operator cannot run these bundles: it hands every tensor to the network and casts
    the result to uint8.

    Args:
        bundle_root: folder of the bundle.
        network: network to use instead of the config's, for example one exported to TorchScript.
        options: values for the config's parameters.

    Raises:
        InputError: the folder holds no bundle with weights.
    """

    def __init__(self, bundle_root: str | Path, *, network: torch.nn.Module | None = None, **options: Any) -> None:
        root = Path(bundle_root)
        weights = Path(options.get("weights", root / "models" / "model.pt"))
        if not (root / "configs" / "inference.json").is_file():
            raise InputError(
                f"{root}: no bundle here (configs/inference.json); give the bundle's folder as bundle_root"
            )
        parser = ConfigParser()
        parser.read_config(str(root / "configs" / "inference.json"))
        parser.read_meta(str(root / "configs" / "metadata.json"))
        parser.update({"bundle_root": str(root), **options})
        self.device = torch.device(parser.get_parsed_content("device"))
        self.before = _without_files(parser, "preprocessing", "LoadImage")
        self.after = _without_files(parser, "postprocessing", "SaveImage")
        self.inferer = parser.get_parsed_content("inferer")
        if network is None:
            if not weights.is_file():
                raise InputError(f"{weights}: no weights here; give the file as weights")
            network = parser.get_parsed_content("network_def")
            network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.network = network.to(self.device).eval()

    @torch.no_grad()
    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Run one item, given channel first as the config's preprocessing expects it after loading.

        Raises:
            InputError: the image has no channel axis, or a transform refuses the item.
        """
        for name in ("image", "fids"):
            if hasattr(data.get(name), "shape"):
                check_channel_first(data[name], name)
        try:
            item = self.before(dict(data))
        except RuntimeError as error:  # MONAI wraps what a transform raises
            if isinstance(error.__cause__, InputError):
                raise error.__cause__ from None
            raise
        batch = list_data_collate([{"image": item["image"]}])
        item["pred"] = decollate_batch(self.inferer(batch["image"].to(self.device), self.network))[0]
        return self.after(item)


def _without_files(parser: ConfigParser, key: str, prefix: str) -> Compose:
    transforms = parser.get_parsed_content(key).transforms
    return Compose([t for t in transforms if not type(t).__name__.startswith(prefix)])


@functools.lru_cache(maxsize=4)
def cached_pipeline(bundle_root: Path, options: tuple[tuple[str, Any], ...]) -> BundlePipeline:
    """Return the pipeline of a bundle; the four most recent ones stay in memory.

    Args:
        bundle_root: folder of the bundle.
        options: (name, value) pairs sorted by name.
    """
    return BundlePipeline(bundle_root, **dict(options))


def check_affine(matrix: np.ndarray, name: str) -> None:
    """Refuse a matrix that cannot be an affine from voxel to mm.

    Args:
        matrix: the argument as given.
        name: name of the argument, for the message.

    Raises:
        InputError: the matrix is not 4 x 4, finite and invertible.
    """
    if not is_affine(matrix):
        raise InputError(f"{name} must be an invertible 4 x 4 matrix from voxel to mm")


def check_positive(value: object, name: str) -> None:
    """Refuse an argument that is not a finite number above 0.

    Raises:
        InputError: the argument is not such a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InputError(f"{name} {value}: is no number above 0")


def refuse(name: str, problems: Sequence[str]) -> None:
    """Raise InputError with the first problem of an argument, if it has any."""
    if problems:
        raise InputError(f"{name} {problems[0]}")


def check_channel_first(image: torch.Tensor | np.ndarray, name: str) -> None:
    """Refuse an image without a channel axis, whose first axis of space would be taken for metabolites.

    Args:
        image: maps (1, X, Y) or (M, X, Y, Z), or complex FIDs (1, X, Y, Z, T[, ...]).
        name: name of the image, for the message.

    Raises:
        InputError: the array has another number of axes, or more than one channel where there can be but one, or more
            than :data:`MOST_METABOLITES` without metadata that say so.
    """
    shape = tuple(image.shape)
    complex_ = image.is_complex() if isinstance(image, torch.Tensor) else np.iscomplexobj(image)
    if complex_:
        right, wrong = "(1, X, Y, Z, T, ...)", len(shape) < 5 or shape[0] != 1
    else:
        # The readers give several channels for a file whose last axis is that of the metabolites, and say so.
        stated = image.meta.get(MetaKeys.ORIGINAL_CHANNEL_DIM) == -1 if isinstance(image, MetaTensor) else False
        right = "(1, X, Y), or (M, X, Y, Z) with up to 40 metabolites"
        wrong = len(shape) not in (3, 4) or (len(shape) == 3 and shape[0] != 1)
        wrong = wrong or (shape[0] > MOST_METABOLITES and not stated)
    if wrong:
        raise InputError(f"{name} is of shape {shape}, which has no channel axis in front; give {right}")


def channel_first(array: np.ndarray, affine: np.ndarray) -> MetaTensor:
    """Turn a map (X, Y), (X, Y, Z) or (X, Y, Z, M) into a float32 tensor (1, X, Y[, Z]) or (M, X, Y, Z)."""
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    meta = {MetaKeys.ORIGINAL_CHANNEL_DIM: -1 if array.ndim == 4 else float("nan")}
    values = tensor.movedim(-1, 0) if array.ndim == 4 else tensor[None]
    return MetaTensor(values, affine=torch.as_tensor(affine), meta=meta)


def channel_last(tensor: torch.Tensor, ndim: int) -> np.ndarray:
    """Invert :func:`channel_first`: turn a channel-first tensor into an array of ``ndim`` axes."""
    array = convert_to_tensor(tensor)
    return (array.movedim(0, -1) if ndim == 4 else array[0]).numpy()
