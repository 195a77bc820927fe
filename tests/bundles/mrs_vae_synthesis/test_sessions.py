import pytest
import torch

from mrs_vae_synthesis.sessions import Acquisition, Sessions, simulated_sessions
from mrsikit.physics.spectra import noise_sd, ppm_axis, spectrum

KNOWN = Acquisition(dwell=0.0005, larmor=127.73, reference=4.68, echo=0.068, points=2048, edited=True, water=False)


def test_an_acquisition_is_kept_in_whole_numbers() -> None:
    """ns, Hz, millionths of a ppm and µs, which no half precision rounds."""
    assert KNOWN.stored().tolist() == [500000, 127730000, 4680000, 68000, 2048, 1, 0]
    assert not KNOWN.stored().is_floating_point()
    assert Acquisition.of(KNOWN.stored()) == KNOWN


@pytest.mark.parametrize("dwell", [1 / 2000, 1 / 5000, 1 / 3])
def test_what_is_no_whole_number_of_them_is_kept_to_half_of_one(dwell: float) -> None:
    known = Acquisition(dwell=dwell, larmor=297.2232, reference=4.7, echo=0.0303, points=8, edited=False, water=True)
    again = Acquisition.of(known.stored())
    assert again.dwell == pytest.approx(dwell, abs=5e-10)
    assert (again.larmor, again.reference, again.echo) == (297.2232, 4.7, 0.0303)
    assert (again.points, again.edited, again.water) == (8, False, True)


def test_a_session_depends_on_the_seed_and_its_number_alone(unseen: Sessions) -> None:
    two, other = (simulated_sessions(2, seed=seed, transients=16) for seed in (99, 98))
    torch.testing.assert_close(two.fids, unseen.fids[:2], rtol=0, atol=0)
    assert two.concentrations == unseen.concentrations[:2]
    assert (two.fids - other.fids).abs().mean() > 1
    assert (two.fids[0] - two.fids[1]).abs().mean() > 1


def test_the_truth_stands_beside_the_transients(unseen: Sessions) -> None:
    assert unseen.fids.shape == (12, 16, 2048)
    assert unseen.on.tolist() == [[True, False] * 8] * 12
    assert (unseen.dwell, unseen.larmor, unseen.reference, unseen.echo) == pytest.approx((0.0005, 127.73, 4.68, 0.068))
    assert unseen.clean is not None
    left = unseen.fids - unseen.clean
    spread = (left.real.flatten(1).std(1) + left.imag.flatten(1).std(1)) / 2
    torch.testing.assert_close(noise_sd(unseen.fids).median(1).values.to(spread), spread, rtol=0.1, atol=0)
    assert (left.mean((1, 2)).abs() < 5 * spread / (16 * 2048) ** 0.5).all()
    ppm = ppm_axis(2048, unseen.dwell, larmor=unseen.larmor, reference=unseen.reference)
    heights = spectrum(unseen.clean[~unseen.on]).abs()
    inside = (ppm > 1.7) & (ppm < 2.5)
    tallest = ppm[inside][heights[:, inside].mean(0).argmax()]
    assert float(tallest) == pytest.approx(2.01, abs=0.03)  # NAA
