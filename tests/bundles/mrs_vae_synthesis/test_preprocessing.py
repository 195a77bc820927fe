from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mrs_vae_synthesis.inputs import USUAL
from mrs_vae_synthesis.matched_filter import as_complex
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.preprocessing import PLAN, PreprocessSessiond
from mrsikit.io import Fids
from mrsikit.io.nifti_mrs import metadata_of

from .conftest import numbered, small_network

WIDTH = small_network().deviates


@pytest.fixture(scope="module")
def network() -> SessionVae:
    return small_network()


def parts(network: SessionVae, item: dict, **options: object) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Deviates (R, W), plan (R, 4) and measured FIDs (R, T) of an item."""
    values = PreprocessSessiond(network=network, **options)(item)["image"].as_tensor()  # type: ignore[arg-type]
    deviates, plan, measured = values.split([WIDTH, PLAN, 128], -1)
    return deviates, plan, as_complex(measured)


def measured(fids: Fids) -> dict:
    return {
        "image": "a.nii.gz",
        "place": 1,
        "fids": MetaTensor(torch.from_numpy(fids.values)[None], meta=metadata_of(fids)),
    }


def test_deviates_are_those_of_the_seed_and_the_place(network: SessionVae) -> None:
    for seed, place in ((0, 0), (7, 3)):
        deviates, plan, fids = parts(network, {"image": "x", "place": place}, seed=seed, transients=6)
        expected = np.random.default_rng([seed, place]).standard_normal((6, WIDTH), dtype=np.float32)
        np.testing.assert_array_equal(deviates, expected)
        assert plan.tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]] * 3  # wanted, ON and OFF in turn; nothing measured
        assert not fids.any()


def test_a_new_session_has_the_usual_number_and_the_last_what_is_left(network: SessionVae) -> None:
    def count(place: int, **options: object) -> int:
        return len(parts(network, {"image": "x", "place": place}, **options)[1])

    assert count(0) == USUAL
    assert [count(place, transients=4, total=10) for place in range(3)] == [4, 4, 2]
    assert count(0, transients=4, total=2) == 2


def test_one_condition_is_of_one_kind_and_unedited_networks_know_no_on(network: SessionVae) -> None:
    def ons(network: SessionVae, condition: str) -> list[float]:
        return parts(network, {"image": "x"}, transients=3, condition=condition)[1][:, 1].tolist()

    assert ons(network, "on") == [1, 1, 1]
    assert ons(network, "off") == [0, 0, 0]
    assert ons(small_network(edited=False), "both") == [0, 0, 0]


def test_measured_transients_lie_beside_the_new_ones(network: SessionVae) -> None:
    item = measured(numbered(("OFF", "ON")))
    deviates, plan, fids = parts(network, item, sampling="hybrid", number=2)
    assert plan[:, 0].tolist() == [1, 1, 0, 0, 0, 0]  # two are wanted
    assert plan[:2, 1].tolist() == [1, 0]
    assert plan[:, 2].tolist() == [1] * 6  # six were measured
    assert plan[:, 3].tolist() == [0, 1] * 3
    assert fids[:, 5].real.tolist() == [12, 11, 22, 21, 32, 31]
    more = parts(network, item, sampling="hybrid", number=8)
    assert more[1][:, 0].tolist() == [1] * 8
    assert more[1][:, 2].tolist() == [1] * 6 + [0] * 2
    np.testing.assert_array_equal(more[0][:6], deviates)


def test_a_reconstruction_has_the_edits_of_its_file(network: SessionVae) -> None:
    item = measured(numbered(("OFF", "ON")))
    plan = parts(network, item, sampling="reconstruct")[1]
    assert torch.equal(plan[:, :2], plan[:, 2:])
    as_many = parts(network, item, sampling="interpolate")[1]
    assert as_many[:, 0].sum() == 6
    assert as_many[:, 1].tolist() == [1, 0] * 3


def test_measured_fids_are_counted_from_the_networks_reference(network: SessionVae) -> None:
    fids = replace(numbered(), reference=4.3)
    found = parts(network, measured(fids), sampling="hybrid")[2]
    turn = torch.exp(2j * torch.pi * (4.68 - 4.3) * 127.73 * torch.arange(64) * 0.0005)
    torch.testing.assert_close(found[0], (11 * turn).to(found), atol=1e-3, rtol=0)


def test_the_metadata_are_those_of_the_file(network: SessionVae) -> None:
    item = PreprocessSessiond(network=network, sampling="hybrid")(measured(numbered()))
    assert item["image"].meta["larmor"] == 127.73
    new = PreprocessSessiond(network=network)({"image": "folder/session_0001"})
    assert new["image"].meta["filename_or_obj"] == "folder/session_0001"


def test_an_odd_number_of_measured_transients_gives_pairs(network: SessionVae) -> None:
    plain = numbered(("ON", "OFF"))
    values = plain.values.reshape(1, 1, 1, 64, 6)[..., :5]
    header = {"dim_5": "DIM_DYN", "dim_5_header": {"EditCondition": ["ON", "OFF", "ON", "OFF", "ON"]}}
    item = measured(replace(plain, values=values, extension=header))
    out = PreprocessSessiond(network=network, sampling="hybrid")(item)
    plan = out["image"].as_tensor()[:, WIDTH : WIDTH + PLAN]
    assert plan[:, :2].tolist() == [[1, 1], [1, 0], [1, 1], [1, 0], [0, 0]]
    assert plan[:, 3].tolist() == [1, 0, 1, 0, 1]
    assert "of its 5 transients 3 are ON" in out["measured_warnings"]


def test_order_and_sign_are_those_of_the_options(network: SessionVae) -> None:
    plain = numbered(("ON", "OFF"))
    fids = replace(plain, values=1j * plain.values.reshape(1, 1, 1, 64, 6), extension={"dim_5": "DIM_DYN"})
    item = measured(fids)
    _, plan, found = parts(network, item, sampling="hybrid", edit_order="on_off_blocks", sign="conjugate")
    assert plan[:, 3].tolist() == [1, 1, 1, 0, 0, 0]
    assert found[:, 5].imag.tolist() == [-11, -12, -21, -22, -31, -32]
