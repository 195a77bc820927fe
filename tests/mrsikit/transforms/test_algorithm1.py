"""The published training pairs."""

import numpy as np
import pytest
import torch

from mrsikit.transforms.algorithm1 import RandAlgorithm1d

STAGES = (0.05, 0.1, 0.15)


def pair(
    tissues: torch.Tensor, *, seed: int = 0, epoch: int = 1, **options
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    transform = RandAlgorithm1d("tissues", **{"matrix": tissues.shape[-1], "fractions": STAGES, "epochs": 9, **options})
    transform.set_random_state(seed=seed)
    out = transform({"tissues": tissues, "epoch": epoch})
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


@pytest.mark.parametrize(("epoch", "stage"), [(1, 0), (3, 0), (4, 1), (6, 1), (7, 2), (9, 2), (40, 2), (0, 0)])
def test_the_share_lost_grows_in_equal_stages_of_the_training(planes, epoch, stage):
    _, clean, hole = pair(planes, epoch=epoch)
    assert hole.sum() == int(STAGES[stage] * (clean > 0).sum())


def test_direct_training_has_one_share(planes):
    for epoch in (1, 5, 9):
        _, clean, hole = pair(planes, epoch=epoch, fractions=(0.15,))
        assert hole.sum() == int(0.15 * (clean > 0).sum())


def test_writes_are_counted_as_printed(planes):
    _, clean, hole = pair(planes, fractions=(0.15,), count="writes")
    assert hole.sum() < 0.14 * (clean > 0).sum()


def test_the_map_is_averaged_to_its_matrix(planes):
    image, clean, hole = pair(planes, matrix=32)
    assert image.shape == (32, 32)
    assert hole.sum() == int(0.05 * (clean > 0).sum())


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
