import numpy as np
import pytest
import torch

from dmi_quantification import predict
from dmi_quantification.first_samples import examine_first_samples
from dmi_quantification.network import FidLeastSquares
from dmi_quantification.residual import examine
from mrsikit.physics.fid_model import noise_of_snr

from .conftest import ACQUISITION, MODEL, rows_of

FACTORS = {"half": 0.5, "zero": 0.0, "spike": 4.0}


def draw(count: int, snr: float) -> torch.Tensor:
    noise = noise_of_snr(MODEL, snr, amplitude=10.0)
    truth = torch.tensor([10.0, 2.0, 3.0, 1.0]).expand(count, -1)
    generator = torch.Generator().manual_seed(1)
    return MODEL.simulate(truth, noise=noise, phase=0.4, shift=5.0, broadening=3.0, generator=generator)


def examined(fids: torch.Tensor) -> object:
    rows = rows_of(fids)
    with torch.no_grad():
        estimates = FidLeastSquares().eval()(rows[None])[0]
    return examine_first_samples(rows, estimates, examine(rows, estimates, 4, keep=False), 4)


@pytest.mark.parametrize("snr", [5.0, 12.0, 35.0, 200.0])
def test_sound_first_samples_are_left_alone(snr: float) -> None:
    found = examined(draw(64, snr))
    assert (found.count, found.fids) == (0, 0)
    assert not found.doubtful.any()


@pytest.mark.parametrize(("count", "snr"), [(64, 5.0), (64, 35.0), (1, 60.0)])
@pytest.mark.parametrize("kind", FACTORS)
def test_a_wrong_first_sample_is_named_with_its_size_and_makes_fits_doubtful(kind: str, count: int, snr: float) -> None:
    fids = draw(count, snr)
    fids[:, 0] *= FACTORS[kind]
    found = examined(fids)
    assert (found.count, found.fids) == (1, count)
    assert found.ratio == pytest.approx(FACTORS[kind], abs=1.0 if kind == "spike" else 0.1)
    assert found.doubtful.all()
    assert (found.change[3] < 0) == (kind == "spike")


def test_two_wrong_samples_are_counted() -> None:
    fids = draw(16, 35.0)
    fids[:, :2] = 0
    assert examined(fids).count == 2


def test_a_spike_in_one_fid_makes_that_one_doubtful() -> None:
    fids = draw(64, 20.0)
    fids[7, 0] *= 5
    found = examined(fids)
    assert found.fids == 1
    assert np.flatnonzero(found.doubtful).tolist() == [7]


def test_a_broad_signal_is_no_wrong_first_sample() -> None:
    fids = draw(64, 35.0)
    at = MODEL.times
    fids += (5.0 * torch.polar(torch.exp(-at / 0.004), 2 * torch.pi * 3.4 * MODEL.larmor * at)).to(torch.complex64)
    assert examined(fids).count == 0


@pytest.mark.parametrize("kind", FACTORS)
def test_a_run_names_it_and_what_to_do_helps(kind: str) -> None:
    fids = draw(16, 35.0)
    fids[:, 0] *= FACTORS[kind]
    values = fids.numpy().reshape(4, 4, 1, -1)
    result = predict(values, **ACQUISITION)
    assert any(
        "the first sample of 16 FIDs is wrong" in flag and "add 0.4 ms to the delay" in flag for flag in result.flags
    )
    assert not (result.maps["quality"] == 1).any()
    cut = predict(values[..., 1:], **{**ACQUISITION, "delay": MODEL.delay + MODEL.dwell})
    assert cut.flags == []
    assert float(np.median(cut.maps["Lac"])) == pytest.approx(0.1, abs=0.01)
