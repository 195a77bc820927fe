import numpy as np
import pytest
import torch

from mrsikit.phantoms.subject import Tissues
from mrsikit.physics.kspace import resample
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.transforms.li_cohort import COARSE, FINE, SLICES, VERY_FINE, LiCohortd, li_maps, softened


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
    return li_maps(tissues, np.random.default_rng(0), tau=0.4)


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
    torch.testing.assert_close(SpatialEncoding("kspace", 4).A(maps["sharp"]), maps["coarse"], atol=0.02, rtol=0)


def test_the_soft_truth_lies_between_the_interpolation_and_the_sharp_one(maps: dict[str, torch.Tensor]) -> None:
    encoding = SpatialEncoding("kspace", 4)

    def error(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a - b).square().mean())

    start = encoding.interpolate(maps["coarse"])
    assert error(maps["soft"], maps["sharp"]) < error(start, maps["sharp"])
    assert error(maps["soft"], start) < error(maps["sharp"], start)
    alike = encoding.A(maps["soft"])
    torch.testing.assert_close(alike, encoding.A(start), atol=1e-4, rtol=0)
    brain = resample(maps["mri"], (FINE, FINE)) > 0.1
    torch.testing.assert_close(softened(maps["coarse"][None], [maps["mri"]], brain).shape, (1, FINE, FINE))


def test_a_virtual_patient_is_the_same_each_time() -> None:
    first, again = (LiCohortd(slices=1)({"tissues": 7}) for _ in range(2))
    assert set(first) == {"coarse", "sharp", "soft", "mri"}
    for name, value in first.items():
        assert value.dtype == torch.float16
        assert torch.equal(value, again[name])


@pytest.mark.slow
def test_a_head_is_made_coarser_along_all_axes() -> None:
    maps = LiCohortd(dims=3)({"tissues": 7})
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "coarse": (SLICES[FINE], COARSE, COARSE),
        "sharp": (SLICES[FINE], FINE, FINE),
        "soft": (SLICES[FINE], FINE, FINE),
        "mri": (SLICES[FINE], FINE, FINE),
    }
    whole = maps["sharp"].float().movedim(0, -1)[None]
    coarse = SpatialEncoding("kspace", 4, 3).A(whole)[0]
    between = maps["coarse"].float().movedim(0, -1)
    near = 0.5 * (between[..., 1::4] + between[..., 2::4])  # the two fine slices beside the middle of a measured one
    assert (near - coarse).abs().mean() < 0.03 * coarse.abs().mean()
