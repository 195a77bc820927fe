import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from coarse_maps import flair_grid, grid, head
from mrsi_super_resolution import predict
from mrsikit.io import InputError, read_map


def companions(folder: Path, stem: str) -> dict:
    found = {}
    for name in ("flair", "t1", "crlb"):
        path = folder / f"{stem}_{name}.nii.gz"
        if path.exists():
            found[name], affine = read_map(path)
            found |= {} if name == "crlb" else {f"{name}_affine": affine}
    return found


@pytest.mark.parametrize("stem", ["plain", "guided", "two", "volume"])
def test_call_gives_what_the_command_gives(folder: Path, finished: Path, stem: str) -> None:
    image = nib.load(next(folder.glob(f"{stem}.nii*")))
    result = predict(image.get_fdata(), affine=image.affine, device="cpu", **companions(folder, stem))
    for name in ("sr", "uncertainty"):
        expected, affine = read_map(finished / f"{stem}_{name}.nii.gz")
        np.testing.assert_allclose(getattr(result, name), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(result.affine, affine, atol=1e-4)
    assert result.ratio is None


MAP = head(grid(), (24, 24))
FLAIR = head(flair_grid(), (160, 160, 12))


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (MAP * 1j, {}, "real"),
        (np.ones(16), {}, "axes"),
        (np.ones((2, 8, 8, 8, 2)), {}, "axes"),
        (MAP[:7], {}, "at least 8 voxels"),
        (np.zeros((16, 16)), {}, "zero in every voxel"),
        (np.full((16, 16), np.nan), {}, "no finite voxel"),
        (np.full((16, 16), 3.0), {}, "same value 3"),
        (MAP, {"affine": np.eye(3)}, "affine"),
        (MAP, {"flair": FLAIR}, "flair needs flair_affine"),
        (MAP, {"affine": grid(), "flair": FLAIR, "flair_affine": flair_grid(400)}, "does not overlap"),
        (MAP, {"affine": grid(), "flair": np.full((9, 9), np.nan), "flair_affine": grid()}, "NaN"),
        (MAP, {"affine": grid(), "t1": np.ones((9, 9)), "t1_affine": grid()}, "same value"),
        (MAP, {"crlb": np.full((24, 24), 0.2)}, "crlb .* fractions"),
        (MAP, {"factor": 5}, "factor 5"),
        (MAP, {"psf": "box"}, "psf box"),
        (MAP, {"noise": 0}, "noise"),
        (MAP, {"ratios": "NAA"}, "ratios NAA"),
        (MAP, {"ratios": "1/1"}, "ratio is of two"),
        (MAP, {"ratios": "1/2"}, "has 1 maps"),
        (MAP, {"factr": 4}, "factr.*factor"),
        (MAP, {"device": "gpu"}, "device gpu"),
        (MAP, {"weights": "nowhere.pt"}, "nowhere.pt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_named(values: np.ndarray, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        predict(values, **options)


def test_ratio_of_named_maps() -> None:
    values = np.stack([MAP, 2 * MAP, 3 * MAP], -1)[:, :, None]
    result = predict(values, noise=0.05, metabolites=["NAA", "tCr", "tCho"], ratios=["tCho/NAA", "tCr/NAA"])
    assert result.ratio.shape == (96, 96, 1, 2)
    assert np.nanmedian(result.ratio[..., 0]) == pytest.approx(3, rel=0.05)
    assert np.nanmedian(result.ratio[..., 1]) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_does_not_matter(scale: float) -> None:
    one, other = predict(MAP, noise=0.1), predict(scale * MAP, noise=0.1 * scale)
    np.testing.assert_allclose(other.sr / scale, one.sr, atol=1e-3)
    np.testing.assert_allclose(other.uncertainty / scale, one.uncertainty, atol=1e-3)


def test_an_mri_that_lies_beside_the_map_is_found_out() -> None:
    turned = grid(turn=90)  # the map's first axis runs to the front
    values = head(turned, (24, 24), lesion=0.5)
    guided = {"affine": turned, "noise": 0.1, "flair": FLAIR}
    assert "check its registration" not in str(predict(values, **guided, flair_affine=flair_grid()).flags)
    flags = predict(values, **guided, flair_affine=flair_grid(5)).flags
    assert "the flair would fit the map better moved by -5, +0, +0 mm (right, front, up)" in str(flags)


def test_what_the_mri_adds_can_be_told() -> None:
    """Beside the guided map stands the one that no MRI touched; unguided there is none."""
    guided = predict(MAP, affine=grid(), noise=0.1, flair=FLAIR, flair_affine=flair_grid(), check=False)
    plain = predict(MAP, affine=grid(), noise=0.1, check=False)
    assert plain.without_mri is None
    np.testing.assert_allclose(guided.without_mri, plain.sr, atol=1e-4)
    assert np.abs(guided.sr - plain.sr).max() > 0.1


@pytest.mark.parametrize("order", [1, 3])
def test_the_uncertainty_of_an_interpolated_map_is_not_claimed(order: int) -> None:
    rng = np.random.default_rng(0)
    measured = np.stack([head(grid(), (24, 24)), 0.5 * head(grid(), (24, 24))], -1)[:, :, None]
    measured = measured + 0.3 * rng.standard_normal(measured.shape)
    fine = ndimage.zoom(measured, (2, 2, 1, 1), order=order, grid_mode=True, mode="nearest")
    found = predict(fine, noise=0.3, ratios="1/2", factor=2)
    assert re.search("48 x 48 x 1 voxels look interpolated from about 2[2-6] x 2[2-6] x 1", " ".join(found.flags))
    assert np.isfinite(found.sr).all()
    assert np.isnan(found.uncertainty).all()
    assert found.ratio is not None
    assert np.isfinite(found.ratio).any()
    assert np.isnan(found.ratio_uncertainty).all()
    sound = predict(measured, noise=0.3, factor=2)
    assert "interpolated" not in " ".join(sound.flags)
    assert np.isfinite(sound.uncertainty).all()
