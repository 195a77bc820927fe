"""What pyproject.toml and the bundles' metadata say of versions must agree."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
METADATA = sorted((REPOSITORY / "bundles").glob("*/configs/metadata.json"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
MOST_DEPENDENCIES = 18
# what the extras bring, by the names of their modules
ABSENT = ("nilearn", "dipy", "tensorboard", "psutil", "pandas", "krippendorff", "umap", "jsonschema")
# what takes long to import; MONAI imports some of it itself
HEAVY = {"matplotlib", "sklearn", "itk", "nifti_mrs", *ABSENT}
# Run without the extras: which modules each bundle adds to MONAI's, and whether its example works.
PLAIN_INSTALL = """
import doctest, importlib, json, sys
absent, bundles = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(absent))
import monai.bundle, monai.data, monai.engines, monai.inferers, monai.losses, monai.metrics, monai.networks.nets
import monai.transforms
before = set(sys.modules)
for bundle in bundles:
    importlib.import_module(bundle)
added = {name.split(".")[0] for name in set(sys.modules) - before}
results = {bundle: doctest.testmod(sys.modules[bundle + ".predict"]) for bundle in bundles}
print(json.dumps({"added": sorted(added), "results": results}))
"""


def lower_bounds(texts: list[str]) -> dict[str, str]:
    """Name to lowest version of requirements, those of the extras that they name included."""
    bounds: dict[str, str] = {}
    for requirement in map(Requirement, texts):
        if requirement.name == "mrsikit":
            bounds |= lower_bounds([text for extra in requirement.extras for text in EXTRAS[extra]])
        for specifier in requirement.specifier:
            if specifier.operator == ">=":
                bounds[requirement.name] = specifier.version
    return bounds


INFERENCE = lower_bounds(PROJECT["project"]["dependencies"])


def test_a_plain_install_names_few_packages_each_with_a_lower_bound() -> None:
    assert len(INFERENCE) == len(PROJECT["project"]["dependencies"]) <= MOST_DEPENDENCIES


def test_a_plain_install_imports_fast_and_predicts() -> None:
    bundles = [path.parts[-3] for path in METADATA]
    command = [sys.executable, "-c", PLAIN_INSTALL, json.dumps([ABSENT, bundles])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert not HEAVY & set(found["added"])
    assert set(bundles) <= set(found["added"])
    for bundle, (failed, tried) in found["results"].items():
        assert (failed, tried > 0) == (0, True), (bundle, done.stdout)


def test_the_test_extra_brings_every_extra_that_can_stand_beside_it() -> None:
    tested = lower_bounds(EXTRAS["test"])
    for extra in ("demo", "train", "benchmark", "reader-study"):
        assert lower_bounds(EXTRAS[extra]).items() <= tested.items()


@pytest.mark.parametrize("path", METADATA, ids=lambda path: path.parts[-3])
def test_metadata_requires_what_the_installation_brings(path: Path) -> None:
    metadata = json.loads(path.read_text(encoding="utf-8"))
    bounds = INFERENCE | {"mrsikit": PROJECT["project"]["version"]}
    required = metadata["required_packages_version"]
    assert required == {name: bounds.get(name) for name in required}
    assert metadata["monai_version"] == bounds["monai"]
    training, extra = metadata["training_packages_version"], lower_bounds(EXTRAS["train"])
    assert training == {name: extra.get(name) for name in training}
    assert not set(training) & set(INFERENCE)


def test_import_rules_name_every_bundle() -> None:
    linter = PROJECT["tool"]["importlinter"]
    bundles = {path.parts[-3] for path in METADATA}
    *_, shared, independent = linter["contracts"]
    assert bundles | {"mrsikit"} == set(linter["root_packages"])
    assert bundles == set(shared["forbidden_modules"]) == set(independent["modules"])


@pytest.mark.parametrize("path", METADATA, ids=lambda path: path.parts[-3])
def test_bundle_is_in_the_wheel_and_in_the_editable_install(path: Path) -> None:
    name = path.parts[-3]
    hatch = PROJECT["tool"]["hatch"]["build"]
    assert f"bundles/{name}/{name}" in hatch["targets"]["wheel"]["packages"]
    assert f"bundles/{name}" in hatch["dev-mode-dirs"]
