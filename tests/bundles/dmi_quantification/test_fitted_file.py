from dataclasses import replace

import pytest

from .conftest import METABOLITES, MODEL, sound_file


def test_field_is_that_of_the_larmor_frequency() -> None:
    assert sound_file().tesla == pytest.approx(11.74, abs=0.01)
    assert sound_file(model=replace(MODEL, larmor=19.6)).tesla == pytest.approx(3.0, abs=0.01)


def test_times_of_the_table_are_those_that_nobody_gave_or_fitted() -> None:
    assert [line.name for line in sound_file().tabulated] == list(METABOLITES)
    given = sound_file(t2_star_given=(False, True, False, False))
    assert [line.name for line in given.tabulated] == ["water", "Glx", "Lac"]
    fitted = sound_file(t2_star_sd=(0.0, 0.001, 0.001, 0.002))
    assert fitted.fitted_times
    assert not given.fitted_times
    assert fitted.tabulated == []
