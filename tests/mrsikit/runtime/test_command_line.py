import json

import pytest

from mrsikit.runtime.command_line import changed_paths, check_command_line, stray_words, unknown_options

MAIN = "/env/site-packages/monai/bundle/__main__.py"


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


def test_a_part_of_the_config_is_no_option(config) -> None:
    (line,) = unknown(config, "--network_def", "/x")
    assert line == "--network_def: is a part of the config, not an option; leave it out"
    (config / "c.json").write_text(json.dumps({"dataset_dir": None, "dataset": {"_target_": "Dataset"}, "a": []}))
    (line,) = unknown(config, "--dataset", "/x", files="c.json")
    assert "did you mean --dataset_dir?" in line
    assert unknown(config, "--dataset", "@other", "--a", "[1]", files="c.json") == []


@pytest.mark.parametrize("typed", ["2024_02_01", "1e5", "2024.10", "[a,b]"])
def test_a_path_that_is_read_as_another_value_is_refused(typed):
    (line,) = changed_paths([MAIN, "run", "--output_dir", typed, "--factor", "4"])
    assert line.startswith(f"--output_dir {typed}: is read as the value ")
    assert line.endswith(f"; write --output_dir ./{typed}")


def test_a_path_that_is_read_as_typed_passes():
    for typed in ("20240201", "./2024_02_01", "out/2024", "sub-01", "a b"):
        assert changed_paths([MAIN, "run", f"--output_dir={typed}"]) == []
    assert changed_paths(["pytest", "run", "--output_dir", "007"]) == []


def test_words_that_belong_to_no_option_are_named():
    line = [MAIN, "run", "--metabolites", "NAA", "tCr", "--overwrite", "true"]
    assert stray_words(line) == [
        "tCr: belongs to no option; write several values as one list: --metabolites \"['NAA','tCr']\""
    ]
    assert stray_words([MAIN, "run", "training", "--config_file", "a.json", "--overwrite"]) == []
    assert stray_words(["pytest", *line[1:]]) == []


def test_such_a_word_ends_the_program_before_monai_uses_it(monkeypatch, caplog):
    monkeypatch.setattr("sys.argv", [MAIN, "run", "--metabolites", "NAA", "tCr"])
    with pytest.raises(SystemExit) as stop:
        check_command_line()
    assert stop.value.code == 1
    assert "tCr: belongs to no option" in caplog.text
