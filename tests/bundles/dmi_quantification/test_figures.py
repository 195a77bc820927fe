import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from dmi_quantification import figures
from dmi_quantification.figures import draw_fids
from mrsikit.io import write_fids
from mrsikit.runtime import InputFolder

from .conftest import fids_of, simulated

Command = Callable[..., subprocess.CompletedProcess]


@pytest.mark.parametrize(
    ("stem", "height", "titles"),
    [
        ("voxel", 3.2, {"voxel (1, 1, 1)": 1}),
        ("rings", 3 * 3.7 + 3.2, {"water amplitude": 1, "SD of Lac": 1, "the prior's effect on Glx": 1}),
        ("series", 2 * 3.7 + 2.6 + 3.2, {"Glc\ntime point 3 of 3": 1, "Glc amplitude, signal units": 1}),
    ],
)
def test_rows_are_maps_time_courses_and_spectra(
    stem: str, height: float, titles: dict[str, int], folder: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(figures, "FigureCanvasAgg", drawn.append)
    inputs = InputFolder(dataset_dir=folder, output_dir=finished, holds="fids")
    picture = draw_fids(inputs, folder / f"{stem}.nii.gz").png
    assert Image.open(io.BytesIO(picture)).size == (1680, round(100 * height))
    (figure,) = drawn
    found = [axis.get_title() for axis in figure.axes]
    assert {title: sum(text.strip() == title for text in found) for title in titles} == titles


def test_spectra_are_those_of_the_largest_the_median_and_the_smallest_good_amplitude() -> None:
    quality = np.ones((5, 1, 1))
    quality[4] = 2
    reference = np.array([3.0, 9, 1, 5, 20]).reshape(5, 1, 1)
    assert figures._voxels(reference, quality) == [(1, 0, 0), (3, 0, 0), (2, 0, 0)]
    assert figures._voxels(reference, 2 * np.ones((5, 1, 1)))[0] == (4, 0, 0)
    assert figures._voxels(reference, np.zeros((5, 1, 1))) == []


def test_the_figure_shows_what_there_is(tmp_path: Path, command: Command) -> None:
    """A scan that was stopped, and one of which nothing was fitted."""
    rise = np.stack([np.tile([10.0, 2, 3, 1], (4, 4, 2, 1)) for _ in range(3)], -2)
    series = simulated(rise, 20.0).swapaxes(3, 4).copy()
    series[..., 2] = 0
    (tmp_path / "in").mkdir()
    write_fids(tmp_path / "in" / "stopped.nii.gz", fids_of(series, extension={"dim_5": "DIM_DYN"}))
    write_fids(tmp_path / "in" / "masked.nii.gz", fids_of(series[..., 0] * (np.arange(4) < 2)[:, None, None, None]))
    grid = np.diag([5.0, 5, 5, 1])
    outside = np.zeros((4, 4, 2), np.uint8)
    outside[3] = 1
    nib.save(nib.Nifti1Image(outside, grid), tmp_path / "in" / "masked_mask.nii.gz")
    done = command(dataset_dir=tmp_path / "in", output_dir=tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "report.html").read_text().count("<img alt=") == 2
