import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrsi_inpainting.network import Inpainter
from mrsi_inpainting.postprocessing import PostprocessMapd, _amounts, _bounds
from mrsi_inpainting.preprocessing import PreprocessMapd
from mrsikit.restoration.brain_mask import brain_outline

from .conftest import CENTRE, MISSING, OUTSIDE, decided_network, disc, flags_of, prepared, slice_map, tensor


@torch.no_grad()
def filled(network: Inpainter, values: MetaTensor, threshold: float = 0.5, **companions: MetaTensor) -> dict:
    item = PreprocessMapd(check=False)({"image": values, **companions})
    item["pred"] = network(item["image"][None])[0]
    return PostprocessMapd(threshold=threshold)(item)


@pytest.mark.parametrize("spacing", [(4.0, 4.0, 4.0), (4.0, 4.0, 12.0)], ids=["3D", "slice-wise"])
def test_outside_the_holes_every_bit_stays(network: Inpainter, spacing: tuple[float, ...]) -> None:
    volume = np.stack([disc(20, seed=3, depth=9), disc(20, seed=4, depth=9)])
    volume[0, 10, 10, 4], volume[1, 0, 0, 0] = np.nan, np.nan
    out = filled(network, tensor(volume, spacing))
    holes = out["holes"].numpy() > 0
    assert holes.any()
    assert not holes.all()
    inpainted = out["inpainted"].numpy()
    np.testing.assert_array_equal(inpainted[~holes].view(np.uint32), volume[~holes].view(np.uint32))
    assert holes[0, 10, 10, 4]
    assert not np.isnan(inpainted[holes]).any()
    assert (out["uncertainty"].numpy()[holes] > 0).all()
    assert (out["uncertainty"].numpy()[~holes] == 0).all()
    assert out["summary"]["network"] == ("3D" if spacing[2] == 4 else "2D")


def test_slices_of_a_stack_are_judged_as_each_alone(network: Inpainter) -> None:
    volume = np.stack([disc(20, seed=3, depth=5), disc(20, seed=4, depth=5)])
    mask = (volume == 0) & (np.arange(5) % 2 == 0)
    stack = filled(network, tensor(volume, (4, 4, 12)), missing=tensor(mask))
    assert stack["inpainted"].shape == volume.shape
    for metabolite in range(2):
        for z in range(5):
            part = (slice(metabolite, metabolite + 1), slice(None), slice(None), z)
            alone = filled(network, tensor(volume[part]), missing=tensor(mask[part]))
            assert torch.equal(stack["holes"].as_tensor()[part], alone["holes"].as_tensor())


def test_one_mask_serves_all_metabolites(network: Inpainter) -> None:
    values = np.stack([disc(24, seed=1), disc(24, seed=2), disc(24, seed=3)])
    mask = np.zeros((1, 24, 24))
    mask[0, 10:13, 10:13] = 1
    out = filled(network, tensor(values), missing=tensor(mask))
    np.testing.assert_array_equal(out["holes"].numpy(), np.repeat(mask, 3, 0))
    assert out["summary"]["voxels filled"] == 27
    assert out["summary"]["of these judged missing"] == 0


def test_known_holes_are_filled_and_observed_voxels_never(network: Inpainter) -> None:
    mask = np.zeros((1, 32, 32))
    mask[CENTRE] = 1
    # a threshold that would call everything missing
    out = filled(network, tensor(slice_map()), threshold=-1.0, missing=tensor(mask))
    np.testing.assert_array_equal(out["holes"].numpy(), mask)


def test_flags_say_what_the_user_must_know() -> None:
    values = slice_map()
    none, most = np.zeros(values.shape), (values > 0) & (np.arange(32) % 3 > 0)
    none[CENTRE] = 1
    assert flags_of(values, missing=none).startswith("the fill was not checked")
    assert ";" not in flags_of(values, missing=none)
    assert "give a brain mask" in flags_of(values)
    assert "give a brain mask" not in flags_of(values, brain=(values > 0).astype(float))
    assert "trained up to 40%" in flags_of(values, missing=most)
    assert "(10, 10)" in flags_of(disc(10)[None], missing=np.eye(10)[None])
    spoilt = values.copy()
    spoilt[OUTSIDE] = np.nan
    assert "NaN" in flags_of(spoilt)


def test_a_mask_of_all_zeros_marks_nothing_outside_the_brain() -> None:
    values = slice_map()
    values[CENTRE] = 0
    mask = (values == 0).astype(float)
    brain = brain_outline(values[0])[None].astype(float)
    _, observation, _ = prepared(values, missing=mask, brain=brain)
    assert observation[CENTRE] == MISSING
    assert not (observation[brain == 0] == MISSING).any()
    assert "voxels marked missing lie outside the brain mask" in flags_of(values, missing=mask, brain=brain)
    assert "is its background marked?" in flags_of(values, missing=mask)
    few = np.zeros_like(mask)
    few[CENTRE] = 1
    assert "marked" not in flags_of(values, missing=few) + flags_of(values, missing=few, brain=brain)


def test_noise_of_the_background_changes_neither_share_nor_flags() -> None:
    values, lost = slice_map(), (slice_map() > 0) & (np.arange(32) % 3 > 0)
    brain = brain_outline(values[0])[None].astype(float)
    noisy = np.where(brain > 0, values, 0.02)
    assert "trained up to 40%" in flags_of(values, missing=lost, brain=brain)
    assert flags_of(noisy, missing=lost, brain=brain) == flags_of(values, missing=lost, brain=brain)


def test_an_inverted_brain_mask_and_bounds_of_another_unit_are_flagged() -> None:
    values = slice_map()
    assert "is it inverted?" in flags_of(values, brain=(values == 0).astype(float))
    assert "inverted" not in flags_of(values, brain=(values > 0).astype(float))
    assert "in percent?" in flags_of(values, crlb=np.full(values.shape, 999.0))


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 0, 1)], ids=["coronal", "sagittal"])
def test_missing_voxels_are_found_axially_however_they_are_stored(order: tuple[int, ...]) -> None:
    network = decided_network()
    values = np.stack([disc(20, seed=1, depth=12), disc(20, seed=2, depth=12)])
    affine = torch.diag(torch.tensor([4.0, 4.0, 4.0, 1.0]))
    turned = affine.clone()
    turned[:, :3] = affine[:, list(order)]
    results = []
    for stored, matrix in ((values, affine), (values.transpose(0, *(1 + axis for axis in order)), turned)):
        item = PreprocessMapd(check=False)(
            {"image": MetaTensor(torch.from_numpy(np.ascontiguousarray(stored)), affine=matrix)}
        )
        item["pred"] = network(item["image"].as_tensor()[None])[0].detach()
        results.append(PostprocessMapd()(item))
    upright, other = (np.asarray(result["holes"]) for result in results)
    np.testing.assert_array_equal(other, upright.transpose(0, *(1 + axis for axis in order)))
    assert results[1]["summary"]["network"] == "3D"


def test_slices_without_any_measured_voxel_are_named() -> None:
    map = disc(16)[None, ..., None].repeat(3, -1)
    map[..., 2] = 0
    missing = np.zeros(map.shape)
    missing[:, 6:9, 6:9, 1:] = 1
    flags = flags_of(map, missing=missing)
    assert "slices 2 (the first is 0) hold no measured voxel and were filled: leave them out" in flags


def test_thick_slices_that_are_not_axial_are_named() -> None:
    values = torch.from_numpy(disc(16, depth=4)[None])
    coronal = torch.tensor([[4.0, 0, 0, 0], [0, 0, 12.0, 0], [0, 4.0, 0, 0], [0, 0, 0, 1]])
    for affine, said in ((coronal, True), (torch.diag(torch.tensor([4.0, 4.0, 12.0, 1.0])), False)):
        item = PreprocessMapd(check=False)({"image": MetaTensor(values, affine=affine)})
        item["pred"] = decided_network()(item["image"].as_tensor()[None])[0].detach()
        assert any("not axial" in flag for flag in PostprocessMapd()(item)["flags"]) is said


def test_maps_in_which_nothing_can_be_found_are_named() -> None:
    full = np.random.default_rng(0).random((1, 16, 16)) + 1
    for values, options, words, said in (
        (full, {}, "no voxel is zero", True),
        (full, {"missing": tensor((full > 1.9).astype(float))}, "no voxel is zero", False),
        (np.where(full > 1.9, 0, full), {}, "no voxel is zero", False),
        (full - 1.5, {}, "values are negative", True),
        (full, {}, "values are negative", False),
    ):
        item = PreprocessMapd(check=False)({"image": tensor(values), **options})
        item["pred"] = decided_network()(item["image"].as_tensor()[None])[0].detach()
        assert any(words in flag for flag in PostprocessMapd(wrong_threshold=1.0)(item)["flags"]) is said


def test_a_bound_of_zero_is_no_bound() -> None:
    percent = np.array([[[5.0, 0.0, 10.0, np.nan], [20.0, 5.0, 10.0, 10.0]]])
    maps = np.full((1, 2, 4), 2.0)
    found = _amounts(percent, maps, np.ones(maps.shape, bool))
    np.testing.assert_allclose(found, [[[0.1, 0.2, 0.2, 0.2], [0.4, 0.1, 0.2, 0.2]]])
    assert (_amounts(np.zeros((1, 2, 4)), maps, np.ones(maps.shape, bool)) == 0).all()


def test_voxels_of_broad_lines_are_filled_and_counted(network: Inpainter) -> None:
    values, width = disc(24, seed=1)[None], np.full((1, 24, 24), 0.05)
    width[0, 12, 12] = 0.3
    out = filled(network, tensor(values), fwhm=tensor(width), brain=tensor(np.ones((1, 24, 24))))
    assert out["holes"].numpy()[0, 12, 12] == 1
    assert out["summary"]["of these with broad lines"] == 1
    out = filled(network, tensor(values), fwhm=tensor(100 * width), brain=tensor(np.ones((1, 24, 24))))
    assert out["holes"].numpy()[0, 12, 12] == 0
    assert any("median linewidth is 5" in flag and "not used" in flag for flag in out["flags"])


def test_bounds_of_the_filled_map_are_written_where_there_were_bounds(network: Inpainter) -> None:
    values, bounds = disc(24, seed=1)[None], np.full((1, 24, 24), 7.0)
    bounds[0, 12, 12] = 999.0
    out = filled(network, tensor(values), crlb=tensor(bounds), brain=tensor(np.ones((1, 24, 24))))
    assert out["names"][-1] == "inpainted_crlb"
    found = out["inpainted_crlb"].numpy()
    holes = out["holes"].numpy() > 0
    assert (found[~holes] == 7).all()
    expected = 100 * out["uncertainty"].numpy()[holes] / np.maximum(out["inpainted"].numpy()[holes], 1e-9)
    np.testing.assert_allclose(found[holes], np.minimum(expected, 999), rtol=1e-5)
    assert "inpainted_crlb" not in filled(network, tensor(values))


def test_bounds_are_never_a_perfect_fit_where_nothing_was_known() -> None:
    missing, zero = torch.ones(1, 2, 2, dtype=torch.bool), torch.zeros(1, 2, 2)
    assert (_bounds(torch.full((1, 2, 2), 5.0), zero, zero, missing) == 999).all()
    assert (_bounds(torch.full((1, 2, 2), 5.0), zero, zero + 1, missing) == 999).all()
    assert (_bounds(torch.full((1, 2, 2), 5.0), zero + 10, zero + 1, missing) == 10).all()
    assert (_bounds(torch.full((1, 2, 2), 5.0), zero, zero, ~missing) == 5).all()
