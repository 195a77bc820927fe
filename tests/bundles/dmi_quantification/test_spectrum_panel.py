import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dmi_quantification.spectrum_panel import draw_spectrum

from .conftest import METABOLITES, MODEL, fids_of

CLEAN = MODEL.simulate(torch.tensor([[10.0, 2.0, 3.0, 1.0]]), shift=-8.0, phase=1.0).numpy().reshape(1, 1, 1, -1)


def drawn(values: np.ndarray = CLEAN, *, fit: bool = True, delay: float = MODEL.delay) -> Axes:
    axis = Figure().add_subplot()
    fids = fids_of(values)
    draw_spectrum(axis, fids, fids if fit else None, (0, 0, 0, 0), METABOLITES, shift=8.0, delay=delay)
    return axis


def line(axis: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    (found,) = (each for each in axis.lines if each.get_label() == label)
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def test_measured_fit_and_residual_are_drawn_where_the_lines_lie() -> None:
    axis = drawn()
    ppm, heights = line(axis, "measured")
    expected = 4.7 + 8 / MODEL.larmor
    assert ppm[heights.argmax()] == pytest.approx(expected, abs=0.02)
    assert expected in [pytest.approx(marked.get_xdata()[0]) for marked in axis.lines[-4:]]
    np.testing.assert_array_equal(line(axis, "fit")[1], heights)
    assert np.ptp(line(axis, "residual")[1]) == 0
    assert {text.get_text() for text in axis.texts} == set(METABOLITES)
    assert axis.get_xlim() == (7.0, 0.0)


def test_phase_of_the_fit_and_of_the_delay_is_taken_out() -> None:
    """Lactate stands upright beside water, 261 Hz away; without the delay it has turned by one radian."""
    two = MODEL.simulate(torch.tensor([[3.0, 0.0, 0.0, 1.0]]), phase=1.0).numpy().reshape(1, 1, 1, -1)

    def asymmetry(delay: float) -> float:
        ppm, heights = line(drawn(two, delay=delay), "measured")
        lactate = heights[np.abs(ppm - 1.3) < 0.3]
        return -lactate.min() / lactate.max()

    right, none, wrong = (asymmetry(delay) for delay in (MODEL.delay, 0.0, -MODEL.delay))
    assert right < 0.12
    assert none > 0.2
    assert wrong > 0.5


def test_without_a_fit_the_measured_spectrum_stands_alone() -> None:
    labels = [each.get_label() for each in drawn(fit=False).lines]
    assert "measured" in labels
    assert not {"fit", "residual"} & set(labels)
