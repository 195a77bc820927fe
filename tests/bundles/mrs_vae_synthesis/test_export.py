import subprocess
import sys
from pathlib import Path

import torch

from command_lines import ONE_CORE
from mrs_vae_synthesis.network import SessionVae

from .conftest import BUNDLE


def test_the_exported_autoencoder_equals_the_eager_one(tmp_path: Path, network: SessionVae) -> None:
    path = tmp_path / "model.ts"
    command = [sys.executable, "-m", "monai.bundle", "ckpt_export", "--net_id", "network_def", "--filepath", str(path)]
    command += ["--ckpt_file", "models/model.pt", "--meta_file", "configs/metadata.json"]
    command += ["--config_file", "configs/inference.json"]
    done = subprocess.run(command, cwd=BUNDLE, env=ONE_CORE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    x = torch.randn(2, 6, network.scores + 3, generator=torch.Generator().manual_seed(0))
    x[..., -3], x[..., -2:] = torch.tensor([0.0, 1, 0, 1, 0, 1]), 1.0
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(path)(x), network(x), rtol=1e-4, atol=1e-4)
