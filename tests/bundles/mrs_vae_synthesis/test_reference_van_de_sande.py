from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from mrs_vae_synthesis.linear_initialisation import templates_of
from mrs_vae_synthesis.matched_filter import as_complex, as_real
from mrs_vae_synthesis.preprocessing import PLAN
from mrs_vae_synthesis.reference_van_de_sande import (
    InitialiseTemplates,
    RandDeviatesd,
    TransientSpectra,
    VanDeSandeInferer,
    VanDeSandeLoss,
    VanDeSandeVae,
    fids_of_spectra,
    heights,
    plain_spectra,
    van_de_sande_like,
    van_de_sande_samples,
)
from mrs_vae_synthesis.sessions import Acquisition, Sessions

from .conftest import SMALL

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


class Two(SimpleNamespace):
    """Training sessions, two of them."""

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize(("folder", "transients"), [(None, 3), ("folder", 2)])
def test_transients_are_rows_of_their_own(sessions: Sessions, folder: str | None, transients: int) -> None:
    """Of the user's own sessions all are taken, whatever the number of the simulated ones."""
    rows = TransientSpectra(Two(sessions=sessions, dataset_dir=folder), transients)  # type: ignore[arg-type]
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


NUMBER = 4000


@pytest.fixture
def drawn(network: VanDeSandeVae) -> Callable[..., torch.Tensor]:
    """Samples (NUMBER, 2) from two spectra whose latents are (10, 0) and (0, 10), with a posterior of deviation .5."""
    spectra = torch.zeros(2, 8)
    spectra[0, 0], spectra[1, 1] = 10, 10
    deviates = torch.randn(NUMBER, network.deviates, generator=torch.Generator().manual_seed(0))
    return lambda sampling, **spread: van_de_sande_samples(network, spectra, sampling, deviates, **spread)[:, :2]


def test_a_reconstruction_is_that_of_the_mean(drawn: Callable[..., torch.Tensor]) -> None:
    torch.testing.assert_close(drawn("reconstruct"), torch.tensor([[10.0, 0], [0, 10]]))


@pytest.mark.parametrize(
    ("spread", "radius", "expected"), [("posterior", 2.0, 1.0), ("subset", 0.1, 0.5), ("prior", 0.7, 0.7)]
)
def test_random_samples_lie_around_an_encoded_spectrum(
    drawn: Callable[..., torch.Tensor], spread: str, radius: float, expected: float
) -> None:
    made = drawn("random", spread=spread, radius=radius)
    first = made[:, 0] > made[:, 1]
    assert float(first.float().mean()) == pytest.approx(0.5, abs=0.03)
    off = made - torch.where(first[:, None], torch.tensor([10.0, 0]), torch.tensor([0, 10.0]))
    torch.testing.assert_close(off.mean(0), torch.zeros(2), atol=0.06, rtol=0)
    torch.testing.assert_close(off.std(0), torch.full((2,), expected), atol=0, rtol=0.05)


def test_interpolated_ones_lie_on_the_line_and_hybrid_ones_around_it(drawn: Callable[..., torch.Tensor]) -> None:
    between = drawn("interpolate")
    torch.testing.assert_close(between.sum(1), torch.full((NUMBER,), 10.0))
    assert between.min() >= 0
    around = drawn("hybrid").sum(1) - 10
    assert float(around.std()) == pytest.approx(0.5 * 2**0.5, rel=0.05)
    torch.testing.assert_close(drawn("hybrid", radius=0.0), between)


def test_an_unknown_sampling_is_refused(drawn: Callable[..., torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="sampling 'gan'"):
        drawn("gan")


def test_a_network_has_the_sizes_of_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(VanDeSandeVae(points=8, latents=3, widths=(10, 6)).state_dict(), path)
    found = van_de_sande_like(path)
    assert (found.points, found.deviates) == (8, 6)
    assert found.encoder[2].out_features == 6
    torch.save({"weight": torch.zeros(3)}, path)
    assert van_de_sande_like(path).points == 2048
    assert van_de_sande_like(tmp_path / "none.pt").points == 2048


def test_the_training_stores_acquisition_and_templates(unseen: Sessions) -> None:
    network = VanDeSandeVae()
    InitialiseTemplates(network=network, sessions=Two(sessions=unseen))(Engine(lambda *_: None))  # type: ignore[arg-type]
    known, templates = templates_of(unseen)
    assert Acquisition.of(network.acquisition) == known
    assert known.water
    assert torch.equal(network.templates, templates)
    assert templates.abs().amax() > 0


@pytest.fixture
def prepared(sessions: Sessions, network: VanDeSandeVae) -> torch.Tensor:
    """(1, 6, W) as of the preprocessing: six wanted, ON and OFF in turn; three measured, ON, OFF, ON."""
    values = torch.zeros(1, 6, 5 + PLAN + 8)
    values[..., 5] = 1
    values[:, ::2, 6] = values[:, :3, 7] = values[:, :3:2, 8] = 1
    values[:, :3, 9:] = as_real(
        torch.fft.ifft(torch.tensor([[4.0, 0, 0, 0], [1, 8, 0, 0], [2, 0, 0, 0]]), norm="ortho")
    )
    # 3.1 ppm is the second point of four at 2000 Hz
    network.acquisition.copy_(replace(SMALL, points=4, reference=3.1).stored())
    return values


def test_new_transients_are_made_of_those_of_their_edit(network: VanDeSandeVae, prepared: torch.Tensor) -> None:
    out = VanDeSandeInferer(sampling="interpolate")(prepared, network)[0]
    assert out[:, -2].tolist() == [1] * 6
    assert out[:, -1].tolist() == [1, 0] * 3
    spectra = torch.fft.fft(as_complex(out[:, :-2]), norm="ortho").real
    assert (spectra[::2, 1] == 0).all()
    assert spectra[::2, 0].min() >= 2 - 1e-5
    assert spectra[::2, 0].max() <= 4 + 1e-5
    torch.testing.assert_close(spectra[1::2, 1], torch.full((3,), 8.0))


def test_a_subset_is_the_first_of_each_edit(network: VanDeSandeVae, prepared: torch.Tensor) -> None:
    out = VanDeSandeInferer(sampling="random", radius=0.0, subset=1)(prepared, network)[0]
    spectra = torch.fft.fft(as_complex(out[:, :-2]), norm="ortho").real
    torch.testing.assert_close(spectra[::2, 0], torch.full((3,), 4.0))


@pytest.mark.parametrize(("subset", "height"), [(None, 2.0), (1, 1.0)])
def test_a_subset_alone_scales_what_is_made_of_it(
    network: VanDeSandeVae, prepared: torch.Tensor, subset: int | None, height: float
) -> None:
    """The network makes 1 at the third point. The heights are 4, 1, 2, and of the first of each edit 4, 1."""
    with torch.no_grad():
        network.decoder[0].bias[2] = 1
    out = VanDeSandeInferer(sampling="random", subset=subset)(prepared, network)[0]
    spectra = torch.fft.fft(as_complex(out[:, :-2]), norm="ortho").real
    torch.testing.assert_close(spectra[:, 2], torch.full((6,), height))


def test_the_conversion_is_the_sessions_own(sessions: Sessions) -> None:
    values = torch.fft.fft(sessions.fids, norm="ortho")
    torch.testing.assert_close(fids_of_spectra(as_real(values)), sessions.fids)
