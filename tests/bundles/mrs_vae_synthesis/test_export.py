from pathlib import Path

import torch

from command_lines import export
from mrs_vae_synthesis.network import SessionVae

from .conftest import BUNDLE


def test_the_exported_autoencoder_equals_the_eager_one(tmp_path: Path, network: SessionVae) -> None:
    path = export(BUNDLE, tmp_path / "model.ts")
    x = torch.randn(2, 6, network.scores + 3, generator=torch.Generator().manual_seed(0))
    x[..., -3], x[..., -2:] = torch.tensor([0.0, 1, 0, 1, 0, 1]), 1.0
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(path)(x), network(x), rtol=1e-4, atol=1e-4)
