import pytest
import torch
from torch import Tensor

from mrsi_inpainting.network import Finder, Inpainter

from .conftest import decided_network


def example(*size: int, seed: int = 0, maps: int = 1, observation: float | None = None, brain: float = -1.0) -> Tensor:
    """(1, 3 maps, *size): positive maps with some zeros, voxels of unknown state or of ``observation``."""
    generator = torch.Generator().manual_seed(seed)
    channels = []
    for _ in range(maps):
        values = 5 + torch.rand(size, generator=generator)
        hole = torch.rand(size, generator=generator) < 0.15
        values[hole] = 0
        state = torch.full(size, -1.0) if observation is None else torch.full(size, observation)
        channels += [values, state, torch.full(size, brain)]
    return torch.stack(channels)[None]


@torch.no_grad()
def run(network: torch.nn.Module, x: Tensor) -> Tensor:
    return network(x)


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (64, 64), (65, 80), (33, 127), (8, 9, 10), (49, 20, 11)], ids=str)
def test_output_has_the_inputs_shape_whatever_the_matrix(network: Inpainter, size: tuple[int, ...]) -> None:
    out = run(network, example(*size, maps=2 if len(size) == 2 else 1))
    assert out.shape[2:] == size
    assert torch.isfinite(out).all()
    assert (out[:, 1::3] > 0).all()
    assert ((out[:, 2::3] >= 0) & (out[:, 2::3] <= 1)).all()


@pytest.mark.parametrize("factor", [1e6, 1e-6])
@pytest.mark.parametrize("size", [(24, 30), (12, 14, 10)], ids=str)
def test_result_follows_the_unit(network: Inpainter, factor: float, size: tuple[int, ...]) -> None:
    x = example(*size)
    scaled = x.clone()
    scaled[:, 0] *= factor
    out, out_scaled = run(network, x), run(network, scaled)
    torch.testing.assert_close(out_scaled[:, :2] / factor, out[:, :2], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(out_scaled[:, 2], out[:, 2], rtol=1e-3, atol=1e-3)


def test_every_map_is_filled_on_its_own(network: Inpainter) -> None:
    x = example(20, 24, maps=3)
    alone = torch.cat([run(network, x[:, 3 * k : 3 * k + 3]) for k in range(3)], 1)
    torch.testing.assert_close(run(network, x), alone, rtol=1e-4, atol=1e-4)
    # more maps than are computed at a time
    many = example(8, 8, maps=18)
    torch.testing.assert_close(run(network, many)[:, 51:], run(network, many[:, 51:]), rtol=1e-4, atol=1e-4)


def test_a_small_map_is_the_map_in_a_canvas_of_known_outside(network: Inpainter) -> None:
    x = example(40, 48)
    canvas = torch.zeros(1, 3, 64, 64)
    canvas[:, :, 12:52, 8:56] = x
    torch.testing.assert_close(run(network, canvas)[:, :, 12:52, 8:56], run(network, x), rtol=1e-4, atol=1e-4)


def test_the_empty_surroundings_of_a_volume_do_not_matter(network: Inpainter) -> None:
    x = example(20, 24, 12)
    canvas = torch.zeros(1, 3, 70, 60, 80)
    canvas[:, 1:] = -1
    canvas[:, :, 12:32, 8:32, 50:62] = x
    alone = torch.zeros(1, 3, 28, 32, 20)
    alone[:, 1:] = -1
    alone[:, :, 4:24, 4:28, 4:16] = x
    out = run(network, canvas)
    torch.testing.assert_close(out[:, :, 12:32, 8:32, 50:62], run(network, alone)[:, :, 4:24, 4:28, 4:16])
    assert out[..., :40].abs().sum() == 0


def test_a_volumes_lost_slices_are_filled_where_a_brain_mask_says_so() -> None:
    network = decided_network(threshold=0.0)
    x = example(32, 32, 32)
    x[:, 0, :, :, 12:] = 0
    x[:, 2] = 0
    x[:, 2, 4:28, 4:28, :28] = 1
    out = run(network, x)
    assert (out[0, 2, 4:28, 4:28, 12:28] > 0).all()
    assert (out[0, 1, 4:28, 4:28, 12:28] > 0).all()


def test_a_volumes_network_begins_as_the_slices(network: Inpainter) -> None:
    other = decided_network()
    x = torch.rand(2, 5, 32, 48, 3, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(run(other.volumetric.detector, x), run(other.planar.detector, x[..., 1])[..., None])
    other.volumetric.adopt(other.planar)
    for k in range(3):
        expected = run(other.planar.detector, x[..., k])
        torch.testing.assert_close(run(other.volumetric.detector, x)[..., k], expected, rtol=1e-4, atol=1e-4)


def test_a_volumes_slice_is_read_with_its_neighbours_alone(network: Inpainter) -> None:
    x = torch.rand(1, 5, 32, 32, 6, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[..., 2] += 1
    changed = (run(network.volumetric.detector, x) != run(network.volumetric.detector, other)).any(dim=(0, 1, 2, 3))
    assert changed.tolist() == [False, True, True, True, False, False]


@pytest.mark.parametrize("axes", [[2], [3], [2, 3]])
def test_planar_result_mirrors_with_the_map(network: Inpainter, axes: list[int]) -> None:
    x = example(64, 64)
    torch.testing.assert_close(run(network, x.flip(axes)), run(network, x).flip(axes), rtol=1e-3, atol=1e-3)


def test_detector_decides_only_where_the_state_is_unknown(network: Inpainter) -> None:
    x = example(32, 32)
    probability = run(network, x)[:, 2]
    assert (probability > 0.5).any()
    assert (probability < 0.5).any()
    # With every state known, a detector that says the opposite changes nothing in fill and uncertainty.
    known = x.clone()
    known[:, 1] = (x[:, 0] == 0).float()
    filled = run(network, known)[:, :2]
    other = decided_network()
    other.planar.detector.unet.final_conv.weight.data.mul_(-3)
    torch.testing.assert_close(run(other, known)[:, :2], filled)
    assert not torch.allclose(run(other, x)[:, :2], run(network, x)[:, :2])


@pytest.mark.parametrize("size", [(64, 64), (48, 48, 48)], ids=str)
def test_the_finder_is_the_inpainters_detector(size: tuple[int, ...]) -> None:
    network = decided_network()
    part = (network.planar if len(size) == 2 else network.volumetric).train()
    x = example(*size)
    torch.testing.assert_close(run(Finder(part), x), run(part, x)[:, 2:3])
    assert not any(p.requires_grad for p in part.filler.parameters())


def test_what_a_map_holds_where_it_is_known_missing_does_not_matter(network: Inpainter) -> None:
    x = example(32, 32, observation=0.0)
    x[:, 1, 10:14, 10:14] = 1
    other = x.clone()
    other[:, 0, 10:14, 10:14] = 1e4
    torch.testing.assert_close(run(network, other), run(network, x))


def test_threshold_changes_what_is_filled() -> None:
    x = example(32, 32)
    network = decided_network()
    judged = {}
    for network.planar.threshold in (1e-6, 1.0):
        judged[network.planar.threshold] = run(network, x)
    torch.testing.assert_close(judged[1.0][:, 2], judged[1e-6][:, 2])
    assert not torch.allclose(judged[1e-6][:, 0], judged[1.0][:, 0])


@pytest.mark.parametrize("size", [(30, 26), (12, 10, 9)], ids=str)
def test_torchscript_equals_eager(network: Inpainter, size: tuple[int, ...]) -> None:
    scripted = torch.jit.script(network)
    x = example(*size)
    torch.testing.assert_close(run(scripted, x), run(network, x), rtol=1e-4, atol=1e-4)


def test_an_empty_map_gives_finite_numbers(network: Inpainter) -> None:
    x = torch.zeros(1, 3, 16, 16)
    x[:, 1:] = -1
    assert torch.isfinite(run(network, x)).all()
