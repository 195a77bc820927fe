import pytest

from mrsi_gan_super_resolution.options import GanSuperResolutionOptions, LiOptions


def test_the_defaults_are_right() -> None:
    assert GanSuperResolutionOptions.problems_of({}) == []
    assert GanSuperResolutionOptions.problems_of({"method": 3, "dims": 3, "psf": "block"}) == []


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
    assert words in " ".join(GanSuperResolutionOptions.problems_of(options))


def test_the_published_networks_are_known_by_name() -> None:
    assert LiOptions.problems_of({"generator": "gan", "truth": "soft"}) == []
    problems = LiOptions.problems_of({"generator": "diffusion", "truth": "blunt", "dims": 4})
    assert [line.split(":")[0] for line in problems] == ["--dims 4", "--generator diffusion", "--truth blunt"]
    assert LiOptions.problems_of({"method": 3, "truth": "sharp"}) == []
    (problem,) = LiOptions.problems_of({"method": 3, "truth": "soft"})
    assert problem.startswith("--truth soft: the networks of method 3 were trained on the sharp truth")


def test_what_a_method_and_a_volume_need_follows_from_the_options_unchecked() -> None:
    def options(**given: object) -> GanSuperResolutionOptions:
        return GanSuperResolutionOptions.model_construct(**given)  # type: ignore[arg-type]

    assert options().needed == options(method=1).needed == options(method="x").needed == []
    assert options(method=2).needed == options(method=3).needed == ["flair", "t1"]
    assert (options().least_slices, options(dims="x").least_slices, options(dims=3).least_slices) == (0, 0, 8)
