"""Virtual gliomas of both grades."""

import dataclasses

import numpy as np
import pytest
import torch

from mrsikit.phantoms.tumour import Tumour, TumourSet

HERE = torch.tensor([5.0, -10.0, 8.0])


def draw(grade: str | None, number: int = 300) -> list[Tumour]:
    rng = np.random.default_rng(0)
    return [Tumour.draw(rng, HERE, grade) for _ in range(number)]


def ray(tumour: Tumour, length: float = 60.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance (mm) from a round tumour's centre and the points there."""
    distance = torch.linspace(0, length, 601)
    return distance, tumour.centre + distance[:, None] * torch.tensor([0.0, 0.0, 1.0])


@pytest.fixture
def round_tumour() -> Tumour:
    return Tumour(HERE, 15.0, torch.ones(3), 0.0, 1.0, 0.5, 8.0, 0.3, "high")


def test_grades_differ_as_gliomas_do():
    low, high = draw("low"), draw("high")
    assert {t.grade for t in low} == {"low"}
    assert {t.grade for t in draw(None)} == {"low", "high"}
    assert all(t.core == 0 for t in low)
    assert 0.5 < np.mean([t.core > 0 for t in high]) < 0.9
    for name, more, less in (("oedema", high, low), ("mass_effect", high, low), ("margin", low, high)):
        assert np.mean([getattr(t, name) for t in more]) > 1.3 * np.mean([getattr(t, name) for t in less]), name
    assert all(5 <= t.radius <= 26 for t in low + high)
    assert draw("high", 1)[0].radius != Tumour.draw(np.random.default_rng(0), HERE, "high", 9.0).radius == 9.0


def test_from_the_centre_outwards_come_core_living_tumour_margin_and_oedema(round_tumour):
    distance, points = ray(round_tumour)
    ones = torch.ones(len(distance))
    parts = round_tumour.fractions(points, torch.zeros(2, len(distance)), ones, ones)
    assert parts.necrosis[distance < 4].min() > 0.9
    assert parts.viable[(distance > 11) & (distance < 12.5)].min() > 0.85
    assert parts.viable[distance < 3].max() < 0.1
    assert torch.all(parts.whole.diff() <= 1e-6)
    assert float(parts.whole[150]) == pytest.approx(0.5, abs=0.01)
    margin = distance[(parts.whole > 0.1) & (parts.whole < 0.9)]
    assert 3 < float(margin.max() - margin.min()) < 6
    assert parts.oedema[(distance > 18) & (distance < 21)].min() > 0.5
    assert parts.oedema[distance < 10].max() < 0.02
    assert parts.oedema[distance > 35].max() < 0.02
    torch.testing.assert_close(parts.viable + parts.necrosis, parts.whole)


def test_a_wider_margin_infiltrates_further(round_tumour):
    distance, points = ray(round_tumour)
    ones, flat = torch.ones(len(distance)), torch.zeros(2, len(distance))
    narrow, wide = (
        dataclasses.replace(round_tumour, margin=margin).fractions(points, flat, ones, ones).whole
        for margin in (0.8, 3.0)
    )
    assert wide[200] > narrow[200] + 0.1


def test_tumour_and_oedema_keep_to_where_they_can_be(round_tumour):
    distance, points = ray(round_tumour)
    ones, zeros, flat = torch.ones(len(distance)), torch.zeros(len(distance)), torch.zeros(2, len(distance))
    nowhere = round_tumour.fractions(points, flat, zeros, ones)
    assert all(getattr(nowhere, k).max() == 0 for k in ("whole", "viable", "necrosis", "oedema"))
    assert round_tumour.fractions(points, flat, ones, zeros).oedema.max() < 0.1


def test_the_edge_follows_the_noise(round_tumour):
    tumour = dataclasses.replace(round_tumour, irregularity=0.3)
    distance, points = ray(tumour)
    ones = torch.ones(len(distance))
    reach = [
        float(tumour.fractions(points, level * torch.ones(2, len(distance)), ones, ones).whole.sum())
        for level in (-1, 1)
    ]
    assert reach[1] > 1.5 * reach[0]


def test_mass_effect_pushes_most_near_the_tumour_and_nothing_far_away(round_tumour):
    distance, points = ray(round_tumour, 120.0)
    moved = points - round_tumour.push_back(points)
    assert torch.all(moved[1:300, 2] > 0)
    assert torch.all(moved[:, :2] == 0)
    shift = moved.norm(dim=1)
    at_edge = float(shift[(distance - 15).abs().argmin()])
    assert at_edge == pytest.approx(0.3 * 15 * np.exp(-1 / 1.6**2), rel=1e-3)
    assert shift[distance > 80].max() < 0.01
    assert torch.equal(dataclasses.replace(round_tumour, mass_effect=0.0).push_back(points), points)
    before = round_tumour.push_back(points)[:, 2]
    assert torch.all(before.diff() > 0), "tissue would be folded over itself"


@pytest.mark.parametrize("mass_effect", [0.2, 0.4])
def test_no_drawn_mass_effect_folds_tissue(round_tumour, mass_effect):
    _, points = ray(round_tumour, 120.0)
    assert torch.all(dataclasses.replace(round_tumour, mass_effect=mass_effect).push_back(points)[:, 2].diff() > 0)


def test_two_tumours_are_joined_and_none_is_nothing(round_tumour):
    other = dataclasses.replace(round_tumour, centre=HERE + torch.tensor([0.0, 0.0, 40.0]))
    _, points = ray(round_tumour)
    ones = torch.ones(len(points))
    one, two = (
        TumourSet(np.random.default_rng(1), list(t)).fractions(points, ones, ones)
        for t in ([round_tumour], [round_tumour, other])
    )
    assert one.whole[400] < 0.1 < 0.9 < two.whole[400]
    assert torch.all(two.whole >= one.whole)
    nothing = TumourSet(np.random.default_rng(1), [])
    assert nothing.fractions(points, ones, ones).whole.max() == 0
    assert torch.equal(nothing.push_back(points), points)
