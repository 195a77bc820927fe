import pytest

from mrs_vae_synthesis.options import SynthesisOptions, VanDeSandeOptions


def problems(edited: bool = True, **given: object) -> list[str]:
    return SynthesisOptions.problems_of(given, {"edited": edited})


def test_the_defaults_are_right() -> None:
    assert problems() == []
    assert problems(sampling="hybrid", number=64, dataset_dir="folder") == []
    assert problems(condition="on", transients=7) == []
    assert problems(transients=7, edited=False) == []


def test_measured_sessions_need_a_folder() -> None:
    assert problems(sampling="hybrid", dataset_dir=None) == ["dataset_dir is not given; add --dataset_dir and a path"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampling": "gan"}, "--sampling gan"),
        ({"dataset_dir": "folder"}, "random sampling needs no data"),
        ({"sampling": "reconstruct", "number": 4}, "leave it out"),
        ({"sampling": "hybrid", "transients": 4}, "give --number"),
        ({"sampling": "reconstruct", "condition": "on"}, "the edits of its file"),
        ({"condition": "maybe"}, "--condition maybe"),
        ({"number": 0}, "--number 0"),
        ({"number": 2.5}, "--number 2.5"),
        ({"transients": True, "condition": "on"}, "--transients True"),
        ({"transients": 2000}, "at most 1024"),
        ({"seed": 2**32}, "--seed 4294967296: is no whole number from 0 and at most 4294967295"),
        ({"sampling": "hybrid", "number": 5000}, "at most 1024"),
        ({"transients": 7}, "even number"),
        ({"condition": "on", "edited": False}, "trained on unedited data"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": "x"}, "--seed x"),
    ],
)
def test_each_wrong_option_is_named(options: dict[str, object], words: str) -> None:
    assert words in " ".join(problems(**options))  # type: ignore[arg-type]


def test_options_that_do_not_fit_together_have_a_line_each() -> None:
    found = problems(number=3, transients=5)
    assert [line.partition(":")[0] for line in found] == ["--transients 5", "--number 3"]


def test_the_published_method_takes_measured_sessions_only() -> None:
    def wrong(**given: object) -> list[str]:
        return VanDeSandeOptions.problems_of(given)

    assert wrong(dataset_dir="folder", number=8, subset=4, radius=2.0, spread="subset") == []
    assert wrong(dataset_dir="folder", sampling="hybrid", condition="on", number=3) == []
    assert wrong(dataset_dir=None) == ["dataset_dir is not given; add --dataset_dir and a path"]
    assert wrong(noise=True) == ["--noise true: the published method adds no noise; leave it out"]
    assert wrong(transients=4) == ["--transients: is of new sessions, which this method cannot make; give --number"]
    for name, value in (("number", 4), ("subset", 4), ("condition", "on")):
        found = wrong(sampling="reconstruct", **{name: value})
        assert len(found) == 1
        assert found[0].startswith(f"--{name}: a reconstruction has the")
    assert wrong(number=1026) == ["--number 1026: a session has at most 1024 transients"]
    for name, value in (("radius", -1.0), ("subset", 0), ("spread", "wide")):
        assert [line for line in wrong(**{name: value}) if f"--{name} {value}" in line.replace(" -1:", " -1.0:")]
