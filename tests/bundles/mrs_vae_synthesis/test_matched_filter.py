from collections.abc import Callable

import torch

from mrs_vae_synthesis.matched_filter import (
    as_complex,
    as_real,
    fft_ppm,
    in_band,
    matched,
    signal_space,
    turned,
    without_water,
)

DWELL = 0.0005


def test_a_matched_filter_finds_phase_shift_and_height() -> None:
    at = torch.arange(1024) * DWELL
    template = torch.exp((2j * torch.pi * 200 - 20) * at) + 0.5 * torch.exp((2j * torch.pi * 330 - 20) * at)
    phase, shift = torch.tensor([0.5, -2.0, 3.0]), torch.tensor([4.3, -12.0, 0.01])
    fids = 3 * turned(template.expand(3, -1), phase, shift, DWELL)
    found = matched(fids, template.expand(3, -1), DWELL)
    torch.testing.assert_close(found[1].float(), shift, atol=0.05, rtol=0)
    turn = torch.polar(torch.ones(3), found[0].float() - phase)
    assert (turn.angle().abs() < 0.03).all()
    torch.testing.assert_close(found[2].float(), torch.full((3,), 3.0), rtol=0.01, atol=0)


def test_the_signal_space_holds_signals_and_little_noise() -> None:
    space = signal_space(1024, DWELL, 127.7, 4.68)
    torch.testing.assert_close(space.conj().T @ space, torch.eye(space.shape[1]) + 0j, atol=1e-4, rtol=0)
    at = torch.arange(1024) * DWELL
    for ppm, width in ((2.0, 5.0), (4.7, 12.0), (0.9, 30.0)):
        line = torch.exp((2j * torch.pi * (4.68 - ppm) * 127.7 - torch.pi * width) * at)
        assert torch.linalg.vector_norm(line - space @ (space.conj().T @ line)) < 0.01 * torch.linalg.vector_norm(line)
    assert space.shape[1] < 600
    outside = torch.exp((2j * torch.pi * (4.68 - 10.0) * 127.7 - torch.pi * 5) * at)
    assert torch.linalg.vector_norm(space.conj().T @ outside) < 0.3 * torch.linalg.vector_norm(outside)


def share_left(part: Callable[..., torch.Tensor], ppm: float) -> float:
    """Share of the norm of a line of 6 Hz that a part of the spectrum holds."""
    line = torch.exp((2j * torch.pi * (4.68 - ppm) * 127.7 - torch.pi * 6) * torch.arange(2048) * DWELL)
    return float(torch.linalg.vector_norm(part(line, DWELL, 127.7, 4.68)) / torch.linalg.vector_norm(line))


def test_water_is_taken_away_and_little_else() -> None:
    for ppm, low, high in ((4.7, 0, 0.02), (4.5, 0, 0.02), (3.9, 0.93, 1), (2.0, 0.99, 1)):
        assert low <= share_left(without_water, ppm) <= high


def test_real_and_imaginary_parts_come_back() -> None:
    values = torch.randn(3, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(as_complex(as_real(values)), values)


def test_shifts_stand_in_the_order_of_the_transform() -> None:
    """Four points of 2000 Hz at 125 MHz: 0, 500, -1000 and -500 Hz are 4, 8 and 4 ppm away."""
    torch.testing.assert_close(fft_ppm(4, DWELL, 125.0, 4.68), torch.tensor([4.68, 0.68, 12.68, 8.68]))


def test_the_band_holds_its_lines_and_no_others() -> None:
    for ppm, low, high in ((2.0, 0.97, 1), (3.0, 0.97, 1), (4.7, 0, 0.1), (0.9, 0, 0.1)):
        assert low <= share_left(in_band, ppm) <= high


def test_turning_is_a_phase_and_a_ramp() -> None:
    fids = torch.ones(2, 4, dtype=torch.complex64)
    found = turned(fids, torch.tensor([torch.pi / 2, 0.0]), torch.tensor([0.0, 500.0]), DWELL)
    expected = torch.tensor([[1j, 1j, 1j, 1j], [1, 1j, -1, -1j]], dtype=torch.complex64)  # a quarter turn each 0.5 ms
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
