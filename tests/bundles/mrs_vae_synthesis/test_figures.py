import io
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mrs_vae_synthesis import figures
from mrs_vae_synthesis.figures import _phased, draw_session
from mrs_vae_synthesis.matched_filter import turned, without_water
from mrs_vae_synthesis.nifti_sessions import read_session
from mrs_vae_synthesis.sessions import Sessions
from mrsikit.io import stem_of, write_fids
from mrsikit.physics.spectra import frequency_axis, spectrum

from .conftest import as_fids


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures as they were when they were drawn."""
    seen: list[Figure] = []

    def canvas(figure: Figure) -> FigureCanvasAgg:
        seen.append(figure)
        return FigureCanvasAgg(figure)

    monkeypatch.setattr(figures, "FigureCanvasAgg", canvas)
    return seen


def outputs(folder: Path) -> SimpleNamespace:
    return SimpleNamespace(
        name_of=stem_of,
        output_path=lambda name, suffix: folder / f"{name}_{suffix}.nii.gz",
        measured=read_session,
    )


def labels(figure: Figure) -> list[list[str]]:
    return [[str(line.get_label()) for line in axis.lines] for axis in figure.axes]


def test_what_was_made_stands_over_what_was_measured(unseen: Sessions, tmp_path: Path, drawn: list[Figure]) -> None:
    write_fids(tmp_path / "a.nii.gz", as_fids(unseen, 0))
    write_fids(tmp_path / "a_synthetic.nii.gz", as_fids(unseen, 1))
    picture = Image.open(io.BytesIO(draw_session(outputs(tmp_path), tmp_path / "a.nii.gz").png))  # type: ignore[arg-type]
    assert picture.width > 2 * picture.height
    means = ["measured, ON", "measured, OFF", "synthetic, ON", "synthetic, OFF"]
    assert labels(drawn[0]) == [["measured", "synthetic"], means, ["measured", "synthetic"]]
    assert [axis.get_title() for axis in drawn[0].axes] == ["one transient ON", "means", "ON less OFF, NAA cut off"]
    low, high = sorted(drawn[0].axes[0].get_xlim())
    assert (low, high) == pytest.approx((0.2, 4.2), abs=0.3)
    assert drawn[0].axes[0].xaxis_inverted()
    assert plt.get_fignums() == []  # nothing left in pyplot's global state


def test_a_new_session_and_one_of_one_edit_stand_alone(unseen: Sessions, tmp_path: Path, drawn: list[Figure]) -> None:
    whole = as_fids(unseen, 1)
    write_fids(tmp_path / "session_0001_synthetic.nii.gz", whole)
    header = {"dim_5": "DIM_DYN", "EditCondition": ["OFF"], "EchoTime": unseen.echo}
    off = as_fids(unseen, 1, values=whole.values[..., 1], extension=header)
    write_fids(tmp_path / "session_0002_synthetic.nii.gz", off)
    (tmp_path / "session_0002").write_text("nothing that can be read")
    for name in ("session_0001", "session_0002"):
        assert draw_session(outputs(tmp_path), tmp_path / name).png  # type: ignore[arg-type]
    assert labels(drawn[0]) == [["synthetic"], ["synthetic, ON", "synthetic, OFF"], ["synthetic"]]
    assert labels(drawn[1]) == [["synthetic"], ["synthetic, mean"], []]


def test_the_difference_is_scaled_by_what_lies_above_naa(unseen: Sessions, tmp_path: Path, drawn: list[Figure]) -> None:
    write_fids(tmp_path / "a_synthetic.nii.gz", as_fids(unseen, 0))
    draw_session(outputs(tmp_path), tmp_path / "a.nii.gz")  # type: ignore[arg-type]
    axis = drawn[0].axes[2]
    low, high = axis.get_ylim()
    ppm, heights = axis.lines[0].get_data()
    shown = heights[ppm > 2.2]
    assert low < shown.min()
    assert high > shown.max()
    assert heights.min() < low  # inverted NAA is cut off


def test_transients_are_drawn_upright_and_in_line(unseen: Sessions) -> None:
    """By creatine and choline, whatever phase and shift of up to 8 Hz each has."""
    assert unseen.clean is not None
    generator = torch.Generator().manual_seed(0)
    phase = 6 * torch.rand(1, 16, generator=generator)
    shift = 16 * torch.rand(1, 16, generator=generator) - 8
    spoilt = turned(unseen.clean[:1], phase, shift, unseen.dwell)
    session = Sessions(
        fids=spoilt, on=unseen.on[:1], dwell=unseen.dwell, larmor=unseen.larmor, reference=unseen.reference, echo=0.068
    )
    # but for the tail of the water, which turns a little
    values = spectrum(without_water(_phased(session), unseen.dwell, unseen.larmor, unseen.reference))
    ppm = unseen.reference - frequency_axis(2048, unseen.dwell) / unseen.larmor
    near = (ppm > 2.9) & (ppm < 3.15)
    peaks = ppm[near][values.real[:, near].argmax(1)]
    assert float(peaks.max() - peaks.min()) < 0.025  # three points of .98 Hz
    areas = values[:, (ppm > 2.8) & (ppm < 3.4)].sum(1)
    assert (areas.angle().abs() < 0.1).all()
