import functools
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from command_lines import infer
from dmi_quantification.estimates import Estimates
from dmi_quantification.first_samples import FirstSamples
from dmi_quantification.fit_quality import FitQuality
from dmi_quantification.fitted_file import FittedFile
from dmi_quantification.preprocessing import acquisition_rows, real_and_imaginary
from dmi_quantification.residual import LEADING, Residual
from mrsikit.fitting.sign_test import SignTest
from mrsikit.io import Fids, write_fids
from mrsikit.io.nifti_mrs import metadata_of
from mrsikit.phantoms.dmi import FINER, DmiPhantom, rings
from mrsikit.physics.fid_model import FidModel, noise_of_snr
from mrsikit.physics.nuclei import DEUTERIUM

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
LARGEST_SHIFT = 0.4 * MODEL.larmor
ACQUISITION = {"dwell": MODEL.dwell, "larmor": MODEL.larmor, "delay": MODEL.delay}


def fids_of(values: np.ndarray, **options: object) -> Fids:
    given = {"dwell": MODEL.dwell, "larmor": MODEL.larmor, "nucleus": "2H", "reference": None, "delay": MODEL.delay}
    return Fids(**{"affine": np.diag([5.0, 5, 5, 1]), "extension": {}, **given, "values": values, **options})


def simulated(amplitudes: np.ndarray, snr: float, seed: int = 0) -> np.ndarray:
    """FIDs (..., T) of amplitudes (..., 4)."""
    noise = noise_of_snr(MODEL, snr, amplitude=10.0)
    flat = torch.from_numpy(np.ascontiguousarray(amplitudes.reshape(-1, 4), dtype=np.float32))
    fids = MODEL.simulate(flat, noise=noise, phase=0.4, shift=5.0, generator=torch.Generator().manual_seed(seed))
    return fids.numpy().reshape(*amplitudes.shape[:-1], -1)


def read_image(values: np.ndarray, **options: object) -> MetaTensor:
    """FIDs as the reader gives them: (1, X, Y, Z, T, ...) with metadata."""
    return MetaTensor(torch.from_numpy(values)[None], meta=metadata_of(fids_of(values, **options)))


def rows_of(fids: torch.Tensor, model: FidModel = MODEL) -> torch.Tensor:
    """The estimator's input (2, 1 + K + V, T) of FIDs (V, T)."""
    return real_and_imaginary(torch.cat([acquisition_rows(model, 0.4 * model.larmor), fids]))


def estimates_of(amplitude: np.ndarray, **changes: np.ndarray) -> Estimates:
    """Estimates of amplitudes (K, V, D), each with a standard deviation of one; the other rows are 0."""
    zeros = np.zeros((3 * len(amplitude) + 7, *amplitude.shape[1:]))
    sound = {"amplitude": amplitude, "amplitude_sd": np.ones_like(amplitude)}
    return replace(Estimates.from_rows(zeros, len(amplitude)), **{**sound, **changes})


def sound_residual(fids: int = 100, **changes: object) -> Residual:
    """What sound fits leave of FIDs."""
    given = {"count": fids, "tallest": torch.full((fids,), 3.0), "wider": torch.zeros(fids, 4), "fit": None}
    given["leading"] = torch.ones(fids, 3, LEADING)
    return Residual(**{**given, "power": torch.ones(MODEL.points).double(), "early_over_late": 1.0, **changes})


def sound_quality(fids: int = 100, **changes: np.ndarray) -> FitQuality:
    """Judgement of sound fits, (fids, 1)."""
    yes, no = np.ones((fids, 1), bool), np.zeros((fids, 1), bool)
    given = {"measured": yes, "at_largest_shift": no, "merged": no, "not_finite": no, "doubtful": no}
    return FitQuality(**{**given, "snr": np.full((fids, 1), 20.0), "linewidth": np.full((fids, 1), 10.6), **changes})


def sound_file(**changes: object) -> FittedFile:
    """A file about which there is nothing to say."""
    given = {
        "nucleus": DEUTERIUM,
        "model": MODEL,
        "metabolites": METABOLITES,
        "t2_star_sd": (0.0, 0.0, 0.0, 0.0),
        "t2_star_given": (False, False, False, False),
        "delay_known": True,
        "echo": None,
        "max_shift": 0.4,
        "water": None,
        "factors": {},
        "trained": {},
        "mri_coverage": None,
        "grid": (10, 10, 1),
        "sampled": (0, 0, 0),
        "misspelt": {},
        "sign": SignTest(finding="standard"),
        "first_samples": FirstSamples(count=0, fids=0, ratio=1.0, change=(0.0,) * 4, doubtful=np.zeros(100, bool)),
        "quality": sound_quality(),
        "residual": sound_residual(),
    }
    return FittedFile(**{**given, **changes})


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
