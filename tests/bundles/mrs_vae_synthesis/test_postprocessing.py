import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrs_vae_synthesis.matched_filter import as_real
from mrs_vae_synthesis.postprocessing import SIGNATURE, PostprocessSessiond
from mrsikit.io.nifti_mrs import EXTENSION, fids_of, metadata_of

from .conftest import numbered, small_network

NUMBERS = [11, 12, 21, 22]


def made(ons: list[bool], meta: dict | None = None, **options: object) -> dict:
    """What becomes of four transients and a row that is none."""
    rows = torch.tensor(NUMBERS)[: len(ons), None].expand(-1, 64) * (1 + 0j)
    pred = torch.zeros(len(ons) + 1, 130)
    pred[: len(ons), :-2] = as_real(rows)
    pred[: len(ons), -2], pred[: len(ons), -1] = 1, torch.tensor(ons).float()
    image = MetaTensor(torch.zeros(1), meta=meta or {})
    network = small_network(**options.pop("acquisition", {}))  # type: ignore[arg-type]
    return PostprocessSessiond(network=network, **options)({"image": image, "pred": pred})  # type: ignore[arg-type]


def test_on_and_off_stand_in_the_order_that_the_header_names() -> None:
    out = made([True, False, True, False], seed=5)
    assert out["names"] == ["synthetic"]
    values = out["synthetic"].as_tensor()
    assert values.shape == (1, 1, 1, 1, 64, 2, 2)
    assert values[0, 0, 0, 0, 7].real.tolist() == [[11, 12], [21, 22]]
    fids = fids_of(values[0].numpy(), out["synthetic"].meta)
    assert fids.tags == ("DIM_DYN", "DIM_EDIT")
    assert fids.extension["dim_6_header"] == {"EditCondition": ["ON", "OFF"]}
    swapped = made([False, True, False, True])["synthetic"].as_tensor()
    assert swapped[0, 0, 0, 0, 7].real.tolist() == [[12, 11], [22, 21]]


@pytest.mark.parametrize(("ons", "name"), [([True] * 3, "ON"), ([False] * 3, "OFF")])
def test_one_edit_has_no_axis_but_is_named(ons: list[bool], name: str) -> None:
    out = made(ons)
    values = out["synthetic"].as_tensor()
    assert values.shape == (1, 1, 1, 1, 64, 3)
    assert values[0, 0, 0, 0, 7].real.tolist() == NUMBERS[:3]
    assert json.loads(out["synthetic"].meta[EXTENSION])["EditCondition"] == [name]
    unedited = made([False] * 3, acquisition={"edited": False})
    assert "EditCondition" not in json.loads(unedited["synthetic"].meta[EXTENSION])


def test_the_header_says_that_nothing_was_measured_and_keeps_what_was_known() -> None:
    given = numbered()
    given = replace(given, affine=np.diag([30.0, 20, 10, 1]), extension={**given.extension, "PatientName": "nobody"})
    out = made([True, False] * 2, metadata_of(given), sampling="hybrid", seed=9)
    header = json.loads(out["synthetic"].meta[EXTENSION])
    assert header["PatientName"] == "nobody"
    step = header["ProcessingApplied"][-1]
    assert (step["Program"], step["Details"]) == (SIGNATURE, "synthetic, not measured: sampling hybrid, seed 9")
    np.testing.assert_array_equal(out["synthetic"].meta["affine"], np.diag([30.0, 20, 10, 1]))
    assert out["summary"]["transients"] == 4
    assert out["summary"]["ON"] == 2
    # each value is constant: as noise it is its own root mean square over both channels
    assert out["summary"]["noise (SD of a channel)"] == pytest.approx(12 / 2**0.5, rel=1e-3)


def test_flags_say_what_the_user_must_know() -> None:
    given = numbered()
    plain = metadata_of(given)
    silent = metadata_of(replace(given, echo=None))
    again = metadata_of(replace(given, extension={"ProcessingApplied": [{"Program": SIGNATURE}]}))

    def flags(meta: dict, sampling: str = "hybrid", **acquisition: object) -> str:
        return "; ".join(made([True, False], meta, sampling=sampling, acquisition=acquisition)["flags"])

    assert flags(plain) == flags({}, "random") == ""
    assert "taken for 68 ms" in flags(silent)
    assert "taken for 68 ms" in flags(silent, "random")  # the published method's are of a measured session
    assert "synthetic itself" in flags(again)
    assert "do not quantify" in flags(plain, "reconstruct")
    assert "without residual water" in flags(plain, water=False)


def test_what_is_made_of_another_scanner_has_its_larmor_frequency() -> None:
    """Chemical shifts are those of the network: the dwell time is as much longer as the frequency is lower."""
    given = replace(numbered(), larmor=123.25, extension={**numbered().extension, "SpectralWidth": 2000.0})
    out = made([True, False] * 2, metadata_of(given), sampling="hybrid")
    meta = out["synthetic"].meta
    assert (meta["larmor"], meta["dwell"]) == pytest.approx((123.25, 0.0005 * 127.73 / 123.25))
    assert "SpectralWidth" not in json.loads(meta[EXTENSION])


def test_of_unlike_numbers_the_summary_counts_what_is_written() -> None:
    out = made([True, False, True], metadata_of(numbered()), sampling="reconstruct")
    assert out["synthetic"].shape[-2:] == (1, 2)
    assert (out["summary"]["transients"], out["summary"]["ON"]) == (2, 1)
