from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import LoadImaged

from command_lines import export
from dmi_quantification.network import FidLeastSquares
from dmi_quantification.preprocessing import acquisition_rows, real_and_imaginary
from mrsikit.io import read_map
from mrsikit.runtime.pipeline import BundlePipeline

from .conftest import BUNDLE, MODEL


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> torch.jit.ScriptModule:
    """The default estimator, exported by the public command."""
    return torch.jit.load(export(BUNDLE, tmp_path_factory.mktemp("export") / "model.ts"))


def test_exported_estimator_equals_eager(exported: torch.jit.ScriptModule) -> None:
    truth = torch.tensor([10.0, 2.0, 3.0, 1.0]).expand(100, -1)
    fids = MODEL.simulate(truth, noise=2.0, shift=7.0, generator=torch.Generator().manual_seed(0))
    x = real_and_imaginary(torch.cat([acquisition_rows(MODEL, 0.4 * MODEL.larmor), fids]))[None]
    with torch.no_grad():
        torch.testing.assert_close(exported(x), FidLeastSquares().eval()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stem", ["voxel", "series", "rings"])
def test_exported_estimator_by_the_rules_of_deploy_gives_the_commands_result(
    exported: torch.jit.ScriptModule, folder: Path, finished: Path, stem: str
) -> None:
    fids = LoadImaged("image", reader="mrsikit.io.NiftiMRSReader", dtype=None, ensure_channel_first=True)
    maps = LoadImaged(
        ["mask", "mri"], reader="mrsikit.io.MapReader", ensure_channel_first=True, allow_missing_keys=True
    )
    paths = {name: folder / f"{stem}_{name}.nii.gz" for name in ("mask", "mri")}
    data = {"image": str(folder / f"{stem}.nii.gz"), **{k: str(p) for k, p in paths.items() if p.exists()}}
    out = BundlePipeline(BUNDLE, network=exported, device=torch.device("cpu"), water_mM=10)(maps(fids(data)))
    for name in set(out["maps"]) - {"fit"}:
        expected = read_map(finished / f"{stem}_{name}.nii.gz")[0]
        found = out[name].as_tensor().float().numpy()
        found = np.moveaxis(found, 0, -1) if expected.ndim == 4 else found[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=name)
