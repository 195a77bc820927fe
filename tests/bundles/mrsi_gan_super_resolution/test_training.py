import numpy as np
import pytest
import torch

from mrsi_gan_super_resolution.training import (
    COARSE,
    FINE,
    VERY_FINE,
    PublishedCohortd,
    RandPublishedPaird,
    published_maps,
    softened,
    tissue_error,
)
from mrsikit.kspace import resample
from mrsikit.measurement import KSPACE, cubic, interpolated, measured
from mrsikit.synthesis.subject import Tissues


@pytest.fixture(scope="module")
def tissues() -> Tissues:
    """A disc of white matter with a rim of grey, a ventricle and a tumour."""
    x, y = torch.meshgrid(torch.arange(VERY_FINE) - 127.5, torch.arange(VERY_FINE) - 127.5, indexing="ij")
    radius = torch.hypot(x, y)
    inside, csf, tumour = radius < 80, radius < 14, torch.hypot(x - 40, y) < 12
    grey = inside & (radius > 66)
    none = torch.zeros(VERY_FINE, VERY_FINE)
    white = inside & ~grey & ~csf & ~tumour
    return Tissues(grey.float(), white.float(), csf.float(), tumour.float(), none, none, inside.float(), csf.float())


@pytest.fixture(scope="module")
def maps(tissues: Tissues) -> dict[str, torch.Tensor]:
    return published_maps(tissues, np.random.default_rng(0), tau=0.4)


def test_maps_follow_the_papers_rule_on_its_grids(tissues: Tissues, maps: dict[str, torch.Tensor]) -> None:
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "coarse": (COARSE, COARSE),
        "sharp": (FINE, FINE),
        "soft": (FINE, FINE),
        "mri": (FINE, FINE),
    }
    middle = [FINE // 2 + round(d * FINE / VERY_FINE) for d in (0, 40, 25, 73)]
    fluid, tumour, white, grey = (float(maps["sharp"][m, FINE // 2]) for m in middle)
    assert [fluid, tumour, white, grey] == pytest.approx([0, 1, 0.3, 0.25], abs=0.05)
    torch.testing.assert_close(measured(maps["sharp"], 4, KSPACE), maps["coarse"], atol=0.02, rtol=0)


def test_the_soft_truth_lies_between_the_interpolation_and_the_sharp_one(maps: dict[str, torch.Tensor]) -> None:
    def error(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a - b).square().mean())

    start = interpolated(maps["coarse"], 4, KSPACE)
    assert error(maps["soft"], maps["sharp"]) < error(start, maps["sharp"])
    assert error(maps["soft"], start) < error(maps["sharp"], start)
    alike = measured(maps["soft"], 4, KSPACE)
    torch.testing.assert_close(alike, measured(start, 4, KSPACE), atol=1e-4, rtol=0)
    brain = resample(maps["mri"], (FINE, FINE)) > 0.1
    torch.testing.assert_close(softened(maps["coarse"][None], [maps["mri"]], brain).shape, (1, FINE, FINE))


def test_pairs_are_the_same_crop_of_map_mri_and_truth(maps: dict[str, torch.Tensor]) -> None:
    data = {name: m[None].half() for name, m in maps.items()}
    draw = RandPublishedPaird(truth="sharp", two_inputs=True, size=96)
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
    whole = RandPublishedPaird(truth="soft", size=None)(data)
    assert whole["image"].shape == (1, FINE, FINE)
    torch.testing.assert_close(whole["label"][0], data["soft"][0].float())


def test_a_virtual_patient_is_the_same_each_time() -> None:
    first, again = (PublishedCohortd(slices=1)({"tissues": 7}) for _ in range(2))
    assert set(first) == {"coarse", "sharp", "soft", "mri"}
    for name, value in first.items():
        assert value.dtype == torch.float16
        assert torch.equal(value, again[name])


def test_the_error_is_that_in_tissue() -> None:
    label = torch.zeros(1, 1, 8, 8)
    label[..., :4] = 1
    image = label + 0.1
    image[..., 4:] += 5

    class Same(torch.nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    assert tissue_error(Same(1, 1, 1), [{"image": image, "label": label}]) == pytest.approx(0.1, rel=1e-4)
