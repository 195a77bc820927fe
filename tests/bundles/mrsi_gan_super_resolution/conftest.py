import functools
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coarse_maps import grid, head, save, save_flair
from command_lines import infer

REPOSITORY = Path(__file__).resolve().parents[3]
BUNDLE = REPOSITORY / "bundles" / "mrsi_gan_super_resolution"
SHIPPED = BUNDLE / "models" / "model.pt"
NAMES = "2HG,Gln,Glu"


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess]:
    """The public command with the shipped weights; options by name."""
    return functools.partial(infer, BUNDLE)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three metabolites with a FLAIR, one map without, a volume of cubic voxels, and bad ones."""
    folder = tmp_path_factory.mktemp("maps")
    three = [head(grid(), (24, 24, 2), level=level, lesion=lesion) for level, lesion in ((1, 3), (3, 0), (9, 0))]
    save(folder / "three.nii.gz", np.stack(three, -1), grid())
    save_flair(folder / "three_flair.nii.gz")
    save(folder / "plain.nii.gz", head(grid(), (24, 24)), grid())
    cubic = grid((6.9, 6.9, 6.9))
    save(folder / "volume.nii.gz", head(cubic, (24, 20, 8)), cubic)
    save(folder / "bad_empty.nii.gz", np.zeros((24, 24), np.float32), grid())
    return folder


@pytest.fixture(scope="session")
def finished(
    folder: Path, command: Callable[..., subprocess.CompletedProcess], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Outputs of the public command over the folder, bad files skipped, run from the root of the file system."""
    output = tmp_path_factory.mktemp("outputs")
    done = command(cwd=Path("/"), dataset_dir=folder, output_dir=output, skip_invalid="true", noise=0.1)
    assert done.returncode == 0, done.stdout + done.stderr
    return output
