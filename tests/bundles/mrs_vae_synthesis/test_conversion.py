from dataclasses import replace

import numpy as np
import pytest
import torch

from mrs_vae_synthesis.conversion import (
    acquisition_of,
    conversion_problems,
    conversion_warnings,
    converted,
    dwell_at,
    nominal_field,
    points_at,
    rereferenced,
    resampled,
)
from mrs_vae_synthesis.sessions import Acquisition
from mrsikit.physics.spectra import noise_sd

from .conftest import numbered

NETWORK = Acquisition(dwell=0.0005, larmor=127.73, reference=4.68, echo=0.068, points=2048, edited=True, water=True)
LINES = (2.01, 3.03, 3.2, 3.92)


def lines(acquisition: Acquisition, shifts: tuple[float, ...] = LINES, width: float = 5.0) -> torch.Tensor:
    """FID (T,) of lines at chemical shifts (ppm)."""
    at = torch.arange(acquisition.points, dtype=torch.float64) * acquisition.dwell
    hz = [(acquisition.reference - shift) * acquisition.larmor for shift in shifts]
    return sum(torch.exp((2j * torch.pi * one - torch.pi * width) * at) for one in hz).to(torch.complex64)


@pytest.mark.parametrize(
    "given",
    [
        {"dwell": 0.00025, "points": 4096},
        {"dwell": 0.0002, "points": 4096},
        {"dwell": 0.00025, "points": 2048},
        {"reference": 3.0},
        {"points": 1024},
    ],
    ids=["4000 Hz", "5000 Hz", "half as long", "another reference", "half the points"],
)
def test_fids_of_another_acquisition_are_those_of_the_network(given: dict) -> None:
    """To 1 % of the first sample, from the first sample on: without the ring of a step from zero."""
    own = replace(NETWORK, **given)
    found, right = converted(lines(own), own, NETWORK), lines(NETWORK)
    points = points_at(own, NETWORK.dwell, NETWORK.larmor)
    assert found.shape == (2048,)
    assert float((found - right)[:points].abs().max()) < 0.01 * float(right[0].abs())
    assert not found[points:].any()


def test_lines_of_another_larmor_frequency_keep_their_chemical_shifts() -> None:
    """What was 5 Hz wide at 123.25 MHz is 5.18 Hz wide at 127.73 MHz."""
    own = replace(NETWORK, larmor=123.25)
    found = converted(lines(own), own, NETWORK)
    right = lines(NETWORK, width=5.0 * 127.73 / 123.25)
    assert points_at(own, NETWORK.dwell, NETWORK.larmor) == 1976
    assert float((found - right)[:1976].abs().max()) < 0.01 * float(right[0].abs())
    assert dwell_at(own, 127.73) * 127.73 == pytest.approx(own.dwell * own.larmor)


def test_resampling_leaves_noise_white_and_without_a_ring() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(64, 4096, dtype=torch.complex64, generator=generator)
    found = resampled(noise, 0.00025, 0.0005)
    assert found.shape == (64, 2048)
    assert float(noise_sd(found).mean() / noise_sd(noise).mean()) == pytest.approx(0.5**0.5, rel=0.02)
    power = torch.fft.fft(found).abs().square().mean(0)[100:-100]
    assert float(power[:900].mean() / power[-900:].mean()) == pytest.approx(1, abs=0.1)
    same = noise[:2]
    assert resampled(same, 0.0005, 0.0005 * 1.0005) is same


def test_another_reference_shifts_every_line_by_the_difference() -> None:
    """A line at 3 ppm is at 3 ppm, whichever shift the file counts from."""
    own = replace(NETWORK, reference=4.3)
    torch.testing.assert_close(converted(lines(own, (3.0,)), own, NETWORK), lines(NETWORK, (3.0,)), atol=1e-3, rtol=0)
    fid = lines(NETWORK)
    assert rereferenced(fid, 0.0005, 0.0) is fid


def test_what_a_file_does_not_state_is_the_usual() -> None:
    found = acquisition_of(replace(numbered(), reference=None, echo=None), NETWORK)
    assert (found.reference, found.echo, found.points, found.edited) == (4.68, 0.068, 64, True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, None),
        ({"larmor": 123.25}, None),
        ({"larmor": 127.9}, None),
        ({"dwell": 0.0002, "points": 4096}, None),
        ({"larmor": 63.87}, "is of 1.5 T (63.87 MHz), the network of 3 T (127.7 MHz)"),
        ({"larmor": 297.2}, "is of 7 T (297.2 MHz)"),
        ({"dwell": 0.0008}, "has a bandwidth of 1250 Hz at 127.7 MHz, the network 2000"),
        ({"points": 600}, "has FIDs of 0.3 s, 600 points at the network's bandwidth"),
        ({"echo": 0.08}, "has an echo time of 80 ms"),
    ],
)
def test_what_cannot_be_converted_is_named(given: dict, words: str | None) -> None:
    problems = conversion_problems(replace(NETWORK, **given), NETWORK)
    assert len(problems) == (words is not None)
    assert words is None or problems[0].startswith(words)
    assert all(problem.endswith("; train a network on files like it") for problem in problems)


def test_a_network_of_123_megahertz_takes_files_of_127() -> None:
    siemens = replace(NETWORK, larmor=123.25)
    assert conversion_problems(NETWORK, siemens) == []
    found = converted(lines(NETWORK), NETWORK, siemens)
    size = torch.fft.fft(found, n=2**15).abs()
    tallest = siemens.reference - torch.fft.fftfreq(2**15, siemens.dwell)[size.argmax()] / siemens.larmor
    assert float(min(abs(tallest - shift) for shift in LINES)) < 0.01


def test_warnings_say_what_changes() -> None:
    assert conversion_warnings(NETWORK, NETWORK) == []
    assert "-3.5 %" in conversion_warnings(NETWORK, replace(NETWORK, larmor=123.25))[0]
    short = conversion_warnings(replace(NETWORK, dwell=0.0002, points=4096), NETWORK)
    assert short == ["its FIDs end after 0.82 s, 80% of the network's: they were completed with zeros"]


def test_fields_have_the_names_by_which_magnets_are_sold() -> None:
    assert [nominal_field(mhz) for mhz in (63.87, 123.25, 127.73, 297.2, 298.06)] == [1.5, 3.0, 3.0, 7.0, 7.0]
    assert nominal_field(np.float64(85.0)) == 2.0
