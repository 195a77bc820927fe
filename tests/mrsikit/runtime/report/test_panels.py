import pytest

from mrsikit.runtime.report.panels import INPUT, Panel


def test_a_panel_shows_the_input_in_the_window_of_the_maps_by_default() -> None:
    panel = Panel(title="as measured")
    assert (panel.image, panel.window, panel.colour_map) == (INPUT, "map", "inferno") == ("input", "map", "inferno")
    assert panel.outline is panel.blank is panel.unit is None


def test_a_panel_is_fixed_once_made() -> None:
    with pytest.raises(AttributeError):
        Panel(title="filled").title = "measured"  # type: ignore[misc]
