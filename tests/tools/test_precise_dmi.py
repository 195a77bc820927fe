"""The parts of the DMI benchmark that follow the paper's figures: the rat's brain, and errors of ratios."""

from pathlib import Path

import numpy as np
import pytest

from benchmark import Context
from benchmarks.dmi_quantification import PARTS, TABLES
from benchmarks.dmi_setting import on_grid
from benchmarks.precise_dmi import FOURIER, rat_brain, ratios
from benchmarks.precise_dmi import PARTS as OF_THE_PAPER
from benchmarks.precise_dmi import TABLES as TABLES_OF_THE_PAPER
from benchmarks.precise_dmi import _ratio_errors as ratio_errors
from mrsikit.phantoms.dmi import LESION


@pytest.mark.parametrize("visible", [True, False])
def test_only_the_mri_differs_where_it_does_not_show_the_tumour(visible: bool) -> None:
    phantom = rat_brain((22, 11, 22), (1.0, 2.0, 1.0), visible=visible, rng=np.random.default_rng(0))
    (letter,) = phantom.lesions
    tumour = phantom.lesions[letter]
    assert letter == ("C" if visible else "B")
    assert 2.0 * tumour.sum() == pytest.approx(4 / 3 * np.pi * 2.5**3, rel=0.2)
    assert (phantom.amplitudes[tumour] == np.float32(LESION)).all()
    around = phantom.compartments[tumour].min()
    level = on_grid(phantom)[tumour].mean() - on_grid(phantom)[(phantom.compartments == around) & ~tumour].mean()
    assert (level > 0.25) == visible


def test_errors_are_of_the_ratio_to_water() -> None:
    amplitudes = np.array([[10.0, 2, 3, 1], [20, 4, 6, 2]])
    np.testing.assert_allclose(ratios(amplitudes), [[2, 3, 1]] * 2)
    context = Context(Path(), True, 0, Path())
    found = {
        FOURIER: np.array([[10.0, 2, 2, 1], [10, 2, 4, 3]]),
        "half": np.array([[10.0, 2, 2.5, 1], [10, 2, 3.5, 2]]),
    }
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio_errors(context, "c", found, amplitudes[0])
    assert context.value("Glx", "c", "half", "gain over Fourier") == pytest.approx(2)
    assert context.value("Lac", "c", FOURIER, "error, mean, %") == pytest.approx(100)


def test_the_papers_parts_are_among_the_bundles() -> None:
    assert OF_THE_PAPER.items() <= PARTS.items()
    assert all(table in TABLES for table in TABLES_OF_THE_PAPER)
