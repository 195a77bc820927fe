import numpy as np
import pytest
import torch

from mrsikit.phantoms.subject import Grid, VirtualSubject
from mrsikit.transforms.coarse_map import MOST_LESIONS, RandFineMapd

WHITE, BRAIN = 1, 6
"""Places in the stacked tissues."""


@pytest.fixture(scope="module")
def tissues() -> torch.Tensor:
    grid = Grid((128, 128), (1.8, 1.8), (0.0, 0.0, 20.0), 8.0)
    return (VirtualSubject(3, tumours=1).tissues(grid).stacked()[None] * 255).round().to(torch.uint8)


def drawn(tissues: torch.Tensor, seed: int, **options: float) -> dict:
    transform = RandFineMapd(size=96, **options)
    transform.set_random_state(seed)
    return transform({"tissues": tissues})


def test_maps_and_mris_are_of_one_head(tissues: torch.Tensor) -> None:
    for seed in range(6):
        out = drawn(tissues, seed)
        assert set(out) == {"map", "flair", "t1", "lesions"}
        assert all(out[name].shape[-2:] == (96, 96) and out[name].dtype == torch.float32 for name in out)
        assert float(out["map"].max()) == pytest.approx(1)
        assert float(out["map"].min()) >= 0
        inside = out["map"] > 0.05
        assert (out["flair"][inside] > 0).float().mean() > 0.9


def test_draws_depend_on_the_state_alone(tissues: torch.Tensor) -> None:
    one, again, other = (drawn(tissues, seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["map"], other["map"])


def test_mris_are_left_out_by_their_shares(tissues: torch.Tensor) -> None:
    assert set(drawn(tissues, 0, flair=0.0)) == {"map", "t1", "lesions"}
    seen = [set(drawn(tissues, seed, flair=0.5, t1=0.0)) for seed in range(12)]
    assert {frozenset(s) for s in seen} == {frozenset({"map", "lesions"}), frozenset({"map", "flair", "lesions"})}


def test_lesions_are_in_the_map_alone_in_the_mri_alone_and_in_both() -> None:
    white = torch.zeros(1, 8, 128, 128, dtype=torch.uint8)
    white[0, [WHITE, BRAIN]] = 255
    seen_in = set()
    changes: tuple[list[float], list[float]] = [], []  # of the map, by its lesions and by those of the MRIs alone
    for seed in range(150):
        out = drawn(white, seed)
        for place, lesion_ in enumerate(out["lesions"]):
            others = out["lesions"].sum(0) - lesion_
            core, around = (lesion_ > 0.95) & (others < 0.01), (lesion_ < 0.01) & (others < 0.01)
            if core.sum() < 20:
                continue
            images = [out[name] / out[name][around].median() for name in ("map", "flair")]
            seen_in.add(tuple(bool((image[core] - 1).abs().mean() > 0.3) for image in images))
            changes[place >= MOST_LESIONS].append(float((images[0][core] - 1).abs().mean()))
    assert {(True, False), (False, True), (True, True)} <= seen_in
    assert np.median(changes[0]) > 0.3
    assert np.median(changes[1]) < 0.1


def test_a_large_map_is_drawn_where_its_middle_holds_something():
    values = torch.zeros(1, 200, 200, 2)
    values[0, :20, :, 0], values[0, 90:110, 90:110, 1] = 5.0, 3.0
    for seed in range(4):
        assert RandFineMapd(size=48).set_random_state(seed)({"map": values})["map"].sum() == 400


@pytest.mark.parametrize("shape", [(1, 40, 30), (2, 70, 50, 3)])
def test_a_measured_map_is_drawn_as_it_is(shape):
    values = torch.zeros(shape)
    values[:, 12:32, 5:25] = 7.0
    values[:, 14, 12] = float("nan")
    out = RandFineMapd(size=48).set_random_state(0)({"map": values})
    assert set(out) == {"map", "lesions"}
    assert out["lesions"].shape == (2 * MOST_LESIONS, 48, 48)
    assert out["lesions"].max() == 0
    assert out["map"].shape == (48, 48)
    assert out["map"].max() == 1
    assert out["map"].sum() == pytest.approx(400 - 1)


def test_maps_can_look_like_measured_ones(tissues: torch.Tensor) -> None:
    spreads = []
    for measured in (0.0, 1.0):
        maps = [drawn(tissues, seed, agreeing=True, measured=measured)["map"] for seed in range(6)]
        spreads.append(np.mean([float(m[m > 0.02].std() / m[m > 0.02].mean()) for m in maps]))
    assert spreads[1] > spreads[0] + 0.1
