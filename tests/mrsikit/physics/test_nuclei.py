import pytest

from mrsikit.physics.nuclei import DEUTERIUM, NUCLEI, Resonance, nearest_lines


def test_larmor_frequencies_are_those_of_scanners() -> None:
    assert DEUTERIUM.field_of(19.613053) == pytest.approx(3.0, abs=0.01)
    assert DEUTERIUM.field_of(76.7) == pytest.approx(11.74, abs=0.01)
    assert NUCLEI["1H"].field_of(123.25) == pytest.approx(2.895, abs=0.01)


def test_relaxation_is_that_of_the_nearest_field() -> None:
    water = DEUTERIUM.resonances["water"]
    assert water.t2_star_at(3.0) == water.t2_star[4.0]
    assert water.t2_star_at(11.0) == water.t2_star[11.74]
    assert water.t1_at(9.4) == water.t1[7.0]
    with pytest.raises(KeyError, match="T1 of new"):
        Resonance(name="new", ppm=1.0).t1_at(3.0)


def test_every_deuterium_line_has_what_a_fit_needs() -> None:
    for name, line in DEUTERIUM.resonances.items():
        assert name == line.name
        assert 0.005 < line.t2_star_at(7.0) < 0.2
        assert DEUTERIUM.shown[0] < line.ppm < DEUTERIUM.shown[1]


def test_distance_of_the_nearest_lines() -> None:
    assert nearest_lines([4.7, 1.3, 3.7, 2.4]) == pytest.approx(1.0)
    assert nearest_lines([4.7]) == 2
