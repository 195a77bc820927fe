from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from command_lines import export
from mrsikit.io import read_map
from mrsikit.runtime.pipeline import BundlePipeline
from mrsikit.super_resolution.network import CHANNELS, SuperResolution

from .conftest import BUNDLE, SHIPPED


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(BUNDLE, tmp_path_factory.mktemp("export") / "model.ts", weights=SHIPPED)


def test_exported_torchscript_equals_eager(exported: Path) -> None:
    eager = SuperResolution(collapsed=True)
    eager.load_state_dict({k: v.float() for k, v in torch.load(SHIPPED, weights_only=True).items()})
    x = torch.rand(2, CHANNELS, 48, 48, generator=torch.Generator().manual_seed(0))
    x[:, 7], x[:, 8] = 4, 1
    with torch.no_grad():
        np.testing.assert_allclose(torch.jit.load(exported)(x), eager.eval()(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stem", ["plain", "three"])
def test_exported_network_by_the_rules_of_deploy_gives_the_commands_result(
    folder: Path, finished: Path, exported: Path, stem: str
) -> None:
    data = {}
    for key, name in (("image", stem), ("flair", f"{stem}_flair")):
        if (folder / f"{name}.nii.gz").exists():
            values, affine = read_map(folder / f"{name}.nii.gz")
            tensor = torch.from_numpy(values)
            tensor = tensor.movedim(-1, 0) if tensor.ndim == 4 else tensor[None]
            data[key] = MetaTensor(tensor, affine=torch.from_numpy(affine))
    network = torch.jit.load(exported)
    out = BundlePipeline(BUNDLE, network=network, device=torch.device("cpu"), noise=0.1)(data)
    for what in ("sr", "uncertainty"):
        expected = read_map(finished / f"{stem}_{what}.nii.gz")[0]
        found = out[what].as_tensor().movedim(0, -1).numpy().reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
