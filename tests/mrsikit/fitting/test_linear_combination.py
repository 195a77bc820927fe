import math

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from torch import Tensor

from mrsikit.fitting.linear_combination import Fit, fit
from mrsikit.physics.spectra import broadened, phased, shifted, times
from mrsikit.simulation.density_matrix import simulated_basis

POINTS, DWELL, LARMOR, REFERENCE = 1024, 0.0005, 127.73, 4.68
NAMES = ["NAA", "Cr", "GPC", "Glu", "mI"]
TRUE = torch.tensor([10.0, 8.0, 1.5, 9.0, 6.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def basis() -> Tensor:
    made = simulated_basis("press", te=0.035, metabolites=NAMES, points=POINTS, dwell=DWELL)[""]
    return torch.from_numpy(np.stack([made.fids[name] for name in NAMES])).to(torch.complex128)


def spectra(basis: Tensor, count: int, sigma: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """FIDs with phases and shifts."""
    rng = np.random.default_rng(seed)
    at = times(POINTS, DWELL)
    phase, shift = torch.from_numpy(rng.uniform(-3, 3, count)), torch.from_numpy(rng.uniform(-15, 15, count))
    wide = torch.exp(-((math.pi * 5 * at) ** 2) / (4 * math.log(2)))
    fid = broadened((TRUE.to(torch.complex128) @ basis)[None] * wide, 2.0, at)
    fids = phased(shifted(fid.expand(count, -1), shift, at), phase)
    noise = torch.from_numpy(rng.normal(0, sigma, (2, count, POINTS)))
    return fids + torch.complex(noise[0], noise[1]), phase, shift


def fitted(fids: Tensor, basis: Tensor) -> Fit:
    return fit(fids, basis, dwell=DWELL, larmor=LARMOR, reference=REFERENCE)


def test_without_noise_everything_is_found(basis: Tensor) -> None:
    fids, phase, shift = spectra(basis, 6, 0.0)
    found = fitted(fids, basis)
    torch.testing.assert_close(found.amplitudes, TRUE.expand(6, -1), rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(found.shift, shift, atol=0.01, rtol=0)
    off = torch.polar(torch.ones_like(phase), found.phase - phase).angle()
    assert off.abs().max() < 0.01
    assert (found.lorentz - 2).abs().max() < 0.1
    assert (found.gauss - 5).abs().max() < 0.1


def test_amplitudes_are_unbiased_and_spread_as_stated(basis: Tensor) -> None:
    fids, _, _ = spectra(basis, 200, 1.0)
    found = fitted(fids, basis)
    errors = (found.amplitudes - TRUE) / found.amplitude_sd
    assert (errors.mean(0).abs() * 200**0.5 < 3).all(), errors.mean(0)
    assert ((errors.std(0) > 0.85) & (errors.std(0) < 1.15)).all(), errors.std(0)
    assert found.noise.mean() == pytest.approx(1.0, rel=0.03)


def test_one_spectrum_as_an_independent_least_squares_finds_it(basis: Tensor) -> None:
    fids, phase, shift = spectra(basis, 1, 0.5)
    found = fitted(fids, basis)
    at = np.arange(POINTS) * DWELL
    members, data = basis.numpy(), fids[0].numpy()
    ppm = REFERENCE - np.fft.fftfreq(POINTS, DWELL) / LARMOR
    inside = (ppm >= 0.5) & (ppm <= 4.2)

    def residual(p: np.ndarray) -> np.ndarray:
        envelope = np.exp(-math.pi * p[2] * at - (math.pi * p[3] * at) ** 2 / (4 * math.log(2)))
        model = (p[4:] @ members) * envelope * np.exp(1j * (p[0] + 2 * math.pi * p[1] * at))
        left = np.fft.fft(model - data, norm="ortho")[inside]
        return np.concatenate([left.real, left.imag])

    start = [float(phase[0]), float(shift[0]), 2.0, 5.0, *TRUE.tolist()]
    best = least_squares(residual, start).x[4:]
    # without a baseline, so not the same number: well within the noise of either
    assert (np.abs(best - found.amplitudes[0].numpy()) < 1.5 * found.amplitude_sd[0].numpy()).all()


def test_a_smooth_baseline_is_no_metabolite(basis: Tensor) -> None:
    fids, _, _ = spectra(basis, 20, 0.2)
    at = times(POINTS, DWELL)
    hump = 100 * torch.exp(2j * math.pi * (REFERENCE - 2.5) * LARMOR * at - (350 * at) ** 2)  # 1.5 ppm wide
    plain, humped = fitted(fids, basis), fitted(fids + hump, basis)
    assert (humped.amplitudes.mean(0) / plain.amplitudes.mean(0) - 1).abs().max() < 0.05
    assert humped.baseline.abs().amax(1).min() > 3 * plain.baseline.abs().amax(1).median()


def test_batches_change_nothing(basis: Tensor) -> None:
    fids, _, _ = spectra(basis, 5, 1.0)
    one, many = (
        fit(fids, basis, dwell=DWELL, larmor=LARMOR, reference=REFERENCE, batch=batch).amplitudes for batch in (1, 5)
    )
    torch.testing.assert_close(one, many, rtol=1e-5, atol=1e-5)


def test_one_bad_spectrum_spoils_no_other(basis: Tensor) -> None:
    fids, _, _ = spectra(basis, 4, 1.0)
    alone = fitted(fids, basis)
    spoilt = fids.clone()
    spoilt[1], spoilt[2, 3] = 0, torch.nan
    found = fitted(spoilt, basis)
    torch.testing.assert_close(found.amplitudes[[0, 3]], alone.amplitudes[[0, 3]], rtol=1e-6, atol=1e-6)
    assert found.amplitudes[[1, 2]].isnan().all()
    assert found.converged.tolist() == [True, False, False, True]


def test_a_member_without_signal_is_nothing(basis: Tensor) -> None:
    fids, _, _ = spectra(basis, 3, 1.0)
    more = torch.cat([basis, torch.zeros_like(basis[:1])])
    found = fitted(fids, more)
    torch.testing.assert_close(found.amplitudes[:, :-1], fitted(fids, basis).amplitudes, rtol=1e-6, atol=1e-6)
    assert (found.amplitudes[:, -1] == 0).all()
    assert found.amplitude_sd[:, -1].isinf().all()


def test_what_does_not_fit_together_is_refused(basis: Tensor) -> None:
    with pytest.raises(ValueError, match="give the same"):
        fitted(torch.zeros(1, 512, dtype=torch.complex128), basis)
    with pytest.raises(ValueError, match="too few"):
        fit(
            torch.zeros(1, POINTS, dtype=torch.complex128), basis,
            dwell=DWELL, larmor=LARMOR, reference=REFERENCE, ppm_range=(3.0, 3.05),
        )  # fmt: skip


def test_missing_first_points_need_a_delay(basis: Tensor) -> None:
    fids, _, _ = spectra(basis, 8, 0.5)
    for lost in (3, 6):
        late = torch.nn.functional.pad(fids[:, lost:], (0, lost))
        assert not fitted(late, basis).converged.any()
        about = {"dwell": DWELL, "larmor": LARMOR, "reference": REFERENCE}
        found = fit(late, basis, delay=lost * DWELL, **about)  # type: ignore[arg-type]
        assert found.converged.all()
        assert ((found.amplitudes / TRUE).mean(0) - 1).abs().max() < 0.05
    with pytest.raises(ValueError, match="give 0 to"):
        fit(fids, basis, delay=-0.001, dwell=DWELL, larmor=LARMOR, reference=REFERENCE)


def test_a_larger_shift_is_found_within_the_range_given(basis: Tensor) -> None:
    fids, _, shift = spectra(basis, 6, 0.5)
    moved = shifted(fids, torch.full((6,), 60.0, dtype=torch.float64), times(POINTS, DWELL))
    assert not fitted(moved, basis).converged.any()
    found = fit(moved, basis, dwell=DWELL, larmor=LARMOR, reference=REFERENCE, shift_range=100.0)
    assert found.converged.all()
    torch.testing.assert_close(found.shift, shift + 60, atol=0.5, rtol=0)


def test_noise_has_no_width_and_has_not_converged(basis: Tensor) -> None:
    rng = np.random.default_rng(3)
    noise = torch.from_numpy(rng.normal(size=(2, 20, POINTS)))
    found = fitted(torch.complex(noise[0], noise[1]), basis)
    assert torch.minimum(found.lorentz, found.gauss).min() >= 0.0999
    assert found.converged.float().mean() <= 0.05
