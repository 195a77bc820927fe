from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrsikit.io import Fids, write_fids
from mrsikit.runtime.fid_checks import acquisition_problems, fid_problems

SHAPE, POINTS = (3, 2, 1), 64
KINDS = {"mask": "mask", "mri": "anatomy"}


def values(*more: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((*SHAPE, POINTS, *more)) + 1j).astype(np.complex64)


def fids(**options: object) -> Fids:
    given = {
        "values": values(), "affine": np.diag([10.0, 10, 10, 1]), "dwell": 4e-4, "larmor": 26.7, "nucleus": "2H",
        "reference": 4.7, "delay": 5e-4, "extension": {},
    }  # fmt: skip
    return Fids(**{**given, **options})  # type: ignore[arg-type]


def with_one(place: complex) -> np.ndarray:
    out = values()
    out[0, 0, 0, 3] = place
    return out


@pytest.mark.parametrize(
    "good",
    [
        fids(),
        fids(delay=None, reference=None),
        fids(delay=0.0),
        fids(larmor=6.53569 * 11.74),
        fids(dwell=0.009),
        fids(values=values(1, 5), extension={"dim_5": "DIM_COIL", "dim_6": "DIM_DYN"}),
        fids(values=values(5), extension={"dim_5": "DIM_DYN"}),
        fids(values=np.where(np.arange(3)[:, None, None, None] == 1, 0, values())),  # a voxel without data
    ],
    ids=["plain", "silent header", "no delay", "11.7 T", "narrow", "one coil", "time series", "empty voxel"],
)
def test_fids_as_scanners_give_them_pass(good: Fids) -> None:
    assert acquisition_problems(good) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"values": with_one(complex(np.nan, 0))}, "NaN or infinity"),
        ({"values": with_one(complex(0, np.inf))}, "NaN or infinity"),
        ({"values": 0 * values()}, "zero in every sample"),
        ({"values": values()[..., :31]}, "31 points; at least 32"),
        ({"dwell": 0.4}, "dwell time of 0.4 s (in ms?); set pixdim[4] in seconds"),
        (
            {"dwell": 0.05},
            "bandwidth of 20 Hz, in which lines 91 Hz apart have no room: is the dwell time of 0.05 s in ms?",
        ),
        ({"dwell": 4e-7}, "dwell time of 4e-07 s"),
        ({"delay": 0.5}, "delay of 0.5 s"),
        ({"delay": -1e-4}, "delay of -0.0001 s"),
        ({"nucleus": "19F"}, "nucleus 19F; give 2H"),
        ({"nucleus": "1H"}, "nucleus 1H"),  # known, but without resonances to fit
        ({"larmor": 26.7e6}, "4.09e+06 T; give MHz"),  # Hz taken for MHz
        ({"values": values(2, 3), "extension": {"dim_5": "DIM_DYN", "dim_6": "DIM_MEAS"}}, "2 x 3 after the fourth"),
        ({"values": values(4), "extension": {"dim_5": "DIM_COIL"}}, "axes DIM_COIL; combine coils"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_problem_is_named_alone(wrong: dict[str, object], words: str) -> None:
    problems = acquisition_problems(fids(**wrong))
    assert len(problems) == 1
    assert words in problems[0]


def test_all_problems_are_named_at_once() -> None:
    assert len(acquisition_problems(fids(values=values()[..., :16], dwell=1.0, delay=1.0, nucleus="3He"))) == 4


def test_a_file_is_named_with_its_problem(tmp_path: Path) -> None:
    write_fids(tmp_path / "good.nii.gz", fids())
    assert fid_problems({"image": str(tmp_path / "good.nii.gz")}, KINDS) == []
    write_fids(tmp_path / "bad.nii.gz", fids(dwell=0.4))
    (tmp_path / "text.nii.gz").write_text("no image")
    for name in ("bad", "text"):
        path = str(tmp_path / f"{name}.nii.gz")
        problems = fid_problems({"image": path}, KINDS)
        assert len(problems) == 1
        assert problems[0].startswith(f"{path}: ")


def test_companions_lie_on_the_voxels_of_the_fids(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_fids(path, fids())
    mask = np.ones(SHAPE, np.uint8)

    def of(mask: np.ndarray, affine: np.ndarray) -> list[str]:
        nib.save(nib.nifti1.Nifti1Image(mask, affine), tmp_path / "a_mask.nii.gz")
        return fid_problems({"image": str(path), "mask": str(tmp_path / "a_mask.nii.gz")}, KINDS)

    own = np.diag([10.0, 10, 10, 1])
    moved = own.copy()
    moved[0, 3] = 5.0
    assert of(mask, own) == []
    for problems, words in (
        (of(mask[:2], own), "matrix of 2 x 2 x 1"),
        (of(mask, moved), "0.5 voxels off"),
        (of(0 * mask, own), "empty"),
    ):
        assert len(problems) == 1
        assert problems[0].startswith(str(tmp_path / "a_mask.nii.gz"))
        assert words in problems[0]
    (tmp_path / "a_mask.nii.gz").write_text("no image")
    found = fid_problems({"image": str(path), "mask": str(tmp_path / "a_mask.nii.gz")}, KINDS)
    assert "cannot be read" in found[0]
