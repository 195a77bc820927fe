import json
import logging
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

import check_bundles
from toy_bundle import write_json, write_toy_bundle

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = REPOSITORY.parent / "shared" / "meta_schema_20240725.json"


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    """MONAI's schema, or the one of its rules that the tests use where the shared folder does not exist."""
    if SCHEMA.is_file():
        return SCHEMA
    write_json(tmp_path / "schema.json", {"type": "object", "required": ["task"]})
    return tmp_path / "schema.json"


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = write_toy_bundle(tmp_path, "toy_checked")
    monkeypatch.syspath_prepend(folder)
    edit(folder, "metadata", lambda m: m["required_packages_version"].update(mrsikit=version("mrsikit")))
    check_bundles.update_hashes(folder)
    yield folder
    for module in [name for name in sys.modules if name.startswith("toy_checked")]:
        del sys.modules[module]


def edit(bundle: Path, file: str, change: Callable[[dict[str, Any]], Any]) -> None:
    path = bundle / "configs" / f"{file}.json"
    content = json.loads(path.read_text())
    change(content)
    write_json(path, content)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc"}


def test_sound_bundle_has_no_problem_and_is_left_as_it_is(bundle: Path, schema: Path) -> None:
    before = files_of(bundle)
    assert check_bundles.check_bundle(bundle, schema) == []
    assert files_of(bundle) == before


def expect_only(problems: list[str], *words: str) -> None:
    assert len(problems) == 1, problems
    assert "\n" not in problems[0]
    for word in words:
        assert word in problems[0]


@pytest.mark.parametrize("missing", ["LICENSE", "docs/data_license.txt", "docs/README.md"])
def test_missing_file_is_named(bundle: Path, schema: Path, missing: str) -> None:
    (bundle / missing).unlink()
    expect_only(check_bundles.check_files(bundle), missing, "missing")


def test_file_over_25_mb_is_named_unless_a_training_left_it(bundle: Path) -> None:
    for name in ("models/training/big.pt", "models/big.bin"):
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_bytes(b"0" * (check_bundles.MAX_FILE_BYTES + 1))
    expect_only(check_bundles.check_files(bundle), "models/big.bin", "25")


def test_version_must_be_in_the_changelog(bundle: Path, schema: Path) -> None:
    edit(bundle, "metadata", lambda m: m.update(version="0.2.0"))
    expect_only(check_bundles.check_metadata(bundle, schema), "0.2.0", "changelog")


def test_metadata_must_follow_the_schema(bundle: Path, schema: Path) -> None:
    edit(bundle, "metadata", lambda m: m.pop("task"))
    expect_only(check_bundles.check_metadata(bundle, schema), "'task' is a required property")


def test_schema_out_of_reach_is_said_and_is_no_problem(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit(bundle, "metadata", lambda m: m.update(schema="http://127.0.0.1:9/schema.json"))
    with caplog.at_level(logging.WARNING):
        assert check_bundles.check_metadata(bundle, None) == []
    assert "schema not reachable: skipped" in caplog.text


@pytest.mark.parametrize(
    ("packages", "word"),
    [
        ({}, "does not name mrsikit"),
        ({"mrsikit": "99.0"}, "99.0 is required"),
        ({"nibabel": "99.0"}, "99.0 or later is required"),
        ({"no-such-package": "1.0"}, "not installed"),
        ({"nibabel": "new"}, "no version"),
    ],
)
def test_required_packages(bundle: Path, packages: dict[str, str], word: str) -> None:
    packages = {"mrsikit": version("mrsikit")} | packages if packages else packages
    edit(bundle, "metadata", lambda m: m.update(required_packages_version=packages))
    expect_only(check_bundles.check_packages(bundle), word)


def test_packages_for_training(bundle: Path) -> None:
    edit(bundle, "metadata", lambda m: m.update(training_packages_version={"no-such-package": "1.0"}))
    expect_only(check_bundles.check_packages(bundle), "no-such-package")


def test_changed_weights_fail_until_the_hash_is_updated(bundle: Path, schema: Path) -> None:
    torch.save({"gain": torch.tensor([3.0])}, bundle / "models" / "model.pt")
    expect_only(check_bundles.check_weights(bundle), "model.pt", "SHA-256")
    check_bundles.update_hashes(bundle)
    assert check_bundles.check_weights(bundle) == []


@pytest.mark.parametrize(
    ("state", "word"),
    [({"model": {"gain": torch.ones(1)}}, "flat state dict"), (torch.nn.Linear(1, 1), "weights_only=True")],
)
def test_weights_must_be_a_flat_state_dict_without_code(bundle: Path, state: Any, word: str) -> None:
    torch.save(state, bundle / "models" / "model.pt")
    check_bundles.update_hashes(bundle)
    expect_only(check_bundles.check_weights(bundle), word)


def test_weights_of_another_network_are_found(bundle: Path, schema: Path) -> None:
    torch.save({"other": torch.ones(1)}, bundle / "models" / "model.pt")
    check_bundles.update_hashes(bundle)
    expect_only(check_bundles.check_bundle(bundle, schema), "network_def", "other")


def test_a_training_that_hides_the_shipped_network_is_found(bundle: Path, schema: Path) -> None:
    """monai.bundle.load would return a network without its weights."""
    other = {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}
    edit(bundle, "train", lambda c: c.update(network_def=other))
    expect_only(check_bundles.check_bundle(bundle, schema), "train.json: network_def", "gain")


def test_wrong_number_of_channels_is_found(bundle: Path, schema: Path) -> None:
    edit(bundle, "metadata", lambda m: m["network_data_format"]["outputs"]["pred"].update(num_channels=2))
    expect_only(check_bundles.check_bundle(bundle, schema), "channel number")


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("inference", lambda c: c["inferer"].update(overlap=1), ("inference", "id inferer:", "overlap")),
        ("inference", lambda c: c.update(unused={"_target_": "NoSuchNetwork"}), ("id unused", "NoSuchNetwork")),
        ("inference", lambda c: c.update(unused="$[x for x in scipy.e]"), ("id unused", "scipy is not imported")),
        ("inference", lambda c: c["imports"].append("$import os.path") or c.update(a="$os.sep"), ("id a", '"as"')),
        ("inference", lambda c: c["run"].append("$@evaluater.run()"), ("id run::1", "@evaluater", "not defined")),
        ("inference", lambda c: c["run"].append("$os.remove(@output_dir)"), ("id run::1", "os is not imported")),
        ("inference", lambda c: c["run"].append("$@evaluator.run("), ("id run::1", "SyntaxError")),
        ("inference", lambda c: c.update(colour="#ff0000"), ("inference.json", "#ff0000", "::")),
        ("inference", lambda c: c.update(other="%configs/train.json::device"), ("inference.json", "one directory")),
        ("inference", lambda c: (c["evaluator"].update(val_handlers="@it"), c.update(it=[])), ("property handlers",)),
        ("inference", lambda c: c["evaluator"].update(val_handlers=[]), ("evaluator::val_handlers", "@handlers")),
        ("evaluate", lambda c: c.update(fault="$1 / 0"), ("evaluate: id fault", "ZeroDivisionError")),
        ("multi_gpu_train", lambda c: c["network"].update(size=3), ("multi_gpu_train: id network:", "size")),
        ("multi_gpu_train", lambda c: (c.clear(), c.update(fault="$1 / 0")), ("multi_gpu_train: id fault",)),
    ],
)
def test_fault_in_a_config_is_one_line_that_names_the_id(
    bundle: Path, schema: Path, file: str, change: Callable[[dict[str, Any]], Any], words: tuple[str, ...]
) -> None:
    edit(bundle, file, change)
    expect_only(check_bundles.check_bundle(bundle, schema), *words)


def test_fault_in_training_is_named_for_each_workflow_built_on_it(bundle: Path, schema: Path) -> None:
    edit(bundle, "train", lambda c: c["train"]["dataloader"].update(batchsize=2))
    problems = check_bundles.check_bundle(bundle, schema)
    assert [p.split(":")[0] for p in problems] == ["train", "evaluate", "multi_gpu_train"]
    assert all("id train::dataloader:" in p and "batchsize" in p for p in problems)


@pytest.mark.parametrize(("file", "required"), [("inference", "inferer"), ("train", "dataset_dir")])
def test_missing_property_is_named(bundle: Path, schema: Path, file: str, required: str) -> None:
    def rename(config: dict[str, Any]) -> None:
        config[f"my_{required}"] = config.pop(required)
        if file == "inference":
            config["evaluator"][required] = f"@my_{required}"

    edit(bundle, file, rename)
    problems = check_bundles.check_bundle(bundle, schema)
    assert problems
    assert all(required in problem for problem in problems)


def test_config_that_is_no_json_is_named(bundle: Path, schema: Path) -> None:
    (bundle / "configs" / "train.json").write_text("{")
    expect_only(check_bundles.check_bundle(bundle, schema), "configs/train.json", "JSONDecodeError")


def test_bundle_without_multi_gpu_config_passes(bundle: Path, schema: Path) -> None:
    (bundle / "configs" / "multi_gpu_train.json").unlink()
    assert check_bundles.check_bundle(bundle, schema) == []


def test_common_keys_must_be_equal(bundle: Path, tmp_path: Path) -> None:
    other = write_toy_bundle(tmp_path, "toy_other")
    assert check_bundles.check_common_keys([bundle, other]) == []
    edit(other, "inference", lambda c: c.update(device="cuda"))
    edit(other, "metadata", lambda m: m.update(monai_version="1.5"))
    problems = check_bundles.check_common_keys([bundle, other])
    assert len(problems) == 2
    assert all(p.startswith("toy_other: ") and p.endswith("not as in toy_checked") for p in problems)


def test_command_says_each_problem_and_returns_1(bundle: Path, schema: Path, caplog: pytest.LogCaptureFixture) -> None:
    arguments = [str(bundle), "--schema", str(schema)]
    assert check_bundles.main(arguments) == 0
    (bundle / "LICENSE").unlink()
    with caplog.at_level(logging.ERROR):
        assert check_bundles.main(arguments) == 1
    assert "toy_checked: LICENSE is missing" in caplog.text


def test_update_hashes_on_the_command_line(bundle: Path, schema: Path) -> None:
    edit(bundle, "metadata", lambda m: m.update(weights_sha256={}))
    arguments = [str(bundle), "--schema", str(schema)]
    assert check_bundles.main(arguments) == 1
    assert check_bundles.main([*arguments, "--update-hashes"]) == 0


def test_each_bundle_may_import_its_own_figures() -> None:
    lines = ["$import torch", "$from dmi_quantification.figures import draw_fids"]
    assert check_bundles.shared_part("imports", lines, "dmi_quantification") == lines[:1]
    assert check_bundles.shared_part("imports", lines, "mrsi_inpainting") == lines
