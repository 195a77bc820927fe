import json

import numpy as np
import pytest

from dmi_quantification import predict
from mrsikit.io import InputError

from .conftest import BUNDLE, METABOLITES, MODEL, simulated

FIDS = simulated(np.tile([10.0, 2, 3, 1], (2, 2, 1, 1)), 30.0)
ACQUISITION = {"dwell": MODEL.dwell, "larmor": MODEL.larmor, "delay": MODEL.delay}


def test_input_is_left_as_it_was() -> None:
    before = FIDS.copy()
    predict(FIDS, **ACQUISITION)
    np.testing.assert_array_equal(FIDS, before)


def test_the_metabolites_are_those_of_the_config() -> None:
    config = json.loads((BUNDLE / "configs" / "inference.json").read_text())
    assert tuple(config["metabolites"]) == METABOLITES


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


def test_deviation_of_a_ratio_is_that_of_the_ratios() -> None:
    many = simulated(np.tile([10.0, 2, 3, 1], (30, 30, 1, 1)), 12.0)
    maps = predict(many, save_fit=False, **ACQUISITION).maps
    for name in ("Glc", "Glx", "Lac"):
        assert maps[f"{name}_sd"].mean() == pytest.approx(maps[name].std(), rel=0.12)
    assert "fit" not in maps


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
