"""The report of a run: figures, a record of each input, and the summary page."""

from mrsikit.runtime.report.figures import draw_case
from mrsikit.runtime.report.handler import RunReport, run_evaluator
from mrsikit.runtime.report.page import write_report
from mrsikit.runtime.report.panels import Panel, Picture
from mrsikit.runtime.report.viewer import view_of

__all__ = ["Panel", "Picture", "RunReport", "draw_case", "run_evaluator", "view_of", "write_report"]
