"""Which fits count as measured, by bounds and linewidths."""

import torch

from mrsi_inpainting.fit_quality import FitQuality, poor_fits


def test_a_low_signal_of_a_sound_fit_is_kept_by_the_absolute_rule() -> None:
    values = torch.tensor([[[10.0, 10.0, 1.0, 10.0, 1.0, 0.0]]])
    bounds = torch.tensor([[[5.0, 5.0, 40.0, 40.0, 999.0, 100.0]]])
    assert poor_fits(bounds, values, 20, "percent").flatten().tolist() == [False, False, True, True, True, True]
    assert poor_fits(bounds, values, 20, "absolute").flatten().tolist() == [False, False, False, True, True, True]
    assert poor_fits(bounds, values, None, "percent").flatten().tolist() == [False] * 4 + [True, False]


def test_a_broad_line_is_a_broken_fit_whatever_its_bound() -> None:
    values, width = torch.full((1, 1, 4), 10.0), torch.tensor([[[0.04, 0.2, 0.0, float("nan")]]])
    companions = {"crlb": torch.full((1, 1, 4), 5.0), "fwhm": width}
    assert FitQuality().lost(values, companions).flatten().tolist() == [False, True, False, False]
    assert FitQuality().good(values, companions).flatten().tolist() == [True, False, True, True]
    assert FitQuality().lost(values, {"fwhm": width}).flatten().tolist() == [False, True, False, False]
    assert not FitQuality(max_fwhm=None).lost(values, companions).any()
    assert FitQuality(max_crlb=4).lost(values, companions).all()


def test_linewidths_of_another_unit_than_the_limit_are_not_used() -> None:
    values, hertz = torch.full((1, 1, 5), 10.0), {"fwhm": torch.tensor([[[5.0, 6.0, 7.0, 20.0, 0.0]]])}
    assert FitQuality().misjudges(values, hertz) == "the median linewidth is 6, --max_fwhm is 0.1"
    assert not FitQuality().lost(values, hertz).any()
    assert FitQuality(max_fwhm=12).misjudges(values, hertz) == ""
    assert FitQuality(max_fwhm=12).lost(values, hertz).flatten().tolist() == [False, False, False, True, False]


def test_a_bad_shim_is_no_other_unit_and_noise_outside_the_head_does_not_count() -> None:
    values = torch.tensor([[[10.0, 10.0, 10.0, 0.0, 0.0, 0.0, 5.0, 5.0]]])
    width = torch.tensor([[[0.05, 0.3, 0.3, 9.0, 9.0, 9.0, 99.0, 99.0]]])
    brain = torch.tensor([[[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]]])
    lost = FitQuality().lost(values, {"fwhm": width, "brain": brain})
    assert lost.flatten().tolist() == [False, True, True, True, True, True, True, True]
    assert FitQuality().misjudges(values[..., 3:], {"fwhm": width[..., 3:]}) != ""
