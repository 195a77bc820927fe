import pytest

from mrsikit.io import InputError
from mrsikit.super_resolution.options import SuperResolutionOptions, noise_levels, ratio_pairs


@pytest.mark.parametrize(
    ("ratios", "metabolites", "expected"),
    [
        (None, None, []),
        ("3/1", None, [("3/1", (2,), (0,))]),
        ("tCr / NAA", "NAA, tCr", [("tCr / NAA", (1,), (0,))]),
        ("tCho/NAA, 2/1", "NAA,tCr,tCho", [("tCho/NAA", (2,), (0,)), ("2/1", (1,), (0,))]),
        (["tCr/NAA"], ["NAA", "tCr"], [("tCr/NAA", (1,), (0,))]),
        (("tCr/NAA",), ("NAA", "tCr"), [("tCr/NAA", (1,), (0,))]),
        ("(2HG+Gln)/Glu", "Glu,2HG,Gln", [("(2HG+Gln)/Glu", (1, 2), (0,))]),
        ("3/(1 + 2)", None, [("3/(1 + 2)", (2,), (0, 1))]),
        ("Glu+Gln/Cr", "Cr,Glu+Gln", [("Glu+Gln/Cr", (1,), (0,))]),
    ],
)
def test_ratios_by_name_and_by_count(ratios: object, metabolites: object, expected: list) -> None:
    assert ratio_pairs(ratios, metabolites) == expected


@pytest.mark.parametrize("ratios", ["NAA", "tCho/NAA", "1/0", "1/1", "1/2/3", 5, "1/-2", "", "(1+2)/(2+1)", "1/(2+)"])
def test_a_ratio_that_is_none_is_named(ratios: object) -> None:
    with pytest.raises(InputError, match="--ratios"):
        ratio_pairs(ratios, None)


def test_every_option_is_judged() -> None:
    problems = SuperResolutionOptions.problems_of
    assert problems({}) == []
    assert len(problems({"factor": True, "psf": "box", "noise": "0.3,0", "ratios": "a/b"})) == 4
    assert len(problems({"factor": 4.0, "psf": ["block"], "ratios": "NAA/tCr", "metabolites": "NAA,NAA,tCr"})) == 3
    (line,) = problems({"metabolites": "NAA,tCr", "ratios": "tCho/NAA"})
    assert line == "--ratios tCho/NAA: 'tCho' is no map of the file; the names are NAA, tCr"


def test_noise_is_one_number_or_one_for_each_map() -> None:
    assert noise_levels(None) == []
    assert noise_levels(0.3) == [0.3]
    assert noise_levels("0.3, 2") == noise_levels([0.3, 2]) == [0.3, 2.0]
    for wrong in (0, -1, "x", "0.3,", float("nan"), float("inf"), "true"):
        with pytest.raises(InputError, match="map's unit"):
            noise_levels(wrong)
