from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mrs_vae_synthesis.matched_filter import as_real
from mrs_vae_synthesis.reference_van_de_sande import (
    HYBRID,
    RandDeviatesd,
    TransientSpectra,
    VanDeSandeLoss,
    VanDeSandeVae,
    fids_of_spectra,
    heights,
    plain_spectra,
    van_de_sande_samples,
)
from mrs_vae_synthesis.sessions import Sessions

POINTS, DWELL, LARMOR = 64, 0.0005, 127.73


def line(bin_: int, height: float) -> torch.Tensor:
    """(T,) an undamped line on a point of the spectrum, of this height in it."""
    at = torch.arange(POINTS)
    return height / POINTS**0.5 * torch.exp(2j * torch.pi * bin_ * at / POINTS)


@pytest.fixture
def sessions() -> Sessions:
    """Two sessions of three transients: a line at 2.72 ppm of height 4 or 10, and one of 100 far off, at 8 ppm."""
    fids = torch.stack([torch.stack([line(8, h) + line(-14, 100.0) for h in hs]) for hs in ((3, 4, 9), (10, 10, 1))])
    on = torch.tensor([[True, False, True]] * 2)
    return Sessions(fids=fids, on=on, dwell=DWELL, larmor=LARMOR, reference=4.68, echo=0.068)


@pytest.fixture
def network() -> VanDeSandeVae:
    """Linear: the latents are the first two values of a spectrum, the spectrum is these and zeros."""
    network = VanDeSandeVae(points=4, latents=2, widths=())
    with torch.no_grad():
        for part in (network.encoder[0], network.decoder[0]):
            part.weight.zero_()
            part.bias.zero_()
            part.weight[0, 0] = part.weight[1, 1] = 1
        network.encoder[0].bias[2:] = 2 * torch.log(torch.tensor(0.5))  # a deviation of a half
    return network


def test_the_network_decodes_what_it_encodes_and_says_how_far_it_is_from_the_prior(network: VanDeSandeVae) -> None:
    x = torch.tensor([[3.0, -1, 5, 5, 5, 5, 5, 5]])
    out = network(x)
    expected = 0.5 * (9 + 1 + 2 * 0.25 - 2 - 2 * float(torch.log(torch.tensor(0.25))))
    torch.testing.assert_close(out, torch.tensor([[3.0, -1, 0, 0, 0, 0, 0, 0, expected]]))
    drawn = network(torch.cat([x, torch.tensor([[2.0, -4.0]])], 1))
    torch.testing.assert_close(drawn[:, :2], torch.tensor([[3.0 + 1, -1 - 2]]))


def test_the_network_has_the_layers_asked_for_and_back() -> None:
    network = VanDeSandeVae(points=8, latents=3, widths=(10, 6))
    sizes = [
        [(layer.in_features, layer.out_features) for layer in part if isinstance(layer, nn.Linear)]
        for part in (network.encoder, network.decoder)
    ]
    assert sizes == [[(16, 10), (10, 6), (6, 6)], [(3, 6), (6, 10), (10, 16)]]


def test_the_loss_by_hand() -> None:
    label = torch.tensor([[1.0, 2, 3, 4], [0, 0, 0, 0]])
    pred = torch.tensor([[1.0, 2, 3, 6, 0.5], [1, 1, 1, 0, 2.0]])
    assert float(VanDeSandeLoss(weight=0.1)(pred, label)) == pytest.approx((4 + 0.05 + 3 + 0.2) / 2)


def test_a_sessions_height_is_its_tallest_metabolite_line(sessions: Sessions) -> None:
    """Not the line outside the range, and the median of the transients."""
    torch.testing.assert_close(heights(sessions), torch.tensor([4.0, 10.0]))


def test_spectra_are_of_that_height_and_go_back(sessions: Sessions) -> None:
    values = plain_spectra(sessions)
    assert values.shape == (2, 3, 2 * POINTS)
    assert values[0, 1, 8] == pytest.approx(1, abs=1e-5)
    assert values[0, 2, 8] == pytest.approx(9 / 4, abs=1e-5)
    torch.testing.assert_close(fids_of_spectra(values[0]), sessions.fids[0] / 4, atol=1e-5, rtol=0)


def test_transients_are_rows_of_their_own(sessions: Sessions) -> None:
    class Two(SimpleNamespace):
        def __len__(self) -> int:
            return 2

    rows = TransientSpectra(Two(sessions=sessions), 3)  # type: ignore[arg-type]
    assert len(rows) == 6
    expected = plain_spectra(sessions)
    for k in range(6):
        assert torch.equal(rows[k]["image"], expected[k // 3, k % 3])
        assert torch.equal(rows[k]["label"], rows[k]["image"])


def test_deviates_stand_after_the_spectrum_and_come_from_the_seed() -> None:
    item = {"image": torch.arange(4.0), "label": torch.arange(4.0)}
    draw = RandDeviatesd(3)
    found = []
    for seed in (1, 1, 2):
        draw.set_random_state(seed)
        found.append(draw(item))
    assert torch.equal(found[0]["image"][:4], item["image"])
    assert found[0]["image"].shape == (7,)
    assert found[0]["label"] is item["label"]
    assert torch.equal(found[0]["image"], found[1]["image"])
    assert not torch.equal(found[0]["image"], found[2]["image"])


def test_samples_lie_where_the_paper_puts_them(network: VanDeSandeVae) -> None:
    spectra = torch.zeros(2, 8)
    spectra[0, 0], spectra[1, 1] = 10, 10  # latents (10, 0) and (0, 10)

    def drawn(sampling: str, number: int = 4000) -> torch.Tensor:
        return van_de_sande_samples(network, spectra, number, sampling, torch.Generator().manual_seed(0))[:, :2]

    torch.testing.assert_close(drawn("reconstruct"), spectra[:, :2])
    prior = drawn("random")
    torch.testing.assert_close(prior.mean(0), torch.zeros(2), atol=0.06, rtol=0)
    torch.testing.assert_close(prior.std(0), torch.ones(2), atol=0.04, rtol=0)
    between = drawn("interpolate")
    torch.testing.assert_close(between.sum(1), torch.full((4000,), 10.0))  # on the line from the one to the other
    assert between.min() >= 0
    around = drawn("hybrid").sum(1) - 10
    assert float(around.std()) == pytest.approx(HYBRID * 2**0.5, rel=0.05)
    with pytest.raises(ValueError, match="sampling 'gan'"):
        drawn("gan")


def test_the_conversion_is_the_sessions_own(sessions: Sessions) -> None:
    values = torch.fft.fft(sessions.fids, norm="ortho")
    torch.testing.assert_close(fids_of_spectra(as_real(values)), sessions.fids)
