import numpy as np
import pytest
import torch

from mrsi_inpainting.preprocessing import PreprocessMapd
from mrsi_inpainting.reference_pham import PhamInpainter, PhamLoss, PhamPostprocessMapd, PhamUNet

from .conftest import BUNDLE, disc, tensor


@pytest.mark.parametrize("dims", [2, 3])
def test_paper_unet_has_the_papers_size_and_range(dims: int) -> None:
    network = PhamUNet(spatial_dims=dims).eval()
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    assert parameters == pytest.approx({2: 7.8, 3: 22.6}[dims], rel=0.05)
    with torch.no_grad():
        out = network(torch.rand(1, 1, *(16,) * dims, generator=torch.Generator().manual_seed(0)))
    assert out.shape == (1, 1, *(16,) * dims)
    assert ((out > 0) & (out < 1)).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_paper_loss_is_half_mse_half_one_minus_ssim(dims: int) -> None:
    clean = torch.rand(2, 1, *(16,) * dims, generator=torch.Generator().manual_seed(0))
    label = torch.cat([clean, torch.zeros_like(clean)], 1)
    loss = PhamLoss(spatial_dims=dims)
    assert float(loss(clean, label)) == pytest.approx(0, abs=1e-4)
    shifted = clean + 0.2
    only_mse = PhamLoss(spatial_dims=dims, alpha=1.0)(shifted, label)
    only_ssim = PhamLoss(spatial_dims=dims, alpha=0.0)(shifted, label)
    assert float(only_mse) == pytest.approx(0.04, rel=1e-3)
    assert float(loss(shifted, label)) == pytest.approx(float(only_mse + only_ssim) / 2, rel=1e-4)


@pytest.fixture(scope="module")
def shipped() -> PhamInpainter:
    network = PhamInpainter()
    state = torch.load(BUNDLE / "models" / "model_paper_progressive.pt", weights_only=True)
    network.load_state_dict(state)
    return network.eval()


@torch.no_grad()
def filled(network: PhamInpainter, x: torch.Tensor) -> torch.Tensor:
    out = network(x)
    assert out.shape == x.shape
    assert out[:, 1::3].isnan().all()  # neither a standard deviation nor a probability
    assert out[:, 2::3].isnan().all()
    return out[:, ::3]


def stacked(*maps: np.ndarray, mask: float = -1.0) -> torch.Tensor:
    """(1, 3 M, X, Y), as the default network takes it."""
    layers = [torch.stack([torch.from_numpy(m), *[torch.full(m.shape, mask)] * 2]) for m in maps]
    return torch.cat(layers)[None]


def test_the_published_network_sees_the_scaled_map_alone(shipped: PhamInpainter) -> None:
    """A slice of 64 x 64 goes in as it is: divided by its maximum, whatever the masks say."""
    one, other = disc(64), disc(64, seed=1)
    both = filled(shipped, stacked(one, 1000 * other))
    with torch.no_grad():
        alone = PhamUNet.forward(shipped, torch.from_numpy(one / one.max())[None, None])
    torch.testing.assert_close(both[:, :1], one.max() * alone)
    torch.testing.assert_close(both[:, 1:], 1000 * filled(shipped, stacked(other)), rtol=1e-4, atol=1e-3)
    assert torch.equal(both, filled(shipped, stacked(one, 1000 * other, mask=1.0)))
    assert torch.equal(filled(shipped, stacked(one)), filled(shipped, stacked(np.where(one == 0, -5, one))))


@pytest.mark.parametrize("size", [(20, 33), (64, 64), (70, 64)])
def test_zeros_pad_the_map_to_the_published_matrix_or_a_multiple_of_16(
    shipped: PhamInpainter, size: tuple[int, int]
) -> None:
    values = np.zeros(size, np.float32)
    values[4:16, 5:17] = disc(16)[2:14, 2:14]
    canvas = np.zeros((80 if size[0] > 64 else 64, 64), np.float32)
    place = [(whole - side) // 2 for whole, side in zip(canvas.shape, size, strict=True)]
    where = tuple(slice(low, low + side) for low, side in zip(place, size, strict=True))
    canvas[where] = values
    torch.testing.assert_close(filled(shipped, stacked(values)), filled(shipped, stacked(canvas))[:, :, *where])


def test_an_empty_slice_stays_empty(shipped: PhamInpainter) -> None:
    assert filled(shipped, stacked(np.zeros((16, 16), np.float32))).abs().max() < 1e-20


@pytest.mark.slow
def test_the_3d_network_takes_volumes() -> None:
    network = PhamInpainter(volumetric="true").eval()
    x = torch.cat([torch.from_numpy(disc(20, depth=9))[None]] * 3)[None]
    assert filled(network, x).shape == (1, 1, 20, 20, 9)


def finished(values: np.ndarray, **companions: np.ndarray) -> tuple[dict, torch.Tensor]:
    """Outputs where the network gives the half of its input plus 1; that map too."""
    item = PreprocessMapd(check=False, volumetric=False)(
        {"image": tensor(values), **{k: tensor(v) for k, v in companions.items()}}
    )
    item["pred"] = item["image"].as_tensor() / 2 + 1
    return PhamPostprocessMapd()(item), item["pred"]


def test_every_voxel_is_the_networks() -> None:
    values = np.stack([disc(20, seed=s, depth=5) for s in (0, 1)])
    values[0, 10, 10, 2] = np.nan
    out, _ = finished(values)
    expected = torch.from_numpy(values).nan_to_num(0) / 2 + 1
    torch.testing.assert_close(out["inpainted"].as_tensor(), expected)
    assert out["uncertainty"].isnan().all()
    assert not out["calibrated"].any()
    assert out["names"] == ["inpainted", "holes", "uncertainty", "calibrated"]
    assert out["holes"][0, 10, 10, 2] == 1
    assert not (out["holes"].bool() & (torch.from_numpy(values) > 0)).any()
    assert out["summary"]["zeros replaced"] == int(out["holes"].sum()) > 0


def test_a_brain_mask_bounds_the_zeros_that_count() -> None:
    brain = np.zeros((1, 20, 20), np.float32)
    brain[:, 2:12, 2:18] = 1
    out, _ = finished(disc(20)[None], brain=brain)
    assert torch.equal(out["holes"].bool(), torch.from_numpy((brain > 0) & (disc(20) == 0)))


def test_warnings_say_what_the_published_method_lacks() -> None:
    values = disc(70)[None]
    values[0, 30, 30] = -1
    said = "; ".join(finished(values)[0]["flags"])
    for words in ("measured voxels changed too", "no standard deviation", "gives no mask", "1 negative values"):
        assert words in said
    assert "matrix (70, 70): the published maps have 64 voxels a side; it was padded with zeros to (80, 80)" in said
    assert "matrix" not in "; ".join(finished(disc(64)[None])[0]["flags"])
