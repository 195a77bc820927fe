from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from dmi_quantification import predict
from dmi_quantification.first_samples import FirstSamples
from dmi_quantification.warnings import run_warnings
from mrsikit.fitting.sign_test import SignTest
from mrsikit.physics import spectra

from .conftest import ACQUISITION, MODEL, sound_file, sound_quality, sound_residual

TESLA_3 = replace(MODEL, larmor=19.6)
SOME = np.arange(100)[:, None] < 7


def tall(ppm: float) -> torch.Tensor:
    """Power spectrum of the residuals (T,) with a line at a chemical shift."""
    axis = spectra.ppm_axis(MODEL.points, MODEL.dwell, larmor=MODEL.larmor, reference=MODEL.reference)
    power = torch.ones(MODEL.points).double()
    power[(axis - ppm).abs().argmin()] = 3
    return power


def wider(k: int, score: float, fids: int = 100) -> torch.Tensor:
    scores = torch.zeros(100, 4)
    scores[:fids, k] = score
    return scores


def test_a_sound_file_has_no_warning() -> None:
    assert run_warnings(sound_file()) == []


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"delay_known": False}, "the file gives no acquisition delay: 0 was assumed; set --delay (s)"),
        ({"echo": 0.03}, "an echo time of 30 ms was taken for an echo; for FIDs set --delay (s)"),
        (
            {"model": replace(MODEL, points=40), "residual": sound_residual(power=torch.ones(40))},
            "FIDs of 16 ms cannot tell lines 77 Hz apart: the standard deviations are too small",
        ),
        (
            {"model": TESLA_3, "t2_star_given": (True, True, True, False)},
            "the T2* of Lac are the table's for 4 T, the file is of 3.0 T: give --t2_star, or try --fit_t2_star true",
        ),
        (
            {"t2_star_sd": (0, 0.01, 0.01, 0.01), "quality": sound_quality(49)},
            "relaxation times were fitted to 49 FIDs only: their own error is not in the deviations",
        ),
        ({"quality": sound_quality(merged=SOME)}, "7 FIDs have lines as wide as the distance between two"),
        (
            {"quality": sound_quality(snr=np.full((100, 1), 2.9))},
            "water is under 3 standard deviations in half of the voxels: mostly noise",
        ),
        (
            {"quality": sound_quality(at_largest_shift=SOME), "max_shift": 0.3},
            "7 FIDs are shifted by 0.3 ppm or more, the largest sought",
        ),
        (
            {"sampled": (5, 0, 0), "mri_coverage": 1.0},
            "the 10 x 10 x 1 voxels look interpolated from about 5 x 10 x 1, or were smoothed (outer k-space is "
            "empty): neighbours share signal and noise, so errors of regions are larger than their voxels' say, and "
            "the deviations of smoothed maps are too small",
        ),
        ({"water": 10.0}, "mM without --factors: no saturation or number of labelled nuclei was accounted for"),
        (
            {"trained": {"larmor": 76.7, "delay": 0.0}},
            "the network was trained at larmor 76.7, delay 0; the file has delay 0.0006",
        ),
        ({"residual": sound_residual(power=tall(0.5))}, "there is a line near 0.5 ppm that is not in the model"),
        (
            {"residual": sound_residual(wider=wider(3, 3.5, 4))},
            "lactate is too wide for its model in 4 FIDs: lipid at 1.3 ppm mimics it",
        ),
        (
            {"t2_star_sd": (0, 0.001, 0.001, 0.001), "model": replace(MODEL, t2_star=(0.03, 0.03, 0.035, 0.01))},
            "the T2* fitted to lactate is that of lipid at 1.3 ppm, which mimics it",
        ),
        (
            {"residual": sound_residual(wider=wider(2, 1.5))},
            "the T2* of Glx looks shorter than 35 ms: try --fit_t2_star true",
        ),
        (
            {"residual": sound_residual(wider=wider(1, -1.5))},
            "the T2* of Glc looks longer than 30 ms: try --fit_t2_star true",
        ),
        (
            {"residual": sound_residual(wider=wider(3, 1.5))},
            "the T2* of Lac looks shorter than 60 ms (or it is lipid at 1.3 ppm): try --fit_t2_star true",
        ),
        (
            {"residual": sound_residual(early_over_late=1.2)},
            "the noise changes along the FIDs: they were filtered, or a broad signal is left; the standard deviations "
            "are wrong",
        ),
        (
            {"misspelt": {"AcqusitionStartTime": "AcquisitionStartTime"}},
            "the header's AcqusitionStartTime is no key of NIfTI-MRS, AcquisitionStartTime is: nothing was taken from "
            "it",
        ),
        (
            {"first_samples": FirstSamples(count=1, fids=9, ratio=0.5, change=(0.1, 0, 0, 0.2), doubtful=SOME[:, 0])},
            "the first sample of 9 FIDs is wrong: the first is 0.5 times what the others predict, and without it Lac "
            "changes by +20%; cut it off and add 0.4 ms to the delay",
        ),
        (
            {"quality": sound_quality(not_finite=SOME)},
            "the fits of 7 FIDs came to no finite number: are dwell time, delay and relaxation times right?",
        ),
        ({"mri_coverage": 0.25}, "the MRI covers 25% of the voxels; the others are as fitted"),
        ({"mri_coverage": 0.0}, "the MRI covers 0% of the voxels; nothing was smoothed: do their headers agree?"),
    ],
)
def test_each_rule_yields_its_warning_alone(changes: Mapping[str, object], warning: str) -> None:
    assert run_warnings(sound_file(**changes)) == [warning]


@pytest.mark.parametrize(
    "changes",
    [
        {"quality": sound_quality(snr=np.full((100, 1), 3.1))},
        {"water": 10.0, "factors": {"Glc": 0.5}},
        {"trained": {"larmor": 76.7, "delay": 6e-4}},
        {"residual": sound_residual(power=tall(2.6))},  # near a modelled line
        {"residual": sound_residual(wider=wider(3, 3.5, 3))},
        {"residual": sound_residual(wider=wider(2, 1.5)), "t2_star_sd": (0, 0.001, 0.001, 0.001)},
        {"residual": sound_residual(0, early_over_late=9.0)},
        {"quality": sound_quality(49)},
        {"mri_coverage": 0.96},
        {"model": TESLA_3, "t2_star_given": (True,) * 4},
    ],
)
def test_a_rule_is_silent_short_of_its_limit(changes: Mapping[str, object]) -> None:
    assert run_warnings(sound_file(**changes)) == []


def test_a_line_at_a_mirror_image_is_called_a_ghost_and_hides_no_other_warning() -> None:
    """The mirror image of Glc (3.7 ppm) at 4.7 ppm is 5.7 ppm."""
    residual = sound_residual(power=tall(5.7), early_over_late=2.0)
    ghost, noise, mri = run_warnings(sound_file(residual=residual, mri_coverage=0.5))
    assert ghost.startswith("there is a line near 5.7 ppm that is not in the model, where a quadrature ghost of Glc")
    assert noise.startswith("the noise changes")
    assert mri.startswith("the MRI covers 50%")


@pytest.mark.parametrize("finding", ["conjugate", "unclear", "real", "reference"])
def test_what_the_sign_looks_like_is_said_before_all_else(finding: str) -> None:
    words = {
        "conjugate": "they were conjugated; --sign standard",
        "unclear": "cannot be told",
        "real": "real data",
        "reference": "a reference of 3.7 ppm at zero frequency, not 4.7 ppm, so the maps are wrong: correct SpecFreq",
    }
    file = sound_file(sign=SignTest(finding=finding, reference=3.7), delay_known=False)
    first, second = run_warnings(file)
    assert words[finding] in first
    assert "delay" in second


def test_a_sign_that_the_user_gives_is_no_news() -> None:
    assert run_warnings(sound_file(sign=SignTest(finding="conjugate", given=True))) == []


def test_warnings_of_a_line_stand_together_in_the_order_of_the_lines() -> None:
    scores = wider(3, 5.0) + wider(0, -1.5)
    found = run_warnings(sound_file(residual=sound_residual(wider=scores), delay_known=False, mri_coverage=0.5))
    assert [flag.split(" ")[3] if "T2*" in flag else flag.split(" ")[0] for flag in found] == [
        *("the", "water", "lactate", "Lac", "the")
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("noise", "mostly noise"),
        ("extra", "a line near 0.5 ppm that is not in the model"),
        ("mirrored", "they were conjugated"),
        ("filtered", "noise changes along the FIDs"),
        ("short", "cannot tell lines"),
        ("lipid", "lipid at 1.3 ppm"),
        ("shift", "largest sought"),
        ("t2", "T2* of Glx looks shorter"),
    ],
)
def test_what_the_model_lacks_is_said(change: str, words: str) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.tensor([10.0, 2.0, 3.0, 1.0]).expand(64, -1)
    state = {"noise": 1.5, "generator": generator}
    if change == "noise":
        fids = MODEL.simulate(0 * truth, **state)
    elif change == "shift":
        fids = MODEL.simulate(truth, shift=45.0, **state)
    else:
        fids = MODEL.simulate(truth, **state)
    at = MODEL.times
    hz = {"extra": 4.2 * 76.7, "lipid": 3.4 * 76.7, "t2": 2.3 * 76.7}.get(change, 0.0)
    size, life = {"extra": (4.0, 0.03), "lipid": (12.0, 0.006), "t2": (0.0, 1.0)}.get(change, (0.0, 1.0))
    fids = fids + (size * torch.polar(torch.exp(-at / life), 2 * torch.pi * hz * (at + MODEL.delay))).to(fids.dtype)
    options = {"t2_star": {"Glx": 0.06}} if change == "t2" else {}
    if change == "mirrored":
        fids = fids.conj().resolve_conj()
    elif change == "filtered":
        fids = spectra.broadened(fids, 8.0, at)
    elif change == "short":
        fids = fids[:, :40]
    result = predict(fids.numpy().reshape(8, 8, 1, -1), **ACQUISITION, **options)
    assert any(words in flag for flag in result.flags), result.flags


def test_sound_data_raise_no_flag() -> None:
    truth = torch.tensor([10.0, 2.0, 3.0, 1.0]).expand(256, -1)
    fids = MODEL.simulate(truth, noise=2.0, broadening=3.0, shift=4.0, generator=torch.Generator().manual_seed(3))
    result = predict(fids.numpy().reshape(16, 16, 1, -1), **ACQUISITION)
    assert result.flags == []
    assert (result.maps["quality"] == 1).all()
