"""The published training pairs."""

import numpy as np
import pytest
import torch

from mrsikit.transforms.algorithm1 import RandAlgorithm1d

STAGES = (0.05, 0.1, 0.15)


def pair(
    tissues: torch.Tensor, *, seed: int = 0, stage: int = 0, **options
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    transform = RandAlgorithm1d("tissues", **{"matrix": tissues.shape[-1], "fractions": STAGES, **options})
    transform.set_random_state(seed=seed)
    transform.stage = stage
    out = transform({"tissues": tissues})
    assert set(out) == {"image", "label"}
    return out["image"][0].numpy(), *out["label"].numpy()


@pytest.mark.parametrize("dims", [2, 3])
def test_the_map_is_spoilt_by_its_holes_and_nothing_else(request, dims):
    tissues = request.getfixturevalue("planes" if dims == 2 else "volume")
    image, clean, hole = pair(tissues)
    assert image.shape == tissues.shape[2:]
    assert float(clean.max()) == pytest.approx(1)
    assert not image[hole == 1].any()
    assert (clean[hole == 1] > 0).all()
    np.testing.assert_array_equal(image[hole == 0], clean[hole == 0])


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_each_stage_has_its_share(planes, stage):
    _, clean, hole = pair(planes, stage=stage)
    assert hole.sum() == int(STAGES[stage] * (clean > 0).sum())


def test_writes_are_counted_as_printed(planes):
    _, clean, hole = pair(planes, fractions=(0.15,), count="writes")
    assert hole.sum() < 0.14 * (clean > 0).sum()


def test_the_map_is_averaged_to_its_matrix(planes):
    image, clean, hole = pair(planes, matrix=32)
    assert image.shape == (32, 32)
    assert hole.sum() == int(0.05 * (clean > 0).sum())


def test_slices_can_be_cut_from_volumes_that_were_spoilt(volume):
    """The share is that of the volume, not of each slice, and so is the scale."""
    drawn = [pair(volume, seed=seed, cut=True) for seed in range(12)]
    assert {image.shape for image, _, _ in drawn} == {volume.shape[2:4]}
    for image, clean, hole in drawn:
        assert (clean > 0).mean() > 0.05
        np.testing.assert_array_equal(image, clean * (1 - hole))
    shares = [hole.sum() / (clean > 0).sum() for _, clean, hole in drawn]
    assert min(shares) < 0.04 < 0.06 < max(shares)
    assert min(clean.max() for _, clean, _ in drawn) < 1


def test_the_tumour_mask_can_be_whole(planes):
    """Necrosis, which has no signal else, then has the tumour's."""
    stack = torch.zeros_like(planes)
    stack[:, 6] = 255
    stack[:, 4, :10] = 255
    assert not pair(stack)[1].any()
    np.testing.assert_array_equal(pair(stack, mask="whole")[1] > 0, stack[0, 4].numpy() > 0)


def test_only_slices_with_over_5_percent_brain_are_drawn(planes):
    stack = planes.clone()
    stack[[0, 1, 3]] = 0
    only = {pair(stack, seed=seed)[1].astype(bool).sum() for seed in range(8)}
    assert only == {pair(planes[2:3])[1].astype(bool).sum()}
    image, clean, hole = pair(torch.zeros_like(planes))
    assert not clean.any()
    assert not hole.any()


def test_a_draw_depends_on_the_random_state_alone(planes):
    one, again, other = (pair(planes, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
