"""The panels of each map in the report."""

from mrsikit.runtime.report import Panel

PANELS = (
    Panel(title="as measured", image="input", blank="holes"),
    Panel(title="filled", image="inpainted", sd="uncertainty"),
    Panel(title="what was filled", image="inpainted", outline="holes"),
    Panel(title="uncertainty (SD)", image="uncertainty", window="uncertainty", colour_map="viridis"),
)
