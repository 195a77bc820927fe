import pytest

from mrsi_inpainting.options import InpaintingOptions, PhamOptions


def test_the_defaults_are_right() -> None:
    assert InpaintingOptions.problems_of({}) == []
    assert InpaintingOptions.problems_of({"max_crlb": None, "volumetric": "no", "unit": 5}) == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"max_crlb": 0}, "--max_crlb 0: is no number above 0, in percent; give for example --max_crlb 20"),
        ({"max_crlb": "20%"}, "--max_crlb 20%: is no number above 0, in percent; give for example --max_crlb 20"),
        ({"threshold": 40}, "--threshold 40: is no number above 0 and at most 1; give for example --threshold 0.9"),
        (
            {"wrong_threshold": 0},
            "--wrong_threshold 0: is no number above 0 and at most 1; give for example --wrong_threshold 0.9",
        ),
        (
            {"volumetric": "perhaps"},
            "--volumetric perhaps: is neither true nor false; give --volumetric true or --volumetric false",
        ),
    ],
)
def test_each_wrong_option_is_named(options: dict[str, object], line: str) -> None:
    assert InpaintingOptions.problems_of(options) == [line]


def test_the_published_method_has_neither_check_nor_session() -> None:
    assert PhamOptions.problems_of({}) == []
    given = PhamOptions.problems_of({"check": "true", "session": True, "training": "both"})
    assert given == ["--training both: is none of progressive, direct"]  # pydantic then leaves the rules out
    given = PhamOptions.problems_of({"check": "true", "session": True})
    assert given == [f"--{name} true: the published method has none; leave it out" for name in ("check", "session")]
