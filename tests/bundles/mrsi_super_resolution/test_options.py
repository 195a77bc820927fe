import pytest

from mrsi_super_resolution.options import option_problems, ratio_pairs
from mrsikit.io import InputError


@pytest.mark.parametrize(
    ("ratios", "metabolites", "expected"),
    [
        (None, None, []),
        ("3/1", None, [("3/1", 2, 0)]),
        ("tCho/NAA, 2/1", "NAA,tCr,tCho", [("tCho/NAA", 2, 0), ("2/1", 1, 0)]),
        (["tCr/NAA"], ["NAA", "tCr"], [("tCr/NAA", 1, 0)]),
        (("tCr/NAA",), ("NAA", "tCr"), [("tCr/NAA", 1, 0)]),
    ],
)
def test_ratios_by_name_and_by_count(ratios: object, metabolites: object, expected: list) -> None:
    assert ratio_pairs(ratios, metabolites) == expected


@pytest.mark.parametrize("ratios", ["NAA", "tCho/NAA", "1/0", "1/1", "1/2/3", 5, "1/-2", ""])
def test_a_ratio_that_is_none_is_named(ratios: object) -> None:
    with pytest.raises(InputError, match="--ratios"):
        ratio_pairs(ratios, None)


def test_every_option_is_judged() -> None:
    assert option_problems() == []
    assert len(option_problems(factor=True, psf="box", ratios="a/b")) == 3
    assert len(option_problems(factor=4.0, psf=["block"], ratios="NAA/tCr", metabolites="NAA,NAA,tCr")) == 3
