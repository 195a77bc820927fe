from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrsikit.io.readers import CODES
from mrsikit.phantoms.metabolites import concentration_map, draw_concentrations
from mrsikit.phantoms.mri import mri as simulated_mri
from mrsikit.phantoms.subject import Grid, VirtualSubject
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.preprocessing import PreprocessCoarseMapd, subdivided
from mrsikit.super_resolution.rigid_check import NO_MOVE
from mrsikit.super_resolution.scale_check import COLUMNS, DONE, NOT_ASKED, SMALL, WEIGHT
from mrsikit.super_resolution.warnings import RULES, Case, misplaced_mri, scalp_left_on, warnings_of

KSPACE = SpatialEncoding("kspace", 4)
AXIAL = torch.diag(torch.tensor([5.0, 5.0, 10.0, 1.0], dtype=torch.float64))


def case(shape: tuple[int, ...] = (1, 20, 20, 3), affine: torch.Tensor = AXIAL, **given: Any) -> Case:
    """A sound file of one metabolite, whose noise is known; ``given`` changes its data or its options."""
    maps = torch.ones(shape)
    data: dict[str, Any] = {
        "map": MetaTensor(maps, affine=affine),
        "sr": torch.ones(shape),
        "uncertainty": torch.ones(shape),
        "noise_from": "--noise",
        "slice_axis": 2,
        "lost": 0,
        "unplaced": "",
        "unmeasured": torch.zeros(shape[0], 3, dtype=torch.bool),
        "lowest": torch.zeros(shape[0]),
        "scale": torch.ones(shape[0], 3),
        "covered": {},
        "shifted": {},
        "outside_brain": {},
        "move": {},
        "scalp": {},
        "sampled": [0, 0, 0],
    }
    options: dict[str, Any] = {
        "noise": torch.full(shape[:1], 0.02),
        "given_noise": [0.3],
        "ratio": False,
        "denoised": False,
        "consistency": True,
        "encoding": SpatialEncoding("block", 4),
        "dims": 2,
        "checks": torch.full((shape[0], 3, len(COLUMNS)), torch.nan),
    }
    return Case(
        data={name: given.get(name, value) for name, value in data.items()},
        maps=maps,
        **{name: given.get(name, value) for name, value in options.items()},
    )


def mri(
    share: float = 1.0,
    outside: float = 0.0,
    shift: tuple[float, ...] = (0.0, 0.0, 0.0),
    move: tuple[float, ...] = NO_MOVE,
    scalp: float = 0.0,
) -> dict[str, Any]:
    return {
        "covered": {"flair": share},
        "outside_brain": {"flair": outside},
        "shifted": {"flair": list(shift)},
        "move": {"flair": list(move)},
        "scalp": {"flair": scalp},
    }


def test_a_sound_file_has_no_warning() -> None:
    assert warnings_of(case()) == []
    assert warnings_of(case(**mri())) == []


TURNED = AXIAL[:, [0, 2, 1, 3]]
CUBIC = torch.diag(torch.tensor([5.0, 5.0, 5.0, 1.0], dtype=torch.float64))
EMPTY = torch.tensor([[False, True, False]])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ratio": True}, "the noise of a ratio is no one number"),
        ({"noise_from": "unknown", "noise": None}, "--noise gives 1 values, the file has 1 maps: not used"),
        ({"noise_from": "Cramér-Rao bounds"}, "--noise is not used: the file has Cramér-Rao bounds"),
        ({"noise": None, "given_noise": []}, "the noise is not known"),
        ({"noise": None, "given_noise": [], "denoised": True}, "--denoised: maps whose noise is not known"),
        ({"shape": (1, 15, 20, 3)}, "matrix (15, 20) outside the 16 to 64"),
        ({"shape": (1, 65, 20)}, "matrix (65, 20) outside the 16 to 64"),
        ({"lost": 7}, "7 voxels of the head hold no number or a failed fit"),
        ({"shape": (1, 20, 20, 8), "affine": CUBIC, "encoding": KSPACE}, "--dims 3 makes the map finer across"),
        ({"affine": TURNED}, "slices are not axial"),
        ({"unplaced": "t1"}, "the header of t1 gives no position"),
        ({"unmeasured": EMPTY}, "metabolite 1, slice 2: no voxel was measured"),
        ({"noise": torch.tensor([torch.nan])}, "the bounds of a metabolite hold no number"),
        ({"lowest": torch.tensor([-0.11])}, "negative values beyond its noise"),
        ({"lowest": torch.tensor([-0.11]), "noise": None}, "negative values down to 11% of its maximum"),
        ({"noise": torch.tensor([0.12])}, "the noise is 12.0% of the maximum"),
        ({"sr": torch.full((1, 20, 20, 3), 2.1)}, "metabolite 1: the result reaches from 2.1 to 2.1"),
        ({"sr": torch.full((1, 20, 20, 3), -0.31)}, "metabolite 1: the result reaches from -0.31"),
        (mri(share=0.9), "the flair covers 90% of the tissue; the rest was super-resolved without it"),
        (mri(outside=0.2), "20% of the tissue lies outside the brain that the flair shows"),
        (mri(move=(0, 0, 12, 0, 0, 0)), "the flair would fit the map better moved 12 mm to the head: check"),
        (mri(outside=0.2, move=(0, 0, 12, 0, 0, 0)), "moved 12 mm to the head: check"),
        (mri(share=0.9, move=(0, 0, 0, -11, 0, 0)), "turned 11 degrees nose down: check"),
        (mri(scalp=0.6), "the flair has a bright ring outside the map's outline"),
        (mri(shift=(-4.2, 3.1, 0.0)), "moved by -4, +3, +0 mm (right, front, up)"),
    ],
)
def test_each_rule_says_what_is_odd(given: dict[str, Any], words: str) -> None:
    assert words in "\n".join(warnings_of(case(**given)))


@pytest.mark.parametrize(
    "given",
    [
        {"noise": torch.tensor([0.09])},
        {"lowest": torch.tensor([-0.09])},
        {"lowest": torch.tensor([-0.24]), "encoding": KSPACE},
        {"sr": torch.full((1, 20, 20, 3), 1.9)},
        {"shape": (1, 20, 20, 7), "affine": CUBIC, "encoding": KSPACE},
        {"shape": (1, 20, 20, 8), "affine": CUBIC, "encoding": KSPACE, "dims": 3},
        mri(outside=0.08),
        mri(scalp=0.2),
    ],
)
def test_what_is_within_the_bounds_is_not_odd(given: dict[str, Any]) -> None:
    assert warnings_of(case(**given)) == []


@pytest.fixture(scope="module")
def patient() -> tuple[dict[str, MetaTensor], dict[str, torch.Tensor], torch.Tensor]:
    """MRIs of a virtual patient with a tumour, fine maps (88, 88, 8) of 2.5 x 2.5 x 9 mm, and the maps' affine."""
    rng = np.random.default_rng(0)
    subject = VirtualSubject(60_003, tumours=1, grade="high")
    whole = Grid((62, 74, 60), (3.0, 3.0, 3.0))
    tissues = subject.tissues(whole)
    affine = torch.from_numpy(whole.affine())
    mris = {name: MetaTensor(simulated_mri(tissues, whole, name, rng)[None], affine=affine) for name in ("flair", "t1")}
    own = Grid((88, 88, 8), (2.5, 2.5, 9.0), (0.0, 0.0, 15.0))
    tissues, drawn = subject.tissues(own), draw_concentrations(rng, "high")
    maps = {name: concentration_map(tissues, drawn[name]) for name in ("NAA", "tCho")}
    return mris, maps, torch.from_numpy(own.affine())


@pytest.mark.parametrize("psf", ["block", "kspace", "hamming"])
@pytest.mark.parametrize("slices", [slice(None), slice(3, 4)], ids=["volume", "slice"])
def test_mris_in_place_raise_no_warning(patient: tuple, psf: str, slices: slice) -> None:
    mris, maps, fine = patient
    both = torch.stack([values[..., slices] for values in maps.values()])
    coarse = SpatialEncoding(psf, 4).A(both.movedim(-1, 1)).movedim(1, -1)
    level = 0.02 * float(coarse.max())
    coarse = coarse + level * torch.randn(coarse.shape, generator=torch.Generator().manual_seed(0))
    affine = fine @ torch.linalg.inv(subdivided(4))
    affine[:3, 3] += (slices.start or 0) * affine[:3, 2]
    given = {"image": MetaTensor(coarse, affine=affine), **mris}
    found = PreprocessCoarseMapd(factor=4, psf=psf, noise=level)(given)
    checks = {name: found[name] for name in ("covered", "outside_brain", "shifted", "move", "scalp")}
    judged = case(**checks)
    assert set(found["covered"]) == {"flair", "t1"}
    assert [*misplaced_mri(judged), *scalp_left_on(judged)] == []


def test_a_map_without_a_position_matters_where_there_is_an_mri() -> None:
    nowhere = MetaTensor(torch.ones(1, 20, 20, 3), affine=AXIAL, meta={CODES: torch.tensor([0, 0])})
    assert warnings_of(case(map=nowhere)) == []
    assert "where the MRI lies on it is a guess" in warnings_of(case(map=nowhere, **mri()))[0]


def test_warnings_come_in_the_order_of_the_rules() -> None:
    lines = warnings_of(case(lost=3, affine=TURNED, unplaced="t1"))
    assert [line.split()[0] for line in lines] == ["3", "slices", "the"]
    assert len(RULES) == len(set(RULES))


def test_why_a_map_was_not_checked_and_when_the_mri_hardly_counts() -> None:
    checks = torch.full((2, 3, len(COLUMNS)), torch.nan)
    checks[0, WEIGHT, [0, 1, 4]] = torch.tensor([0.12, 0.88, DONE])
    checks[1, WEIGHT, [0, 4]] = torch.tensor([1.0, SMALL])
    said = warnings_of(case((2, 20, 20, 3), checks=checks))
    assert any("map 1, the MRI counts for 12% of the result" in line for line in said)
    assert any("no check on map 2: it has fewer than 20 voxels" in line for line in said)
    checks[:, WEIGHT, 0] = 0.9
    checks[:, WEIGHT, 4] = NOT_ASKED
    assert not any("check on" in line for line in warnings_of(case((2, 20, 20, 3), checks=checks)))


def test_a_method_without_consistency_or_deviation_says_so() -> None:
    loud = torch.full((1,), 0.3)
    assert any("trained on up to 10%" in line for line in warnings_of(case(noise=loud)))
    (line,) = warnings_of(case(noise=loud, consistency=False))
    assert "this method has no data consistency" in line
    (line,) = warnings_of(case(uncertainty=torch.full((1, 20, 20, 3), torch.nan)))
    assert "states no standard deviation" in line
