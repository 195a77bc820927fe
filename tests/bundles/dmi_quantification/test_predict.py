import re

import numpy as np
import pytest
import torch
from scipy.signal import resample

from dmi_quantification import predict
from mrsikit.io import InputError
from mrsikit.physics.fid_model import FidModel
from mrsikit.physics.nuclei import DEUTERIUM

from .conftest import ACQUISITION, METABOLITES, MODEL, simulated

FIDS = simulated(np.tile([10.0, 2, 3, 1], (2, 2, 1, 1)), 30.0)


def test_input_is_left_as_it_was() -> None:
    before = FIDS.copy()
    predict(FIDS, **ACQUISITION)
    np.testing.assert_array_equal(FIDS, before)


def test_a_mask_limits_what_is_fitted() -> None:
    mask = np.zeros((2, 2, 1))
    mask[0, 1] = 1
    maps = predict(FIDS, mask=mask, **ACQUISITION).maps
    np.testing.assert_array_equal(maps["quality"] > 0, mask > 0)


def test_ratio_and_concentration_differ_by_the_water_and_the_factor() -> None:
    ratio = predict(FIDS, **ACQUISITION).maps
    molar = predict(FIDS, water_mM=10, factors={"Glc": 0.5}, **ACQUISITION).maps
    np.testing.assert_allclose(molar["Glc"], 5 * ratio["Glc"], rtol=1e-5)
    by_water = predict(FIDS, factors={"water": 2.0}, **ACQUISITION).maps
    np.testing.assert_allclose(by_water["Glx"], ratio["Glx"] / 2, rtol=1e-5)
    np.testing.assert_allclose(molar["Glx_sd"], 10 * ratio["Glx_sd"], rtol=1e-5)
    np.testing.assert_allclose(ratio["Glc"], ratio["Glc_amplitude"] / ratio["water_amplitude"], rtol=1e-5)


def test_good_data_at_3_tesla_are_good() -> None:
    lives = [DEUTERIUM.resonances[name].t2_star_at(3.0) for name in METABOLITES]
    model = FidModel(ppm=MODEL.ppm, t2_star=lives, larmor=19.6, reference=4.7, dwell=4e-4, points=512)
    truth = torch.tensor([10.0, 4.0, 5.0, 2.0]).expand(64, -1)
    fids = model.simulate(truth, noise=0.3, broadening=2.0, generator=torch.Generator().manual_seed(0))
    result = predict(fids.numpy().reshape(8, 8, 1, -1), dwell=4e-4, larmor=19.6, delay=0.0)
    assert (result.maps["quality"] == 1).mean() > 0.95
    assert [flag for flag in result.flags if "the table's for 4 T, the file is of 3.0 T" not in flag] == []
    assert len(result.flags) == 1
    given = dict(zip(METABOLITES, lives, strict=True))
    assert predict(fids.numpy().reshape(8, 8, 1, -1), dwell=4e-4, larmor=19.6, delay=0.0, t2_star=given).flags == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fids": FIDS.real}, "complex"),
        ({"fids": FIDS[0]}, "X, Y, Z, T"),
        ({"fids": np.full_like(FIDS, np.nan)}, "NaN"),
        ({"dwell": 0}, "dwell"),
        ({"larmor": -1}, "larmor"),
        ({"nucleus": "31P"}, "31P"),
        ({"metabolites": ["water", "GABA"]}, "GABA"),
        ({"t2_star": {"Lac": -1}}, "t2_star Lac -1"),
        ({"metabolites": "water"}, "is no list"),
        ({"delay": 600}, "delay 600"),
        ({"max_shift": 0.7}, "max_shift 0.7"),
        ({"prior_strength": -1}, "prior_strength -1"),
        ({"water_mM": -5}, "water_mM -5"),
        ({"metabolites": ["Glc", "Glx"], "water_mM": 10}, "not water"),
        ({"mri": np.ones((9, 9, 9))}, "mri_affine"),
        ({"mri": np.ones((9, 9, 9)), "mri_affine": np.eye(4)}, "FIDs' affine"),
        ({"dwell": 0.4}, "dwell time of 0.4"),
        ({"dwell": 0.04}, "bandwidth of 25 Hz"),  # ms taken for s
        ({"larmor": 45.7e6}, "give MHz"),
        ({"sign": "minus"}, "sign minus: is none of auto, standard, conjugate"),
        ({"mask": np.ones((3, 2, 1))}, "mask is of shape"),
        ({"watermM": 10}, "watermM"),
        ({"device": "gpu"}, "device gpu"),
        ({"bundle_root": "nowhere"}, "no bundle"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_named(options: dict, words: str) -> None:
    given = {"fids": FIDS, **ACQUISITION, **options}
    with pytest.raises(InputError, match=words):
        predict(given.pop("fids"), **given)


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan)])
def test_an_affine_that_is_none_is_refused(affine: np.ndarray) -> None:
    fids = simulated(np.tile([10.0, 2, 3, 1], (8, 8, 1, 1)), 12.0)
    mri = np.random.default_rng(0).random((9, 9, 9, 1))
    with pytest.raises(InputError, match="invertible 4 x 4"):
        predict(fids, mri=mri, mri_affine=affine, affine=np.eye(4), dwell=MODEL.dwell, larmor=MODEL.larmor)
    assert predict(fids, mri=mri, mri_affine=np.eye(4), affine=np.eye(4), dwell=MODEL.dwell, larmor=MODEL.larmor)


def test_an_mri_elsewhere_is_refused() -> None:
    fids = simulated(np.tile([10.0, 2, 3, 1], (8, 8, 1, 1)), 12.0)
    elsewhere = np.eye(4)
    elsewhere[0, 3] = 9
    with pytest.raises(InputError, match="does not overlap"):
        predict(
            fids,
            mri=np.random.default_rng(0).random((9, 9, 9)),
            mri_affine=elsewhere,
            affine=np.eye(4),
            dwell=MODEL.dwell,
            larmor=MODEL.larmor,
        )


def test_fids_interpolated_between_voxels_are_named() -> None:
    amplitudes = np.random.default_rng(0).uniform(1, 10, (8, 8, 1, 4))
    measured = simulated(amplitudes, 30.0)
    fine = resample(resample(measured, 16, axis=0), 16, axis=1)
    flags = predict(fine, **ACQUISITION).flags
    assert re.search("the 16 x 16 x 1 voxels look interpolated from about [89] x [89] x 1", " ".join(flags))
    assert "interpolated" not in " ".join(predict(measured, **ACQUISITION).flags)
