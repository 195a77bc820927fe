import functools
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from command_lines import infer
from mrsi_inpainting.network import Inpainter
from mrsi_inpainting.postprocessing import PostprocessMapd
from mrsi_inpainting.preprocessing import PreprocessMapd

REPOSITORY = Path(__file__).resolve().parents[3]
BUNDLE = REPOSITORY / "bundles" / "mrsi_inpainting"


def decided_network(**options: float) -> Inpainter:
    """Untrained weights that judge and correct: as initialised, the last layers are zero and do neither."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = Inpainter(**options)
        for part in (network.planar, network.volumetric):
            for unet, size in ((part.detector, 2.0), (part.filler, 0.05)):
                torch.nn.init.normal_(unet.unet.final_conv.weight, 0, size)
    return network.eval()


def save_map(path: Path, array: np.ndarray, spacing: tuple[float, float, float] = (4.0, 4.0, 4.0)) -> Path:
    nib.save(nib.nifti1.Nifti1Image(array, np.diag([*spacing, 1.0])), path)
    return path


def disc(size: int, seed: int = 0, depth: int = 0) -> np.ndarray:
    """A noisy disc or ball of about 9 on a background of zeros, with a few holes."""
    rng = np.random.default_rng(seed)
    shape = (size, size, depth) if depth else (size, size)
    centred = np.stack(np.indices(shape)) - (np.array(shape).reshape(-1, *[1] * len(shape)) - 1) / 2
    inside = (centred[:2] ** 2).sum(0) < (0.42 * size) ** 2
    values = np.where(inside, 9 + rng.standard_normal(shape), 0).astype(np.float32)
    return np.where(rng.random(shape) < 0.1, 0, values).astype(np.float32)


@pytest.fixture(scope="session")
def network() -> Inpainter:
    return decided_network()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(decided_network().state_dict(), path)
    return path


@pytest.fixture(scope="session")
def command(weights: Path) -> Callable[..., subprocess.CompletedProcess]:
    """The public command, with the untrained weights; options by name."""
    return functools.partial(infer, BUNDLE, weights=weights)


BAD = ("bad_empty", "bad_text", "bad_companion")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """17 sound maps of every kind and 3 bad ones."""
    folder = tmp_path_factory.mktemp("maps")
    plane = disc(24)
    plane[12, 12], plane[0, 0] = np.nan, np.inf
    save_map(folder / "plane.nii.gz", plane)
    save_map(folder / "known.nii.gz", disc(26, seed=1))
    save_map(folder / "known_missing.nii.gz", (disc(26, seed=1) == 0).astype(np.uint8) * (disc(26, seed=2) > 0))
    stack = np.stack([disc(20, seed=3, depth=5), disc(20, seed=4, depth=5)], -1)
    inside = np.any([disc(20, seed=s, depth=5) > 0 for s in range(8)], 0)
    stack[~inside] = 0.2  # as fitting programs leave it, with a bound that says so
    save_map(folder / "stack.nii.gz", stack, (4.0, 4.0, 12.0))
    bounds = 5 + 30 * np.random.default_rng(0).random(stack.shape[:3], dtype=np.float32)
    bounds[~inside] = 999
    save_map(folder / "stack_crlb.nii.gz", bounds, (4.0, 4.0, 12.0))
    save_map(folder / "stack_brain.nii.gz", inside.astype(np.uint8), (4.0, 4.0, 12.0))
    volume = disc(16, seed=5, depth=9)
    volume[8, 8, 4] = np.nan
    save_map(folder / "volume.nii.gz", volume)
    for k in range(13):
        save_map(folder / f"more_{k:02}.nii", disc(16, seed=10 + k))
    save_map(folder / "bad_empty.nii.gz", np.zeros((16, 16), np.float32))
    (folder / "bad_text.nii.gz").write_text("no image")
    save_map(folder / "bad_companion.nii.gz", disc(16))
    save_map(folder / "bad_companion_missing.nii.gz", np.eye(15, dtype=np.uint8))
    return folder


@pytest.fixture(scope="session")
def finished(
    folder: Path, command: Callable[..., subprocess.CompletedProcess], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Outputs of the public command over the folder, bad files skipped, run from the root of the file system."""
    output = tmp_path_factory.mktemp("outputs")
    done = command(cwd=Path("/"), dataset_dir=folder, output_dir=output, skip_invalid="true", unit="mM")
    assert done.returncode == 0, done.stdout + done.stderr
    return output


MISSING, OBSERVED, UNKNOWN = 1, 0, -1
CENTRE, OUTSIDE = (0, 16, 16), (0, 1, 1)


def tensor(array: np.ndarray, spacing: tuple[float, ...] = (4.0, 4.0, 4.0)) -> MetaTensor:
    """Channel first, as the reader gives it."""
    return MetaTensor(torch.from_numpy(array.astype(np.float32)), affine=torch.diag(torch.tensor([*spacing, 1.0])))


def slice_map() -> np.ndarray:
    """(1, 32, 32), a whole disc."""
    values = disc(32)[None]
    return np.where(values == 0, 9 * (disc(32, seed=1)[None] > 0), values)


def prepared(values: np.ndarray, **options: object) -> tuple[Tensor, Tensor, Tensor]:
    """Map, observation and brain channel of a one-slice map."""
    companions = {k: tensor(v) for k, v in options.items() if isinstance(v, np.ndarray)}
    rest = {k: v for k, v in options.items() if not isinstance(v, np.ndarray)}
    out = PreprocessMapd(check=False, **rest)({"image": tensor(values), **companions})["image"].as_tensor()
    assert out.shape == (3, *values.shape[1:])
    return out[0:1], out[1:2], out[2:3]


def flags_of(values: np.ndarray, **companions: np.ndarray) -> str:
    item = PreprocessMapd(check=False)({"image": tensor(values), **{k: tensor(v) for k, v in companions.items()}})
    item["pred"] = torch.zeros_like(item["image"].as_tensor())
    return "; ".join(PostprocessMapd()(item)["flags"])
