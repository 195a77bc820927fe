"""A bundle on arrays equals its config taken apart by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from mrsikit.io import InputError
from mrsikit.runtime.pipeline import BundlePipeline, channel_first, check_channel_first

BUNDLE = Path(__file__).parents[3] / "bundles" / "mrsi_inpainting"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Random weights of the shape of the config's network, no layer zero as at the start of a training."""
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / "inference.json"))
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    state = parser.get_parsed_content("network_def").state_dict()
    noisy = {k: v + 0.05 * torch.randn_like(v) if v.is_floating_point() and v.ndim else v for k, v in state.items()}
    torch.save(noisy, path)
    return path


@pytest.fixture(scope="module")
def item() -> dict[str, MetaTensor]:
    rng = np.random.default_rng(0)
    values = np.zeros((1, 24, 20), np.float32)
    values[:, 4:20, 3:17] = rng.uniform(5, 9, (1, 16, 14))
    missing = np.zeros_like(values)
    missing[:, 8:10, 7:9] = 1
    values[missing > 0] = 0  # inside: the outline is that of an excited volume, outside which nothing is filled
    return {"image": MetaTensor(torch.from_numpy(values)), "missing": MetaTensor(torch.from_numpy(missing))}


def by_hand(item: dict[str, MetaTensor], weights: Path, **options) -> dict:
    """The config's own network between its transforms, files left out."""
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / "inference.json"))
    parser.read_meta(str(BUNDLE / "configs" / "metadata.json"))
    parser.update({"bundle_root": str(BUNDLE), **options})
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    data = dict(item)
    for transform in parser.get_parsed_content("preprocessing").transforms[1:]:
        data = transform(data)
    with torch.no_grad():
        data["pred"] = network(torch.as_tensor(data["image"])[None])[0]
    for transform in parser.get_parsed_content("postprocessing").transforms[:1]:
        data = transform(data)
    return data


@pytest.mark.parametrize("options", [{}, {"threshold": 0.01}], ids=str)
def test_the_pipeline_equals_its_parts_called_by_hand(item, weights, options):
    expected = by_hand(item, weights, **options)
    out = BundlePipeline(BUNDLE, weights=str(weights), device="cpu", **options)(item)
    for name in ("inpainted", "holes", "uncertainty"):
        assert torch.equal(torch.as_tensor(out[name]), torch.as_tensor(expected[name])), name
    assert out["flags"] == expected["flags"]
    assert out["holes"].sum() > 0


def test_options_reach_the_transforms_and_the_item_is_left_as_it_came(item, weights):
    before = {name: value.clone() for name, value in item.items()}
    mask_free = {"image": item["image"]}
    few, many = (
        BundlePipeline(BUNDLE, weights=str(weights), device="cpu", threshold=t)(mask_free)["holes"].sum()
        for t in (1.0, 0.0)
    )
    assert few == 0
    assert many > 0
    assert set(item) == set(before)
    assert all(torch.equal(item[name], before[name]) for name in item)


class Constant(torch.nn.Module):
    """Fills with 7, uncertain by 0.5, and judges nothing missing."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        values = torch.tensor([7.0, 0.5, 0.0], device=image.device).repeat(image.shape[1] // 3)
        return values.view(1, -1, *[1] * (image.ndim - 2)).expand_as(image).clone()


def test_another_network_can_take_its_place(item):
    out = BundlePipeline(BUNDLE, network=Constant(), weights="nowhere.pt", device="cpu")(item)
    missing = torch.as_tensor(item["missing"]) == 1
    assert torch.equal(torch.as_tensor(out["holes"]) == 1, missing)
    assert torch.equal(torch.as_tensor(out["inpainted"])[~missing], torch.as_tensor(item["image"])[~missing])


def test_it_writes_and_reads_no_file(item, weights, tmp_path, monkeypatch):
    pipeline = BundlePipeline(BUNDLE, weights=str(weights), device="cpu", output_dir=str(tmp_path))
    names = [type(t).__name__ for t in (*pipeline.before.transforms, *pipeline.after.transforms)]
    assert names
    assert not [name for name in names if name.startswith(("LoadImage", "SaveImage"))]
    monkeypatch.chdir(tmp_path)
    pipeline(item)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_bundle_or_weights_is_refused(tmp_path):
    with pytest.raises(InputError, match="no bundle here"):
        BundlePipeline(tmp_path)
    shutil.copytree(BUNDLE / "configs", tmp_path / "configs")
    assert json.loads((tmp_path / "configs" / "inference.json").read_text())
    with pytest.raises(InputError, match="no weights here"):
        BundlePipeline(tmp_path)


@pytest.mark.parametrize(
    "image",
    [
        torch.ones(44, 54),
        torch.ones(44, 54, 30),
        torch.ones(44, 54, 30, 2),
        MetaTensor(torch.ones(44, 54, 30)),
        np.ones((44, 54, 30), np.float32),
        torch.ones(2, 3, 1, 64, dtype=torch.complex64),
        torch.ones(2, 3, 1, 64, 4, dtype=torch.complex64),
    ],
    ids=lambda image: f"{type(image).__name__} {tuple(image.shape)}",
)
def test_an_image_without_a_channel_axis_is_refused(image):
    with pytest.raises(InputError, match="has no channel axis in front"):
        check_channel_first(image, "image")
    if not isinstance(image, np.ndarray):
        with pytest.raises(InputError, match="has no channel axis in front"):
            BundlePipeline(BUNDLE, network=Constant(), weights="nowhere.pt", device="cpu")({"image": image})


@pytest.mark.parametrize("shape", [(44, 54), (44, 54, 30), (44, 54, 1), (44, 54, 30, 5), (9, 8, 7, 44)])
def test_what_the_readers_and_predict_give_has_a_channel_axis(shape):
    check_channel_first(channel_first(np.ones(shape, np.float32), np.eye(4)), "image")
    check_channel_first(torch.ones(1, 2, 3, 1, 64, 5, dtype=torch.complex64), "image")
    check_channel_first(torch.ones(12, 44, 54, 30), "image")


def test_what_a_transform_refuses_is_an_input_error(item):
    pipeline = BundlePipeline(BUNDLE, network=Constant(), weights="nowhere.pt", device="cpu")
    with pytest.raises(InputError, match="give it on the map's grid"):
        pipeline(item | {"missing": MetaTensor(torch.ones(1, 5, 5))})
