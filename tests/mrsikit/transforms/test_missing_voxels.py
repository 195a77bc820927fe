"""Spoilt maps, what a user could know of them, and what is judged."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from mrsikit.transforms.metabolite_map import RandMetaboliteMapd
from mrsikit.transforms.missing_voxels import RandMissingVoxelsd


def spoil(seed: int, tissues: torch.Tensor, **options) -> tuple[dict, dict]:
    maps, missing = (
        RandMetaboliteMapd("tissues", canvas=tissues.shape[-1], factors=(1, 2)),
        RandMissingVoxelsd(**options),
    )
    maps.set_random_state(seed=seed)
    missing.set_random_state(seed=seed)
    before = maps({"tissues": tissues})
    return before, missing(before)


@pytest.mark.parametrize("dims", [2, 3])
def test_image_evidence_and_label_agree(request, dims):
    tissues = request.getfixturevalue("planes" if dims == 2 else "volume")
    seen = set()
    for seed in range(40 if dims == 2 else 12):
        before, out = spoil(seed, tissues)
        image, observation, brain = out["image"].numpy()
        clean, hole, judge, scale = out["label"].numpy()
        assert out["image"].dtype == out["label"].dtype == torch.float32
        assert set(np.unique(observation)) <= {-1, 0, 1}
        assert set(np.unique(brain)) <= {-1, 0, 1}
        assert set(np.unique(hole)) <= {0, 1}
        np.testing.assert_array_equal(clean, before["clean"])

        # known missing voxels are holes, are zero, and need no judgement
        assert hole[observation == 1].all()
        assert not image[observation == 1].any()
        assert not judge[observation >= 0].any()
        assert judge.min() >= 0
        # a voxel that is neither hole nor excluded from judgement is as measured, but for errors within the noise
        untouched = (hole == 0) & (judge > 0)
        np.testing.assert_array_equal(image[untouched], before["measured"][untouched])
        # a hole that still holds a value is wrong, and looks wrong
        wrong = (hole == 1) & (image != 0)
        assert (np.abs(image - clean)[wrong] >= max(0.35, 4 * before["noise"]) - 1e-5).all()
        # outside the matrix all is known and nothing is missing
        outside = ~before["inside"]
        for layer in (image, observation, brain, hole, judge):
            assert not layer[outside].any()
        # outside a known brain nothing is unknown
        assert not (observation[brain == 0] == -1).any()
        assert np.ptp(scale) == 0
        assert 0 < scale.max() <= 2
        seen.add((bool((observation == -1).any()), bool((brain >= 0).all() and not (brain == -1).any())))
    assert len(seen) >= 3, "masks and brains are given in some draws and not in others"


def test_the_share_lost_is_the_share_asked_for(planes):
    for fraction in (0.05, 0.3):
        lost = []
        for seed in range(15):
            before, out = spoil(seed, planes, fraction=(fraction, fraction))
            if before["signal"].sum() > 100:
                lost.append(float(out["label"][1].sum()) / before["signal"].sum())
        assert np.median(lost) == pytest.approx(fraction, abs=0.025)


def test_lost_voxels_are_zero_whether_known_or_not_and_all_others_as_measured(planes, monkeypatch):
    monkeypatch.setattr(RandMissingVoxelsd, "_wrong", lambda self, values, where, rng: (np.zeros_like(where), values))
    for seed in range(20):
        before, out = spoil(seed, planes)
        image, hole = out["image"][0].numpy(), out["label"][1].numpy() == 1
        assert not image[hole].any()
        np.testing.assert_array_equal(image[~hole], before["measured"][~hole])
        assert before["signal"][hole].all() or before["signal"].sum() < 12


def test_some_voxels_are_wrong_but_not_zero(planes):
    wrong = [
        int(((out["label"][1] == 1) & (out["image"][0] != 0)).sum()) for _, out in (spoil(s, planes) for s in range(40))
    ]
    assert 0 < np.count_nonzero(wrong) < 15


def test_natural_zeros_deep_in_the_brain_weigh_most_and_the_far_outside_least(planes):
    seen = set()
    for seed in range(30):
        before, out = spoil(seed, planes)
        image, hole, judge = out["image"][0].numpy(), out["label"][1].numpy(), out["label"][2].numpy()
        heavy, light = judge == 8, judge == np.float32(0.1)
        assert not (hole.astype(bool) & (heavy | light)).any()
        assert not image[heavy].any()
        assert before["brain"][heavy].all()
        assert not before["brain"][light].any()
        seen |= {name for name, where in (("heavy", heavy), ("light", light)) if where.any()}
    assert seen == {"heavy", "light"}


def test_a_draw_depends_on_the_random_state_alone(planes):
    one, again, other = (spoil(seed, planes)[1] for seed in (6, 6, 7))
    assert torch.equal(one["image"], again["image"])
    assert torch.equal(one["label"], again["label"])
    assert not torch.equal(one["image"], other["image"])


def test_an_empty_map_is_survived():
    before, out = spoil(1, torch.zeros(1, 8, 16, 16, dtype=torch.uint8))
    assert torch.isfinite(out["image"]).all()
    assert torch.isfinite(out["label"]).all()


def test_a_tumours_edge_loses_more_than_the_rest(planes):
    """Every third map with a tumour loses extra voxels there."""
    there, elsewhere, extra = 0.0, 0.0, 0
    for seed in range(60):
        before, out = spoil(seed, planes, fraction=(0.1, 0.1))
        edge = ndimage.binary_dilation(before["tumour"], iterations=2) & before["signal"]
        if edge.sum() < 20:
            continue
        hole = out["label"][1].numpy() == 1
        there += hole[edge].mean()
        elsewhere += hole[before["signal"] & ~edge].mean()
        extra += hole[edge].mean() > 0.2
    assert there > 1.2 * elsewhere
    assert extra >= 2
