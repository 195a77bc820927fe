import torch

from mrsikit.super_resolution.inferer import SliceStackInferer
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd

from .conftest import flair, volume


def test_without_the_mris_none_of_them_is_seen() -> None:
    item = PreprocessCoarseMapd()({"image": volume(), "flair": flair(), "t1": flair()})

    def mris(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 1:5].abs().sum(1)] * 2, 1)

    found = SliceStackInferer()(item["image"].as_tensor()[None], mris)[0]
    assert found[0].max() > 0
    assert (found[2] == 0).all()
