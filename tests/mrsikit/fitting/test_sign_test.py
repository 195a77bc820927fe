import math

import pytest
import torch

from mrsikit.fitting.sign_test import SignTest, chance_of_error, is_real, sign_warnings


def test_the_chance_of_error_bounds_what_noise_does() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 200000, 5, generator=generator).square().sum(-1)
    x = 0.5 * (one - other)
    for limit in (2.0, 4.0, 6.0):
        assert float((x > limit).double().mean()) <= chance_of_error(limit, freedom=5, unexplained=0.0)
    assert chance_of_error(60.0, freedom=5, unexplained=0.0) < 1e-3


def test_what_neither_sign_explains_raises_the_chance() -> None:
    assert chance_of_error(100.0, freedom=5, unexplained=50.0) == pytest.approx(math.exp(-2))
    assert chance_of_error(-1.0, freedom=5, unexplained=0.0) == 1.0
    assert chance_of_error(0.0, freedom=5, unexplained=0.0) == 1.0


def test_real_numbers_are_known_in_any_phase() -> None:
    fids = torch.randn(4, 64, generator=torch.Generator().manual_seed(1))
    assert is_real(fids.to(torch.complex64))
    assert is_real(fids * torch.exp(torch.tensor(0.7j)))
    assert not is_real(torch.complex(fids, fids.roll(1, 0)))


def test_warnings_name_the_finding_and_its_remedy() -> None:
    def words(test: SignTest) -> str:
        return " ".join(sign_warnings(test, reference=4.7, result="maps"))

    assert words(SignTest(finding="standard")) == words(SignTest(finding="conjugate", given=True)) == ""
    assert "they were conjugated; --sign standard" in words(SignTest(finding="conjugate"))
    assert "cannot be told" in words(SignTest(finding="unclear"))
    assert "so the maps are wrong; give both channels" in words(SignTest(finding="real"))
    assert "reference of 3.0 ppm at zero frequency, not 4.7 ppm" in words(SignTest(finding="reference", reference=3.0))
