"""Metabolite maps of random contrast from tissues, or from measured maps."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from mrsikit.transforms.metabolite_map import RandMetaboliteMapd

ARRAYS = ("clean", "measured", "signal", "brain", "tumour", "inside")


def draw(seed: int, item: dict, **options) -> dict:
    transform = RandMetaboliteMapd("tissues", **{"canvas": 48, **options})
    transform.set_random_state(seed=seed)
    return transform(item)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_outputs_are_maps_on_the_canvas(request, dims):
    tissues = request.getfixturevalue("planes" if dims == 2 else "volume")
    for seed in range(25):
        out = draw(seed, {"tissues": tissues, "epoch": 3}, canvas=40 if dims == 2 else 24, factors=(1, 2))
        assert "tissues" not in out
        assert out["epoch"] == 3
        for name in ARRAYS:
            assert out[name].shape == ((40,) * 2 if dims == 2 else (24,) * 3), name
        assert out["clean"].dtype == np.float32
        assert out["measured"].dtype == np.float32
        assert np.isfinite(out["measured"]).all()
        assert out["clean"].min() >= 0
        outside = ~out["inside"]
        for name in ("clean", "measured", "signal", "brain"):
            assert not out[name][outside].any(), name
        assert not out["measured"][~out["signal"]].any()
        assert not (out["clean"].astype(bool) & ~out["signal"]).any()
        assert out["noise"] == 0 or 0.01 <= out["noise"] <= 0.3


def test_a_draw_depends_on_the_random_state_alone(planes):
    one, again, other = (draw(seed, {"tissues": planes}) for seed in (4, 4, 5))
    for name in ARRAYS:
        np.testing.assert_array_equal(one[name], again[name])
    assert not np.array_equal(one["measured"], other["measured"])


def test_noise_is_what_is_said_and_some_maps_have_none(planes):
    quiet, signed = 0, 0
    for seed in range(60):
        out = draw(seed, {"tissues": planes}, factors=(1,))
        error = (out["measured"] - out["clean"])[out["signal"]]
        if out["noise"] == 0:
            quiet += 1
            assert not error.any()
        elif (out["measured"] < 0).any():  # noise kept its sign: not cut at zero
            signed += 1
            assert error.std() == pytest.approx(out["noise"], rel=0.2)
        elif error.size:
            assert error.std() < 1.1 * out["noise"]
    assert 10 < quiet < 35
    assert signed > 2


def test_white_matter_is_about_one_and_contrasts_vary(planes):
    peaks = []
    for seed in range(40):
        clean = draw(seed, {"tissues": planes}, factors=(1,))["clean"]
        if (clean > 0).sum() > 50:
            peaks.append(float(np.percentile(clean[clean > 0.2], 50)))
    assert 0.6 < np.median(peaks) < 1.3
    assert np.std(peaks) > 0.05


def test_block_sizes_average_the_tissues():
    half = torch.zeros(1, 8, 32, 32, dtype=torch.uint8)
    half[:, 1, :, :] = 255
    half[:, 6] = 255
    sides = set()
    for seed in range(40):
        out = draw(seed, {"tissues": half}, canvas=32, factors=(1, 2, 4))
        rows = np.flatnonzero(out["inside"].any(1))
        sides.add(int(rows[-1] - rows[0] + 1))
    assert {32, 16, 8} <= sides


@pytest.mark.parametrize(("shape", "dims"), [((2, 20, 24), 2), ((1, 30, 28, 9), 2), ((3, 16, 16, 12), 3)])
def test_a_users_own_map_is_the_truth_as_it_is(shape, dims):
    rng = np.random.default_rng(0)
    maps = rng.uniform(2, 10, shape).astype(np.float32)
    maps[:, :4] = 0
    maps[:, 7, 7] = np.nan
    for seed in range(10):
        out = draw(seed, {"map": torch.from_numpy(maps), "epoch": 1}, canvas=24, spatial_dims=dims)
        assert "map" not in out
        assert out["clean"].shape == (24,) * dims
        np.testing.assert_array_equal(out["clean"], out["measured"])
        assert out["noise"] == 0
        assert np.isfinite(out["clean"]).all()
        np.testing.assert_array_equal(out["signal"], out["clean"] != 0)
        assert np.median(out["clean"][out["clean"] > 0]) == pytest.approx(1, abs=0.02)


def test_an_empty_own_map_stays_empty():
    out = draw(0, {"map": torch.zeros(1, 16, 16)}, canvas=16)
    assert not out["clean"].any()
    assert not out["signal"].any()


def test_some_necroses_hold_nothing_and_some_a_little():
    tissues = torch.zeros(1, 8, 32, 32, dtype=torch.uint8)
    tissues[0, 6] = 255
    tissues[0, 1, :, :] = 255
    tissues[0, 1, 8:24, 8:24] = 0
    tissues[0, 3, 8:24, 8:24] = 255
    tissues[0, 3, 13:19, 13:19] = 0
    tissues[0, 4, 13:19, 13:19] = 255
    empty = []
    for seed in range(40):
        out = draw(seed, {"tissues": tissues}, canvas=32, factors=(1,))
        if out["clean"].all():
            empty.append(False)
        elif (out["clean"] == 0)[out["inside"]].sum() == 36:
            empty.append(True)
    assert 5 < sum(empty) < len(empty) - 5


def test_some_maps_were_interpolated_after_the_fit(planes):
    """Their truth is what was measured, and their noise is smooth: only they are noisy and have no stated noise."""
    rough = []
    for seed in range(80):
        out = draw(seed, {"tissues": planes}, factors=(1,))
        if np.array_equal(out["clean"], out["measured"]):
            inner = ndimage.binary_erosion(out["signal"], iterations=2)
            rough.append(np.median(np.abs(ndimage.laplace(out["clean"]))[inner]) if inner.sum() > 50 else 0)
            assert out["noise"] == 0
    assert 20 < len(rough) < 60
    assert max(rough) < 0.5


def test_the_tumour_is_where_the_tissues_say(volume):
    for seed in range(10):
        out = draw(seed, {"tissues": volume}, canvas=volume.shape[-1], factors=(1,))
        assert not (out["tumour"] & ~out["brain"]).any()
        assert out["tumour"].sum() <= (volume[0, 3].float() + volume[0, 4].float() > 127).sum()
