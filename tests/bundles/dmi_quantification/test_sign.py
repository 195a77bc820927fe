from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dmi_quantification import predict
from dmi_quantification.sign import find_sign
from mrsikit.fitting.sign_test import is_real
from mrsikit.physics.fid_model import FidModel

from .conftest import ACQUISITION, METABOLITES, MODEL

VOXEL = Path(__file__).parents[3] / "../shared/data/dmi_2h_3t_voxel/a_voxel_2HMRSI.txt"
TRUTH = torch.tensor([10.0, 2.0, 3.0, 1.0])


def draw(
    truth: Tensor = TRUTH, count: int = 8, *, noise: float = 1.0, model: FidModel = MODEL, **state: float
) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return model.simulate(truth.expand(count, -1), noise=noise, generator=generator, **state)


def conjugate(fids: Tensor) -> Tensor:
    return fids.conj().resolve_conj()


@pytest.mark.parametrize("model", [MODEL, replace(MODEL, larmor=19.6, delay=0.0)], ids=["11.7 T", "3 T"])
@pytest.mark.parametrize("state", [{"shift": 5.0, "phase": 2.0}, {"broadening": 5.0}, {"shift": -7.0}])
def test_both_signs_are_told(model: FidModel, state: dict[str, float]) -> None:
    fids = draw(model=model, **state)
    assert find_sign(fids, model, max_shift=0.4).finding == "standard"
    assert find_sign(conjugate(fids), model, max_shift=0.4).finding == "conjugate"


@pytest.mark.parametrize(
    "fids",
    [
        draw(torch.tensor([10.0, 0.0, 0.0, 0.0])),  # one line at 0 Hz is its own image
        draw(torch.tensor([10.0, 0.0, 0.0, 0.0]), 64, broadening=4.0),
        draw(0 * TRUTH),
        torch.zeros(0, 256, dtype=torch.complex64),
    ],
    ids=["water", "much water", "noise", "nothing"],
)
def test_where_no_line_tells_the_signs_apart_none_is_told(fids: Tensor) -> None:
    for given in (fids, conjugate(fids)):
        assert find_sign(given, MODEL, max_shift=0.4).finding == "unclear"


def test_a_line_that_is_not_in_the_model_does_not_flip_the_sign() -> None:
    """A line at the image of Glx is no mirrored Glx: it is taller than all that the conjugate model explains."""
    at = MODEL.times
    line = 6.0 * torch.polar(torch.exp(-at / 0.03), 2 * torch.pi * 0.9 * MODEL.larmor * (at + MODEL.delay))
    fids = draw(torch.tensor([10.0, 1.0, 0.0, 0.0])) + (line * torch.polar(torch.ones_like(at), -4 * at)).to(
        torch.complex64
    )
    assert find_sign(fids, MODEL, max_shift=0.4).finding != "conjugate"


def test_a_delay_that_the_header_lacks_hides_no_sign() -> None:
    late = replace(MODEL, delay=1.5e-3)
    fids = draw(model=late)
    assumed = replace(MODEL, delay=0.0)
    assert find_sign(fids, assumed, max_shift=0.4).finding == "standard"
    assert find_sign(conjugate(fids), assumed, max_shift=0.4).finding == "conjugate"


def test_a_quadrature_ghost_is_no_mirrored_spectrum() -> None:
    fids = draw(count=16, noise=0.3)
    ghost = fids + 0.08 * conjugate(fids)
    assert find_sign(ghost, MODEL, max_shift=0.4).finding == "standard"
    flags = predict(ghost.numpy().reshape(4, 4, 1, -1), **ACQUISITION).flags
    assert not any("the sign" in flag for flag in flags)
    assert any("where a quadrature ghost of" in flag for flag in flags)


def test_a_transmitter_on_glucose_is_a_wrong_reference() -> None:
    on_glucose = replace(MODEL, reference=3.7)
    fids = draw(model=on_glucose)
    found = find_sign(fids, MODEL, max_shift=0.4)
    assert (found.finding, found.reference) == ("reference", pytest.approx(3.7, abs=0.05))
    result = predict(fids.numpy().reshape(4, 2, 1, -1), **ACQUISITION)
    assert "a reference of 3.7 ppm at zero frequency, not 4.7 ppm" in result.flags[0]
    assert "SpecFreqChemShift" in result.flags[0]
    assert (result.maps["quality"] == 2).all()
    assert predict(fids.numpy().reshape(4, 2, 1, -1), reference=3.7, **ACQUISITION).flags == []


@pytest.mark.parametrize("turn", [1.0, 1j])
def test_real_data_are_named_and_never_good(turn: complex) -> None:
    fids = draw()
    assert not is_real(fids)
    real = (fids.real * turn).to(torch.complex64)
    assert find_sign(real, MODEL, max_shift=0.4).finding == "real"
    result = predict(real.numpy().reshape(4, 2, 1, -1), **ACQUISITION)
    assert "real data stored as complex" in result.flags[0]
    assert not (result.maps["quality"] == 1).any()


def test_conjugate_fids_give_what_the_right_ones_give_and_the_option_decides() -> None:
    fids = draw(shift=5.0).numpy().reshape(4, 2, 1, -1)
    right, flipped = predict(fids, **ACQUISITION), predict(fids.conj(), **ACQUISITION)
    assert right.flags == []
    assert [flag for flag in flipped.flags if "they were conjugated" not in flag] == []
    assert len(flipped.flags) == 1
    forced = predict(fids.conj(), sign="conjugate", **ACQUISITION)
    assert forced.flags == []
    as_stored = predict(fids.conj(), sign="standard", **ACQUISITION)
    for name in ("Glc", "Lac", "shift"):
        np.testing.assert_array_equal(flipped.maps[name], right.maps[name])
        np.testing.assert_array_equal(forced.maps[name], right.maps[name])
    assert np.abs(as_stored.maps["Glx"] - right.maps["Glx"]).max() > 0.2


def test_lines_that_are_not_asked_for_still_tell_the_sign() -> None:
    fids = draw().numpy().reshape(4, 2, 1, -1)
    flags = predict(fids, metabolites=["water", "acetate"], **ACQUISITION).flags
    assert not any("the sign" in flag for flag in flags)


@pytest.mark.skipif(not VOXEL.exists(), reason="needs shared/data")
def test_the_measured_voxel_is_brought_in_with_the_texts_sign_or_the_standards() -> None:
    stored = np.loadtxt(VOXEL)
    text = (stored[:, 0] + 1j * stored[:, 1]).astype(np.complex64).reshape(1, 1, 1, -1)
    for fids, conjugated in ((text, True), (text.conj(), False)):
        result = predict(fids, dwell=2e-4, larmor=19.613053, delay=0.0)
        found = [float(result.maps[name].item()) for name in METABOLITES[1:]]
        assert found == pytest.approx([0.190, 0.207, 0.087], abs=1e-3)
        assert any("they were conjugated" in flag for flag in result.flags) == conjugated
        assert not any("cannot be told" in flag for flag in result.flags)


@pytest.mark.skipif(not VOXEL.exists(), reason="needs shared/data")
@pytest.mark.parametrize("reference", [2.7, 3.2, 3.7, 4.2, 5.7, 6.7])
def test_a_wrong_reference_of_the_measured_voxel_is_named_on_either_side(reference: float) -> None:
    stored = np.loadtxt(VOXEL)
    fids = (stored[:, 0] - 1j * stored[:, 1]).astype(np.complex64).reshape(1, 1, 1, -1)
    result = predict(fids, dwell=2e-4, larmor=19.613053, delay=0.0, reference=reference)
    assert f"a reference of 4.8 ppm at zero frequency, not {reference:g} ppm" in result.flags[0]
    assert (result.maps["quality"] == 2).all()
    mirrored = predict(fids.conj(), dwell=2e-4, larmor=19.613053, delay=0.0, reference=reference)
    assert not (mirrored.maps["quality"] == 1).any()  # two faults at once: the sign cannot be told


def test_a_metabolite_taller_than_water_is_no_wrong_reference() -> None:
    rich = torch.tensor([10.0, 20.0, 3.0, 3.0])
    for noise in (0.3, 1.0, 3.0):
        assert find_sign(draw(rich, noise=noise), MODEL, max_shift=0.4).finding == "standard"


def test_fids_whose_sign_cannot_be_told_are_good_only_where_water_is_alone() -> None:
    for truth, good in ((torch.tensor([10.0, 0, 0, 0]), True), (torch.tensor([10.0, 0.5, 0.0, 0.0]), False)):
        fids = draw(truth, count=1)
        result = predict(fids.numpy().reshape(1, 1, 1, -1), **ACQUISITION)
        assert any("cannot be told" in flag for flag in result.flags)
        assert (result.maps["quality"] == 1).all() == good
