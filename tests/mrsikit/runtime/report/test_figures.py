import io

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from mrsikit.runtime.report import Panel, draw_case
from mrsikit.runtime.report.canvas import MISSING_COLOUR, OUTLINE_COLOUR, Canvas
from mrsikit.runtime.report.figures import _choose_rows, _window, as_4d, cropped, outline_segments, radiological

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
    ("low", "high", "arrows"), [(0.1, 1.0, [0, 0]), (-3, 1, [1, 0]), (0.1, 9, [0, 1]), (-3, 9, [1, 1])]
)
def test_values_beyond_the_colours_have_an_arrow(monkeypatch, low, high, arrows):
    """At the lower end, too: a negative concentration must not look like none."""
    found, fill = [], Axes.fill
    monkeypatch.setattr(Axes, "fill", lambda *a, **k: (found.append(a[1:]), fill(*a, **k))[1])
    image = np.ones((40, 40))
    image[3, 3], image[5, 5] = low, high
    draw_case({"input": image}, np.eye(4), panels=[Panel(title="a")])
    up = [heights[2] < heights[0] for _, heights in found]
    assert [up.count(False), up.count(True)] == arrows


def shown_words(monkeypatch, arrays, affine, **options):
    words, write = [], Canvas.text
    monkeypatch.setattr(Canvas, "text", lambda *a, **k: (words.append(a), write(*a, **k))[1])
    png = draw_case(arrays, affine, panels=PANELS, choose_by="holes", **options)
    titles = [text for _, _, _, text, size in words if size == 9]
    return titles, matplotlib.image.imread(io.BytesIO(png)), [text for *_, text, size in words if size == 8]


def test_a_volume_is_shown_in_three_planes_and_slices_are_named_by_their_place(monkeypatch):
    affine = np.diag([10.0, 10.0, 8.0, 1.0])
    affine[:3, 3] = -60, -45, -40
    titles, _, _ = shown_words(monkeypatch, case((13, 10, 11)), affine)
    assert titles[0].startswith("Input, slice ")
    assert titles[0].endswith(("mm I", "mm S"))
    assert [title.split()[0] for title in titles[3:]] == ["slice", "slice", "sagittal", "coronal"]
    titles, _, _ = shown_words(monkeypatch, case((13, 10, 11)), affine, oriented=False)
    assert not any("mm" in title for title in titles)


@pytest.mark.parametrize("shape", [(13, 10, 4), (13, 10, 11, 2)])
def test_stacks_and_several_metabolites_keep_their_slices(monkeypatch, shape):
    titles, _, _ = shown_words(monkeypatch, case(shape), np.diag([10.0, 10.0, 8.0, 1.0]))
    assert not any("coronal" in title for title in titles)


def test_maps_are_at_least_300_pixels_wide_with_one_colour_bar_a_row_and_window(monkeypatch):
    _, pixels, units = shown_words(monkeypatch, case((8, 9, 2)), np.eye(4), unit="mM")
    assert units == ["mM"] * 2 * 2
    assert pixels.shape[1] > 3 * 300


def drawn(arrays, *panels, oriented=False):
    """Pixels of a figure, 0 to 255."""
    png = draw_case(arrays, np.eye(4), panels=panels, oriented=oriented)
    return np.round(matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).astype(int)


def share(pixels, colour):
    return (np.abs(pixels - to_rgb(colour)) < 40).all(-1).mean()


def to_rgb(colour):
    return np.round(np.array(matplotlib.colors.to_rgb(colour)) * 255).astype(int)


def test_missing_voxels_are_grey_and_filled_ones_are_outlined_on_a_dark_seam():
    arrays = case((8, 9))
    arrays["holes"][:] = False
    arrays["holes"][2:5, 3:5] = True
    arrays["input"] = np.where(arrays["holes"], 0, arrays["filled"])
    grey = share(drawn(arrays, PANELS[0]), MISSING_COLOUR)
    assert 0.03 < grey < 0.1  # of the picture, the missing voxels of the map
    assert share(drawn(arrays, Panel(title="a")), MISSING_COLOUR) < 0.5 * grey
    plain, outlined = drawn(arrays, Panel(title="a", image="filled")), drawn(arrays, PANELS[1])
    assert share(outlined, OUTLINE_COLOUR) > 0.001
    assert share(outlined, "black") > share(plain, "black") + 0.001


def test_directions_are_white_on_dark_ground():
    arrays = {"input": np.full((12, 12), 5.0)}
    named, plain = drawn(arrays, Panel(title=""), oriented=True), drawn(arrays, Panel(title=""))
    middle = slice(100, 250), slice(10, 40)
    assert share(named[middle], "white") > 0.005
    assert share(plain[middle], "white") == 0
    assert named[middle].sum(-1).min() < plain[middle].sum(-1).min() - 100


def test_a_difference_has_a_window_as_wide_below_zero_as_above():
    arrays = {"input": np.array([[-1.0, 4.0]] * 9)}
    panel = Panel(title="a", window="change", diverging=True)
    rows = _choose_rows({"input": as_4d(arrays["input"])}, None, None)
    low, high = _window({"input": as_4d(arrays["input"])}, [panel], "change", rows, 0)
    assert (low, high) == (-4, 4)


def test_an_mri_shows_through_a_map_and_alone_where_there_is_none(monkeypatch):
    units, write = [], Canvas.text
    monkeypatch.setattr(Canvas, "text", lambda *a, **k: (units.append(a[3]), write(*a, **k))[1])
    arrays = {"input": np.zeros((12, 12)), "t1": np.full((12, 12), 100.0)}
    arrays["input"][:6] = 4.0
    pixels = drawn(arrays, Panel(title="a"), Panel(title="b", over="t1"))
    assert share(pixels[40:300, 330:600], "white") > 0.4  # the MRI alone
    mixed = np.round((to_rgb("#fcffa4") + 255) / 2)
    assert (np.abs(pixels[40:300, 330:700] - mixed).max(-1) <= 2).mean() > 0.2
    assert units.count("map units") == 1  # no bar for mixed colours
    units.clear()
    drawn(arrays, Panel(title="b", over="t1"))
    assert "map units" not in units
