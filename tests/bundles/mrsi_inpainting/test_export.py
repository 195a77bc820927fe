import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from mrsi_inpainting.network import Inpainter

from .conftest import BUNDLE, disc

WEIGHTS = BUNDLE / "models" / "model.pt"


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, np.ndarray]:
    """A noisy disc with holes as the network's input, and what the shipped network makes of it."""
    values = torch.from_numpy(disc(64))
    x = torch.stack([values, torch.full_like(values, -1), torch.full_like(values, -1)])[None]
    network = Inpainter(threshold=0.4, wrong_threshold=1.0)  # as inference.json exports it
    network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    with torch.no_grad():
        return x.numpy(), network.eval()(x).numpy()


def export(kind: str, path: Path, **options: str) -> None:
    line = [sys.executable, "-m", "monai.bundle", kind, "--net_id", "network_def", "--filepath", str(path)]
    line += ["--ckpt_file", str(WEIGHTS), "--meta_file", "configs/metadata.json"]
    line += ["--config_file", "configs/inference.json"]
    for name, value in options.items():
        line += [f"--{name}", value]
    done = subprocess.run(line, cwd=BUNDLE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_exported_torchscript_equals_eager(case: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, expected = case
    export("ckpt_export", tmp_path / "model.ts")
    with torch.no_grad():
        out = torch.jit.load(tmp_path / "model.ts")(torch.from_numpy(x))
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_exported_onnx_equals_eager(case: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, expected = case
    path = tmp_path / "model.onnx"
    export("onnx_export", path, input_shape="[1,3,64,64]", use_trace="True", converter_kwargs="{'dynamo': False}")
    model = onnx.load(path)
    out = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})[0]
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=1e-3)
