from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from dmi_quantification import predict
from dmi_quantification.mri_prior import RobustPrior
from dmi_quantification.network import FidLeastSquares
from dmi_quantification.postprocessing import PostprocessFidsd, as_fids, as_map
from dmi_quantification.preprocessing import PreprocessFidsd
from dmi_quantification.reference_precise_dmi import PreciseDmiEstimator

from .conftest import ACQUISITION, METABOLITES, MODEL, read_image, simulated

FIDS = simulated(np.tile([10.0, 2, 3, 1], (3, 2, 1, 1)), 30.0)


def fitted(values: np.ndarray = FIDS, network: torch.nn.Module | None = None) -> dict[Hashable, Any]:
    """A file before the postprocessing."""
    data = PreprocessFidsd(metabolites=METABOLITES)({"image": read_image(values)})
    with torch.no_grad():
        data["pred"] = (network or FidLeastSquares()).eval()(data["image"][None])[0]
    return data


def test_maps_are_on_the_grid_and_named() -> None:
    out = PostprocessFidsd(metabolites=METABOLITES)(fitted())
    assert out["maps"][:4] == ["water_amplitude", "water_amplitude_sd", "Glc_amplitude", "Glc_amplitude_sd"]
    assert out["maps"][-4:] == ["shift", "linewidth", "quality", "fit"]
    assert all(isinstance(out[name], MetaTensor) for name in out["maps"])
    assert {tuple(out[name].shape) for name in out["maps"][:-1]} == {(1, 3, 2, 1)}
    assert out["quality"].dtype == torch.uint8
    assert out["Glx"].dtype == torch.float32
    assert out["Glx_amplitude"].mean().item() == pytest.approx(3, abs=0.2)
    assert out["shift"].mean().item() == pytest.approx(-5, abs=0.5)
    assert out["linewidth"].mean().item() == pytest.approx(10.6, abs=1)
    assert (out["summary"]["voxels fitted"], out["flags"]) == (6, [])


def test_a_time_series_keeps_its_points() -> None:
    rise = np.stack([np.tile([10.0, 2 + t, 3, 1], (3, 2, 1, 1)) for t in range(3)], -2)
    out = PostprocessFidsd(metabolites=METABOLITES)(fitted(simulated(rise, 40.0).swapaxes(3, 4).copy()))
    assert out["Glc_amplitude"].shape == (3, 3, 2, 1)
    assert out["Glc_amplitude"].mean((1, 2, 3)).tolist() == pytest.approx([2, 3, 4], abs=0.2)
    assert out["fit"].shape == (1, 3, 2, 1, 256, 3)


@pytest.mark.parametrize(("save_fit", "there"), [(None, True), (True, True), ("false", False), (False, False)])
def test_the_user_decides_whether_the_fit_is_kept(save_fit: bool | str | None, there: bool) -> None:
    out = PostprocessFidsd(metabolites=METABOLITES, save_fit=save_fit)(fitted())
    assert ("fit" in out) is there
    assert ("fit" in out["maps"]) is there


def test_a_fit_of_half_a_gigabyte_is_kept_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmi_quantification.postprocessing.LARGEST_FIT", 4 * 2 * (5 + 6) * 256)
    assert "fit" not in PostprocessFidsd(metabolites=METABOLITES)(fitted())
    assert "fit" in PostprocessFidsd(metabolites=METABOLITES, save_fit=True)(fitted())


def test_a_standard_deviation_that_nobody_estimated_is_not_known() -> None:
    out = PostprocessFidsd(metabolites=METABOLITES)(fitted(network=PreciseDmiEstimator()))
    assert out["Glc_amplitude_sd"].isnan().all()
    assert out["Glc_sd"].isnan().all()
    assert out["Glc_amplitude"].isfinite().all()


def test_an_estimators_own_bias_is_mapped() -> None:
    data = fitted()
    data["bias"] = torch.arange(4.0)[:, None].expand(-1, 6)
    out = PostprocessFidsd(metabolites=METABOLITES)(data)
    assert (out["water_amplitude_bias"] == 0).all()
    torch.testing.assert_close(
        out["Glc_bias"].as_tensor(), 1 / out["water_amplitude"].as_tensor(), rtol=1e-5, atol=1e-6
    )


def test_an_mri_smooths_if_the_prior_has_strength() -> None:
    data = fitted(simulated(np.tile([10.0, 2, 3, 1], (8, 8, 1, 1)), 12.0))
    data |= {"mri": torch.ones(8, 8, 1), "covered": torch.ones(8, 8, 1, dtype=torch.bool)}
    alone, none, smooth = (
        PostprocessFidsd(metabolites=METABOLITES, prior=prior, repeats=4)(data)
        for prior in (None, RobustPrior(strength=0), RobustPrior())
    )
    assert "Glx_bias" not in alone
    torch.testing.assert_close(none["Glx"], alone["Glx"], rtol=0, atol=0)
    assert "Glx_bias" in smooth
    assert smooth["Glx"].std() < 0.5 * alone["Glx"].std()
    assert smooth["Glx_sd"].mean() < 0.6 * alone["Glx_sd"].mean()
    torch.testing.assert_close(smooth["quality"], alone["quality"])  # judged before any smoothing


def test_a_faint_voxel_is_not_smoothed() -> None:
    truth = np.tile([10.0, 2, 3, 1], (6, 6, 1, 1))
    truth[2:4, 2:4] = 0
    data = fitted(simulated(truth, 12.0))
    data |= {"mri": torch.ones(6, 6, 1), "covered": torch.ones(6, 6, 1, dtype=torch.bool)}
    alone = PostprocessFidsd(metabolites=METABOLITES)(data)
    smooth = PostprocessFidsd(metabolites=METABOLITES, prior=RobustPrior(), repeats=2)(data)
    faint = alone["water_amplitude"] < 3 * alone["water_amplitude_sd"]
    assert faint[0, 2:4, 2:4].all()
    torch.testing.assert_close(smooth["Glx_amplitude"][faint], alone["Glx_amplitude"][faint], rtol=0, atol=0)
    assert (smooth["Glx_amplitude"][~faint] != alone["Glx_amplitude"][~faint]).all()


@pytest.mark.parametrize(("delay", "words"), [(None, ["taken for an echo"]), (0.0006, [])])
def test_an_echo_time_matters_only_without_the_users_delay(delay: float | None, words: list[str]) -> None:
    data = fitted()
    data["image"].meta["echo"] = 0.03
    flags = PostprocessFidsd(metabolites=METABOLITES, delay=delay)(data)["flags"]
    assert [word for word in ["taken for an echo"] if any(word in flag for flag in flags)] == words


def test_values_go_to_their_voxels() -> None:
    voxels = np.array([[[True], [False]], [[False], [True]]])
    full = as_map(np.array([[1.0, 3.0], [2.0, 4.0]]), voxels, {})
    assert full.shape == (2, 2, 2, 1)
    assert full[:, 0, 0, 0].tolist() == [1, 3]
    assert full[:, 1, 1, 0].tolist() == [2, 4]
    assert full[:, 0, 1, 0].tolist() == [0, 0]
    fit = torch.arange(12).reshape(4, 3).to(torch.complex64)  # two voxels of two points each
    assert as_fids(fit, voxels, 2, {})[0, 1, 1, 0].real.tolist() == [[6, 9], [7, 10], [8, 11]]
    assert as_fids(fit[:2], voxels, 1, {}).shape == (1, 2, 2, 1, 3)


def test_ratios_are_those_at_excitation() -> None:
    late = replace(MODEL, delay=0.003)
    lives = torch.tensor(MODEL.t2_star)
    at_excitation = torch.tensor([[10.0, 4.0, 5.0, 2.0]])
    fids = late.simulate(at_excitation * torch.exp(-late.delay / lives)).numpy().reshape(1, 1, 1, -1)
    maps = predict(fids, dwell=MODEL.dwell, larmor=MODEL.larmor, delay=0.003).maps
    for name, ratio in {"Glc": 0.4, "Glx": 0.5, "Lac": 0.2}.items():
        assert maps[name].item() == pytest.approx(ratio, rel=2e-3)


def test_shift_is_positive_towards_higher_ppm() -> None:
    fids = MODEL.simulate(torch.tensor([[10.0, 2.0, 3.0, 1.0]]), shift=-8.0).numpy().reshape(1, 1, 1, -1)
    assert predict(fids, **ACQUISITION).maps["shift"].item() == pytest.approx(8, abs=0.1)


def test_standard_deviation_of_a_ratio_is_that_of_the_ratios() -> None:
    many = simulated(np.tile([10.0, 2, 3, 1], (30, 30, 1, 1)), 12.0)
    maps = predict(many, save_fit=False, **ACQUISITION).maps
    for name in ("Glc", "Glx", "Lac"):
        assert maps[f"{name}_sd"].mean() == pytest.approx(maps[name].std(), rel=0.12)
    assert "fit" not in maps


def test_noise_does_not_become_a_map_by_smoothing() -> None:
    generator = torch.Generator().manual_seed(0)
    fids = MODEL.simulate(torch.zeros(144, 4), noise=3.0, generator=generator).numpy().reshape(12, 12, 1, -1)
    mri = np.ones((12, 12, 1)) + np.eye(12)[..., None]
    result = predict(fids, **ACQUISITION, mri=mri)
    assert (result.maps["quality"] == 2).mean() > 0.6
    assert any("mostly noise" in flag for flag in result.flags)


def test_a_lesion_in_the_water_is_not_painted_over() -> None:
    truth = np.tile([10.0, 2, 3, 1], (16, 16, 1, 1))
    truth[6:8, 6:8, 0, 0] = 5
    mri = np.ones((16, 16, 1)) + 0.01 * np.arange(16)[:, None, None]
    maps = predict(simulated(truth, 12.0), **ACQUISITION, mri=mri).maps
    assert maps["water_amplitude"][6:8, 6:8].mean() == pytest.approx(5, abs=0.8)
    assert maps["Glx"][6:8, 6:8].mean() == pytest.approx(0.6, abs=0.15)


def test_fids_of_zeros_within_the_mask_are_not_data() -> None:
    fids = simulated(np.tile([10.0, 2, 3, 1], (8, 8, 1, 1)), 12.0)
    fids[3:5, 3:5] = 0
    options = {**ACQUISITION, "mask": np.ones((8, 8, 1))}
    for extra in ({}, {"fit_t2_star": True}, {"mri": np.ones((8, 8, 1)) + np.eye(8)[..., None]}):
        maps = predict(fids, **options, **extra).maps
        assert (maps["quality"][3:5, 3:5] == 0).all()
        assert (maps["Glx"][3:5, 3:5] == 0).all()
        assert np.abs(maps["water_amplitude"][2, 2:6] - 10).max() < 2.5
        assert all(np.isfinite(values).all() for name, values in maps.items() if name != "fit")


@pytest.mark.parametrize(("away", "share"), [(6.0, "25%"), (7.8, "0%")])
def test_an_mri_does_nothing_where_it_does_not_cover_the_fids(away: float, share: str) -> None:
    fids = simulated(np.tile([10.0, 2, 3, 1], (8, 8, 1, 1)), 12.0)
    beside = np.eye(4)
    beside[0, 3] = away
    plain = predict(fids, **ACQUISITION)
    mri = np.random.default_rng(0).random((9, 9, 1))
    result = predict(fids, mri=mri, mri_affine=beside, affine=np.eye(4), **ACQUISITION)
    assert any(f"MRI covers {share}" in flag for flag in result.flags)
    bare = slice(0, 8 if share == "0%" else int(away))
    np.testing.assert_allclose(result.maps["Glx_amplitude"][bare], plain.maps["Glx_amplitude"][bare])
