import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution import network
from mrsikit.super_resolution.inferer import parts
from mrsikit.super_resolution.network import CHANNELS, FLAIR, HAS_FLAIR, INTERPOLATED, NO_TRUST, NOISE, NOISE_KNOWN
from mrsikit.super_resolution.postprocessing import PostprocessFineMapd
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd, slice_axis, subdivided

from .conftest import AFFINE, flair, head_map, layers, stacked, volume


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
        again = SpatialEncoding("block", 4).A(found[4, INTERPOLATED]) * scale[1, 1]
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
    torch.testing.assert_close(SpatialEncoding("block", 2, 3).A(fine), values, atol=1e-4, rtol=0)
    torch.testing.assert_close(out["sr"].affine, (affine @ subdivided(2, 3))[:, order])


def test_bounds_on_a_finer_grid_are_resampled_and_said() -> None:
    given = volume()
    bounds = torch.linspace(5, 50, 12 * 16 * 3, dtype=torch.float32).reshape(1, 12, 16, 3)
    half = torch.eye(4, dtype=torch.float64)
    half[0, 0] = half[1, 1] = 1 / 3
    half[:2, 3] = 1 / 6 - 0.5
    finer = MetaTensor(bounds.repeat_interleave(3, 1).repeat_interleave(3, 2), affine=AFFINE @ half)
    right = PreprocessCoarseMapd()({"image": given, "crlb": MetaTensor(bounds, affine=AFFINE)})
    found = PreprocessCoarseMapd()({"image": given, "crlb": finer})
    torch.testing.assert_close(layers(found), layers(right), equal_nan=True)
    assert (found["resampled"], right["resampled"]) == ("crlb", "")


def test_an_mri_that_the_method_does_not_take_is_not_used() -> None:
    given = {"image": volume(), "flair": flair(), "t1": flair()}
    out = PreprocessCoarseMapd(mris=["flair"])(dict(given))
    assert out["used"] == "flair"
    assert list(parts(out["image"].as_tensor())[2]) == ["flair"]
    assert PreprocessCoarseMapd()(given)["used"] == "flair and t1"
