"""Names and defaults of a bundle's options stand in its model and, for MONAI, at the top of its inference.json."""

import json
from pathlib import Path

import pytest

from mrsikit.runtime.bundles import options_model, reference_methods
from option_tables import MODELS, model_of

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"


@pytest.mark.parametrize("bundle", MODELS)
def test_the_top_of_the_config_is_the_model(bundle: str) -> None:
    config = json.loads((BUNDLES / bundle / "configs" / "inference.json").read_text(encoding="utf-8"))
    names = list(config)
    top = {name: config[name] for name in names[2 : names.index("options")]}
    assert names[:2] == ["imports", "bundle_root"]
    model = model_of(bundle)
    assert set(top) == set(model.model_fields)
    for name, value in top.items():
        computed = isinstance(value, str) and value.startswith("$")  # where MONAI works it out: a folder, a device
        assert computed or value == model.model_fields[name].default, name
    target = config["options"].pop("_target_")
    assert target == f"{bundle}.options.{MODELS[bundle]}.model_construct"
    assert config["options"] == {name: f"@{name}" for name in top}


@pytest.mark.parametrize("bundle", MODELS)
def test_the_config_of_a_published_method_is_its_model(bundle: str) -> None:
    """The record keeps the name, so that the report of a finished run is made with that config again."""
    own = options_model(BUNDLES / bundle).model_fields
    for method in reference_methods(BUNDLES / bundle):
        config = json.loads((BUNDLES / bundle / "configs" / f"reference_{method}.json").read_text(encoding="utf-8"))
        fields = options_model(BUNDLES / bundle, method).model_fields
        more = {name: field.default for name, field in fields.items() if name not in own}
        assert more["reference"] == method
        assert {name: config[name] for name in more} == more
        assert {name: config[f"options#{name}"] for name in more} == {name: f"@{name}" for name in more}


@pytest.mark.parametrize("bundle", MODELS)
def test_page_and_figures_are_options(bundle: str) -> None:
    config = json.loads((BUNDLES / bundle / "configs" / "inference.json").read_text(encoding="utf-8"))
    assert config["write_report"]["report"] == "@report"
    assert config["write_report"]["max_figures"] == "@figures"


@pytest.mark.parametrize("bundle", MODELS)
def test_configs_stay_small(bundle: str) -> None:
    text = (BUNDLES / bundle / "configs" / "inference.json").read_text(encoding="utf-8")
    own = [line for line in text.splitlines() if any(f'"_target_": "{p}.' in line for p in ("mrsikit", bundle))]
    assert len(text.splitlines()) <= 165
    assert len([line for line in own if "Save" not in line]) <= 9


@pytest.mark.parametrize("bundle", MODELS)
def test_the_details_hold_the_table_of_the_model(bundle: str) -> None:
    details = (BUNDLES / bundle / "docs" / "details.md").read_text(encoding="utf-8")
    assert model_of(bundle).table() in details
