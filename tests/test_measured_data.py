"""What the bundles warn of on measured data: the true warnings, file by file, and no other.

The true ones are that the sodium image lies beside the other images of its head, and that the Oryx maps are a box.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import mrsi_gan_super_resolution
import mrsi_inpainting
import mrsi_super_resolution
from benchmarks.carbon13 import carbon13_maps
from dmi_quantification import predict as quantify
from mrsikit.io import read_map

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ORYX, SODIUM = DATA / "oryx_human_mrsi_3t", DATA / "sodium_coarse_fine"

pytestmark = pytest.mark.skipif(not ORYX.is_dir(), reason="needs shared/data")

NO_MASK = "give a brain mask: without one, tissue lost at the rim or at a slab edge cannot be told from a smaller brain"


def slice_of(name: str) -> np.ndarray:
    return np.squeeze(nib.load(SODIUM / f"{name}.nii.gz").get_fdata())[..., None]


def centred(size: int, side: float) -> np.ndarray:
    """Affine of a slice about the scanner's centre; the files' own gives no voxel sizes."""
    affine = np.diag([side, side, 5.0, 1.0])
    affine[:2, 3] = -(size - 1) / 2 * side
    return affine


@pytest.mark.parametrize("bundle", [mrsi_super_resolution, mrsi_gan_super_resolution], ids=lambda b: b.__name__)
@pytest.mark.parametrize(
    ("image", "warning"),
    [
        ("Na_hr_2D", "the t1 would fit the map better moved by +2, +3, +0 mm (right, front, up)"),
        ("T1_2D", "the t1 would fit the map better moved by +1, +2, +0 mm (right, front, up)"),
        ("T2_2D", "10% of the tissue lies outside the brain that the t1 shows"),
        ("PD_2D", "9% of the tissue lies outside the brain that the t1 shows"),
    ],
)
def test_sodium_lies_beside_the_other_images(bundle: object, image: str, warning: str) -> None:
    coarse = slice_of("Na_lr_2D")
    found = bundle.predict(  # type: ignore[attr-defined]
        coarse, affine=centred(42, 160 / 42), t1=slice_of(image), t1_affine=centred(160, 1.0),
        noise=0.02 * float(coarse.max()), psf="kspace",
    )  # fmt: skip
    assert found.flags[0] == f"{warning}: check its registration"
    # an image that lies beside the map may hardly count, and then that is said, too
    assert all(flag.startswith("by the check on this map, the MRI counts for") for flag in found.flags[1:])


@pytest.mark.parametrize("name", ["Na_lr_2D", "Na_hr_2D"])
def test_sodium_alone(name: str) -> None:
    values = slice_of(name)
    size = "" if name == "Na_lr_2D" else "matrix (160, 160) outside the 16 to 64 a side that were tried"
    found = mrsi_super_resolution.predict(values, noise=0.02 * float(values.max()), psf="kspace")
    assert found.flags == ([size] if size else [])


@pytest.mark.parametrize("metabolite", ["pyruvate", "lactate"])
@pytest.mark.parametrize("subject", ["prostate pc6071", "prostate pc6088", "primate brain"])
def test_hyperpolarised_maps(subject: str, metabolite: str) -> None:
    values, _ = carbon13_maps(DATA)[f"{subject}, {metabolite}"]
    flags = mrsi_inpainting.predict(values).flags
    below = f"{int((values < 0).sum())} of {int((values != 0).sum())} values"
    known = ("matrix ", NO_MASK, "give a brain mask", "no voxel is zero", below)
    assert [flag for flag in flags if not flag.startswith(known)] == []
    flags = mrsi_super_resolution.predict(values, noise=0.05 * float(values.max())).flags
    assert [flag for flag in flags if not flag.startswith(("matrix ", "the map has negative", "no check on"))] == []


def test_the_deuterium_voxel() -> None:
    stored = np.loadtxt(DATA / "dmi_2h_3t_voxel" / "a_voxel_2HMRSI.txt")
    fids = (stored[:, 0] - 1j * stored[:, 1]).astype(np.complex64).reshape(1, 1, 1, -1)
    assert quantify(fids, dwell=2e-4, larmor=19.613053, delay=0.0).flags == [
        "the T2* of water, Glc, Glx, Lac are the table's for 4 T, the file is of 3.0 T: give --t2_star, or try "
        "--fit_t2_star true",
        "the T2* of Glx looks shorter than 53 ms: try --fit_t2_star true",
    ]


@pytest.mark.parametrize("person", ["K_01", "PD_01"])
@pytest.mark.parametrize("metabolite", ["Cr_PCr", "GPC_PCh", "Glu_Gln", "Ins", "NAA_NAAG"])
def test_the_oryx_maps_are_a_box(person: str, metabolite: str) -> None:
    """Of one person the outline may be a head's, too: then nothing outside the signal is filled, and that is said."""
    values, affine = read_map(ORYX / f"{person}_{metabolite}.nii.gz")
    bounds, _ = read_map(ORYX / f"{person}_{metabolite}_crlb.nii.gz")
    flags = mrsi_inpainting.predict(values, affine=affine, crlb=bounds).flags
    assert "PRESS or semi-LASER" in flags[0]
    assert person == "K_01" or flags[0].startswith("the map shows a box")
    known = ("poor fits outside", "of the map is filled", "NaN or infinity outside")
    known += ("filled voxels are not like the hidden ones",)  # they failed where bounds are high
    assert [flag for flag in flags[1:] if not any(words in flag for words in known)] == []
