import pytest
import torch

from mrsi_gan_super_resolution.training import RandLiPaird, tissue_error
from mrsikit.physics.spatial_encoding import cubic
from mrsikit.transforms.li_cohort import COARSE, FINE


@pytest.fixture
def maps() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = {"coarse": COARSE, "sharp": FINE, "soft": FINE, "mri": FINE}
    return {name: torch.rand(side, side, generator=generator) for name, side in sides.items()}


def test_pairs_are_the_same_crop_of_map_mri_and_truth(maps: dict[str, torch.Tensor]) -> None:
    data = {name: m[None].half() for name, m in maps.items()}
    draw = RandLiPaird(truth="sharp", two_inputs=True, size=96)
    start = cubic(data["coarse"][0].float(), 4)
    flipped = set()
    for seed in range(8):
        draw.set_random_state(seed)
        pair = draw(data)
        assert pair["image"].shape == (2, 96, 96)
        assert pair["label"].shape == (1, 96, 96)
        both = torch.cat([pair["image"], pair["label"]])
        whole = torch.stack([start, data["mri"][0].float(), data["sharp"][0].float()])
        for axes in ((), (1,), (2,), (1, 2)):
            windows = whole.flip(axes).unfold(1, 96, 1).unfold(2, 96, 1)
            if (windows == both[:, None, None]).flatten(3).all(3).all(0).any():
                flipped.add(axes)
                break
        else:
            pytest.fail("the crop is nowhere in the slice")
    assert len(flipped) > 1
    whole = RandLiPaird(truth="soft", size=None)(data)
    assert whole["image"].shape == (1, FINE, FINE)
    torch.testing.assert_close(whole["label"][0], data["soft"][0].float())


def test_the_error_is_that_in_tissue() -> None:
    label = torch.zeros(1, 1, 8, 8)
    label[..., :4] = 1
    image = label + 0.1
    image[..., 4:] += 5

    class Same(torch.nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    assert tissue_error(Same(1, 1, 1), [{"image": image, "label": label}]) == pytest.approx(0.1, rel=1e-4)
