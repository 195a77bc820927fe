from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dmi_quantification.network import FidLeastSquares
from dmi_quantification.residual import Residual, examine, ghost_of, line_outside_model

from .conftest import MODEL, rows_of, sound_residual

TRUTH = torch.tensor([10.0, 2.0, 3.0, 1.0])


def draw(count: int = 300, *, noise: float = 1.5, **state: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return MODEL.simulate(TRUTH.expand(count, -1), noise=noise, generator=generator, **state)


def examined(fids: Tensor, model: object = MODEL, **options: object) -> Residual:
    rows = rows_of(fids, model)
    with torch.no_grad():
        return examine(rows, FidLeastSquares().eval()(rows[None])[0], 4, **options)


def extra_line(ppm: float, amplitude: float) -> Tensor:
    at = MODEL.times
    hz = (MODEL.reference - ppm) * MODEL.larmor
    return (amplitude * torch.polar(torch.exp(-at / 0.03), 2 * torch.pi * hz * (at + MODEL.delay))).to(torch.complex64)


def test_sound_fits_leave_white_noise() -> None:
    residual = examined(draw(shift=5.0, phase=0.4, broadening=3.0))
    assert residual.count == 300
    assert residual.power.mean().item() == pytest.approx(1, abs=0.03)
    assert residual.early_over_late == pytest.approx(1, abs=0.03)
    assert (residual.tallest < 4.5).all()
    assert residual.wider.std(0).tolist() == pytest.approx([1] * 4, abs=0.15)
    assert residual.wider.mean(0).abs().max() < 0.25
    assert line_outside_model(residual, MODEL) is None


def test_fit_is_the_fid_without_its_noise() -> None:
    clean = draw(3, noise=0.0, shift=5.0, phase=0.4, broadening=3.0)
    noisy = clean + 1e-3 * torch.randn(clean.shape, dtype=clean.dtype, generator=torch.Generator().manual_seed(1))
    fit = examined(noisy).fit
    assert fit is not None
    assert (fit - clean).abs().max() < 0.05
    assert examined(noisy, keep=False).fit is None


def test_a_fid_of_zeros_is_not_examined() -> None:
    fids = draw(3)
    fids[1] = 0
    residual = examined(fids)
    assert residual.count == 2
    assert residual.tallest[1] == 0
    assert (residual.fit[1] == 0).all()
    nothing = examined(0 * fids)
    assert (nothing.count, nothing.fit, nothing.early_over_late) == (0, None, 1.0)


@pytest.mark.parametrize(("life", "sign"), [(0.06, 1), (0.02, -1)])
def test_a_line_of_the_wrong_relaxation_time_wants_another_width(life: float, sign: int) -> None:
    """The model takes 60 or 20 ms for Glx, which has 35 ms: it wants to be wider, or narrower."""
    residual = examined(draw(), replace(MODEL, t2_star=(0.03, 0.03, life, 0.06)))
    assert sign * residual.wider[:, 2].median() > 1


def test_a_line_that_is_not_in_the_model_is_found_where_it_is() -> None:
    residual = examined(draw() + extra_line(0.5, 3.0))
    assert line_outside_model(residual, MODEL) == pytest.approx(0.5, abs=0.05)
    assert (residual.tallest > 4).float().mean() > 0.5


def test_a_ghost_lies_at_the_mirror_image_of_its_line() -> None:
    assert ghost_of(7.05, MODEL) == 2
    assert ghost_of(4.7, MODEL) is None  # the reference is its own image
    assert ghost_of(0.5, MODEL) is None


def test_residuals_of_the_first_samples_are_kept() -> None:
    fids = draw(3)
    fids[1, 0] += 20
    leading = examined(fids).leading
    assert leading.shape == (3, 3, 12)
    assert leading[:, 0, 0].argmax() == 1
    assert leading[1, 0, 0] > 10 > leading[1, 0, 4:].max()


def test_no_line_is_looked_for_where_nothing_was_examined() -> None:
    assert line_outside_model(sound_residual(0, power=torch.full((256,), 9.0)), MODEL) is None
