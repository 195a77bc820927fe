import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from mrsikit.io import InputError
from mrsikit.runtime.bundles import bundle_root, options_model, run_inference, split_method
from option_tables import MODELS, model_of

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"


def write_package(site: Path, config: str) -> Path:
    """A package, and a file of a bundle where ``config`` says."""
    (site / "toy_gain").mkdir()
    (site / "toy_gain" / "__init__.py").write_text("raise RuntimeError('imported')")
    path = site / config
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    return path.parents[1]


@pytest.mark.parametrize("config", ["configs/inference.json", "toy_gain/bundle/configs/inference.json"])
def test_the_files_lie_around_the_package_or_in_it(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_package(tmp_path, config)
    monkeypatch.syspath_prepend(tmp_path)
    assert bundle_root("toy_gain") == root


def test_configs_of_others_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of all packages may hold a folder ``configs`` of some other project."""
    root = write_package(tmp_path, "toy_gain/bundle/configs/inference.json")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    assert bundle_root("toy_gain") == root


def test_a_package_without_its_bundle_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(tmp_path, "toy_gain/bundle/configs/train.json")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="toy_gain: its configs were not installed"):
        bundle_root("toy_gain")
    with pytest.raises(InputError, match="toy_loss: is not installed"):
        bundle_root("toy_loss")


def test_a_run_is_that_of_monai(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_package(tmp_path, "configs/inference.json")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    started: list[list[str]] = []
    monkeypatch.setattr(runpy, "run_module", lambda name, **_: started.append([name, *sys.argv[1:]]))
    run_inference("toy_gain", ["--output_dir", "out"])
    config = str(root / "configs" / "inference.json")
    line = ["run", "--config_file", config, "--bundle_root", str(root), "--output_dir", "out"]
    assert started == [["monai.bundle", *line]]
    with pytest.raises(InputError, match="toy_loss: is not installed"):
        run_inference("toy_loss", [])


@pytest.mark.parametrize("bundle", MODELS)
def test_a_checkout_has_its_own_bundles(bundle: str) -> None:
    assert bundle_root(bundle) == BUNDLES / bundle
    found, known = options_model(BUNDLES / bundle), model_of(bundle)
    assert (found.__name__, list(found.model_fields)) == (known.__name__, list(known.model_fields))


def test_the_options_of_a_bundle_do_not_stand_in_the_way_of_the_bundle() -> None:
    """MONAI finds what a config names by way of the package, as `mrsikit report` needs it after the options."""
    code = "import pydoc, sys\nfrom mrsikit.runtime.bundles import bundle_root, options_model\n"
    for bundle in MODELS:
        code += f"name = options_model(bundle_root({bundle!r})).__name__\n"
        code += f"assert pydoc.locate(f'{bundle}.options.{{name}}').model_fields\n"
    subprocess.run([sys.executable, "-c", code], check=True)


GAN = BUNDLES / "mrsi_gan_super_resolution"


def test_a_published_method_is_a_config_laid_over_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    started: list[list[str]] = []
    monkeypatch.setattr(runpy, "run_module", lambda name, **_: started.append(sys.argv[1:]))
    run_inference(GAN.name, ["--output_dir", "out", "--method", "li", "--method", "3"])
    files = str([str(GAN / "configs" / f"{name}.json") for name in ("inference", "reference_li")])
    assert started == [
        ["run", "--config_file", files, "--bundle_root", str(GAN), "--output_dir", "out", "--method", "3"]
    ]
    assert "generator" in options_model(GAN, "li").model_fields
    assert "generator" not in options_model(GAN).model_fields


@pytest.mark.parametrize(
    ("words", "method", "rest"),
    [
        (["--method=li", "--noise", "1"], "li", ["--noise", "1"]),
        (["--method", "2"], None, ["--method", "2"]),
        (["--noise", "1", "--method"], None, ["--noise", "1", "--method"]),
    ],
)
def test_the_name_of_a_published_method_is_taken_out(words: list[str], method: str | None, rest: list[str]) -> None:
    assert split_method(GAN, words) == (method, rest)


def test_an_unknown_method_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="--method phan: is no published method of this bundle; give precise_dmi"):
        split_method(BUNDLES / "dmi_quantification", ["--method", "phan"])
    with pytest.raises(SystemExit, match="--method phan"):
        run_inference("dmi_quantification", ["--method", "phan"])
