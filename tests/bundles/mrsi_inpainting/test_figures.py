from mrsi_inpainting.figures import PANELS


def test_panels_show_the_input_and_every_output() -> None:
    shown = {name for panel in PANELS for name in (panel.image, panel.outline, panel.blank) if name}
    assert shown == {"input", "inpainted", "holes", "uncertainty"}


def test_measured_and_filled_map_share_a_window_which_the_uncertainty_does_not() -> None:
    windows = {panel.title: panel.window for panel in PANELS}
    assert windows["as measured"] == windows["filled"] == windows["what was filled"] != windows["uncertainty (SD)"]
