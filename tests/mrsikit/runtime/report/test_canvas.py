"""Boxes on a sheet."""

from mrsikit.runtime.report.canvas import Box


def test_a_box_knows_its_edges_and_the_largest_box_of_a_ratio_in_it() -> None:
    box = Box(1.0, 2.0, 4.0, 2.0)
    assert box.extent == (1.0, 5.0, 4.0, 2.0)
    assert box.corners[0] == (1.0, 2.0)
    square = box.fitted(1.0)
    assert (square.width, square.height) == (2.0, 2.0)
    assert (square.left, square.top) == (2.0, 2.0)
