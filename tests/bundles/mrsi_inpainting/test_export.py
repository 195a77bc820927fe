from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from command_lines import export
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


def test_exported_torchscript_equals_eager(case: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, expected = case
    export(BUNDLE, tmp_path / "model.ts")
    with torch.no_grad():
        out = torch.jit.load(tmp_path / "model.ts")(torch.from_numpy(x))
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_exported_onnx_equals_eager(case: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, expected = case
    path = tmp_path / "model.onnx"
    export(
        BUNDLE,
        path,
        kind="onnx_export",
        input_shape="[1,3,64,64]",
        use_trace="True",
        converter_kwargs="{'dynamo': False}",
    )
    model = onnx.load(path)
    out = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})[0]
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=1e-3)
