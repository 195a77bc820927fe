import pytest

from mrsi_gan_super_resolution.options import option_problems, reference_problems


def test_the_defaults_are_right() -> None:
    assert option_problems() == []
    assert option_problems(method=3, dims=3, psf="block") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": 4}, "--method 4"),
        ({"method": "two"}, "--method two"),
        ({"method": True}, "--method True"),
        ({"dims": 1}, "--dims 1"),
        ({"dims": 3, "psf": "hamming"}, "--psf hamming"),
        ({"denoised": "perhaps"}, "--denoised perhaps"),
        ({"consistency": 3}, "--consistency 3"),
        ({"factor": 5}, "--factor 5"),
        ({"ratios": "HGG"}, "name the maps with --metabolites"),
        ({"ratios": "TCN", "metabolites": "NAA,tCr"}, "'tCho' is no map"),
    ],
)
def test_each_wrong_option_is_named(options: dict[str, object], words: str) -> None:
    assert words in " ".join(option_problems(**options))  # type: ignore[arg-type]


def test_the_published_networks_are_known_by_name() -> None:
    assert reference_problems(generator="gan", truth="soft") == []
    problems = reference_problems(generator="diffusion", truth="blunt", dims=4)
    assert [line.split(":")[0] for line in problems] == ["--dims 4", "--generator diffusion", "--truth blunt"]
