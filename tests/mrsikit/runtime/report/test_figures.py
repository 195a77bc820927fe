import io

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest

from mrsikit.runtime.report import Panel, draw_case
from mrsikit.runtime.report.figures import _choose_rows, _window, cropped, outline_segments, radiological

PANELS = [
    Panel(title="Input", blank="holes"),
    Panel(title="Filled", image="filled", outline="holes"),
    Panel(title="SD", image="sd", window="sd", colour_map="viridis"),
]


def case(shape):
    rng = np.random.default_rng(0)
    image = rng.random(shape) + 1
    holes = rng.random(shape) > 0.9
    return {"input": np.where(holes, np.nan, image), "filled": image, "holes": holes, "sd": holes * image}


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (12, 9, 20), (8, 9, 3, 2), (8, 9, 1, 8)])
def test_pictures_of_every_kind_of_map(shape):
    png = draw_case(case(shape), np.diag([3, 4, 5, 1]), panels=PANELS, choose_by="holes")
    pixels = matplotlib.image.imread(io.BytesIO(png))
    assert pixels.shape[1] > 800
    assert pixels.std() > 0.1
    assert plt.get_fignums() == []  # nothing left in pyplot's global state


def test_maps_without_holes_and_without_choice():
    arrays = case((8, 9, 12))
    arrays["holes"] = np.zeros((8, 9, 12))
    assert draw_case(arrays, np.eye(4), panels=PANELS, choose_by="holes")
    assert draw_case({"input": arrays["filled"]}, np.eye(4), panels=[Panel(title="Map")])


def test_slices_with_most_holes_are_chosen():
    holes = np.zeros((8, 9, 10, 1))
    for count, position in ((1, 0), (5, 2), (9, 4), (3, 5), (7, 6), (2, 8), (6, 9)):
        holes[:count, 0, position] = 1
    volumes = {"input": np.ones((8, 9, 10, 1)), "holes": holes}
    assert [row.position for row in _choose_rows(volumes, "holes", None)] == [2, 4, 5, 6, 8, 9]
    volumes["holes"] = np.zeros((8, 9, 10, 1))
    assert [row.position for row in _choose_rows(volumes, "holes", None)] == [1, 3, 4, 5, 6, 8]


def test_a_row_a_metabolite():
    holes = np.zeros((8, 9, 4, 8))
    holes[0, 0, 3, 1] = 1
    rows = _choose_rows({"input": np.ones((8, 9, 4, 8)), "holes": holes}, "holes", None)
    assert [row.metabolite for row in rows] == [0, 1, 2, 3, 4, 5]
    assert rows[1].position == 3
    assert rows[1].label == "metabolite 2, slice 4 of 4"


def corner(affine):
    """Return where voxel (X end, 0) of a slice is drawn, and the four directions."""
    image = np.zeros((4, 6))
    image[3, 0] = 1
    turned, spacing, directions = radiological(image, np.asarray(affine, float))
    row, column = np.argwhere(turned)[0]
    return (row > turned.shape[0] / 2, column > turned.shape[1] / 2), turned.shape, spacing, directions


def test_radiological_orientation_follows_the_affine():
    # voxel (X end, Y start) of an axial RAS grid is the patient's right, posterior: bottom left
    assert corner(np.diag([2, 3, 5, 1])) == ((True, False), (6, 4), (3.0, 2.0), ("R", "L", "P", "A"))
    assert corner(np.diag([-2, 3, 5, 1]))[0] == (True, True)
    assert corner(np.diag([-2, -3, 5, 1]))[0] == (False, True)
    # first axis anterior, second right
    swapped = [[0, 3, 0, 0], [2, 0, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]]
    assert corner(swapped) == ((False, True), (4, 6), (2.0, 3.0), ("R", "L", "P", "A"))
    coronal = [[2, 0, 0, 0], [0, 0, 5, 0], [0, 3, 0, 0], [0, 0, 0, 1]]
    assert corner(coronal) == ((True, False), (6, 4), (3.0, 2.0), ("R", "L", "I", "S"))
    sagittal = [[0, 0, 5, 0], [2, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 1]]
    assert corner(sagittal) == ((True, False), (6, 4), (3.0, 2.0), ("A", "P", "I", "S"))


def test_outline_is_the_border_of_the_mask():
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    lines = outline_segments(mask)
    assert len(lines) == 2 * (2 + 3)
    points = np.array(lines).reshape(-1, 2)
    assert points.min(axis=0).tolist() == [1.5, 0.5]
    assert points.max(axis=0).tolist() == [4.5, 2.5]


def test_spoilt_input_does_not_stretch_the_window():
    arrays = {"input": np.ones((8, 8, 1, 1)), "filled": np.ones((8, 8, 1, 1))}
    arrays["input"][2, 2] = 1000
    rows = _choose_rows(arrays, None, None)
    assert _window(arrays, [Panel(title="a"), Panel(title="b", image="filled")], "map", rows, 0) == (0, 1)


def test_empty_border_is_cut_the_same_for_all():
    arrays = {"input": np.zeros((20, 20, 1, 1)), "filled": np.zeros((20, 20, 1, 1))}
    arrays["input"][8:10, 5] = np.nan
    arrays["filled"][8:10, 5:7] = 1
    rest, affine = cropped(arrays, np.diag([2.0, 3.0, 5.0, 1.0]))
    assert {array.shape for array in rest.values()} == {(6, 6, 1, 1)}
    assert affine[:3, 3].tolist() == [2 * 6, 3 * 3, 0]


@pytest.mark.parametrize(
    ("low", "high", "arrows"), [(0.1, 1.0, "neither"), (-3, 1, "min"), (0.1, 9, "max"), (-3, 9, "both")]
)
def test_values_beyond_the_colours_have_an_arrow(monkeypatch, low, high, arrows):
    """At the lower end, too: a negative concentration must not look like none."""
    found, drawn = [], plt.Figure.colorbar
    monkeypatch.setattr(plt.Figure, "colorbar", lambda *a, **k: (found.append(k["extend"]), drawn(*a, **k))[1])
    image = np.ones((40, 40))
    image[3, 3], image[5, 5] = low, high
    draw_case({"input": image}, np.eye(4), panels=[Panel(title="a")])
    assert found == [arrows]


def shown_titles(monkeypatch, arrays, affine, **options):
    titles, write = [], matplotlib.axes.Axes.set_title
    monkeypatch.setattr(matplotlib.axes.Axes, "set_title", lambda *a, **k: (titles.append(a[1]), write(*a, **k))[1])
    png = draw_case(arrays, affine, panels=PANELS, choose_by="holes", **options)
    return [title for title in titles if title], matplotlib.image.imread(io.BytesIO(png))


def test_a_volume_is_shown_in_three_planes_and_slices_are_named_by_their_place(monkeypatch):
    affine = np.diag([10.0, 10.0, 8.0, 1.0])
    affine[:3, 3] = -60, -45, -40
    titles, _ = shown_titles(monkeypatch, case((13, 10, 11)), affine)
    assert titles[0].startswith("Input, slice ")
    assert titles[0].endswith(("mm I", "mm S"))
    assert [title.split()[0] for title in titles[3:]] == ["slice", "slice", "sagittal", "coronal"]
    titles, _ = shown_titles(monkeypatch, case((13, 10, 11)), affine, oriented=False)
    assert not any("mm" in title for title in titles)


@pytest.mark.parametrize("shape", [(13, 10, 4), (13, 10, 11, 2)])
def test_stacks_and_several_metabolites_keep_their_slices(monkeypatch, shape):
    titles, _ = shown_titles(monkeypatch, case(shape), np.diag([10.0, 10.0, 8.0, 1.0]))
    assert not any("coronal" in title for title in titles)


def test_maps_are_at_least_300_pixels_wide_with_one_colour_bar_a_row_and_window(monkeypatch):
    bars, drawn = [], plt.Figure.colorbar
    monkeypatch.setattr(plt.Figure, "colorbar", lambda *a, **k: (bars.append(k), drawn(*a, **k))[1])
    _, pixels = shown_titles(monkeypatch, case((8, 9, 2)), np.eye(4))
    assert len(bars) == 2 * 2
    assert pixels.shape[1] > 3 * 300
