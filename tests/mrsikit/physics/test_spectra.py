import math

import pytest
import torch

from mrsikit.physics import spectra
from mrsikit.physics.fid_model import FidModel

MODEL = FidModel(ppm=(4.7, 1.3), t2_star=(0.03, 0.06), larmor=76.7, reference=4.7, dwell=4e-4, points=512)


def line(**options: float) -> torch.Tensor:
    return MODEL.simulate(torch.tensor([[10.0, 0.0]]), **options)[0]


def test_shift_and_frequency_are_inverse_and_follow_nifti_mrs() -> None:
    hz = spectra.ppm_to_hz(1.3, larmor=76.7, reference=4.7)
    assert hz == pytest.approx(3.4 * 76.7)  # below the reference: forwards
    assert spectra.hz_to_ppm(hz, larmor=76.7, reference=4.7) == pytest.approx(1.3)


def test_a_line_stands_where_the_ppm_axis_says() -> None:
    fid = MODEL.simulate(torch.tensor([[0.0, 5.0]]))[0]
    axis = spectra.ppm_axis(4096, MODEL.dwell, larmor=76.7, reference=4.7)
    peak = axis[spectra.spectrum(fid, points=4096).abs().argmax()]
    assert peak == pytest.approx(1.3, abs=0.02)
    assert (axis.diff() < 0).all()


def test_spectrum_and_back() -> None:
    fid = torch.randn(3, 64, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    for halve in (True, False):
        again = spectra.fid_from_spectrum(spectra.spectrum(fid, halve_first=halve), halve_first=halve)
        torch.testing.assert_close(again, fid)


def test_half_of_the_first_sample_frees_the_spectrum_of_an_offset() -> None:
    far = slice(0, 50)
    assert spectra.spectrum(line()).real[far].mean().abs() < 0.3
    assert spectra.spectrum(line(), halve_first=False).real[far].mean() > 4


def test_phase_shift_and_broadening_are_those_of_the_model() -> None:
    at = MODEL.times
    torch.testing.assert_close(spectra.phased(line(), 0.7), line(phase=0.7))
    torch.testing.assert_close(spectra.shifted(line(), 12.0, at), line(shift=12.0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(spectra.broadened(line(), 5.0, at), line(broadening=5.0), atol=1e-4, rtol=1e-4)
    both = spectra.phased(torch.stack([line(), line()]), torch.tensor([0.0, math.pi]))
    torch.testing.assert_close(both[1], -both[0], atol=1e-5, rtol=1e-5)


def test_noise_and_snr() -> None:
    fid = line(noise=2.0, generator=torch.Generator().manual_seed(1))
    assert spectra.noise_sd(fid) == pytest.approx(2.0, rel=0.15)
    padded = torch.cat([fid, 1e-9 * fid])
    assert spectra.acquired_points(padded) == 512
    assert spectra.noise_sd(padded) == pytest.approx(2.0, rel=0.15)
    height = spectra.spectrum(line()).abs().max()
    assert spectra.snr(fid) == pytest.approx(float(height) / (2.0 * math.sqrt(512)), rel=0.2)


def test_linewidth_is_that_of_the_decay() -> None:
    values = spectra.spectrum(torch.stack([line(), line(broadening=8.0)]), points=16384).real
    width = spectra.linewidth(values, 2500 / 16384)
    natural = 1 / (math.pi * 0.03)
    torch.testing.assert_close(width, torch.tensor([natural, natural + 8.0]), rtol=0.02, atol=0.05)
    assert spectra.linewidth(torch.ones(1, 32), 1.0).isnan().all()
