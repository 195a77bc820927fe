from pathlib import Path

import pytest

from option_tables import MODELS
from toy_bundle import write_toy_bundle
from wheel_contents import WheelContents, wheel_files

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLES = REPOSITORY / "bundles"
MOST_BYTES = 100_000_000
"""Largest file that the public package index takes."""


def test_each_bundle_brings_configs_weights_card_and_licences(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path)
    for name in ("models/training/last.pt", "models/model_unet.pt", "docs/results.json", "eval/map.nii.gz"):
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_bytes(b"left out")
    found = {Path(path).relative_to(bundle).as_posix(): target for path, target in wheel_files(tmp_path).items()}
    configs = {f"configs/{path.name}" for path in (bundle / "configs").iterdir()}
    assert set(found) == configs | {"LICENSE", "docs/README.md", "docs/data_license.txt", "models/model.pt"}
    assert all(target == f"toy_gain/bundle/{name}" for name, target in found.items())


@pytest.mark.parametrize("bundle", MODELS)
def test_every_config_of_an_inference_has_its_weights(bundle: str) -> None:
    targets = set(wheel_files(BUNDLES).values())
    names = {
        "mrsi_inpainting": [f"paper_{way}" for way in ("progressive", "direct")],
        "mrsi_super_resolution": [
            f"paper{rate}{gdfn}" for rate in ("", "_high_rate") for gdfn in ("", "_without_gdfn")
        ],
        "mrsi_gan_super_resolution": [
            f"{net}_{kind}" for net in ("unet", "gan") for kind in ("sharp", "soft", "two_inputs")
        ],
        "dmi_quantification": ["cnn"],
        "mrs_vae_synthesis": ["published"],
    }[bundle]
    files = ("model.pt", *(f"model_{name}.pt" for name in names))
    assert {f"{bundle}/bundle/models/{name}" for name in files} <= targets


def test_the_wheel_stays_small() -> None:
    assert sum(Path(path).stat().st_size for path in wheel_files(BUNDLES)) < 0.9 * MOST_BYTES


@pytest.mark.parametrize(("version", "added"), [("standard", True), ("editable", False)])
def test_an_editable_install_copies_nothing(version: str, added: bool) -> None:
    hook = WheelContents(str(REPOSITORY), {}, None, None, "", "wheel")
    build: dict[str, dict[str, str]] = {"force_include": {}}
    hook.initialize(version, build)
    assert bool(build["force_include"]) is added
