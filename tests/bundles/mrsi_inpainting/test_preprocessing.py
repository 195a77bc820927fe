import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrsi_inpainting.preprocessing import PreprocessMapd
from mrsikit.io import InputError

from .conftest import CENTRE, MISSING, OBSERVED, OUTSIDE, UNKNOWN, disc, flags_of, prepared, slice_map, tensor


def test_without_companions_all_is_unknown() -> None:
    values, observation, brain = prepared(slice_map())
    assert (observation == UNKNOWN).all()
    assert (brain == UNKNOWN).all()
    np.testing.assert_array_equal(values, slice_map())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_missing_in_the_head_and_background_outside(bad: float) -> None:
    spoilt = slice_map()
    spoilt[CENTRE] = spoilt[OUTSIDE] = bad
    values, observation, _ = prepared(spoilt)
    assert observation[CENTRE] == MISSING
    assert observation[OUTSIDE] == UNKNOWN
    assert values[CENTRE] == values[OUTSIDE] == 0


def test_with_a_brain_mask_not_a_number_is_missing_wherever_there_is_brain() -> None:
    spoilt = slice_map()
    spoilt[OUTSIDE] = spoilt[0, 2, 1] = np.nan
    brain = (spoilt > 0).astype(float)
    brain[OUTSIDE] = 1
    _, observation, known = prepared(spoilt, brain=brain)
    assert observation[OUTSIDE] == MISSING
    assert observation[0, 2, 1] == OBSERVED
    assert observation[CENTRE] == UNKNOWN
    np.testing.assert_array_equal(known, brain)


def test_mask_makes_all_other_voxels_observed() -> None:
    mask = np.zeros((1, 32, 32))
    mask[CENTRE] = 1
    values, observation, _ = prepared(slice_map(), missing=mask)
    np.testing.assert_array_equal(observation, mask)
    assert values[CENTRE] == 0
    spoilt = slice_map()
    spoilt[0, 10, 16] = np.nan
    assert prepared(spoilt, missing=mask)[1][0, 10, 16] == MISSING


def test_poor_fits_are_missing_above_the_bound_given() -> None:
    bounds = np.full((1, 32, 32), 5.0)
    bounds[0, 16, 16:19] = 15, 20, 25
    bounds[0, 17, 16] = np.nan
    _, observation, _ = prepared(slice_map(), crlb=bounds)
    assert observation[0, 16, 16:19].tolist() == [UNKNOWN, UNKNOWN, MISSING]
    assert observation[0, 17, 16] == MISSING
    _, observation, _ = prepared(slice_map(), crlb=bounds, max_crlb=10)
    assert observation[0, 16, 16:19].tolist() == [MISSING] * 3


def test_poor_fits_of_the_background_are_not_filled() -> None:
    bounds = np.where(slice_map() > 0, 5.0, 999.0)
    _, observation, _ = prepared(slice_map(), crlb=bounds)
    assert observation[OUTSIDE] == UNKNOWN
    # fitting programs write small amplitudes there
    inside = slice_map() > 0
    noisy = np.where(inside, slice_map(), 0.3 * np.abs(np.random.default_rng(0).standard_normal(inside.shape)) + 0.01)
    bounds[CENTRE] = 999.0
    for companions in ({}, {"brain": inside.astype(float)}):
        values, observation, _ = prepared(noisy, crlb=bounds, **companions)
        assert observation[CENTRE] == MISSING
        assert (observation == MISSING).sum() <= (1 if companions else 12)  # the outline closes notches of the disc
        assert not values[~inside].any()
        flags = flags_of(noisy, crlb=bounds, **companions)
        assert "poor fits outside" in flags
    assert "poor fits" not in flags_of(slice_map(), crlb=bounds)


def test_companion_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="missing.*32.*31"):
        prepared(slice_map(), missing=np.zeros((1, 32, 31)))


@pytest.mark.parametrize(
    ("spacing", "depth", "volumetric", "expected"),
    [
        ((4, 4, 4), 10, None, True),
        ((4, 4, 10), 10, None, False),
        ((4, 4, 4), 7, None, False),
        ((4, 4, 10), 4, True, True),
        ((4, 4, 4), 10, "false", False),
        ((4, 4, 10), 4, "true", True),
    ],
)
def test_network_is_chosen_by_the_voxels_or_the_user(
    spacing: tuple[float, ...], depth: int, volumetric: bool | str | None, expected: bool
) -> None:
    volume = np.stack([disc(16, depth=depth)] * 2)
    image = PreprocessMapd(volumetric=volumetric, check=False)({"image": tensor(volume, spacing)})["image"]
    assert image.shape == ((6, 16, 16, depth) if expected else (6 * depth, 16, 16))


def test_volumetric_must_be_yes_or_no() -> None:
    with pytest.raises(InputError, match="volumetric"):
        PreprocessMapd(volumetric="maybe")


def test_a_single_slice_never_goes_to_the_network_for_volumes() -> None:
    values = torch.from_numpy(disc(16)[None, :, :, None])
    assert PreprocessMapd(volumetric=True, check=False)({"image": MetaTensor(values)})["image"].shape == (3, 16, 16)


def test_companions_of_any_kind_may_lie_on_a_finer_grid() -> None:
    """All three, for one or several maps, of two or three axes."""
    finer = torch.diag(torch.tensor([2.0, 2, 4, 1], dtype=torch.float64))
    finer[:2, 3] = -1
    brain = (slice_map() > 0).astype(np.float32)
    bounds = np.where(np.random.default_rng(0).random((1, 32, 32)) < 0.1, 40, 5).astype(np.float32)
    for values in (slice_map(), np.stack([slice_map()[0]] * 2)[..., None]):
        own = {name: part.reshape(1, *values.shape[1:]) for name, part in (("brain", brain), ("crlb", bounds))}
        fine = {k: MetaTensor(torch.from_numpy(v).repeat_interleave(2, 1).repeat_interleave(2, 2), affine=finer)
                for k, v in own.items()}  # fmt: skip
        right = PreprocessMapd()({"image": tensor(values), **{k: tensor(v) for k, v in own.items()}})
        found = PreprocessMapd()({"image": tensor(values), **fine})
        assert torch.equal(found["image"].as_tensor(), right["image"].as_tensor())
        assert (found["resampled"], right["resampled"]) == ("crlb and brain", "")


def test_no_voxel_is_hidden_twice() -> None:
    values = torch.from_numpy(disc(32, seed=3))[None]
    missing = torch.zeros_like(values)
    missing[0, 14:17, 14:17] = 1
    hidden = PreprocessMapd()({"image": values, "missing": missing})["hidden"]
    assert len(hidden) > 1
    assert hidden.sum(0).max() == 1


def test_the_maps_of_a_session_have_one_excited_volume() -> None:
    rng = np.random.default_rng(0)
    inside = np.zeros((20, 20), bool)
    inside[5:15, 6:13] = True
    maps = [np.where(inside, 9 + rng.standard_normal(inside.shape), 0) for _ in range(3)]
    bounds = [np.where(inside, 5.0, 0.0) for _ in range(3)]
    bounds[0][4:8, 5:9] = 60.0  # of one map a corner failed
    maps[0][:, 2] = 9.0  # and beside the box it holds a stripe of poor fits
    bounds[0][:, 2] = 60.0
    known = [np.where((b > 0) & (b <= 20), m, np.nan) for m, b in zip(maps, bounds, strict=True)]
    found = []
    for k in range(3):
        item = {"image": tensor(maps[k][None]), "crlb": tensor(bounds[k][None])}
        item["others"] = torch.from_numpy(np.stack([known[j] for j in range(3) if j != k]))
        found.append(PreprocessMapd()(item)["excited"])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert found[0].numpy()[inside].all()
    assert not found[0][:, 2].any()
