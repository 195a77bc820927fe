import functools
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from command_lines import infer

from mrsikit.io import Fids, write_fids
from mrsikit.phantoms.dmi import FINER, DmiPhantom, rings
from mrsikit.physics.fid_model import FidModel, noise_of_snr

REPOSITORY = Path(__file__).resolve().parents[3]
BUNDLE = REPOSITORY / "bundles" / "dmi_quantification"
METABOLITES = ("water", "Glc", "Glx", "Lac")
MODEL = FidModel(
    ppm=(4.7, 3.7, 2.4, 1.3),
    t2_star=(0.03, 0.03, 0.035, 0.06),
    larmor=76.7,
    reference=4.7,
    dwell=4e-4,
    points=256,
    delay=6e-4,
)


def fids_of(values: np.ndarray, **options: object) -> Fids:
    given = {"dwell": MODEL.dwell, "larmor": MODEL.larmor, "nucleus": "2H", "reference": None, "delay": MODEL.delay}
    return Fids(**{"affine": np.diag([5.0, 5, 5, 1]), "extension": {}, **given, "values": values, **options})


def simulated(amplitudes: np.ndarray, snr: float, seed: int = 0) -> np.ndarray:
    """FIDs (..., T) of amplitudes (..., 4)."""
    noise = noise_of_snr(MODEL, snr, amplitude=10.0)
    flat = torch.from_numpy(np.ascontiguousarray(amplitudes.reshape(-1, 4), dtype=np.float32))
    fids = MODEL.simulate(flat, noise=noise, phase=0.4, shift=5.0, generator=torch.Generator().manual_seed(seed))
    return fids.numpy().reshape(*amplitudes.shape[:-1], -1)


@pytest.fixture(scope="session")
def phantom() -> DmiPhantom:
    return rings(rng=np.random.default_rng(0))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, phantom: DmiPhantom) -> Path:
    """A slice with mask and MRI, a single voxel, a time series without a delay in its header, and a bad file."""
    folder = tmp_path_factory.mktemp("fids")
    slice_ = simulated(phantom.amplitudes, 12.0)[:, :, None]
    write_fids(folder / "rings.nii.gz", fids_of(slice_))
    grid = np.diag([5.0, 5, 5, 1])
    nib.save(nib.Nifti1Image(phantom.mask.astype(np.uint8)[..., None], grid), folder / "rings_mask.nii.gz")
    fine = np.diag([1.0, 1, 5, 1])
    fine[:2, 3] = -2  # the centre of a fine voxel at the corner of a coarse one
    assert FINER == 5
    nib.save(nib.Nifti1Image(phantom.mri[..., None], fine), folder / "rings_mri.nii.gz")
    write_fids(folder / "voxel.nii.gz", fids_of(simulated(np.array([[[[10.0, 2, 3, 1]]]]), 40.0)))
    rise = np.stack([np.tile([10.0, 2 + t, 3, 1], (2, 2, 1, 1)) for t in range(3)], -2)
    series = simulated(rise, 40.0).swapaxes(3, 4)
    write_fids(folder / "series.nii.gz", fids_of(series, delay=None, extension={"dim_5": "DIM_DYN"}))
    write_fids(folder / "bad.nii.gz", fids_of(slice_, nucleus="1H", larmor=123.2))
    return folder


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess]:
    """The public command; options by name."""
    return functools.partial(infer, BUNDLE)


@pytest.fixture(scope="session")
def finished(
    folder: Path, command: Callable[..., subprocess.CompletedProcess], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Outputs of the public command, the bad file skipped, run from the root of the file system."""
    output = tmp_path_factory.mktemp("outputs")
    done = command(cwd=Path("/"), dataset_dir=folder, output_dir=output, skip_invalid="true", water_mM=10)
    assert done.returncode == 0, done.stdout + done.stderr
    return output
