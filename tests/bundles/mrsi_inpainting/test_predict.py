import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from mrsi_inpainting import predict
from mrsi_inpainting.predict import COMPANIONS
from mrsikit.io import InputError, read_map
from mrsikit.metrics.missing_voxels import filled_fraction, missing_voxel_detection
from mrsikit.phantoms.metabolites import concentration_map, draw_concentrations
from mrsikit.phantoms.subject import Grid, VirtualSubject
from mrsikit.phantoms.voxel_loss import mixed
from mrsikit.restoration.brain_mask import brain_outline
from mrsikit.restoration.inpainting import biharmonic

from .conftest import BUNDLE, disc

SHIPPED = BUNDLE / "models" / "model.pt"


@pytest.mark.parametrize("stem", ["plane", "known", "stack", "volume"])
def test_call_gives_what_the_command_gives(folder: Path, finished: Path, weights: Path, stem: str) -> None:
    image = nib.load(folder / f"{stem}.nii.gz")
    companions = {
        name: read_map(path)[0]
        for name in ("missing", "crlb", "brain")
        if (path := folder / f"{stem}_{name}.nii.gz").exists()
    }
    result = predict(image.get_fdata(), affine=image.affine, weights=weights, device="cpu", **companions)
    assert result.holes.dtype == bool
    np.testing.assert_array_equal(result.holes, read_map(finished / f"{stem}_holes.nii.gz")[0])
    for name in ("inpainted", "uncertainty"):
        expected = read_map(finished / f"{stem}_{name}.nii.gz")[0]
        np.testing.assert_allclose(getattr(result, name), expected, rtol=1e-5, atol=1e-5)


def test_input_is_left_as_it_was(weights: Path) -> None:
    values = disc(16)
    values[8, 8] = np.nan
    before = values.copy()
    result = predict(values, weights=weights)
    np.testing.assert_array_equal(values, before)
    assert result.holes[8, 8]


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (disc(16) * 1j, {}, "real"),
        (np.ones(16), {}, "axes"),
        (np.ones((2, 8, 8, 8, 2)), {}, "axes"),
        (disc(16)[:7], {}, "at least 8 voxels"),
        (np.zeros((16, 16)), {}, "zero in every voxel"),
        (np.full((16, 16), np.nan), {}, "no finite voxel"),
        (np.full((16, 16), 3.0), {}, "same value 3"),
        (disc(16), {"missing": np.zeros((16, 15))}, "missing has a matrix of 16 x 15"),
        (disc(16), {"missing": np.full((16, 16), 2)}, "missing holds values"),
        (disc(16), {"missing": np.ones((16, 16))}, "missing marks all"),
        (disc(16), {"crlb": [[1, 2], [3, 4]]}, "crlb has a matrix of 2 x 2"),
        (disc(16), {"crlb": np.full((16, 16), 0.2)}, "crlb .* fractions"),
        (disc(16), {"brain": np.zeros((16, 16))}, "brain is empty"),
        (disc(16), {"affine": np.eye(3)}, "affine"),
        (disc(16), {"threshold": 40}, "threshold 40"),
        (disc(16), {"max_crlb": -1}, "max_crlb -1"),
        (disc(16), {"device": "gpu"}, "device gpu"),
        (disc(16), {"max_clrb": 10}, "max_clrb.*max_crlb"),
        (disc(16), {"weights": "nowhere.pt"}, "nowhere.pt"),
        (disc(16), {"bundle_root": "nowhere"}, "no bundle"),
        (disc(16), {"volumetric": "maybe"}, "volumetric"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_named(values: np.ndarray, options: dict, words: str, weights: Path) -> None:
    with pytest.raises(InputError, match=words):
        predict(values, **{"weights": weights, **options})


def test_companions_are_those_of_the_command() -> None:
    config = json.loads((BUNDLE / "configs" / "inference.json").read_text())
    assert config["companions"] == COMPANIONS


needs_shipped_weights = pytest.mark.skipif(not SHIPPED.exists(), reason="models/model.pt is not there yet")


@pytest.fixture(scope="module")
def spoilt_slices() -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Truth, holes, spoilt map and ventricles of eight patients on whom no network was trained."""
    cases = []
    for seed in range(9_000_001, 9_000_009):
        rng = np.random.default_rng(seed)
        grid = Grid((64, 64), (3.4, 3.4), (0.0, 0.0, 18.0), thickness=5.0, subsamples=(1, 1, 2))
        subject = VirtualSubject(seed, tumours=1)
        subject.ventricle_growth = 3.0  # wide: a ventricle of one voxel cannot be told from a hole
        tissues = subject.tissues(grid)
        truth = concentration_map(tissues, draw_concentrations(rng, "high")["tCr"]).numpy()
        holes = mixed(truth > 0, 0.2, rng, patterns=("clusters", "singles"))
        ventricles = brain_outline(truth) & (truth == 0) & (tissues.ventricles.numpy() > 0.5)
        spread = 0.05 * truth[truth > 0].mean()
        noisy = np.maximum(truth + spread * rng.standard_normal(truth.shape) * (truth > 0), 0)
        cases.append((truth, holes, np.where(holes, 0, noisy).astype(np.float32), ventricles))
    return cases


@needs_shipped_weights
def test_shipped_weights_fill_better_than_biharmonic(spoilt_slices: list) -> None:
    ours, classical = [], []
    for truth, holes, spoilt, _ in spoilt_slices:
        scale = truth.max()
        ours.append(np.mean((predict(spoilt, missing=holes).inpainted - truth)[holes] ** 2) / scale**2)
        classical.append(np.mean((biharmonic(spoilt, holes) - truth)[holes] ** 2) / scale**2)
    assert np.mean(ours) < np.mean(classical)


@needs_shipped_weights
def test_shipped_weights_find_holes(spoilt_slices: list) -> None:
    holes = np.concatenate([case[1].ravel() for case in spoilt_slices])
    for options, precision in (({}, 0.85), ({"threshold": 0.5}, 0.9)):
        found = [predict(spoilt, check=False, **options).holes for _, _, spoilt, _ in spoilt_slices]
        detection = missing_voxel_detection(np.concatenate([f.ravel() for f in found]), holes)
        assert detection.recall > 0.9
        assert detection.precision > precision


@needs_shipped_weights
def test_shipped_weights_leave_ventricles(spoilt_slices: list) -> None:
    found = np.concatenate([predict(spoilt, check=False).holes.ravel() for _, _, spoilt, _ in spoilt_slices])
    ventricles = np.concatenate([case[3].ravel() for case in spoilt_slices])
    assert ventricles.sum() > 30
    assert filled_fraction(found, ventricles) < 0.1


def test_measured_values_are_left_alone_unless_asked(weights: Path) -> None:
    values = disc(16)
    assert not predict(values, weights=weights).holes[values != 0].any()
    assert predict(values, weights=weights, wrong_threshold=1e-6).holes[values != 0].any()


def test_an_interpolated_map_is_named(weights: Path) -> None:
    measured = disc(24) * (1 + 0.1 * np.random.default_rng(0).standard_normal((24, 24)))
    fine = ndimage.zoom(measured, 2, order=1, grid_mode=True, mode="nearest")
    assert "48 x 48 voxels look interpolated from about 2" in " ".join(predict(fine, weights=weights).flags)
    assert "interpolated" not in " ".join(predict(measured, weights=weights).flags)


def test_other_maps_may_be_views_and_maps_without_missing_voxels_share_nothing(weights: Path) -> None:
    values = disc(16)
    values[8, 8] = np.nan
    others = np.stack([disc(16), disc(16) + 1.0], -1)
    flipped = predict(values[::-1], others=others[::-1], weights=weights)
    assert flipped.holes[7, 8]


def test_an_mri_is_named_where_it_is_not_used(weights: Path) -> None:
    values = disc(24)
    own = np.diag([2.0, 2.0, 4.0, 1.0])
    given = {"affine": np.diag([4.0, 4.0, 4.0, 1.0]), "t1": disc(48), "t1_affine": own, "weights": weights}
    alone = predict(values, **given)
    assert "T1 not used: an MRI helps only beside another map of the session" in alone.flags
    np.testing.assert_array_equal(alone.inpainted, predict(values, affine=given["affine"], weights=weights).inpainted)
    others = np.where(disc(24, seed=1) > 0, disc(24, seed=1), np.nan)[..., None]
    assert not any("T1" in flag for flag in predict(values, others=others, **given).flags)
    with pytest.raises(InputError, match="t1 needs t1_affine"):
        predict(values, t1=disc(48), weights=weights)
