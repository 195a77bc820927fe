import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrsikit.io.readers import CODES
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.inferer import SliceStackInferer
from mrsikit.super_resolution.network import INTERPOLATED, NOISE
from mrsikit.super_resolution.postprocessing import PostprocessFineMapd
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd, subdivided

from .conftest import AFFINE, NOISY, brain, flair, head_map, layers, noisy_map, stacked, volume


def test_a_slice_without_a_measurement_is_none() -> None:
    given = head_map().as_tensor()
    values = MetaTensor(torch.stack([given, given, 0 * given], -1), affine=AFFINE)
    crlb = torch.full(values.shape, 5.0)
    crlb[..., 1] = 150
    item = PreprocessCoarseMapd()({"image": values, "crlb": MetaTensor(crlb, affine=AFFINE)})
    item["pred"] = stacked(layers(item)[:, [INTERPOLATED, NOISE, INTERPOLATED]], item)
    out = PostprocessFineMapd()(item)
    assert out["sr"][..., 1].isnan().all()
    assert out["uncertainty"][..., 1].isnan().all()
    assert torch.isfinite(out["sr"][..., [0, 2]]).all()
    assert "metabolite 1, slice 2: no voxel was measured" in " ".join(out["flags"])
    assert out["summary"]["median uncertainty / median of map"] > 0


def test_coronal_slices_are_sharpened_as_measured_and_flagged() -> None:
    coronal = AFFINE[:, [0, 2, 1, 3]].clone()
    coronal[:3, 0], coronal[:3, 1], coronal[:3, 2] = (torch.tensor(c) for c in ((7.0, 0, 0), (0, 0, 7.0), (0, 10.0, 0)))
    item = PreprocessCoarseMapd(factor=2, noise=0.1)({"image": MetaTensor(volume().as_tensor(), affine=coronal)})
    item["pred"] = stacked(layers(item)[:, [INTERPOLATED, NOISE, INTERPOLATED]], item)
    out = PostprocessFineMapd(factor=2)(item)
    assert out["sr"].shape == (1, 24, 32, 3)
    assert "slices are not axial" in " ".join(out["flags"])


def test_an_mri_over_a_map_without_a_place_is_flagged() -> None:
    given = volume()
    for codes, flagged in (((0, 0), True), ((1, 1), False)):
        item = PreprocessCoarseMapd(noise=0.1)(
            {"image": MetaTensor(given.as_tensor(), affine=AFFINE, meta={CODES: codes}), "flair": flair()}
        )
        item["pred"] = torch.zeros(3, 48, 64, 3)
        assert ("map's header gives no position" in " ".join(PostprocessFineMapd()(item)["flags"])) == flagged
        guide = MetaTensor(flair().as_tensor(), affine=flair().affine, meta={CODES: codes})
        item = PreprocessCoarseMapd(noise=0.1)({"image": volume(), "flair": guide})
        item["pred"] = torch.zeros(3, 48, 64, 3)
        assert ("header of flair gives no position" in " ".join(PostprocessFineMapd()(item)["flags"])) == flagged


@pytest.mark.parametrize("shape", [(1, 12, 16), (1, 12, 16, 3), (2, 12, 16, 3)])
def test_results_are_in_the_maps_unit_and_layout(shape: tuple[int, ...]) -> None:
    given = volume(shape[0]).reshape(shape[0], 12, 16, 3)[..., : shape[3] if len(shape) == 4 else 1]
    given = MetaTensor(given.as_tensor().reshape(shape), affine=AFFINE)
    item = PreprocessCoarseMapd(factor=2, noise=1e-6)({"image": given})

    def same(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, INTERPOLATED], 0.01 + 0 * x[:, INTERPOLATED]], 1)

    item["pred"] = SliceStackInferer(factor=2)(item["image"].as_tensor()[None], same)["maps"][0]
    out = PostprocessFineMapd(factor=2)(item)
    assert "without_mri" not in out
    assert out["sr"].shape == (shape[0], 24, 32, *shape[3:])
    again = SpatialEncoding("block", 2).A(
        out["sr"].as_tensor().movedim(3, 1) if len(shape) == 4 else out["sr"].as_tensor()
    )
    wanted = given.as_tensor().movedim(3, 1) if len(shape) == 4 else given.as_tensor()
    torch.testing.assert_close(again, wanted, atol=1e-4, rtol=1e-5)
    top = given.as_tensor().reshape(shape[0], 12, 16, -1)[..., 0].flatten(1).amax(1)
    corner = out["uncertainty"].as_tensor()[:, 0, 0].reshape(shape[0], -1)[:, 0]
    torch.testing.assert_close(corner, 0.01 * top)
    np.testing.assert_allclose(out["sr"].affine, AFFINE @ subdivided(2))
    assert not [flag for flag in out["flags"] if "noise" in flag]


def test_flags_say_what_is_amiss() -> None:
    given = volume()
    given[0, 5, 6, 0] = float("nan")
    item = PreprocessCoarseMapd()({"image": given, "flair": flair(60.0)})
    item["pred"] = torch.zeros(3, 48, 64, 3)
    flags = " ".join(PostprocessFineMapd()(item)["flags"])
    for words in (
        "noise is not known",
        "outside the 16 to 64",
        "1 voxels of the head hold no number",
        "the flair covers",
    ):
        assert words in flags
    for noise, words in (
        (0.02, ("negative values", "--metabolites names 2 maps, the file has 1")),
        (9.0, ("of the maximum; the network was trained on up to 10%",)),
    ):
        item = PreprocessCoarseMapd(noise=noise)({"image": head_map() - 0.4})
        item["pred"] = torch.zeros(3, 96, 96, 1)
        flags = PostprocessFineMapd(ratios="2/1", metabolites="NAA,tCr", noise=noise)(item)["flags"]
        assert all(word in " ".join(flags) for word in words)
        assert any("negative" in flag for flag in flags) == (noise < 1)  # 9 is more than the map goes below zero


def test_ratio_and_its_deviation_by_hand() -> None:
    item = PreprocessCoarseMapd(noise=0.01)(
        {"image": MetaTensor(torch.cat([head_map(), 2 * head_map()]), affine=AFFINE)}
    )
    pred = torch.zeros(2, 3, 96, 96)
    pred[:, 0], pred[0, 1], pred[1, 1] = 1.0, 0.1, 0.2
    pred[1, 0, :10] = 0.5  # of its maximum, 3: 1.5 against a deviation of 0.6
    item["pred"] = stacked(pred, item)
    out = PostprocessFineMapd(ratios="1/2")(item)
    ratio, spread = (out[name].as_tensor()[0] for name in ("ratio", "ratio_uncertainty"))
    assert torch.isnan(ratio[:10]).all()
    assert torch.isnan(spread[:10]).all()
    assert float(ratio[50, 50]) == pytest.approx(0.5)
    assert float(spread[50, 50]) == pytest.approx(0.5 * (0.1**2 + 0.2**2) ** 0.5, rel=1e-4)


def test_a_ratio_of_a_sum_by_hand() -> None:
    maps = torch.cat([head_map(), 2 * head_map(), 3 * head_map()])
    item = PreprocessCoarseMapd(noise=0.01)({"image": MetaTensor(maps, affine=AFFINE)})
    pred = torch.zeros(3, 3, 96, 96)
    pred[:, 0], pred[:, 1] = 1.0, 0.02
    item["pred"] = stacked(pred, item)
    out = PostprocessFineMapd(ratios="(b+c)/a", metabolites="a,b,c")(item)
    ratio, spread = (float(out[name].as_tensor()[0, 50, 50]) for name in ("ratio", "ratio_uncertainty"))
    assert ratio == pytest.approx(5)
    above = (0.04**2 + 0.06**2) ** 0.5
    assert spread == pytest.approx((above**2 + (5 * 0.02) ** 2) ** 0.5, rel=1e-4)


@pytest.mark.parametrize(("shift", "told"), [(0.0, False), (25.0, True), (70.0, True)])
def test_an_mri_far_beside_the_map_is_told(shift: float, told: bool) -> None:
    item = PreprocessCoarseMapd(noise=NOISY)({"image": noisy_map(), "flair": brain(shift)})
    item["pred"] = torch.zeros(3, 96, 96, 1)
    flags = " ".join(PostprocessFineMapd(noise=NOISY)(item)["flags"])
    assert ("lies outside the brain that the flair shows" in flags or "the flair covers" in flags) == told


def test_a_result_far_beyond_what_was_measured_is_told() -> None:
    for low, high, told in ((-0.05, 1.4, False), (-0.5, 1.0, True), (0.0, 2.5, True)):
        item = PreprocessCoarseMapd(noise=0.01)({"image": head_map()})
        pred = torch.zeros(3, 96, 96)
        pred[0, 40, 40], pred[0, 50, 50] = low, high
        item["pred"] = pred[..., None]
        assert ("far beyond the measured values" in " ".join(PostprocessFineMapd(noise=0.01)(item)["flags"])) == told


def test_each_metabolite_is_held_against_its_own_values() -> None:
    """Failed fits are no values."""
    maps = torch.cat([6 * head_map().as_tensor(), head_map().as_tensor()])
    maps[1, 2, 2] = 500.0
    bounds = torch.full_like(maps, 5.0)
    bounds[1, 2, 2] = 999.0
    item = PreprocessCoarseMapd()({"image": MetaTensor(maps, affine=AFFINE), "crlb": MetaTensor(bounds, affine=AFFINE)})
    pred = torch.zeros(2, 3, 96, 96)
    pred[1, 0, 50, 50] = 2.5
    item["pred"] = stacked(pred, item)
    flags = [flag for flag in PostprocessFineMapd()(item)["flags"] if "far beyond" in flag]
    assert len(flags) == 1
    assert flags[0].startswith("metabolite 2:")


def test_a_ratio_lost_in_its_denominator_is_told() -> None:
    """Where the denominator is faint, and in a sum only where that is."""
    maps = torch.cat([head_map(), 2 * head_map(), 3 * head_map()])
    item = PreprocessCoarseMapd(noise=0.01)({"image": MetaTensor(maps, affine=AFFINE)})
    pred = torch.zeros(3, 3, 96, 96)
    pred[:, 0], pred[:, 1] = 1.0, 0.02
    pred[0, 1, :30] = 0.5  # the first map is lost in a third of the slice
    item["pred"] = stacked(pred, item)
    for ratio, told in (("2/1", True), ("2/3", False), ("2/(1+3)", False)):
        assert ("has no value in 31%" in " ".join(PostprocessFineMapd(ratios=ratio)(dict(item))["flags"])) == told
    pred[0, 0, 40:50], pred[0, 1, 40:50] = 0.01, 0.001  # faint, though far above its deviation
    item["pred"] = stacked(pred, item)
    assert PostprocessFineMapd(ratios="2/1")(item)["ratio"].as_tensor()[0, 40:50].isnan().all()


def test_a_method_without_the_mri_says_that_it_was_not_used() -> None:
    for method, used, alone in ((1, "none", False), (2, "flair", True), ("auto", "flair", True)):
        item = PreprocessCoarseMapd(noise=0.1)({"image": volume(), "flair": flair(60.0)})
        item["pred"] = torch.zeros(3, 48, 64, 3)
        out = PostprocessFineMapd(noise=0.1, method=method)(item)
        assert out["summary"]["MRI"] == used
        assert out["summary"]["method"] == (2 if method == "auto" else method)
        assert ("without_mri" in out["names"]) == alone
        assert any("the flair" in flag for flag in out["flags"]) == alone


def test_a_method_without_deviation_that_needs_its_mri_gives_the_map_and_its_ratios_alone() -> None:
    maps = MetaTensor(torch.cat([volume().as_tensor(), 2 * volume().as_tensor()]), affine=AFFINE)
    item = PreprocessCoarseMapd()({"image": maps, "flair": flair()})
    pred = torch.full((2, 3, 48, 64, 3), torch.nan)
    pred[:, 0] = 1.0
    item["pred"] = pred.flatten(0, 1)
    out = PostprocessFineMapd(ratios="1/2", consistency=False)(item)
    assert out["names"] == ["sr", "uncertainty", "ratio", "ratio_uncertainty"]
    assert out["ratio"].isfinite().all()
    assert out["ratio_uncertainty"].isnan().all()
    assert out["summary"]["median uncertainty / median of map"] == "not given"
    assert "no data consistency" in " ".join(out["flags"])
