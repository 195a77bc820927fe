"""Metabolite maps by tissue weights and by concentration tables."""

import numpy as np
import pytest
import torch

from mrsikit.phantoms.metabolites import (
    NORMAL_RANGE,
    TUMOUR_WEIGHTS,
    Concentrations,
    concentration_map,
    draw_concentrations,
    ratio_map,
    weighted_map,
)
from mrsikit.phantoms.subject import Grid, Tissues


def voxels(**fractions: list[float]) -> Tissues:
    """Tissues of a row of voxels, nothing where nothing is said."""
    length = len(next(iter(fractions.values())))
    return Tissues(*(torch.tensor(fractions.get(name, [0.0] * length)) for name in Tissues.NAMES))


def patients(grade: str, number: int = 400) -> list[dict[str, Concentrations]]:
    rng = np.random.default_rng(0)
    return [draw_concentrations(rng, grade) for _ in range(number)]


def test_weights_are_those_of_the_paper_over_the_maximum():
    tissues = voxels(gm=[1, 0, 0, 0, 0.5], wm=[0, 1, 0, 0, 0.5], csf=[0, 0, 1, 0, 0], viable=[0, 0, 0, 1, 0])
    for tau in TUMOUR_WEIGHTS:
        expected = torch.tensor([0.1, 0.12, 0, tau, 0.11]) / tau
        torch.testing.assert_close(weighted_map(tissues, tau), expected)


@pytest.mark.parametrize(("mask", "shares"), [("viable", [1, 0, 0]), ("whole", [1, 1, 0]), ("flair", [1, 1, 0.5])])
def test_the_tumour_mask_holds_what_is_asked(mask, shares):
    tissues = voxels(viable=[1, 0, 0], necrosis=[0, 1, 0], wm=[0, 0, 1], oedema=[0, 0, 0.5])
    expected = torch.tensor([0, 0, 0.12]) + 0.4 * torch.tensor(shares)
    torch.testing.assert_close(weighted_map(tissues, 0.4, mask=mask), expected / expected.max())


def test_an_unknown_tumour_mask_is_refused():
    with pytest.raises(ValueError, match="mask must be one of viable, whole, flair"):
        weighted_map(voxels(gm=[1.0]), 0.4, mask="oedema")


def test_a_voxel_of_under_5_percent_tissue_is_exactly_zero():
    tissues = voxels(gm=[0.049, 0.051, 0.02, 0.02, 1], wm=[0, 0, 0.02, 0.04, 0], csf=[0.95, 0.94, 0.96, 0.94, 0])
    for values in (weighted_map(tissues, 0.4), concentration_map(tissues, Concentrations(9, 10, 5, 10, 0.1))):
        assert [bool(v) for v in values == 0] == [True, False, True, False, False]
    assert weighted_map(voxels(gm=[0.0, 0.0]), 0.4).tolist() == [0, 0]


def test_maps_of_a_patient_are_finite_non_negative_and_of_unit_maximum(patient):
    tissues = patient.tissues(Grid((32, 32), (7.0, 7.0), tuple(map(float, patient.tumours.tumours[0].centre)), 8.0))
    values = weighted_map(tissues, 0.6)
    assert float(values.max()) == 1
    assert values.min() == 0
    assert float(tissues.viable.flatten()[values.argmax()]) > 0.5
    assert bool((values[tissues.gm + tissues.wm + tissues.viable < 0.05] == 0).all())


@pytest.mark.parametrize("grade", ["low", "high"])
def test_healthy_tissue_has_the_concentrations_of_the_tables(grade):
    drawn = patients(grade)
    for metabolite, spans in NORMAL_RANGE.items():
        for tissue, (low, high) in spans.items():
            values = [getattr(p[metabolite], tissue) for p in drawn]
            assert low <= min(values) < max(values) <= high, (metabolite, tissue)
    # Schuff 2001: NAA .85, Cr 1.11, Cho .72 in grey over white matter
    for metabolite, ratio in (("NAA", 0.85), ("tCr", 1.11), ("tCho", 0.72)):
        ratios = np.array([p[metabolite].gm / p[metabolite].wm for p in drawn])
        assert np.quantile(ratios, 0.02) < ratio < np.quantile(ratios, 0.98), metabolite
    naa = [p["NAA"].gm / p["NAA"].wm for p in drawn]
    assert 0.6 < min(naa) < max(naa) < 1.5


def test_a_tumour_raises_choline_over_naa_more_the_higher_its_grade():
    ratio = {}
    for grade in ("low", "high"):
        drawn = patients(grade)
        tumour = np.array([p["tCho"].tumour / p["NAA"].tumour for p in drawn])
        healthy = np.array([p["tCho"].wm / p["NAA"].wm for p in drawn])
        ratio[grade] = tumour.mean()
        assert (tumour > healthy).mean() > 0.95
        span = (0.3, 0.8) if grade == "low" else (0.8, 3.0)
        assert span[0] <= tumour.min() < tumour.max() <= span[1]
        creatine = np.array([p["tCr"].tumour / (0.5 * (p["tCr"].gm + p["tCr"].wm)) for p in drawn])
        assert creatine.max() <= 1
        # Some gliomas show no rise of choline itself (Vossough 2019)
        rise = np.array([p["tCho"].tumour / p["tCho"].wm for p in drawn])
        assert (rise < 1).any()
        assert (rise > 1).any()
    assert ratio["high"] > 2 * ratio["low"]


def test_necrosis_lowers_everything_and_oedema_raises_choline_over_naa():
    tissues = voxels(viable=[1, 0, 0, 0], necrosis=[0, 1, 0, 0], wm=[0, 0, 1, 1], oedema=[0, 0, 1, 0])
    for p in patients("high", 50):
        maps = {m: concentration_map(tissues, c) for m, c in p.items()}
        for metabolite, values in maps.items():
            assert values[1] <= 0.2 * values[0], metabolite
        ratio = ratio_map(maps["tCho"], maps["NAA"])
        assert 0.25 <= float(ratio[2]) <= 0.4
        assert maps["NAA"][2] == maps["NAA"][3]


def test_a_voxel_averages_its_tissues():
    tissues = voxels(gm=[0.3], wm=[0.4], csf=[0.1], viable=[0.1], necrosis=[0.1], oedema=[0.5])
    expected = 9 * 0.3 + (10 + 12) / 2 * 0.4 + 4 * (0.1 + 0.25 * 0.1)
    assert float(concentration_map(tissues, Concentrations(9, 10, 4, 12, 0.25))) == pytest.approx(expected, rel=1e-5)


def test_a_ratio_is_made_of_two_maps_and_zero_where_the_denominator_is():
    ratio = ratio_map(torch.tensor([2.0, 1.0, 3.0, 0.0]), torch.tensor([4.0, 0.0, 1e-5, 5.0]))
    assert ratio.tolist() == [0.5, 0.0, 0.0, 0.0]


def test_concentrations_are_made_of_their_generator_alone():
    assert patients("low", 2) == patients("low", 2)
    assert patients("low", 1) != patients("high", 1)
    with pytest.raises(KeyError, match="middle"):
        patients("middle", 1)
