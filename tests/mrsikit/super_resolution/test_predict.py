from pathlib import Path

import numpy as np
import pytest

from mrsikit.io import InputError
from mrsikit.super_resolution.options import SuperResolutionOptions
from mrsikit.super_resolution.predict import super_resolve

MAP = np.pad(np.arange(1.0, 65.0).reshape(8, 8), 4)
IMAGE = np.random.default_rng(0).random((32, 32))


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (MAP, {"factors": 2}, "^unknown option factors; the options are weights, device, factor, psf, "),
        (MAP, {"factor": 5}, "--factor 5: is none of 2, 3, 4"),
        (MAP * 1j, {}, "values must be real numbers, not complex128"),
        (MAP[:7], {}, "at least 8 voxels"),
        (MAP, {"affine": np.zeros((4, 4))}, "affine must be an invertible 4 x 4 matrix"),
        (MAP, {"ratios": "2/1"}, "ratio 2/1: values has 1 maps"),
        (MAP, {"flair": IMAGE}, "flair needs flair_affine, and the map its affine"),
        (MAP, {"crlb": np.full((16, 16), 0.2)}, "must be in percent"),
        (MAP, {"bundle_root": "/nowhere"}, "no bundle here"),
    ],
)
def test_wrong_arguments_are_one_clear_line(values: np.ndarray, options: dict[str, object], words: str) -> None:
    given = {"bundle_root": Path("/nowhere"), "model": SuperResolutionOptions, **options}
    with pytest.raises(InputError, match=words):
        super_resolve(values, **given)  # type: ignore[arg-type]
