"""A seed becomes tissues."""

import torch

from mrsikit.phantoms.subject import Tissues
from mrsikit.transforms.virtual_subject import VirtualSubjectd


def test_a_seed_becomes_slices_of_uint8_fractions(planes):
    assert planes.shape == (4, 8, 64, 64)
    assert planes.dtype == torch.uint8
    tissues = Tissues(*planes.float().div(255).movedim(1, 0))
    total = tissues.gm + tissues.wm + tissues.csf + tissues.viable + tissues.necrosis
    assert total.max() < 1.02
    assert tissues.brain.max() == 1
    assert not torch.equal(planes[0], planes[2])


def test_a_seed_becomes_a_volume(volume):
    assert volume.shape == (1, 8, 32, 32, 32)
    assert volume.dtype == torch.uint8
    assert (volume[0, 6] > 127).float().mean() > 0.05


def test_the_same_seed_gives_the_same_tissues_and_other_keys_stay(planes):
    again = VirtualSubjectd("tissues", spatial_dims=2, matrix=64, slices=4)({"tissues": 7, "name": "seven"})
    assert torch.equal(again["tissues"], planes)
    assert again["name"] == "seven"
    other = VirtualSubjectd("tissues", spatial_dims=2, matrix=64, slices=1)({"tissues": 8})["tissues"]
    assert not torch.equal(other[0], planes[0])


def test_every_second_slice_goes_through_a_tumour_if_there_is_one(planes):
    tumour = planes[:, 3:5].float().sum((1, 2, 3)) / 255
    has_tumour = tumour.max() > 0
    assert has_tumour, "this seed has a tumour"
    assert tumour[1] > 5
    assert tumour[3] > 5


def test_an_item_without_the_key_is_left_alone():
    transform = VirtualSubjectd("tissues", spatial_dims=2, matrix=8, allow_missing_keys=True)
    assert transform({"map": "somewhere"}) == {"map": "somewhere"}
