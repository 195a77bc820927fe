"""What pyproject.toml and the bundles' metadata say of versions must agree."""

import json
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
METADATA = sorted((REPOSITORY / "bundles").glob("*/configs/metadata.json"))


def lower_bounds() -> dict[str, str]:
    requirements = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    return {r.name: s.version for r in requirements for s in r.specifier if s.operator == ">="}


def test_every_dependency_has_a_lower_bound() -> None:
    assert len(lower_bounds()) == len(PROJECT["project"]["dependencies"])


@pytest.mark.parametrize("path", METADATA, ids=lambda path: path.parts[-3])
def test_metadata_requires_what_the_installation_brings(path: Path) -> None:
    metadata = json.loads(path.read_text(encoding="utf-8"))
    bounds = lower_bounds() | {"mrsikit": PROJECT["project"]["version"]}
    required = metadata["required_packages_version"]
    assert required == {name: bounds.get(name) for name in required}
    assert metadata["monai_version"] == bounds["monai"]


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
