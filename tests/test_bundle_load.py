"""``monai.bundle.load`` returns the shipped network of a bundle, with all of its weights, by the bundle's name alone.

MONAI builds ``network_def`` of the workflow's config, copies the weights that fit and leaves out the others without an
error. So what train.json trains has a key of its own where it is another network.
"""

import logging
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
import torch
from monai.utils import set_determinism

import make_zips
from check_bundles import network_of

BUNDLES = sorted(path for path in (Path(__file__).resolve().parents[1] / "bundles").iterdir() if path.is_dir())


@pytest.fixture(autouse=True)
def process_left_as_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MONAI runs the config's "initialize", which seeds the process, and reads its logging.conf; cwd is elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    set_determinism(None)


def weights(bundle: Path) -> dict[str, torch.Tensor]:
    """Of the shipped network, in the precision in which a network holds them."""
    state = torch.load(bundle / "models" / "model.pt", map_location="cpu", weights_only=True)
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def settings(network: torch.nn.Module) -> list[tuple[type, dict[str, Any]]]:
    """Kind of every part of a network, with what it holds beside weights."""
    plain = (bool, int, float, str, tuple, type(None))
    return [
        (type(part), {k: v for k, v in vars(part).items() if isinstance(v, plain) and not k.startswith("_")})
        for part in network.modules()
    ]


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_bundle_unpacked_from_its_zip_is_loaded_whole(bundle: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(make_zips.make_zip(bundle, tmp_path / "dist")).extractall(tmp_path / "unpacked")
    network = monai.bundle.load(bundle.name, bundle_dir=tmp_path / "unpacked", device="cpu")
    assert isinstance(network, torch.nn.Module)
    torch.testing.assert_close(dict(network.state_dict()), weights(bundle), rtol=0, atol=0)
    assert settings(network) == settings(network_of(bundle, "inference.json"))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_it_is_the_same_by_the_inference_config(bundle: Path) -> None:
    network = monai.bundle.load(bundle.name, bundle_dir=bundle.parent, workflow_type="inference", device="cpu")
    assert isinstance(network, torch.nn.Module)
    torch.testing.assert_close(dict(network.state_dict()), weights(bundle), rtol=0, atol=0)


def test_a_retrained_network_of_other_sizes_is_loaded_by_those_sizes(tmp_path: Path) -> None:
    """As ``--network_def#session 3 --network_def#scores 4`` trains it."""
    bundle = next(path for path in BUNDLES if path.name == "mrs_vae_synthesis")
    copy = tmp_path / bundle.name
    shutil.copytree(bundle / "configs", copy / "configs")
    sizes = {"session": 3, "scores": 4}
    trained = type(network_of(bundle, "train.json"))(**sizes)
    (copy / "models").mkdir()
    torch.save(trained.state_dict(), copy / "models" / "model.pt")
    network = monai.bundle.load(bundle.name, bundle_dir=tmp_path, device="cpu", net_override=sizes)
    torch.testing.assert_close(dict(network.state_dict()), dict(trained.state_dict()), rtol=0, atol=0)
