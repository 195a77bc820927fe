import functools
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coarse_maps import grid, head, save, save_flair
from command_lines import infer

REPOSITORY = Path(__file__).resolve().parents[3]
BUNDLE = REPOSITORY / "bundles" / "mrsi_super_resolution"
SHIPPED = BUNDLE / "models" / "model.pt"


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess]:
    """The public command with the shipped weights; options by name."""
    return functools.partial(infer, BUNDLE)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound maps of every kind, with and without companions, and bad ones."""
    folder = tmp_path_factory.mktemp("maps")
    flat, volume = grid(), grid()
    save(folder / "plain.nii.gz", head(flat, (24, 24)), flat)
    save(folder / "guided.nii.gz", head(flat, (24, 24)), flat)
    save_flair(folder / "guided_flair.nii.gz")
    turned = grid(turn=20)
    both = np.stack([head(turned, (24, 24, 2), lesion=1), head(turned, (24, 24, 2), level=4)], -1)
    both[12, 5, 0, 0] = np.nan
    save(folder / "two.nii.gz", both, turned)
    save(folder / "two_crlb.nii.gz", np.full((24, 24, 2), 6, np.float32), turned)
    save_flair(folder / "two_flair.nii.gz")
    save_flair(folder / "two_t1.nii.gz")
    save(folder / "volume.nii", head(volume, (24, 20, 3)), volume)
    save(folder / "half.nii.gz", head(flat, (24, 24)), flat)
    save_flair(folder / "half_flair.nii.gz", shift=75)
    save(folder / "bad_apart.nii.gz", head(flat, (24, 24)), flat)
    save_flair(folder / "bad_apart_flair.nii.gz", shift=400)
    save(folder / "bad_empty.nii.gz", np.zeros((24, 24), np.float32), flat)
    save(folder / "bad_axes.nii.gz", np.ones((12, 12, 2, 2, 2), np.float32), flat)
    save(folder / "bad_complex.nii.gz", head(flat, (24, 24)).astype(np.complex64) * 1j, flat)
    whole = (folder / "plain.nii.gz").read_bytes()
    (folder / "bad_cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    return folder


BAD = ("bad_apart", "bad_empty", "bad_axes", "bad_complex", "bad_cut")


@pytest.fixture(scope="session")
def finished(
    folder: Path, command: Callable[..., subprocess.CompletedProcess], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Outputs of the public command over the folder, bad files skipped, run from the root of the file system."""
    output = tmp_path_factory.mktemp("outputs")
    done = command(cwd=Path("/"), dataset_dir=folder, output_dir=output, skip_invalid="true", unit="mM")
    assert done.returncode == 0, done.stdout + done.stderr
    return output
