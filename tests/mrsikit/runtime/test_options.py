from typing import Annotated, Literal

import pytest
import torch

from mrsikit.io import InputError
from mrsikit.runtime import as_flag
from mrsikit.runtime.options import (
    WHOLE,
    Flag,
    RunOptions,
    Text,
    check_device,
    check_path_option,
    flag_or,
    option,
)


@pytest.mark.parametrize("value", [True, 1, "true", "True", "1", "yes", " YES "])
def test_flags_that_are_true(value):
    assert as_flag(value, "overwrite") is True


@pytest.mark.parametrize("value", [False, 0, "false", "False", "0", "no"])
def test_flags_that_are_false(value):
    assert as_flag(value, "overwrite") is False


@pytest.mark.parametrize("value", [None, 2, "flase", "", []])
def test_flags_that_are_neither(value):
    with pytest.raises(InputError, match="--overwrite .* neither true nor false"):
        as_flag(value, "overwrite")


@pytest.mark.parametrize(("value", "read"), [("YES ", True), (0, False), (None, "otherwise"), ("flase", "otherwise")])
def test_a_flag_that_is_neither_counts_as_the_other(value, read):
    for otherwise in (True, False):
        assert flag_or(value, otherwise) is (otherwise if read == "otherwise" else read)


@pytest.mark.parametrize(
    ("value", "match"), [(None, "not given"), ("/a#b", "neither"), ("/a::b", "rename"), (("a", "b"), "no path")]
)
def test_paths_that_are_refused(value, match):
    with pytest.raises(InputError, match=match):
        check_path_option(value, "dataset_dir")


class ToyOptions(RunOptions):
    """One option of each kind."""

    low: float = option(0.4, "a share", gt=0, le=1, example=0.9)
    count: int | None = option(None, "how many", unit="maps", ge=1, example=3, shown="all")
    kind: Literal["block", "kspace"] = option("block", "which")
    factor: Annotated[Literal[2, 4], WHOLE] = option(4, "how fine")
    strict: Flag = option(False, "whether")
    unit: Text = option("map units", "in the report", use="run")


def test_good_values_pass_and_are_typed() -> None:
    assert ToyOptions.problems_of({"low": 1, "count": 2, "kind": "kspace", "factor": 2, "strict": "yes"}) == []
    given = {"strict": "true", "low": 0.3, "device": "cpu"}
    assert ToyOptions.keywords(given) == {"strict": True, "low": 0.3, "device": "cpu"}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"low": 0}, "--low 0: is no number above 0 and at most 1; give for example --low 0.9"),
        ({"low": 1.01}, "--low 1.01: is no number above 0 and at most 1; give for example --low 0.9"),
        ({"low": "0.5"}, "--low 0.5: is no number above 0 and at most 1; give for example --low 0.9"),
        ({"low": True}, "--low True: is no number above 0 and at most 1; give for example --low 0.9"),
        ({"low": None}, "--low None: is no number above 0 and at most 1; give for example --low 0.9"),
        ({"low": float("nan")}, "--low nan: is no number above 0 and at most 1; give for example --low 0.9"),
        ({"count": 0}, "--count 0: is no whole number from 1, in maps; give for example --count 3"),
        ({"count": 2.5}, "--count 2.5: is no whole number from 1, in maps; give for example --count 3"),
        ({"kind": "box"}, "--kind box: is none of block, kspace"),
        ({"kind": ["block"]}, "--kind ['block']: is none of block, kspace"),
        ({"factor": 3}, "--factor 3: is none of 2, 4"),
        ({"factor": 4.0}, "--factor 4.0: is none of 2, 4"),
        ({"factor": True}, "--factor True: is none of 2, 4"),
        ({"strict": "maybe"}, "--strict maybe: is neither true nor false; give --strict true or --strict false"),
        ({"overwrite": 2}, "--overwrite 2: is neither true nor false; give --overwrite true or --overwrite false"),
        ({"output_dir": None}, "output_dir is not given; add --output_dir and a path"),
    ],
)
def test_each_wrong_value_is_one_line(given: dict[str, object], line: str) -> None:
    assert ToyOptions.problems_of(given) == [line]


def test_unchecked_options_list_all_their_problems() -> None:
    options = ToyOptions.model_construct(dataset_dir="a", output_dir="b", device="cpu", low=2, factor=3)
    assert [line.split()[0] for line in options.problems()] == ["--low", "--factor"]


def test_predict_takes_what_changes_a_result_and_names_the_rest() -> None:
    known = "weights, device, low, count, kind, factor, strict"
    with pytest.raises(InputError, match=f"^unknown option lows, unit; the options are {known}$"):
        ToyOptions.keywords({"lows": 1, "unit": "mM"})
    with pytest.raises(InputError, match="--low 2"):
        ToyOptions.keywords({"low": 2})


def test_the_record_holds_what_changes_the_result() -> None:
    options = ToyOptions.model_construct(low=0.3, strict="true")
    assert options.record() == {"low": 0.3, "count": None, "kind": "block", "factor": 4, "strict": True}


def test_the_table_states_default_values_and_meaning() -> None:
    rows = ToyOptions.table().splitlines()
    assert rows[0] == "| option | default | values | meaning |"
    assert "| `--low` | 0.4 | number above 0 and at most 1 | a share |" in rows
    assert "| `--count` | all | whole number from 1, in maps | how many |" in rows
    assert "| `--factor` | 4 | 2, 4 | how fine |" in rows
    assert "| `--strict` | false | true, false | whether |" in rows
    assert rows[-1].startswith("| `--device` | GPU if there is one |")


def test_the_help_states_the_same_within_the_width() -> None:
    lines = ToyOptions.help_text(40, without=("device",)).splitlines()
    place = lines.index("  --count")
    assert lines[place + 1 : place + 4] == [
        "      whole number from 1, in maps;",
        "      default all",
        "      how many",
    ]
    assert "  --dataset_dir" in lines
    assert "  --device" not in lines
    assert max(map(len, lines)) <= 40
    assert "`" not in "".join(lines)


def test_devices_that_are_not_there() -> None:
    check_device("cpu")
    check_device(torch.device("cpu"))
    for value in ("gpu", "cuda:99", "", 3):
        with pytest.raises(InputError, match="--device .* give --device cpu"):
            check_device(value)
