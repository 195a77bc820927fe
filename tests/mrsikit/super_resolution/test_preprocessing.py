import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrsikit.io.readers import CODES
from mrsikit.physics.spatial_encoding import BLOCK, forward_operator
from mrsikit.super_resolution import network
from mrsikit.super_resolution.inferer import SliceStackInferer, parts, slices_through
from mrsikit.super_resolution.network import CHANNELS, FLAIR, HAS_FLAIR, INTERPOLATED, NO_TRUST, NOISE, NOISE_KNOWN
from mrsikit.super_resolution.postprocessing import PostprocessFineMapd
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd, slice_axis, subdivided
from mrsikit.super_resolution.tissue_mask import background, tissue_mask

AFFINE = torch.tensor([[-7.0, 0, 0, 100], [0, 7, 0, -90], [0, 0, 10, 20], [0, 0, 0, 1]], dtype=torch.float64)


def volume(maps: int = 1) -> MetaTensor:
    values = torch.rand(maps, 12, 16, 3, generator=torch.Generator().manual_seed(0)) + 0.5
    return MetaTensor(values * torch.tensor([50.0, 2.0])[:maps, None, None, None], affine=AFFINE)


def layers(out: dict) -> torch.Tensor:
    """(n, 10, X, Y), what the network sees of what was prepared, slice by slice of map by map."""
    seen: list[torch.Tensor] = []

    def network(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x[:, :2]

    fine, coarse = out["image"].shape[1], out["map"].shape[1]
    starts, noises, mris = parts(out["image"].as_tensor())
    for start, noise in zip(starts, noises, strict=True):
        slices_through(network, start, noise, mris, fine // coarse, BLOCK)
    return torch.cat(seen[:: 2 if mris else 1])  # each a second time without its MRIs


def stacked(slices: torch.Tensor, item: dict) -> torch.Tensor:
    """(3 M, X, Y, Z) of (M Z, 3, X, Y), as the inferer gives it."""
    maps = slices.unflatten(0, (len(item["map"]), -1))
    return maps.permute(0, 2, 3, 4, 1).flatten(0, 1)


def flair(shift: float = 0.0) -> MetaTensor:
    """A ramp along the first world axis on its own fine grid, over all of the map."""
    fine = AFFINE @ subdivided(7) @ torch.diag(torch.tensor([1, 1, 0.1, 1.0], dtype=torch.float64))
    fine[2, 3] -= 4.5
    fine[0, 3] += shift
    values = torch.arange(84.0)[:, None, None].expand(84, 112, 30) + 10
    return MetaTensor(values[None].contiguous(), affine=fine)


def test_voxels_are_subdivided_where_they_are() -> None:
    fine = AFFINE @ subdivided(4)
    corners = [m @ torch.tensor([-0.5, -0.5, 0, 1], dtype=torch.float64) for m in (AFFINE, fine)]
    torch.testing.assert_close(corners[0], corners[1])
    far = [m @ v for m, v in ((AFFINE, torch.tensor([11.5, 15.5, 2, 1])), (fine, torch.tensor([47.5, 63.5, 2, 1])))
           for m, v in [(m, v.double())]]  # fmt: skip
    torch.testing.assert_close(far[0], far[1])


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_each_slice_of_each_metabolite_is_laid_out(psf: str) -> None:
    given = volume(2)
    out = PreprocessCoarseMapd(factor=4, psf=psf, noise=0.5)({"image": given})
    found = layers(out)
    assert found.shape == (6, CHANNELS, 48, 64)
    np.testing.assert_allclose(out["image"].affine, AFFINE @ subdivided(4))
    scale = given.as_tensor().amax((1, 2))  # each slice of each metabolite by its own
    if psf == "block":
        again = forward_operator(found[4, INTERPOLATED], 4, BLOCK) * scale[1, 1]
        torch.testing.assert_close(again, given.as_tensor()[1, :, :, 1], atol=1e-5, rtol=1e-5)
    assert (found[:, NOISE_KNOWN] == 1).all()
    torch.testing.assert_close(found[:3, NOISE], (0.5 / scale[0])[:, None, None].expand(3, 48, 64))
    assert (found[:, network.FACTOR] == 4).all()
    assert (found[:, HAS_FLAIR] == 0).all()


def test_bounds_give_each_voxel_its_noise_and_a_ratio_has_none() -> None:
    given = volume()
    crlb = MetaTensor(torch.full((1, 12, 16, 3), 10.0), affine=AFFINE)
    crlb[0, 2, 3, 1], crlb[0, 3, 3, 1] = float("nan"), 999
    found = layers(PreprocessCoarseMapd()({"image": given, "crlb": crlb}))
    maps = given.as_tensor()[0, :, :, 0] / given.as_tensor()[0, :, :, 0].max()
    torch.testing.assert_close(found[0, NOISE, 1::4, 1::4], 0.1 * maps.float())
    assert (found[1, NOISE, 8:16, 12:16] == NO_TRUST).all()
    assert (layers(PreprocessCoarseMapd(ratio="true")({"image": given, "crlb": crlb}))[:, NOISE_KNOWN] == 0).all()
    assert (layers(PreprocessCoarseMapd()({"image": given}))[:, NOISE_KNOWN] == 0).all()


def head_map() -> MetaTensor:
    """A disc of 1 to 1.5 on zeros."""
    x, y = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    inside = torch.hypot(x - 11, y - 12) < 9
    values = (1 + 0.5 * torch.rand(24, 24, generator=torch.Generator().manual_seed(0))) * inside
    return MetaTensor(values[None], affine=AFFINE)


@pytest.mark.parametrize("outside", [float("nan"), 999.0])
@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_bounds_outside_the_head_say_nothing_of_the_head(psf: str, outside: float) -> None:
    given = head_map()
    plain = MetaTensor(torch.full((1, 24, 24), 5.0), affine=AFFINE)
    fitted = MetaTensor(torch.where(given.as_tensor() > 0, 5.0, outside), affine=AFFINE)
    found = [layers(PreprocessCoarseMapd(psf=psf)({"image": given, "crlb": crlb}))[0] for crlb in (plain, fitted)]
    torch.testing.assert_close(found[0], found[1])
    assert found[1][NOISE].max() < 0.06


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_no_number_outside_the_head_is_nothing(psf: str) -> None:
    given = head_map()
    empty = MetaTensor(torch.where(given.as_tensor() > 0, given.as_tensor(), torch.nan), affine=AFFINE)
    found = [layers(PreprocessCoarseMapd(psf=psf, noise=0.05)({"image": image})) for image in (given, empty)]
    torch.testing.assert_close(found[0], found[1])


def test_a_weak_slice_is_sharpened_as_if_it_were_alone() -> None:
    given = head_map().as_tensor()
    both = PreprocessCoarseMapd(noise=0.01)({"image": MetaTensor(torch.stack([given, 0.1 * given], -1), affine=AFFINE)})
    alone = layers(PreprocessCoarseMapd(noise=0.01)({"image": MetaTensor(0.1 * given, affine=AFFINE)}))
    torch.testing.assert_close(layers(both)[1], alone[0])


def test_an_mri_is_cut_to_the_tissue_of_a_negative_map_too() -> None:
    image = MetaTensor(head_map().as_tensor()[..., None], affine=AFFINE)
    found = [layers(PreprocessCoarseMapd()({"image": sign * image, "flair": flair()}))[0, FLAIR] for sign in (1, -1)]
    torch.testing.assert_close(found[0], found[1])


def test_an_mri_comes_to_the_fine_grid_by_its_affine() -> None:
    found = layers(PreprocessCoarseMapd()({"image": volume(), "flair": flair()}))
    rows = found[1, FLAIR, :, 30]
    expected = (torch.arange(48.0) + 0.5) * 84 / 48 - 0.5 + 10
    torch.testing.assert_close(rows[2:-2] / rows[24], expected[2:-2] / expected[24], atol=0.02, rtol=0)
    assert (found[:, HAS_FLAIR] == 1).all()
    moved = layers(PreprocessCoarseMapd()({"image": volume(), "flair": flair(-7.0)}))[1, FLAIR, :, 30]
    assert float((moved[10:30] - moved[9:29]).mean()) > 0
    assert not torch.allclose(moved, rows)


def test_gaps_in_the_head_take_their_neighbours_and_no_trust() -> None:
    given = volume()
    given[0, 5, 6, 0] = float("nan")
    found = layers(PreprocessCoarseMapd(noise=0.1)({"image": given}))
    assert torch.isfinite(found).all()
    assert (found[0, NOISE, 20:24, 24:28] == NO_TRUST).all()
    assert (found[0, INTERPOLATED, 20:24, 24:28] > 0.3).all()
    assert (found[0, NOISE, :20] < 0.1).all()


def test_failed_fits_are_no_measurement_but_fluid_may_look_like_them() -> None:
    given = head_map()
    given[0, 9:11, 9:11], given[0, 14, 12] = 25.0, 0.0
    crlb = MetaTensor(torch.full((1, 24, 24), 5.0), affine=AFFINE)
    crlb[0, 9:11, 9:11] = crlb[0, 14, 12] = 999
    item = PreprocessCoarseMapd()({"image": given, "crlb": crlb})
    found = layers(item)[0] * item["scale"][0, 0]
    assert found[INTERPOLATED].max() < 2  # 1.5 is the highest that was measured
    assert found[INTERPOLATED, 58, 50] < 0.3
    assert (layers(item)[0, NOISE, 36:44, 36:44] == NO_TRUST).all()
    item["pred"] = stacked(
        torch.stack([layers(item)[0, INTERPOLATED], 0.01 + torch.zeros(96, 96), torch.zeros(96, 96)])[None], item
    )
    out = PostprocessFineMapd()(item)
    sd = out["uncertainty"].as_tensor()[0]
    tissue = out["map"].as_tensor()[0]
    tissue = tissue[(tissue > 0.1) & (tissue < 2)]
    assert float(sd[36:44, 36:44].min()) > 0.9 * float(tissue.std())
    assert float(sd[58, 50]) > 0.95 * float(tissue.mean())  # were it tissue, it would lie within
    assert float(sd[20:30, 60:70].max()) < 0.05
    assert "5 voxels of the head hold no number or a failed fit" in " ".join(out["flags"])


def test_failed_fits_at_the_rim_keep_their_value_without_trust() -> None:
    given = head_map()
    rim = torch.zeros(24, 24, dtype=torch.bool)
    rim[:, 20:] = given[0, :, 20:] > 0
    crlb = MetaTensor(torch.where(rim, 150.0, 5.0)[None], affine=AFFINE)
    item = PreprocessCoarseMapd()({"image": given, "crlb": crlb})
    found = layers(item)[0].unflatten(2, (24, 4)).unflatten(1, (24, 4)).mean((2, 4))
    assert (found[INTERPOLATED][rim] > 0.5).all()
    assert (found[NOISE][rim] > 0.99 * NO_TRUST).all()
    assert int(item["lost"]) == int(rim.sum()) > 5
    spike = given.as_tensor().clone()
    spike[0, 1, 1] = 1e4
    crlb = MetaTensor(torch.where(given.as_tensor() > 0, 5.0, 999.0), affine=AFFINE)
    plain, spoilt = (
        PreprocessCoarseMapd()({"image": MetaTensor(m, affine=AFFINE), "crlb": crlb}) for m in (given, spike)
    )
    torch.testing.assert_close(layers(plain), layers(spoilt))


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


@pytest.mark.parametrize("axis", [0, 1])
def test_slices_are_found_on_whatever_axis_they_are_stored(axis: int) -> None:
    given, images = volume(2), []
    crlb = MetaTensor(torch.rand(1, 12, 16, 3, generator=torch.Generator().manual_seed(1)) * 20 + 1, affine=AFFINE)
    crlb[0, 6, 9, 1] = 999
    guide = flair()
    ramp = torch.arange(112.0)[:, None] + 5 * torch.arange(30.0)
    guide = MetaTensor(guide.as_tensor() + ramp, affine=guide.affine)
    for place in (2, axis):
        columns = [0, 1]
        columns.insert(place, 2)
        turned = {
            name: MetaTensor(image.as_tensor().movedim(-1, 1 + place), affine=AFFINE[:, [*columns, 3]])
            for name, image in (("image", given), ("crlb", crlb))
        }
        item = PreprocessCoarseMapd(factor=2)(turned | {"flair": guide})
        item["pred"] = stacked(layers(item)[:, [INTERPOLATED, NOISE, INTERPOLATED]], item)
        out = PostprocessFineMapd(factor=2)(item)
        np.testing.assert_allclose(out["sr"].affine, out["map"].affine @ torch.inverse(AFFINE[:, [*columns, 3]]) @ (
            (AFFINE @ subdivided(2))[:, [*columns, 3]]
        ), atol=1e-9)  # fmt: skip
        images.append([out[name].as_tensor().movedim(1 + place, -1) for name in ("sr", "uncertainty")])
        images[-1].append(layers(item)[:, [FLAIR, HAS_FLAIR]])
        assert not [flag for flag in out["flags"] if "axial" in flag]
    for one, other in zip(*images, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("sides", "order", "axis"),
    [
        ((7, 7, 10), (0, 1, 2), 2),
        ((12.5, 10, 10), (0, 1, 2), 2),  # axial as stored, whatever its voxels
        ((10, 7, 7), (2, 0, 1), 0),  # axial slices, stored first
        ((7, 7, 7), (1, 2, 0), 1),  # one volume, axial by the header
        ((7, 7, 10), (0, 2, 1), 2),  # coronal slices
    ],
)
def test_slices_lie_across_the_body_or_the_longest_side(sides: tuple, order: tuple, axis: int) -> None:
    affine = torch.eye(4).double()
    affine[:3, :3] = torch.diag(torch.tensor([-1.0, 1, 1]).double())[:, list(order)] * torch.tensor(sides).double()
    assert slice_axis(affine) == axis


def test_coronal_slices_are_sharpened_as_measured_and_flagged() -> None:
    coronal = AFFINE[:, [0, 2, 1, 3]].clone()
    coronal[:3, 0], coronal[:3, 1], coronal[:3, 2] = (torch.tensor(c) for c in ((7.0, 0, 0), (0, 0, 7.0), (0, 10.0, 0)))
    item = PreprocessCoarseMapd(factor=2, noise=0.1)({"image": MetaTensor(volume().as_tensor(), affine=coronal)})
    item["pred"] = stacked(layers(item)[:, [INTERPOLATED, NOISE, INTERPOLATED]], item)
    out = PostprocessFineMapd(factor=2)(item)
    assert out["sr"].shape == (1, 24, 32, 3)
    assert "slices are not axial" in " ".join(out["flags"])


def test_each_metabolite_has_its_noise() -> None:
    given = volume(2)
    found = layers(PreprocessCoarseMapd(noise="0.5,0.02")({"image": given}))
    scale = given.as_tensor().amax((1, 2)).flatten()
    expected = (torch.tensor([0.5] * 3 + [0.02] * 3) / scale)[:, None, None]
    torch.testing.assert_close(found[:, NOISE], expected.expand(6, 48, 64))
    item = PreprocessCoarseMapd(noise=[0.5, 0.2, 0.1])({"image": given})
    assert (layers(item)[:, NOISE_KNOWN] == 0).all()
    item["pred"] = torch.zeros(6, 48, 64, 3)
    flags = " ".join(PostprocessFineMapd(noise=[0.5, 0.2, 0.1], denoised="true")(item)["flags"])
    assert "gives 3 values, the file has 2 maps" in flags
    assert "--denoised: maps whose noise is not known were not denoised" in flags


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

    item["pred"] = SliceStackInferer(factor=2)(item["image"].as_tensor()[None], same)[0]
    out = PostprocessFineMapd(factor=2)(item)
    assert "without_mri" not in out
    assert out["sr"].shape == (shape[0], 24, 32, *shape[3:])
    again = forward_operator(
        out["sr"].as_tensor().movedim(3, 1) if len(shape) == 4 else out["sr"].as_tensor(), 2, BLOCK
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


@pytest.mark.parametrize("axis", [2, 0])
def test_the_shift_that_an_mri_needs_is_told_in_the_patients_directions(axis: int) -> None:
    """Maps turned by 30 degrees in plane, one of them of noise, stored slices last or first."""
    turn = np.deg2rad(30)
    matrix = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.from_numpy(matrix @ np.diag([6.0, 6, 10]))
    affine[:3, 3] = -affine[:3, :3] @ torch.tensor([9.5, 9.5, 5], dtype=torch.float64)

    def seen(grid: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        index = torch.stack(torch.meshgrid(*(torch.arange(n).double() for n in shape), indexing="ij"), -1)
        x, y, z = (index @ grid[:3, :3].T + grid[:3, 3]).unbind(-1)
        return ((x / 45) ** 2 + (y / 50) ** 2 < 1) * (0.6 + 0.3 * torch.sin(x / 9 + z / 20) * torch.cos(y / 12))

    values = seen(affine @ subdivided(4), (80, 80, 11)).float()
    maps = torch.nn.functional.avg_pool2d(values.movedim(-1, 0)[None], 4)[0].movedim(0, -1)
    generator = torch.Generator().manual_seed(0)
    maps = torch.stack([maps, 0.2 * torch.rand(maps.shape, generator=generator)])
    own = torch.diag(torch.tensor([2.0, 2, 10, 1])).double()
    own[:3, 3] = torch.tensor([-79, -79, -50])
    lying = own.clone()
    lying[:2, 3] += torch.tensor([4.0, -3.0], dtype=torch.float64)
    image = MetaTensor(seen(own, (80, 80, 11)).float()[None], affine=lying)
    order = [2, 0, 1] if axis == 0 else [0, 1, 2]
    stored = MetaTensor(maps.permute(0, *(1 + o for o in order)), affine=affine[:, [*order, 3]])
    out = PreprocessCoarseMapd(factor=4, noise=0.01)({"image": stored, "flair": image})
    assert out["slice_axis"] == axis
    np.testing.assert_allclose(out["shifted"]["flair"], [-4, 3, 0], atol=1.2)
    in_place = MetaTensor(image.as_tensor(), affine=own)
    assert PreprocessCoarseMapd(factor=4, noise=0.01)({"image": stored, "flair": in_place})["shifted"]["flair"] == [
        0,
        0,
        0,
    ]


def test_maps_of_a_box_alone_raise_no_alarm() -> None:
    values = torch.zeros(1, 20, 20)
    values[0, 6:14, 5:14] = 1 + 0.2 * torch.rand(8, 9, generator=torch.Generator().manual_seed(0))
    affine = torch.diag(torch.tensor([7.0, 7, 10, 1])).double()
    x, y = torch.meshgrid(torch.arange(80.0) - 40, torch.arange(80.0) - 40, indexing="ij")
    head = (torch.hypot(x, y) < 36) * (0.6 + 0.3 * torch.sin(x / 4) * torch.cos(y / 5))
    image = MetaTensor(head[None, ..., None], affine=affine @ subdivided(4))
    out = PreprocessCoarseMapd(factor=4, noise=0.01)({"image": MetaTensor(values, affine=affine), "flair": image})
    assert out["shifted"]["flair"] == [0, 0, 0]


NOISY = 0.08
"""Standard deviation of the noise of :func:`noisy_map`, 5 % of its maximum."""


def noisy_map() -> MetaTensor:
    """The disc, on a field of view full of noise."""
    values = head_map().as_tensor() + NOISY * torch.randn(1, 24, 24, generator=torch.Generator().manual_seed(1))
    return MetaTensor(values, affine=AFFINE)


def brain(shift: float = 0.0) -> MetaTensor:
    """An MRI of the disc alone, as far beside it along the first axis of the patient as said (mm)."""
    fine = AFFINE @ subdivided(7)
    values = head_map().as_tensor()[0].repeat_interleave(7, 0).repeat_interleave(7, 1)
    fine[0, 3] += shift
    return MetaTensor(values[None, ..., None], affine=fine)


def test_noise_around_the_head_is_no_head() -> None:
    """Neither are fits there that by their bounds did not fail lost voxels, nor must an MRI cover them."""
    given = noisy_map()
    bounds = 100 * NOISY / given.as_tensor().abs()  # over 100 % in two thirds of the background
    item = PreprocessCoarseMapd()({"image": given, "crlb": MetaTensor(bounds, affine=AFFINE), "flair": brain()})
    outside = head_map().as_tensor()[0] == 0
    assert item["lost"] < 20
    assert float(item["covered"]["flair"]) > 0.99
    assert item["outside_brain"]["flair"] < 0.03
    imputed_sd = item["imputed_sd"][0, :, :, 0]
    assert float((imputed_sd[outside.repeat_interleave(4, 0).repeat_interleave(4, 1)] > 0).float().mean()) < 0.02


def test_a_box_of_tissue_up_to_the_corners_is_all_tissue() -> None:
    given = MetaTensor(1 + 0.1 * torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0)), affine=AFFINE)
    values = given.as_tensor()[..., None]
    assert tissue_mask(values, background(values)).all()


@pytest.mark.parametrize(("hot", "noise"), [(4.0, 0.3), (8.0, 0.4)])
def test_brain_beside_a_hot_lesion_is_no_background(hot: float, noise: float) -> None:
    """Faint as it is beside it: what holds no number there is filled and told, and the MRI stays."""
    values = head_map().as_tensor().clone()
    inside = values[0] > 0
    values[0, 6:9, 8:11] *= hot
    values = values + noise * torch.randn(1, 24, 24, generator=torch.Generator().manual_seed(1))
    values[0, 14, 14] = float("nan")
    item = PreprocessCoarseMapd()({"image": MetaTensor(values, affine=AFFINE), "flair": brain()})
    assert item["lost"] == 1
    assert item["imputed_sd"][0, 58, 58, 0] > 0
    wide = inside.repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert float((layers(item)[0, FLAIR][wide] > 0).float().mean()) > 0.9


def test_a_box_with_a_hot_spot_is_all_tissue() -> None:
    values = 1 + 0.05 * torch.randn(1, 24, 24, generator=torch.Generator().manual_seed(0))
    values[0, 10:14, 10:14] = 5
    assert background(values[..., None]).max() == 0
    values[0, 3, 18] = float("nan")
    item = PreprocessCoarseMapd()({"image": MetaTensor(values, affine=AFFINE)})
    assert item["lost"] == 1


def test_the_quietest_corner_is_one_of_numbers() -> None:
    """A corner without any, or an infinite voxel in one, says nothing."""
    values = 0.1 * torch.randn(1, 24, 24, 1, generator=torch.Generator().manual_seed(0))
    expected = background(values)
    assert 0.05 < float(expected) < 0.12
    values[0, :4, :4], values[0, 20, 20] = float("nan"), float("inf")
    assert 0.05 < float(background(values)) < 0.12
    assert float(background(torch.full((1, 24, 24, 1), torch.nan))) == 0


def test_empty_metabolites_and_slices_do_not_speak_against_an_mri() -> None:
    """Lactate that is noise alone, and end slices without signal."""
    noise = NOISY * torch.randn(1, 24, 24, generator=torch.Generator().manual_seed(2))
    two = MetaTensor(torch.cat([noisy_map().as_tensor(), noise]), affine=AFFINE)
    assert PreprocessCoarseMapd()({"image": two, "flair": brain()})["outside_brain"]["flair"] < 0.03
    stack = torch.stack([noise, noisy_map().as_tensor(), noise], -1)
    wide = brain()
    thick = MetaTensor(wide.as_tensor().expand(1, 168, 168, 30), affine=wide.affine)
    assert (
        PreprocessCoarseMapd()({"image": MetaTensor(stack, affine=AFFINE), "flair": thick})["outside_brain"]["flair"]
        < 0.03
    )


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


def test_without_the_mris_none_of_them_is_seen() -> None:
    item = PreprocessCoarseMapd()({"image": volume(), "flair": flair(), "t1": flair()})

    def mris(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 1:5].abs().sum(1)] * 2, 1)

    found = SliceStackInferer()(item["image"].as_tensor()[None], mris)[0]
    assert found[0].max() > 0
    assert (found[2] == 0).all()


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


@pytest.mark.parametrize("stored", [2, 0])
def test_a_volume_is_sharpened_along_three_axes_however_it_is_stored(stored: int) -> None:
    """A network that gives back its input: the map, its place and its MRI are those of the file."""
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(2, 10, 12, 8, generator=generator) + 0.5
    values[:, :, :, 6:] = 0  # slices without tissue
    affine = torch.tensor([[-7.0, 0, 0, 100], [0, 7, 0, -90], [0, 0, 7, 20], [0, 0, 0, 1]], dtype=torch.float64)
    mri = MetaTensor(torch.rand(1, 20, 24, 16, generator=generator) + 0.5, affine=affine @ subdivided(2, 3))
    order = [2, 0, 1, 3] if stored == 0 else [0, 1, 2, 3]
    given = MetaTensor(values.movedim(3, 1) if stored == 0 else values, affine=affine[:, order])
    item = PreprocessCoarseMapd(factor=2, psf="block", noise=0.1, dims=3)({"image": given, "flair": mri})
    starts, noises, mris = parts(item["image"].as_tensor())
    assert starts.shape == noises.shape == (2, 20, 24, 16)
    assert torch.equal(noises[0], torch.full_like(noises[0], float(noises[0, 0, 0, 0])))  # one k-space, one noise
    assert float(noises[0, 0, 0, 0] * item["scale"][0, 0]) == pytest.approx(0.1)
    found = mris["flair"][..., :11] / mris["flair"][0, 0, 0]
    torch.testing.assert_close(found, (mri.as_tensor()[0] / mri.as_tensor()[0, 0, 0, 0])[..., :11], atol=0.02, rtol=0)
    item["pred"] = torch.stack([starts, noises, starts], 1).flatten(0, 1)
    out = PostprocessFineMapd(factor=2, dims=3)(item)
    fine = out["sr"].as_tensor().movedim(1, 3) if stored == 0 else out["sr"].as_tensor()
    torch.testing.assert_close(forward_operator(fine, 2, BLOCK, 3), values, atol=1e-4, rtol=0)
    torch.testing.assert_close(out["sr"].affine, (affine @ subdivided(2, 3))[:, order])


def test_a_method_without_the_mri_says_that_it_was_not_used() -> None:
    for method, used, alone in ((1, "none", False), (2, "flair", True), ("auto", "flair", True)):
        item = PreprocessCoarseMapd(noise=0.1)({"image": volume(), "flair": flair(60.0)})
        item["pred"] = torch.zeros(3, 48, 64, 3)
        out = PostprocessFineMapd(noise=0.1, method=method)(item)
        assert out["summary"]["MRI"] == used
        assert out["summary"]["method"] == (2 if method == "auto" else method)
        assert ("without_mri" in out["names"]) == alone
        assert any("the flair" in flag for flag in out["flags"]) == alone
