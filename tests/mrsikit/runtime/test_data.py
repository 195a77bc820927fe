"""What is trained on, and random draws that depend on seed, epoch and index alone."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.transforms import RandomizableTransform

from mrsikit.io import InputError
from mrsikit.runtime.data import SeededDataset, training_items


class RandNumberd(RandomizableTransform):
    """Adds a random number under a key."""

    def __init__(self, key: str) -> None:
        super().__init__(1.0)
        self.key = key

    def __call__(self, data):
        return {**data, self.key: self.R.random()}


def dataset(seed: int = 3, length: int | None = None, items: int = 5) -> SeededDataset:
    return SeededDataset(
        [{"item": k} for k in range(items)], [RandNumberd("a"), RandNumberd("b")], seed=seed, length=length
    )


def draws(data: SeededDataset, order: range | list[int] | None = None) -> dict[int, tuple[float, float]]:
    return {k: (data[k]["a"], data[k]["b"]) for k in (range(len(data)) if order is None else order)}


def test_a_sample_is_the_same_in_whichever_order_it_is_made():
    data = dataset(length=7)
    forward, backward = draws(data), draws(data, list(range(7))[::-1])
    assert forward == backward == draws(dataset(length=7))
    assert len({number for pair in forward.values() for number in pair}) == 14, "no two draws alike"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sample_is_the_same_whichever_worker_makes_it(workers):
    data = dataset(length=6)
    for epoch in (1, 2):
        data.set_epoch(epoch)
        loaded = torch.cat([batch["a"] for batch in DataLoader(data, batch_size=2, num_workers=workers)])
        assert loaded.tolist() == [data[k]["a"] for k in range(6)]


def test_epochs_and_seeds_differ_and_an_epoch_can_be_repeated():
    data = dataset()
    seen = {}
    for epoch in (0, 1, 2):
        data.set_epoch(epoch)
        seen[epoch] = draws(data)
        assert data[0]["epoch"] == epoch
    assert len({pairs[0] for pairs in seen.values()}) == 3
    data.set_epoch(1)
    assert draws(data) == seen[1]
    assert draws(dataset(seed=4))[0] != seen[0][0]


@pytest.mark.parametrize(
    ("length", "expected"), [(3, [0, 1, 2, 3, 4, 0, 1, 2, 3]), (7, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4])]
)
def test_epochs_walk_through_the_data_and_begin_again_at_the_end(length, expected):
    data = dataset(length=length)
    walked = []
    for epoch in (0, 1, 2):
        data.set_epoch(epoch)
        walked += [item["item"] for item in data]
    assert len(data) == length
    assert walked[: len(expected)] == expected
    assert len(walked) == 3 * length


def test_without_a_length_an_epoch_takes_each_item_once():
    assert [item["item"] for item in dataset()] == [0, 1, 2, 3, 4]
    for beyond in (5, -1):
        with pytest.raises(IndexError):
            dataset()[beyond]


def test_global_random_state_is_neither_used_nor_changed():
    data = dataset()
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    first, state = draws(data), torch.get_rng_state()
    np.random.seed(1)  # noqa: NPY002
    assert draws(data) == first
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_folder_virtual_patients_are_numbered_on_from_the_seed():
    assert training_items(None, seed=100, number=3) == [{"tissues": 100}, {"tissues": 101}, {"tissues": 102}]


def test_of_a_folder_every_fifth_map_is_held_out(tmp_path):
    for k in range(12):
        nib.save(nib.Nifti1Image(np.ones((8, 8, 8), np.float32), np.eye(4)), tmp_path / f"m{k:02d}.nii.gz")
    names = {
        held_out: [
            item["map"].rsplit("/")[-1][:3] for item in training_items(tmp_path, seed=0, number=9, validation=held_out)
        ]
        for held_out in (False, True)
    }
    assert names[True] == ["m04", "m09"]
    nib.save(nib.Nifti1Image(np.ones((8, 8, 8), np.float32), np.eye(4)), tmp_path / "m00_brain.nii.gz")
    items = training_items(tmp_path, seed=0, number=9, suffixes=["brain"])
    assert not any("brain" in item["map"].rsplit("/")[-1] for item in items)
    assert sorted(names[False] + names[True]) == [f"m{k:02d}" for k in range(12)]


def test_a_folder_of_too_few_maps_is_refused(tmp_path):
    for k in range(4):
        nib.save(nib.Nifti1Image(np.ones((8, 8, 8), np.float32), np.eye(4)), tmp_path / f"m{k}.nii.gz")
    with pytest.raises(InputError, match="at least 5"):
        training_items(tmp_path, seed=0, number=9)


def test_each_epoch_has_an_order_of_its_own_which_a_resumed_training_repeats():
    data = [{"number": k} for k in range(20)]
    orders = []
    for epoch in (1, 2, 1):
        shuffled = SeededDataset(data, [], seed=3, shuffle=True)
        shuffled.set_epoch(epoch)
        orders.append([item["number"] for item in shuffled])
    assert sorted(orders[0]) == list(range(20))
    assert orders[0] == orders[2]
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])
