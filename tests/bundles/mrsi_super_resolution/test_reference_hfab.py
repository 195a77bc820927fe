import math

import pytest
import torch

from mrsi_super_resolution.reference_hfab import (
    RATES,
    HfabNetwork,
    HfabPaird,
    HfabSuperResolution,
    LogCoshLoss,
    weights_name,
)
from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.network import network_input

from .conftest import BUNDLE


def test_the_papers_network_has_the_size_it_states() -> None:
    paper = HfabNetwork()
    assert sum(p.numel() for p in paper.parameters()) == pytest.approx(650_000, rel=0.01)
    assert paper(torch.zeros(2, 2, 128, 128)).shape == (2, 1, 128, 128)


def test_log_cosh_is_that_and_does_not_overflow() -> None:
    error = torch.tensor([0.0, 0.3, -2.0, 5.0]).reshape(1, 1, 2, 2)
    expected = torch.log(torch.cosh(error.double())).mean()
    assert float(LogCoshLoss()(error, torch.zeros_like(error))) == pytest.approx(float(expected), abs=1e-6)
    huge = LogCoshLoss()(torch.full((1, 1, 2, 2), 1e4), torch.zeros(1, 1, 2, 2))
    assert float(huge) == pytest.approx(1e4 - math.log(2))


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("rate", list(RATES))
def test_the_shipped_weights_load(rate: str, gated: bool) -> None:
    path = BUNDLE / "models" / f"model_{weights_name(rate=rate, gated=gated)}.pt"
    HfabSuperResolution(gated=gated).load_state_dict(torch.load(path, weights_only=True))


def test_options_as_text_give_the_same_network_and_refused_ones_the_papers() -> None:
    for given in ({"gated": "False", "blocks": "4"}, {"gated": False, "blocks": 4}):
        assert weights_name(**given) == "paper_without_gdfn_blocks_4"
        body = HfabSuperResolution(**given).body
        assert len(body) == 2 * 4 + 1
    assert len(HfabSuperResolution(gated="perhaps", blocks="many").body) == 3 * 8 + 1


def test_the_network_takes_the_block_means_and_the_flair_as_in_training() -> None:
    encoding = SpatialEncoding("block", 4)
    fine, flair, t1 = torch.rand(3, 2, 32, 40, generator=torch.Generator().manual_seed(0))
    network = HfabSuperResolution(blocks=2).eval()
    pair = [HfabPaird()({"map": fine[k], "flair": flair[k]})["image"] for k in range(2)]
    start = encoding.interpolate(encoding.A(fine))
    with torch.no_grad():
        found = network(network_input(start, encoding, mris={"flair": flair, "t1": t1}))
        blind = network(network_input(start, encoding, mris={"t1": t1}))
        bare = HfabNetwork.forward(network, torch.stack(pair))
    torch.testing.assert_close(found[:, :1], bare, atol=1e-5, rtol=0)
    assert found[:, 1].isnan().all()
    assert blind.isnan().all()
