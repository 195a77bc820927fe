from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from coarse_maps import flair_grid, grid, head
from command_lines import export
from mrsikit.io import read_map
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.runtime.pipeline import BundlePipeline
from mrsikit.super_resolution.inferer import parts
from mrsikit.super_resolution.network import CHANNELS, SuperResolution, network_input
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd

from .conftest import BUNDLE, SHIPPED


def shipped() -> SuperResolution:
    network = SuperResolution(collapsed=True)
    network.load_state_dict({k: v.float() for k, v in torch.load(SHIPPED, weights_only=True).items()})
    return network.eval()


def loaded(stem: str, folder: Path) -> dict[str, MetaTensor]:
    """A map and its FLAIR as the reader gives them."""
    data = {}
    for key, name in (("image", stem), ("flair", f"{stem}_flair")):
        if (folder / f"{name}.nii.gz").exists():
            values, affine = read_map(folder / f"{name}.nii.gz")
            data[key] = MetaTensor(torch.from_numpy(values)[None], affine=torch.from_numpy(affine))
    return data


@pytest.mark.parametrize(("psf", "guided"), [("block", True), ("kspace", False)])
def test_exported_torchscript_equals_eager(tmp_path: Path, psf: str, guided: bool) -> None:
    data = {"image": MetaTensor(torch.from_numpy(head(grid(), (24, 24)))[None], affine=torch.from_numpy(grid()))}
    if guided:
        image = torch.from_numpy(head(flair_grid(), (160, 160, 12)))
        data["flair"] = MetaTensor(image[None], affine=torch.from_numpy(flair_grid()))
    starts, noises, mris = parts(PreprocessCoarseMapd(psf=psf, noise=0.1)(data)["image"].as_tensor()[..., 0])
    x = network_input(
        starts, SpatialEncoding(psf, 4), noise=noises, mris={name: image[None] for name, image in mris.items()}
    )
    assert x.shape[1] == CHANNELS
    path = export(BUNDLE, tmp_path / "model.ts", weights=SHIPPED)
    with torch.no_grad():
        np.testing.assert_allclose(torch.jit.load(path)(x), shipped()(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stem", ["plain", "guided"])
def test_exported_network_by_the_rules_of_deploy_gives_the_commands_result(
    folder: Path, finished: Path, stem: str
) -> None:
    out = BundlePipeline(BUNDLE, network=torch.jit.script(shipped()), device=torch.device("cpu"))(loaded(stem, folder))
    for what in ("sr", "uncertainty"):
        expected = read_map(finished / f"{stem}_{what}.nii.gz")[0]
        np.testing.assert_allclose(out[what].as_tensor().numpy()[0], expected, rtol=1e-4, atol=1e-4)
