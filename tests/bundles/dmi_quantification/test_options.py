import pytest

from dmi_quantification.options import QuantificationOptions, output_names


def test_the_defaults_are_right() -> None:
    assert QuantificationOptions.problems_of({}) == []
    good = {"t2_star": {"Glx": 0.05}, "factors": {"Glc": 2}, "delay": 0, "water_mM": 10, "save_fit": "true"}
    assert QuantificationOptions.problems_of(good) == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"metabolites": "water"}, "--metabolites water: is no list; give for example \"['water','Glc']\""),
        ({"metabolites": ["water", "NAA"]}, "--metabolites NAA: is not in the table of 2H; it holds "),
        ({"metabolites": ["water", "water"]}, "--metabolites ['water', 'water']: names one twice"),
        ({"t2_star": 3}, "--t2_star 3: is no table; give for example \"{'water':0.05}\""),
        ({"t2_star": {"NAA": 0.1}}, "--t2_star NAA: is none of the metabolites water, Glc, Glx, Lac"),
        ({"t2_star": {"Glc": 50}}, "--t2_star Glc 50: is no number of seconds above 0 and below 2"),
        ({"factors": {"Glc": 0}}, "--factors Glc 0: is no number above 0 and below inf"),
        (
            {"delay": 0.6},
            "--delay 0.6: is no number from 0 and below 0.05, in seconds; give for example --delay 0.0006",
        ),
        ({"max_shift": 0.6}, "--max_shift 0.6: is no number above 0 and below 0.5, in ppm, half the distance of two"),
        ({"max_shift": 0}, "--max_shift 0: is no number above 0, in ppm; give for example --max_shift 0.4"),
        ({"metabolites": ["Glc"], "water_mM": 10}, "--water_mM 10: the first metabolite is Glc, not water"),
        ({"prior_strength": -1}, "--prior_strength -1: is no number from 0; give for example --prior_strength 1.0"),
        ({"fit_t2_star": "maybe"}, "--fit_t2_star maybe: is neither true nor false"),
    ],
)
def test_each_wrong_option_is_named(options: dict[str, object], line: str) -> None:
    (found,) = QuantificationOptions.problems_of(options)
    assert found.startswith(line)


def test_each_wrong_entry_of_a_table_has_its_line() -> None:
    found = QuantificationOptions.problems_of({"t2_star": {"Glx": 5, "Glc": 0.05, "NAA": 0.1}})
    assert [line.partition(":")[0] for line in found] == ["--t2_star Glx 5", "--t2_star NAA"]


def test_another_nucleus_has_no_metabolites() -> None:
    (line,) = QuantificationOptions.problems_of({}, {"nucleus": "1H"})
    assert line == "nucleus 1H: has no metabolites here; give 2H data"


def test_outputs_follow_the_metabolites_and_survive_wrong_ones() -> None:
    outputs = QuantificationOptions.model_construct(metabolites=["water", "Glc"]).outputs
    assert outputs == [
        "water_amplitude", "water_amplitude_sd", "Glc_amplitude", "Glc_amplitude_sd", "Glc", "Glc_sd", "shift",
        "linewidth", "quality",
    ]  # fmt: skip
    assert QuantificationOptions.model_construct(metabolites="x").outputs == QuantificationOptions().outputs


def test_names_of_the_outputs() -> None:
    assert output_names(("water", "Glc")) == [
        *("water_amplitude", "water_amplitude_sd", "Glc_amplitude", "Glc_amplitude_sd"),
        *("Glc", "Glc_sd", "shift", "linewidth", "quality"),
    ]
    assert output_names(("water", "Glc"), prior=True) == ["fit", "water_amplitude_bias", "Glc_bias"]
