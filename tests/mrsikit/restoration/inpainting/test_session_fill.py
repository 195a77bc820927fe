"""Filling from a session: the other maps help where they agree, the check chooses, and intervals hold."""

import numpy as np
import pytest
from scipy import ndimage

from mrsikit.phantoms.metabolites import concentration_map, draw_concentrations
from mrsikit.phantoms.mri import mri
from mrsikit.phantoms.subject import Grid, VirtualSubject
from mrsikit.restoration.inpainting import session_fill
from mrsikit.restoration.inpainting.hidden_voxels import hide
from mrsikit.restoration.inpainting.session_fill import Filled, SessionMap, fill_from_session

SIZE = 40


def session(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three maps (3, X, Y) that share fine shading, and a map's missing voxels and known ones."""
    rng = np.random.default_rng(seed)
    shared = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 1.0)
    shading = np.exp(0.35 * shared / shared.std())
    maps = np.stack([level * shading * (1 + 0.03 * rng.standard_normal((SIZE, SIZE))) for level in (10.0, 6.0, 2.0)])
    missing = hide(np.ones((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool), rng)
    return maps, missing, ~missing


def filled(
    maps: np.ndarray, missing: np.ndarray, *, others: bool = True, mris: int = 0, folds: int = 4, **more: object
) -> Filled:
    map = SessionMap(values=maps[0], data=~missing, spacing=(1, 1), others=maps[1:] if others else None, mris=mris)
    rng = np.random.default_rng(11)
    return fill_from_session(map, missing, hidden=[hide(~missing, missing, rng) for _ in range(folds)], **more)


def error(found: Filled, maps: np.ndarray, missing: np.ndarray) -> float:
    return float(((found.values - maps[0][missing]) ** 2).mean())


def test_the_other_maps_of_a_session_help() -> None:
    maps, missing, _ = session()
    alone, together = filled(maps, missing, others=False), filled(maps, missing)
    assert error(together, maps, missing) < 0.25 * error(alone, maps, missing)
    weights = together.record["all"]["weights"]
    assert weights["matched residuals"] + weights["ratio kriging"] > 0.8
    assert min(together.record["correlation with the other maps"]) > 0.7
    assert alone.record["none"]["voxels"] == missing.sum()


def test_maps_without_anything_in_common_do_no_harm() -> None:
    maps, missing, _ = session()
    strange = np.stack([maps[0], session(5)[0][1], session(6)[0][2]])
    alone, together = filled(maps, missing, others=False), filled(strange, missing)
    assert error(together, maps, missing) < 1.05 * error(alone, maps, missing)
    assert max(together.record["correlation with the other maps"]) < 0.4


def test_voxels_that_failed_in_every_map_are_filled_as_if_alone() -> None:
    maps, missing, _ = session()
    lost = maps.copy()
    lost[1:, missing] = np.nan
    assert error(filled(lost, missing), maps, missing) == pytest.approx(
        error(filled(maps, missing, others=False), maps, missing), rel=0.2
    )
    assert "all" not in filled(lost, missing).record


def test_intervals_hold_nine_of_ten() -> None:
    held = []
    for seed in range(6):
        maps, missing, _ = session(seed)
        found = filled(maps, missing)
        inside = np.abs(found.values - maps[0][missing]) <= 1.645 * found.sd
        held.append(inside[found.calibrated].mean())
    assert 0.82 < np.mean(held) < 0.97


def test_a_lesion_of_one_metabolite_is_not_copied_from_the_others() -> None:
    maps, _, _ = session(2)
    lesion = np.zeros((SIZE, SIZE), bool)
    lesion[18:21, 18:21] = True
    missing = lesion & (np.indices((SIZE, SIZE))[0] < 20)
    changed = maps.copy()
    changed[1][lesion] *= 0.5  # this metabolite alone
    without, with_lesion = filled(maps, missing), filled(changed, missing)
    change = np.abs(with_lesion.values.mean() - without.values.mean())
    assert change < 0.1 * 0.5 * maps[0][missing].mean()


def test_the_network_fills_where_the_check_finds_it_better() -> None:
    maps, missing, _ = session(3)
    truth = maps[0]
    network = np.stack([truth, truth])
    found = filled(maps, missing, others=False, network=network, network_hidden=np.stack([network] * 4))
    assert found.record["none"]["weights"]["network"] > 0.9
    assert error(found, maps, missing) < 0.01 * error(filled(maps, missing, others=False), maps, missing)


def test_what_is_unlike_the_check_is_marked_and_wider() -> None:
    maps, missing, _ = session(4)
    missing = missing.copy()
    missing[:, :9] = True  # a lost slab, while the check can only hide what is near known voxels
    rng = np.random.default_rng(1)
    map = SessionMap(values=maps[0], data=~missing, spacing=(1, 1))
    small = [hide(~missing, np.zeros_like(missing), rng) for _ in range(4)]
    found = fill_from_session(map, missing, hidden=small)
    slab = np.argwhere(missing)[:, 1] < 5
    assert not found.calibrated[slab].any()
    assert found.sd[slab].mean() > 1.5 * found.sd[~slab & found.calibrated].mean()


def test_without_a_check_nothing_is_calibrated() -> None:
    maps, missing, _ = session()
    found = filled(maps, missing, folds=0)
    assert not found.calibrated.any()
    assert np.isfinite(found.values).all()
    assert (found.sd > 0).all()


def test_the_fill_is_negative_only_where_the_map_is() -> None:
    maps, missing, _ = session(3)
    low = np.full(missing.shape, -2.0)
    for values, sign in ((maps, 1), (-maps, -1)):
        network, hidden = np.stack([low, -low]), np.stack([values[0], -low])
        found = filled(values, missing, others=False, network=network, network_hidden=[hidden] * 4)
        assert found.record["none"]["weights"]["network"] > 0.9
        assert (found.values >= 0).all() if sign > 0 else (found.values < -1.8).all()


def test_the_interval_follows_the_errors_of_the_check() -> None:
    """The right half is ten times as noisy: the standard deviation must say so."""
    rng = np.random.default_rng(7)
    smooth = 20 + ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 3.0)
    noisy_half = np.indices((SIZE, SIZE))[1] >= SIZE // 2
    map = smooth + np.where(noisy_half, 1.0, 0.1) * rng.standard_normal((SIZE, SIZE))
    missing = hide(np.ones((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool), rng)
    found = filled(map[None], missing, others=False)
    right = noisy_half[missing]
    assert found.sd[right].mean() > 3 * found.sd[~right].mean()


def test_far_from_the_data_the_network_counts_more_even_where_kriging_was_best(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"kriging": 1.0, "network": 0.0, "biharmonic": 0.0, "gaussian": 0.0}
    monkeypatch.setattr(session_fill, "_weights", lambda errors: {name: alone[name] for name in errors})
    maps, missing, _ = session(4)
    missing = missing.copy()
    missing[:, :12] = True
    rng = np.random.default_rng(1)
    truth, map = maps[0], SessionMap(values=maps[0], data=~missing, spacing=(1, 1))
    off = truth + 0.5 * truth.std()  # of the same error everywhere, while kriging's grows with the distance
    network = np.stack([off, np.ones_like(off)])
    small = [hide(~missing, np.zeros_like(missing), rng) for _ in range(4)]
    with_network = fill_from_session(map, missing, hidden=small, network=network, network_hidden=[network] * 4)
    kriged = fill_from_session(map, missing, hidden=small)
    slab = np.argwhere(missing)[:, 1] < 6
    errors = [np.mean((found.values - truth[missing])[slab] ** 2) for found in (with_network, kriged)]
    assert errors[0] < 0.7 * errors[1]


def test_a_constant_map_has_no_say() -> None:
    maps, missing, _ = session(4)
    constant = np.stack([maps[0], np.full_like(maps[0], 3.0)])
    found = filled(constant, missing)
    assert set(found.record) == {"checked on", "clusters", "none"}


def test_a_voxel_that_is_hidden_twice_counts_once() -> None:
    maps, missing, _ = session(4)
    mask = hide(~missing, missing, np.random.default_rng(11))
    map = SessionMap(values=maps[0], data=~missing, spacing=(1, 1))
    once, twice = (fill_from_session(map, missing, hidden=[mask] * count).record for count in (1, 2))
    assert once["clusters"] == twice["clusters"]
    assert twice["none"]["n_eff"] <= mask.sum()


def test_a_filled_voxel_never_has_the_standard_deviation_of_a_measured_one() -> None:
    missing = np.indices((SIZE, SIZE)).sum(0) % 9 == 0
    constant = np.full((1, SIZE, SIZE), 5.0)
    for folds in (0, 4):
        assert (filled(constant, missing, others=False, folds=folds).sd > 0).all()


def test_one_known_voxel_says_nothing_of_the_spread() -> None:
    map = SessionMap(values=np.full((8, 8), 4.0), data=np.arange(64).reshape(8, 8) == 20, spacing=(1, 1))
    found = fill_from_session(map, ~map.data)
    assert (found.values == 4).all()
    assert (found.sd >= 4).all()


def test_weights_are_right_for_candidates_of_known_errors() -> None:
    rng = np.random.default_rng(3)
    good, other = rng.standard_normal((2, 4000))
    errors = {"kriging": 2 * good, "network": other, "biharmonic": 9 * rng.standard_normal(4000)}
    weights = session_fill._weights(errors)
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["network"] == pytest.approx(0.8, abs=0.03)  # by the inverse of the variances, 1 and 4
    assert weights["biharmonic"] < 0.03
    few = session_fill._weights({name: error[:1] for name, error in errors.items()})
    assert abs(few["network"] - 0.5) < 0.2  # one voxel hardly moves them from equal ones


def test_without_a_check_kriging_and_network_count_alike_and_the_deviation_holds_their_difference() -> None:
    maps, missing, _ = session(3)
    network = np.stack([maps[0] + 4.0, np.full_like(maps[0], 0.1)])
    kriged = filled(maps, missing, others=False, folds=0)
    found = filled(maps, missing, others=False, folds=0, network=network)
    assert np.allclose(found.values, (kriged.values + network[0][missing]) / 2)
    assert (found.sd >= np.abs(network[0][missing] - kriged.values)).all()


def test_a_central_cluster_is_like_the_check_and_a_slice_is_like_a_volume_of_one() -> None:
    rng = np.random.default_rng(1)
    truth = 10 + ndimage.gaussian_filter(rng.standard_normal((24, 24)), 2.0) * 5 + 0.1 * rng.standard_normal((24, 24))
    missing = np.zeros((24, 24), bool)
    missing[10:14, 10:14] = True
    hidden: list[np.ndarray] = []
    for _ in range(4):
        hidden.append(hide(~missing, missing, rng, avoid=np.any(hidden, 0) if hidden else None))
    plane = fill_from_session(SessionMap(values=truth, data=~missing, spacing=(1, 1)), missing, hidden=hidden)
    assert plane.calibrated.mean() > 0.8
    volume = fill_from_session(
        SessionMap(values=truth[..., None], data=~missing[..., None], spacing=(1, 1, 9)),
        missing[..., None],
        hidden=[mask[..., None] for mask in hidden],
    )
    assert volume.calibrated.mean() > 0.8


def test_many_maps_of_noise_have_little_weight_in_a_small_map() -> None:
    weights = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        truth = 10 + 3 * ndimage.gaussian_filter(rng.standard_normal((9, 9)), 1.5)
        others = rng.standard_normal((15, 9, 9)) + 10
        missing = np.zeros((9, 9), bool)
        missing[3:5, 4:6] = True
        hidden: list[np.ndarray] = []
        for _ in range(4):
            hidden.append(hide(~missing, missing, rng, avoid=np.any(hidden, 0) if hidden else None))
        map = SessionMap(values=truth, data=~missing, spacing=(1, 1), others=others)
        found = fill_from_session(map, missing, hidden=hidden)
        weights.append(found.record.get("all", {}).get("weights", {}).get("matched residuals", 0.0))
    assert np.mean(weights) < 0.35


def test_the_network_must_fill_every_fold_and_nothing_to_fill_is_no_error() -> None:
    maps, missing, _ = session()
    network = np.stack([maps[0], maps[0]])
    with pytest.raises(ValueError, match="0 of 4 folds"):
        filled(maps, missing, network=network)
    map = SessionMap(values=maps[0], data=~missing, spacing=(1, 1))
    assert len(fill_from_session(map, np.zeros_like(missing)).values) == 0


def test_an_odd_value_of_the_only_other_map_is_not_copied() -> None:
    maps, missing, _ = session()
    odd = np.zeros_like(missing)
    odd[tuple(np.argwhere(missing)[::6].T)] = True
    clean = filled(maps[:2], missing)
    for value in (30.0, 0.01):
        spoilt = maps[:2].copy()
        spoilt[1][odd] = value
        found = filled(spoilt, missing)
        alone = filled(maps[:1], missing)
        off, usual = (((f.values - maps[0][missing]) ** 2)[odd[missing]].mean() for f in (found, alone))
        assert off < 2 * usual
        there = ~odd[missing]
        assert np.abs(found.values - clean.values)[there].max() < 0.3 * maps[0].std()


def test_a_map_that_is_never_negative_stays_so() -> None:
    maps, missing, _ = session(3)
    low = np.maximum(maps - np.median(maps, (1, 2), keepdims=True), 0)
    assert filled(low, missing, others=False).values.min() >= 0


def test_an_mri_helps_beside_another_map_and_is_none() -> None:
    maps, missing, _ = session()
    alone = filled(maps[:1], missing, others=False)
    by_itself = filled(maps[[0, 2]], missing, mris=1)
    np.testing.assert_array_equal(by_itself.values, alone.values)  # nothing confirms it
    noise = np.exp(0.2 * np.random.default_rng(7).standard_normal(maps[1].shape))
    noisy = np.stack([maps[0], maps[1] * noise, maps[2]])
    without, found = filled(noisy[:2], missing), filled(noisy, missing, mris=1)
    assert error(found, maps, missing) < 0.9 * error(without, maps, missing)
    assert len(found.record["correlation with the other maps"]) == 2
    lost = noisy.copy()
    lost[1, missing] = np.nan  # lost in all maps: the MRI, which is known, is none of them
    assert set(filled(lost, missing, mris=1).record) & {"all", "some", "none"} == {"none"}


def test_the_ratio_to_an_mri_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, missing, _ = session()
    made: list[np.ndarray] = []

    class Spy(session_fill.RatioKriging):
        @classmethod
        def fit(cls, values, data, other, *rest, **more):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN206
            made.append(other)
            return super().fit(values, data, other, *rest, **more)

    monkeypatch.setattr(session_fill, "RatioKriging", Spy)
    filled(maps, missing, mris=1)
    assert len(made) == 1
    np.testing.assert_array_equal(made[0], maps[1])


@pytest.fixture(scope="module")
def head() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Metabolite maps and FLAIR of a virtual brain, missing voxels, and a hole in white matter among them."""
    rng = np.random.default_rng(3)
    grid = Grid((48, 48), (4.4, 4.4), (0.0, 0.0, 25.0), thickness=5.0, subsamples=(2, 2, 2))
    tissues = VirtualSubject(9_100_001, tumours=0).tissues(grid)
    drawn = draw_concentrations(rng, "low")
    images = {name: concentration_map(tissues, of).double().numpy() for name, of in drawn.items()}
    images = {n: np.maximum(x + 0.05 * x[x > 0].mean() * rng.standard_normal(x.shape), 1e-3) for n, x in images.items()}
    images["flair"] = mri(tissues, grid, "flair", rng).double().numpy()
    signal = (tissues.gm + tissues.wm).numpy() > 0.05
    deep = ndimage.distance_transform_edt(tissues.wm.numpy() > 0.8)
    centre = np.array(np.unravel_index(deep.argmax(), deep.shape))
    far = np.hypot(*(np.indices(deep.shape) - centre[:, None, None]))
    hole = far < 1.6
    missing = hide(signal & (far > 5), np.zeros_like(signal), rng, share=0.08) | hole
    return {name: np.where(signal, image, np.nan) for name, image in images.items()}, missing, hole, far


@pytest.mark.parametrize("beside", [(), ("tCr", "tCho")], ids=["alone", "beside other maps"])
@pytest.mark.parametrize("radius", [1.0, 1.6, 3.0])
def test_a_lesion_of_the_mri_alone_does_not_appear_in_the_map(head: tuple, beside: tuple, radius: float) -> None:
    images, missing, hole, far = head
    lesion = 1 / (1 + np.exp((far - radius) / 0.25))
    bright = images["flair"] + (0.95 - images["flair"]) * lesion
    data = np.isfinite(images["NAA"]) & ~missing
    rng, folds = np.random.default_rng(1), []
    for _ in range(3):
        folds.append(hide(data, missing, rng, values=images["NAA"]))

    def value(*others: np.ndarray, mris: int = 0) -> float:
        channels = np.stack(others) if others else None
        map = SessionMap(values=images["NAA"], data=data, spacing=(4.4, 4.4), others=channels, mris=mris)
        full = np.full(data.shape, np.nan)
        full[missing] = fill_from_session(map, missing, hidden=folds).values
        return float(full[hole].mean())

    maps = [images[name] for name in beside]
    without, change = value(*maps), 0.5 * images["NAA"][hole].mean()  # a lesion that halves NAA
    truth = images["NAA"][hole].mean()
    assert abs(value(*maps, bright, mris=1) - truth) <= abs(without - truth) + 0.03 * change
