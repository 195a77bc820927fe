"""Voxels hidden for a check lie among the known ones, in the shape of the missing ones."""

import numpy as np
from scipy import ndimage

from mrsikit.restoration.inpainting.hidden_voxels import HIDDEN_SHARE, hide


def test_only_known_voxels_are_hidden_and_no_more_than_the_share() -> None:
    data = np.zeros((24, 24), bool)
    data[3:20, 4:22] = True
    missing = np.zeros_like(data)
    missing[8:11, 8:11] = missing[15, 15] = True
    data &= ~missing
    hidden = hide(data, missing, np.random.default_rng(0))
    assert not (hidden & ~data).any()
    assert 0 < hidden.sum() <= HIDDEN_SHARE * data.sum()


def test_clusters_have_the_shape_of_the_missing_ones() -> None:
    data = np.ones((40, 40), bool)
    missing = np.zeros_like(data)
    missing[20, 5:15] = True  # ten voxels in a row
    hidden = hide(data & ~missing, missing, np.random.default_rng(1))
    lines = [int(np.ptp(np.argwhere(hidden), 0)[0])]
    labels, count = ndimage.label(hidden)
    heights = [int(np.ptp(np.argwhere(labels == k + 1), 0)[0]) + 1 for k in range(count)]
    assert np.median(heights) <= 2
    assert lines[0] > 2


def test_the_draw_depends_on_the_generator_alone() -> None:
    data = np.ones((16, 16, 4), bool)
    missing = np.zeros_like(data)
    first, second, other = (hide(data, missing, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_nothing_known_hides_nothing() -> None:
    nothing = np.zeros((8, 8), bool)
    assert not hide(nothing, nothing, np.random.default_rng(0)).any()


def test_small_clusters_at_the_rim_are_hidden_at_the_rim() -> None:
    distance = np.hypot(*(np.indices((40, 40)) - 19.5))
    missing = np.zeros((40, 40), bool)
    for x, y in ((4, 19), (35, 19), (19, 4), (19, 35), (8, 8)):
        missing[x - 1 : x + 2, y - 1 : y + 2] = True
    brain = distance < 17
    hidden = hide(brain & ~missing, missing & brain, np.random.default_rng(2))
    assert (distance[hidden] > 12.5).mean() > 0.62


def test_a_lost_rim_is_hidden_at_another_rim() -> None:
    distance = np.hypot(*(np.indices((40, 40)) - 19.5))
    brain = distance < 17
    missing = brain & (distance > 13) & (np.indices((40, 40))[0] < 12)
    data = brain & ~missing
    hidden = hide(data, missing, np.random.default_rng(2))
    assert (distance[hidden] > 12.5).mean() > 0.5
    assert (distance[data] > 12.5).mean() < 0.4


def test_a_cluster_is_mirrored_about_the_middle_of_the_map_in_volumes_too() -> None:
    ball = np.sqrt(sum((n - c) ** 2 for n, c in zip(np.indices((32, 32, 32)), (12, 10, 10), strict=True))) < 9
    missing = ball & (np.indices(ball.shape)[2] < 4)
    hidden = hide(ball & ~missing, missing, np.random.default_rng(0), share=missing.sum() / ball.sum())
    assert (np.argwhere(hidden)[:, 2] >= 15).all()  # at the opposite end


def test_a_slice_of_a_volume_is_hidden_as_a_plane() -> None:
    data = np.ones((16, 16), bool)
    data[4:7, 4:7] = False
    plane = hide(data, ~data, np.random.default_rng(0))
    volume = hide(data[..., None], ~data[..., None], np.random.default_rng(0))
    assert abs(int(plane.sum()) - int(volume.sum())) <= 2


def test_lost_signal_among_noise_is_hidden_in_the_signal() -> None:
    rng = np.random.default_rng(5)
    signal = np.hypot(*(np.indices((32, 32)) - 12)) < 6
    values = np.where(signal, 10.0, np.abs(rng.normal(0, 1, signal.shape)))
    missing = np.zeros_like(signal)
    missing[9:11, 9:12] = missing[13:15, 12:14] = True
    shares = []
    for given in (values, None):
        draws = [hide(~missing, missing, np.random.default_rng(k), values=given, share=0.03) for k in range(8)]
        shares.append(np.mean([signal[mask].mean() for mask in draws]))
    assert shares[0] > 0.8 > shares[1]


def test_what_is_hidden_does_not_choose_its_place() -> None:
    rng = np.random.default_rng(6)
    values = rng.random((48, 48))
    missing = np.zeros_like(values, bool)
    missing[20:23, 20:23] = True
    values[19:24, 19:24] = 1.0 + values[19:24, 19:24]  # the neighbours of the missing voxels are the highest
    draws = [hide(~missing, missing, np.random.default_rng(k), values=values, share=0.03) for k in range(12)]
    inside = np.concatenate([values[mask] for mask in draws])
    assert abs(inside[inside < 1].mean() - 0.5) < 0.04


def test_voxels_to_avoid_are_not_hidden() -> None:
    data = np.ones((20, 20), bool)
    data[8:10, 8:10] = False
    first = hide(data, ~data, np.random.default_rng(0))
    second = hide(data, ~data, np.random.default_rng(1), avoid=first)
    assert second.any()
    assert not (first & second).any()
    assert not hide(data, ~data, np.random.default_rng(1), avoid=data).any()
