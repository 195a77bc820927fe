import json

import pytest
import torch

from mrsikit.io import InputError
from mrsikit.runtime import as_flag
from mrsikit.runtime.options import (
    check_device,
    check_path_option,
    check_positive,
    check_share,
    check_weights,
    unknown_options,
)

MAIN = "/env/site-packages/monai/bundle/__main__.py"


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


@pytest.mark.parametrize(
    ("value", "match"), [(None, "not given"), ("/a#b", "neither"), ("/a::b", "rename"), (("a", "b"), "no path")]
)
def test_paths_that_are_refused(value, match):
    with pytest.raises(InputError, match=match):
        check_path_option(value, "dataset_dir")


def test_numbers():
    check_positive(None, "max_crlb")
    check_positive(20, "max_crlb")
    for value in ("20 %", 0, -1, True, float("nan"), float("inf")):
        with pytest.raises(InputError, match="max_crlb"):
            check_positive(value, "max_crlb")


@pytest.fixture
def config(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"dataset_dir": None, "network_def": {"channels": 2}}))
    (tmp_path / "b.json").write_text(json.dumps({"output_dir": None, "network_def::channels": 3, "+handlers": []}))
    return tmp_path


def unknown(config, *options, command="run", files="a.json"):
    return unknown_options([MAIN, command, "--config_file", str(config / files), *options])


def test_known_options_pass(config):
    assert unknown(config) == []
    assert unknown(config, "training", "--run_id", "run", "--dataset_dir", "/x", "--meta_file=m.json") == []
    assert unknown(config, "--network_def#channels", "3", "--network_def::new", "1", "--+network_def", "{}") == []
    assert unknown(config, "--dataset-dir", "/x", "-dataset_dir", "/x", "--_meta_#version", "2") == []
    assert unknown(config, "--dataset_dir", "-5", "--nodataset_dir") == []
    assert unknown(config, "--dataset_dir", "/x", command="run_workflow") == []
    assert unknown(config, "--tracking", "mlflow", "--experiment_name", "x") == []


@pytest.mark.parametrize("option", ["--dataset_dirr", "--dataset-dirr", "-dataset_dirr", "--dataset_dirr=/x"])
def test_unknown_options_are_named_with_the_nearest(config, option):
    (line,) = unknown(config, option, *([] if "=" in option else ["/x"]))
    assert line.startswith("--dataset_dirr")
    assert "--dataset_dir?" in line


def test_other_unknown_options(config):
    assert len(unknown(config, "--netwrok_def::channels", "3", "--zzz", "--dataset_dirr", "4")) == 3
    assert "see the top of the config" in unknown(config, "--zzz")[0]
    assert len(unknown(config, "--experiment_name", "x")) == 1
    assert len(unknown(config, "--output_dir", "x")) == 1  # b.json is not in this run


def test_several_config_files_and_an_args_file(config):
    both = f"['{config / 'a.json'}','{config / 'b.json'}']"
    for given in (["--config_file", both], [f"--config_file={both}"]):
        options = [*given, "--output_dir", "x", "--network_def#channels", "3", "--handlers", "[]"]
        assert unknown_options([MAIN, "run", *options]) == []
        assert len(unknown_options([MAIN, "run", *options, "--outputdir", "x"])) == 1
    (config / "args.json").write_text(json.dumps({"config_file": str(config / "a.json"), "dataset_dirr": 3}))
    assert len(unknown_options([MAIN, "run", "--args_file", str(config / "args.json")])) == 1


def test_nothing_to_do_in_other_processes(config):
    options = ["run", "--config_file", str(config / "a.json"), "--zzz", "3"]
    assert unknown_options(["/usr/bin/pytest", *options]) == []
    assert unknown_options([MAIN, "ckpt_export", *options[1:]]) == []
    assert unknown_options([MAIN]) == []
    assert unknown_options([""]) == []


def test_shares_lie_above_0_and_at_most_at_1() -> None:
    check_share(0.4, "threshold")
    check_share(1, "threshold")
    for value in (0, -0.1, 1.01, 40, "0.5", True, None, float("nan")):
        with pytest.raises(InputError, match=r"--threshold .* at most 1; give for example --threshold 0\.9"):
            check_share(value, "threshold")


def test_devices_that_are_not_there() -> None:
    check_device("cpu")
    check_device(torch.device("cpu"))
    for value in ("gpu", "cuda:99", "", 3):
        with pytest.raises(InputError, match="--device .* give --device cpu"):
            check_device(value)


def test_weights_of_another_network(tmp_path) -> None:
    network = torch.nn.Linear(3, 2)
    torch.save(network.state_dict(), tmp_path / "own.pt")
    check_weights(tmp_path / "own.pt", network)
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "other.pt")
    torch.save([1], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name, words in {
        "other.pt": "0 of 2 tensors fit",
        "list.pt": "another network",
        "text.pt": "no file of weights",
        "nowhere.pt": "does not exist",
    }.items():
        with pytest.raises(InputError, match=words):
            check_weights(tmp_path / name, network)


def test_a_part_of_the_config_is_no_option(config) -> None:
    (line,) = unknown(config, "--network_def", "/x")
    assert line == "--network_def: is a part of the config, not an option; leave it out"
    (config / "c.json").write_text(json.dumps({"dataset_dir": None, "dataset": {"_target_": "Dataset"}, "a": []}))
    (line,) = unknown(config, "--dataset", "/x", files="c.json")
    assert "did you mean --dataset_dir?" in line
    assert unknown(config, "--dataset", "@other", "--a", "[1]", files="c.json") == []
