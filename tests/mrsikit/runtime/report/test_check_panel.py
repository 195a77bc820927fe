"""The check on hidden voxels in the report: candidates in a table, and a plot."""

import base64
import io

import numpy as np
from matplotlib.image import imread

from mrsikit.runtime.report.check_panel import check_views, draw_hidden

CHECK = {
    "title": "hidden",
    "candidates": {"kriging": {"share": 0.25, "error": 0.2}, "their mean": {"share": None, "error": 0.125}},
    "measured": [1.0, 2.0, 3.0],
    "result": [1.1, 2.0, 9.0],
    "sd": [0.1, 0.1, 1.0],
}


def test_the_table_has_a_row_for_each_candidate_and_the_plot_says_what_holds() -> None:
    (view,) = check_views([CHECK], "mM")
    assert view["columns"] == ["share", "error"]
    assert view["rows"] == [["kriging", "0.25", "0.2"], ["their mean", "", "0.125"]]
    assert "3 hidden voxels, result against measured value; bars of 1.645 SD hold 2" in view["alt"]
    assert base64.b64decode(view["png"]).startswith(b"\x89PNG")
    assert check_views([], "mM") == []


def test_points_lie_where_their_values_are() -> None:
    """The middle of the cloud of points moves up with the results."""

    def height(result: list[float]) -> float:
        image = imread(io.BytesIO(draw_hidden([0.0, 10.0, 5.0], [0.0, 10.0, *result], [0.1, 0.1, 0.1], "mM")))
        blue = (image[..., 2] > 0.7) & (image[..., 0] < 0.3)
        return float(np.argwhere(blue).mean(0)[0])

    assert height([8.0]) < height([2.0]) - 20
