import math

import numpy as np
import pytest
import torch

from mrsikit.physics.kspace import band_weights, hamming_weights, low_pass_sample, merged, resample, weighted, zero_fill

CASES = [(16, 4), (17, 3), (16, 2), (15, 4), (8, 3)]


def in_band(fine: torch.Tensor, factor: int) -> torch.Tensor:
    """What is measured of an image."""
    return weighted(fine, band_weights(fine.shape[-2], fine.shape[-1], factor).to(fine))


def wave(points: int, cycles: int, phase: float = 0.3) -> torch.Tensor:
    """A cosine over the field of view, at the centres of so many voxels."""
    at = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    return torch.cos(2 * math.pi * cycles * at + phase)


@pytest.mark.parametrize(("size", "factor"), CASES)
def test_a_wave_is_measured_and_interpolated_where_its_voxels_are(size: int, factor: int) -> None:
    for cycles in (0, 1, 3):
        coarse = wave(size, cycles)[:, None] * wave(size + 1, 2)[None]
        fine = wave(size * factor, cycles)[:, None] * wave((size + 1) * factor, 2)[None]
        torch.testing.assert_close(zero_fill(coarse, factor), fine, atol=1e-6, rtol=0)
        torch.testing.assert_close(low_pass_sample(fine, factor), coarse, atol=1e-6, rtol=0)


def test_a_wave_too_fine_is_not_seen() -> None:
    fine = wave(64, 9)[:, None].expand(64, 64)
    assert low_pass_sample(fine, 4).abs().max() < 1e-9
    assert in_band(fine, 4).abs().max() < 1e-6


@pytest.mark.parametrize(("size", "factor"), CASES)
def test_measuring_what_was_interpolated_changes_nothing_in_the_band(size: int, factor: int) -> None:
    fine = torch.randn(2, size * factor, size * factor, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    coarse = low_pass_sample(fine, factor)
    again = zero_fill(coarse, factor)
    torch.testing.assert_close(low_pass_sample(again, factor), coarse)
    torch.testing.assert_close(in_band(fine, factor), again, atol=1e-6, rtol=0)
    torch.testing.assert_close(in_band(again, factor), again, atol=1e-6, rtol=0)


def test_a_wave_is_where_it_is_on_any_grid() -> None:
    """256 to 184 to 46 points, as the published cohorts are made, and in three dimensions."""
    fine = wave(256, 5)
    torch.testing.assert_close(resample(fine, [184]), wave(184, 5), atol=1e-6, rtol=0)
    torch.testing.assert_close(resample(resample(fine, [184]), [46]), wave(46, 5), atol=1e-6, rtol=0)
    torch.testing.assert_close(resample(wave(46, 5), [184]), wave(184, 5), atol=1e-6, rtol=0)
    volume = wave(16, 1)[:, None, None] * wave(20, 2)[None, :, None] * wave(12, 1)
    expected = wave(8, 1)[:, None, None] * wave(10, 2)[None, :, None] * wave(24, 1)
    torch.testing.assert_close(resample(volume, [8, 10, 24]), expected, atol=1e-6, rtol=0)
    both = resample(volume.expand(2, -1, -1, -1), [4, 5, 3])
    torch.testing.assert_close(both, low_pass_sample(volume, 4, 3).expand(2, -1, -1, -1))


def test_the_mean_stays() -> None:
    fine = torch.rand(32, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    coarse = low_pass_sample(fine, 4)
    assert float(coarse.mean()) == pytest.approx(float(fine.mean()))
    assert float(zero_fill(coarse, 4).mean()) == pytest.approx(float(fine.mean()))


def test_hamming_weights_are_those_of_each_axis() -> None:
    weights = hamming_weights(32, 32, 4)
    assert weights.shape == (32, 17)
    assert float(weights[0, 0]) == pytest.approx(1)
    assert float(weights[0, 2]) == pytest.approx(0.54 + 0.46 * math.cos(2 * math.pi * 2 / 8))
    assert float(weights[1, 1]) == pytest.approx(float(weights[0, 1]) ** 2)
    np.testing.assert_array_equal(weights > 0, band_weights(32, 32, 4) > 0)
    image = wave(32, 2)[:, None].expand(32, 32)
    torch.testing.assert_close(weighted(image, weights.double()), image * float(weights[0, 2]), atol=1e-6, rtol=0)


def test_zero_filling_goes_through_the_coarse_voxels() -> None:
    coarse = torch.rand(8, 10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(zero_fill(coarse, 3)[1::3, 1::3], coarse, atol=1e-5, rtol=0)


def test_volumes_of_three_planes_are_merged_where_each_is_sharp() -> None:
    shape = (20, 28, 12)
    truth = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    blurred = []
    for axis, n in enumerate(shape):  # each coarse along its own axis
        coarse = [n // 2 if k == axis else m for k, m in enumerate(shape)]
        blurred.append(resample(resample(truth, coarse), shape))
    volumes = torch.stack(blurred)
    found = merged(volumes, 2)

    def error(x: torch.Tensor) -> float:
        return float((x - truth).square().mean())

    assert error(found) < 0.8 * error(volumes.mean(0))
    torch.testing.assert_close(merged(truth.expand(3, *shape), 2), truth, atol=1e-5, rtol=0)
